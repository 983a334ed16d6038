//! What procfs says of one process: its line `stat` and its page `status`.

use super::procs::{Life, Role};
use super::spaces::Kind;
use super::{Pid, World};

/// The flag of a process that exits or has exited (proc_pid_stat(5), include/linux/sched.h).
const PF_EXITING: u32 = 4;

/// There is one memory node, and so every cpuset has it that has any.
const MEMORY_NODES: &str = "0";

impl World {
    /// Returns the name of a process's program.
    pub(super) fn comm(&self, task: Pid) -> String {
        let there = self.task(task);
        let first = there.argv.split(|byte| *byte == 0).next().unwrap_or_default();
        let last = first.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let name = match there.role {
            Role::Client | Role::Program(_) => &b"cofferdam"[..],
            Role::Reaper => &b"init"[..],
            Role::Script { .. } => last,
        };
        String::from_utf8_lossy(name.get(..15).unwrap_or(name)).into_owned()
    }

    fn state(&self, task: Pid) -> char {
        match self.task(task).life {
            Life::Running if self.is_frozen_v1(task) => 'D',
            Life::Running if self.task(task).stopped => 'T',
            Life::Running => 'S',
            Life::Dying(_) | Life::Exiting(_) => 'R',
            Life::Zombie(_) => 'Z',
        }
    }

    /// Returns `/proc/<pid>/stat`.
    pub(super) fn stat_line(&self, pid: Pid, task: Pid) -> String {
        let space = self.task(pid).space(Kind::Pid);
        let (number, there) = (self.number_in(space, task), self.task(task));
        let parent = self.number_in(space, there.parent);
        let (comm, state) = (self.comm(task), self.state(task));
        let exiting = matches!(there.life, Life::Exiting(_) | Life::Zombie(_));
        let flags = if exiting { PF_EXITING } else { 0 };
        // The flags are the 9th field; eight counters and times follow, and the start is the 22nd.
        let zeros = "0 ".repeat(8);
        let session = self.number_in(space, there.session);
        format!(
            "{number} ({comm}) {state} {parent} {session} {session} 0 0 {flags} {zeros}20 0 1 0 {} \
             4096 1\n",
            there.started
        )
    }

    /// Returns `/proc/<pid>/status`.
    pub(super) fn status_text(&self, pid: Pid, task: Pid) -> String {
        let space = self.task(pid).space(Kind::Pid);
        let (number, there) = (self.number_in(space, task), self.task(task));
        let creds = &there.creds;
        let (uid, gid) = (self.seen_uid(pid, creds.uid), self.seen_gid(pid, creds.gid));
        let groups: String =
            creds.groups.iter().map(|group| format!("{} ", self.seen_gid(pid, *group))).collect();
        let parent = self.number_in(space, there.parent);
        let caught = there.traps.keys().fold(0_u64, |set, signal| set | 1 << (signal - 1));
        let inner =
            if there.inner == number { String::new() } else { format!("\t{}", there.inner) };
        format!(
            "Name:\t{}\nState:\t{}\nTgid:\t{number}\nPid:\t{number}\nPPid:\t{parent}\n\
             Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\n\
             Groups:\t{groups}\nNSpid:\t{number}{inner}\nThreads:\t1\n\
             SigBlk:\t{:016x}\nSigIgn:\t{:016x}\nSigCgt:\t{caught:016x}\n\
             CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\n\
             CapAmb:\t{:016x}\nNoNewPrivs:\t{}\nSeccomp:\t{}\n\
             Mems_allowed_list:\t{MEMORY_NODES}\n",
            self.comm(task),
            self.state(task),
            0,
            there.ignored,
            creds.inheritable,
            creds.permitted,
            creds.effective,
            creds.bounding,
            creds.ambient,
            u8::from(creds.no_new_privs),
            if creds.filters > 0 { 2 } else { 0 },
        )
    }
}
