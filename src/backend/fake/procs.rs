//! Processes: birth, the phases of death, and who waits for whom.
//!
//! ```text
//! Running ──exit, signal──▶ Dying ──▶ Exiting ──▶ Zombie ──wait──▶ gone ──▶ uncharged
//!                                    fds closed   wait sees it     number free
//!                                    not listed   unpopulated unless it lingers
//! ```

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::child::Running;
use super::creds::Creds;
use super::fds::{Entry, What};
use super::files::{Ino, Name, Place};
use super::labels::Labels;
use super::payload::Payload;
use super::pipes::Waiting;
use super::spaces::{Held, Kind, Space};
use super::{Answer, Pid, World};
use crate::sys::{Errno, RawFd, flags};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Task {
    pub(super) parent: Pid,
    /// Which client's tree it grew in; 0 for strangers.
    pub(super) maker: u32,
    /// When it began, in hundredths of a second.
    pub(super) started: u64,
    pub(super) life: Life,
    pub(super) role: Role,
    pub(super) fds: Arc<BTreeMap<RawFd, Entry>>,
    pub(super) next_fd: RawFd,
    pub(super) cwd: Place,
    pub(super) root: Place,
    pub(super) exe: Option<Place>,
    /// Its argument list, each ended by NUL.
    pub(super) argv: Name,
    pub(super) umask: u32,
    pub(super) creds: Creds,
    spaces: [u32; 8],
    /// The namespaces that its children will be in.
    pub(super) next_spaces: BTreeMap<Kind, u32>,
    /// Its number in its own pid namespace.
    pub(super) inner: Pid,
    /// Its cgroup in each hierarchy.
    pub(super) cgroups: Arc<[u32]>,
    /// Signals that it ignores, one bit each from the first.
    pub(super) ignored: u64,
    /// Signals that end it with a status of its own.
    pub(super) traps: BTreeMap<u32, u8>,
    /// Signals that wait until it may run again, one bit each from the first.
    pub(super) pending: u64,
    pub(super) stopped: bool,
    pub(super) death_signal: u32,
    pub(super) subreaper: bool,
    pub(super) session: Pid,
    pub(super) oom_score: Name,
    pub(super) labels: Labels,
    pub(super) waiting: Option<Waiting>,
}

/// How far a process has come; the number is the status that wait(2) reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Life {
    Running,
    Dying(u32),
    Exiting(u32),
    Zombie(u32),
}

/// What a process does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// What its owner asks for.
    Client,
    /// A program of the runtime's.
    Program(Running),
    /// It reaps.
    Reaper,
    /// A script, from that action on.
    Script { payload: Arc<Payload>, at: u16 },
}

impl Life {
    /// Returns whether it has not begun to die.
    pub(super) const fn is_alive(self) -> bool {
        matches!(self, Self::Running)
    }

    /// Returns whether it still counts in its cgroup.
    pub(super) const fn is_charged(self) -> bool {
        !matches!(self, Self::Zombie(_))
    }

    /// Returns whether its cgroup lists it.
    pub(super) const fn is_listed(self) -> bool {
        matches!(self, Self::Running | Self::Dying(_))
    }
}

impl Task {
    /// Returns a process in the first namespaces.
    pub(super) fn new(parent: Pid, role: Role, home: Place) -> Self {
        Self {
            parent,
            maker: 0,
            started: 0,
            life: Life::Running,
            role,
            fds: Arc::default(),
            next_fd: super::fds::FIRST,
            cwd: home,
            root: home,
            exe: None,
            argv: Name::from(&b""[..]),
            umask: 0o022,
            creds: Creds::of(0),
            spaces: Kind::ALL.map(Kind::first),
            next_spaces: BTreeMap::new(),
            inner: 0,
            cgroups: Arc::new([]),
            ignored: 0,
            traps: BTreeMap::new(),
            pending: 0,
            stopped: false,
            death_signal: 0,
            subreaper: false,
            session: 0,
            oom_score: Name::from(&b"0"[..]),
            labels: Labels::default(),
            waiting: None,
        }
    }

    pub(super) const fn space(&self, kind: Kind) -> u32 {
        self.spaces[kind as usize]
    }

    pub(super) const fn set_space(&mut self, kind: Kind, space: u32) {
        self.spaces[kind as usize] = space;
    }

    /// Returns whether it or its future children are in a namespace.
    pub(super) fn is_in(&self, space: u32) -> bool {
        self.spaces.contains(&space) || self.next_spaces.values().any(|next| *next == space)
    }

    /// Returns whether it reaps without being asked.
    const fn reaps(&self) -> bool {
        matches!(self.role, Role::Reaper | Role::Script { .. }) && self.life.is_alive()
    }
}

impl World {
    pub(super) fn task(&self, pid: Pid) -> &Task {
        let Some(task) = self.tasks.get(pid) else { panic!("process {pid} is not there") };
        task
    }

    pub(super) fn task_mut(&mut self, pid: Pid) -> &mut Task {
        let Some(task) = self.tasks.get_mut(pid) else { panic!("process {pid} is not there") };
        task
    }

    /// Adds a process under the next free number, going round.
    pub(super) fn add_task(&mut self, mut task: Task) -> Result<Pid, Errno> {
        let space = task.space(Kind::Pid);
        let (first, last) = (Kind::Pid.first(), self.profile.pid_max);
        if space != first && !self.can_join(space) {
            return Err(Errno::ENOMEM);
        }
        let after = self.last_pid + 1..last;
        let again = 2..(self.last_pid + 1).min(last);
        let mut free = after.chain(again).filter(|pid| !self.tasks.has(*pid));
        let pid = free.next().ok_or(Errno::EAGAIN)?;
        if pid <= self.last_pid {
            // A number comes back only after all others were used, which takes a tick at least.
            self.now_ms = (self.now_ms / 10 + 1) * 10;
        }
        self.last_pid = pid;
        task.started = self.now_ms / 10;
        task.inner = pid;
        if space != first
            && let Some(Space { held: Held::Pid { init, last }, .. }) = self.spaces.get_mut(space)
        {
            *last += 1;
            task.inner = *last;
            if *init == 0 {
                *init = pid;
            }
        }
        for entry in task.fds.values() {
            if let Some(open) = self.opens.get_mut(entry.open) {
                open.holders += 1;
            }
        }
        self.tasks.insert(pid, task);
        Ok(pid)
    }

    fn can_join(&self, space: u32) -> bool {
        match self.spaces.get(space).map(|space| &space.held) {
            Some(Held::Pid { init: 0, .. }) => true,
            Some(Held::Pid { init, .. }) => {
                self.tasks.get(*init).is_some_and(|init| init.life.is_alive())
            }
            Some(_) | None => false,
        }
    }

    /// Makes a copy of `pid` with another role, in the namespaces that its children go to.
    pub(super) fn copy_task(&mut self, pid: Pid, role: Role, kinds: u64) -> Result<Pid, Errno> {
        let cgroups = Arc::clone(&self.task(pid).cgroups);
        self.copy_task_into(pid, role, kinds, cgroups)
    }

    /// Makes such a copy in other cgroups.
    pub(super) fn copy_task_into(
        &mut self,
        pid: Pid,
        role: Role,
        kinds: u64,
        cgroups: Arc<[u32]>,
    ) -> Result<Pid, Errno> {
        let mut task = self.task(pid).clone();
        task.cgroups = cgroups;
        task.parent = if kinds & flags::CLONE_PARENT != 0 { task.parent } else { pid };
        task.role = role;
        task.waiting = None;
        task.pending = 0;
        task.death_signal = 0;
        for (kind, space) in std::mem::take(&mut task.next_spaces) {
            task.set_space(kind, space);
        }
        // The namespaces are made from those of a process, so a row stands in until it has one.
        let spare = u32::MAX;
        self.tasks.insert(spare, task);
        let made = self.new_spaces(spare, kinds);
        let Some(mut task) = self.tasks.remove(spare) else { return Err(Errno::EAGAIN) };
        made?;
        for (kind, space) in std::mem::take(&mut task.next_spaces) {
            task.set_space(kind, space);
        }
        let room = self.have_room(&task.cgroups);
        let copy = if room { self.add_task(task) } else { Err(Errno::EAGAIN) };
        if copy.is_err() {
            self.sweep_spaces();
        }
        let copy = copy?;
        self.charged(copy);
        Ok(copy)
    }

    /// Begins the death of a process with the status that wait(2) will report.
    pub(super) fn die(&mut self, pid: Pid, status: u32) {
        let Some(task) = self.tasks.get_mut(pid) else { return };
        if task.life.is_alive() {
            task.life = Life::Dying(status);
            task.waiting = None;
        }
    }

    /// Returns whether the next phase of a death can happen.
    pub(super) fn can_fade(&self, pid: Pid) -> bool {
        match self.task(pid).life {
            Life::Running | Life::Zombie(_) => false,
            Life::Dying(_) => true,
            // The first process of a pid namespace is the last to go (pid_namespaces(7)).
            Life::Exiting(_) => self.members(pid).is_empty(),
        }
    }

    /// Returns the other processes of the pid namespace whose first process is `pid`.
    fn members(&self, pid: Pid) -> Vec<Pid> {
        let space = self.task(pid).space(Kind::Pid);
        let led = matches!(
            self.spaces.get(space).map(|space| &space.held),
            Some(Held::Pid { init, .. }) if *init == pid
        );
        let others = self
            .tasks
            .iter()
            .filter(|(other, task)| led && *other != pid && task.space(Kind::Pid) == space);
        others.map(|(other, _)| other).collect()
    }

    /// Performs the next phase of a death.
    pub(super) fn fade(&mut self, pid: Pid) {
        match self.task(pid).life {
            Life::Running | Life::Zombie(_) => (),
            Life::Dying(status) => self.leave(pid, status),
            Life::Exiting(status) => self.end(pid, status),
        }
    }

    /// Lets go of everything but the number.
    fn leave(&mut self, pid: Pid, status: u32) {
        for member in self.members(pid) {
            self.die(member, flags::SIGKILL);
        }
        let fds = std::mem::take(&mut self.task_mut(pid).fds);
        for entry in fds.values() {
            self.release(entry.open);
        }
        let nowhere = Place { mount: 0, ino: Ino::Nameless };
        let task = self.task_mut(pid);
        let left = [task.cwd, task.root];
        task.cwd = nowhere;
        task.root = nowhere;
        task.exe = None;
        task.life = Life::Exiting(status);
        task.next_spaces.clear();
        for kind in Kind::ALL {
            if !matches!(kind, Kind::Pid | Kind::User) {
                task.set_space(kind, 0);
            }
        }
        for place in left {
            self.forget(place.ino);
        }
        self.sweep_mounts();
        self.sweep_spaces();
    }

    /// Gives the children away and becomes a zombie.
    fn end(&mut self, pid: Pid, status: u32) {
        let children: Vec<Pid> = self.children(pid).collect();
        let heir = self.heir(pid);
        for child in children {
            let signal = self.task(child).death_signal;
            self.task_mut(child).parent = heir;
            if signal != 0 {
                self.deliver(child, signal, Kind::Pid.first());
            }
        }
        self.task_mut(pid).life = Life::Zombie(status);
        self.uncharged(pid);
        let parent = self.task(pid).parent;
        let ignored = self
            .tasks
            .get(parent)
            .is_none_or(|parent| parent.ignored >> (flags::SIGCHLD - 1) & 1 != 0);
        if ignored {
            self.reap(pid);
        }
    }

    /// Returns who inherits the children of `pid`.
    fn heir(&self, pid: Pid) -> Pid {
        let space = self.task(pid).space(Kind::Pid);
        let mut at = self.task(pid).parent;
        while let Some(task) = self.tasks.get(at) {
            if task.space(Kind::Pid) != space {
                break;
            }
            if task.subreaper && task.life.is_alive() {
                return at;
            }
            at = task.parent;
        }
        match self.spaces.get(space).map(|space| &space.held) {
            Some(Held::Pid { init, .. }) if *init != pid && self.tasks.has(*init) => *init,
            Some(_) | None => 1,
        }
    }

    /// Frees the number of a zombie.
    pub(super) fn reap(&mut self, pid: Pid) {
        let Some(task) = self.tasks.remove(pid) else { return };
        self.orphan_proc(pid);
        if task.space(Kind::Pid) != Kind::Pid.first()
            || task.space(Kind::User) != Kind::User.first()
        {
            self.sweep_spaces();
        }
        self.sweep_cgroups();
    }

    pub(super) fn children(&self, pid: Pid) -> impl Iterator<Item = Pid> {
        self.tasks.iter().filter(move |(_, task)| task.parent == pid).map(|(child, _)| child)
    }

    /// Returns whether a zombie is one that its parent reaps by itself.
    pub(super) fn is_reaped_by_itself(&self, pid: Pid) -> bool {
        let task = self.task(pid);
        let Some(parent) = self.tasks.get(task.parent) else { return false };
        // The first process of a pid namespace reaps while it dies (pid_namespaces(7)).
        let last = !parent.life.is_alive() && parent.life.is_charged() && self.leads(task.parent);
        matches!(task.life, Life::Zombie(_))
            && (last || parent.reaps() && !self.is_halted(task.parent))
    }

    /// Returns the process that `pid` knows by a number.
    pub(super) fn numbered(&self, pid: Pid, number: u32) -> Option<Pid> {
        let space = self.task(pid).space(Kind::Pid);
        if space == Kind::Pid.first() {
            return self.tasks.has(number).then_some(number);
        }
        let mut there = self.tasks.iter().filter(|(_, task)| task.space(Kind::Pid) == space);
        there.find(|(_, task)| task.inner == number).map(|(pid, _)| pid)
    }

    /// Returns the number of `other` in a pid namespace, 0 where it has none.
    pub(super) fn number_in(&self, space: u32, other: Pid) -> u32 {
        let Some(task) = self.tasks.get(other) else { return 0 };
        if space == Kind::Pid.first() {
            other
        } else if task.space(Kind::Pid) == space {
            task.inner
        } else {
            0
        }
    }

    /// Returns the zombie that a wait finds: `None` if there is only hope, `ECHILD` if not even.
    pub(super) fn waited(&self, pid: Pid, number: u32) -> Result<Option<Pid>, Errno> {
        let any = number == u32::MAX;
        let mut candidates =
            self.children(pid).filter(|child| any || self.numbered(pid, number) == Some(*child));
        let mut hope = false;
        let zombie = candidates.find(|child| {
            hope = true;
            matches!(self.task(*child).life, Life::Zombie(_))
        });
        if zombie.is_none() && !hope { Err(Errno::ECHILD) } else { Ok(zombie) }
    }

    pub(super) fn wait4(&mut self, pid: Pid, number: u32, status: &[Cell<u8>]) -> Answer {
        let Some(zombie) = self.waited(pid, number)? else { return Ok(0) };
        let Life::Zombie(code) = self.task(zombie).life else { return Ok(0) };
        super::parts::fill(status, &code.to_le_bytes());
        let number = self.number_in(self.task(pid).space(Kind::Pid), zombie);
        self.reap(zombie);
        Ok(u64::from(number))
    }

    /// Returns the zombie of a pidfd, or why there is none to wait for.
    pub(super) fn waited_by(&self, pid: Pid, fd: RawFd) -> Result<Option<Pid>, Errno> {
        let What::Pidfd(target) = self.open_of(pid, fd)?.what else { return Err(Errno::EBADF) };
        let target = target.ok_or(Errno::ECHILD)?;
        let task = self.tasks.get(target).ok_or(Errno::ECHILD)?;
        if task.parent != pid {
            return Err(Errno::ECHILD);
        }
        Ok(matches!(task.life, Life::Zombie(_)).then_some(target))
    }

    pub(super) fn waitid(&mut self, pid: Pid, fd: RawFd, wait: (u32, &[Cell<u8>])) -> Answer {
        let (options, info) = wait;
        if options & flags::WEXITED == 0 {
            return Err(Errno::EINVAL);
        }
        let mut block = [0; 128];
        if let Some(zombie) = self.waited_by(pid, fd)?
            && let Life::Zombie(code) = self.task(zombie).life
        {
            // CLD_EXITED or CLD_KILLED, and the status that goes with it (wait(2)).
            let (how, status) =
                if code & 0x7f == 0 { (flags::CLD_EXITED, code >> 8) } else { (2, code & 0x7f) };
            let number = self.number_in(self.task(pid).space(Kind::Pid), zombie);
            let uid = self.seen_uid(pid, self.task(zombie).creds.uid);
            for (at, word) in [(0, flags::SIGCHLD), (8, how), (16, number), (20, uid), (24, status)]
            {
                block[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
            if options & flags::WNOWAIT == 0 {
                self.reap(zombie);
            }
        } else if options & flags::WNOHANG == 0 {
            // Only a descriptor opened with PIDFD_NONBLOCK gets here.
            return Err(Errno::EAGAIN);
        }
        super::parts::fill(info, &block);
        Ok(0)
    }
}
