//! What an executable file does: a short script in place of machine code.

use std::sync::Arc;

use super::procs::Role;
use super::{Pid, World};
use crate::sys::{Call, Errno};

/// One action of a script.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Dies by a signal of its own.
    Crash(u32),
    /// Goes on, or skips that many actions: both are possible.
    Either(u16),
    /// Ends with a status.
    Exit(u8),
    /// Makes a child which performs that many actions and then ends with status 0; the parent
    /// skips them.
    Fork(u16),
    /// Ignores a signal from here on.
    Ignore(u32),
    /// Writes `0` to a file, which is a cgroup's list of processes.
    MoveCgroup(Arc<str>),
    /// Reads from descriptor 0 until something or the end comes.
    ReadStdin,
    /// Sleeps for ever.
    Sleep,
    /// Ends with a status when a signal comes.
    Trap(u32, u8),
    /// Writes to descriptor 1.
    WriteOut(Arc<[u8]>),
}

/// A script; behind its last action a process ends with status 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Payload(Vec<Action>);

impl<const N: usize> From<[Action; N]> for Payload {
    fn from(actions: [Action; N]) -> Self {
        Self(actions.into())
    }
}

impl Payload {
    /// Returns a script that sleeps until it is killed.
    #[must_use]
    pub fn sleep() -> Self {
        Self::from([Action::Sleep])
    }

    /// Returns a script that ends with a status.
    #[must_use]
    pub fn exit(status: u8) -> Self {
        Self::from([Action::Exit(status)])
    }

    /// Returns the script cut off behind `end`.
    fn until(&self, end: usize) -> Self {
        Self(self.0.iter().take(end).cloned().collect())
    }
}

impl World {
    /// Returns in how many ways the script of `pid` can go on; 0 while it waits.
    pub(super) fn ways(&self, pid: Pid) -> u8 {
        let Role::Script { payload, at } = &self.task(pid).role else { return 0 };
        match payload.0.get(usize::from(*at)) {
            Some(Action::Sleep) => 0,
            Some(Action::Either(_)) => 2,
            Some(Action::ReadStdin) => u8::from(self.may_read(pid, 0)),
            Some(Action::WriteOut(bytes)) => u8::from(self.may_write(pid, 1, bytes.len())),
            Some(
                Action::Crash(_)
                | Action::Exit(_)
                | Action::Fork(_)
                | Action::Ignore(_)
                | Action::MoveCgroup(_)
                | Action::Trap(..),
            )
            | None => 1,
        }
    }

    /// Performs the next action of the script of `pid`, in one of its ways.
    pub(super) fn act(&mut self, pid: Pid, way: u8) {
        let Role::Script { payload, at } = self.task(pid).role.clone() else { return };
        let mut next = at + 1;
        match payload.0.get(usize::from(at)) {
            None => self.die(pid, 0),
            Some(Action::Crash(signal)) => self.die(pid, *signal),
            Some(Action::Either(skip)) => next += if way == 0 { 0 } else { *skip },
            Some(Action::Exit(status)) => self.die(pid, u32::from(*status) << 8),
            Some(Action::Fork(actions)) => {
                let part = Arc::new(payload.until(usize::from(next + actions)));
                let role = Role::Script { payload: part, at: next };
                // fork(2) may fail; what a payload makes of that is its own affair.
                let _ = self.copy_task(pid, role, 0);
                next += actions;
            }
            Some(Action::Ignore(signal)) => {
                self.task_mut(pid).ignored |= 1 << (signal.max(&1) - 1);
            }
            Some(Action::MoveCgroup(path)) => {
                let walk = super::walk::Walk::new(pid, crate::sys::CWD, path.as_bytes());
                if let Ok(place) = self.find(walk)
                    && let super::files::Ino::CgroupFile(cgroup, file) = place.ino
                {
                    let _ = self.write_cgroup(pid, (cgroup, file), b"0");
                }
            }
            Some(Action::ReadStdin) => {
                let room = std::array::from_fn::<_, 64, _>(|_| std::cell::Cell::new(0));
                let _ = self.perform(pid, &Call::Read { fd: 0, buf: &room });
            }
            Some(Action::Sleep) => next = at,
            Some(Action::Trap(signal, status)) => {
                self.task_mut(pid).traps.insert(*signal, *status);
            }
            Some(Action::WriteOut(bytes)) => {
                let answer = self.perform(pid, &Call::Write { fd: 1, bytes });
                // Law `who_writes_to_nobody_is_killed_by_sigpipe`: unless it writes packets.
                if answer == Err(Errno::EPIPE) && !self.is_packets(pid, 1) {
                    self.die(pid, 13);
                }
            }
        }
        if let Some(task) = self.tasks.get_mut(pid)
            && let Role::Script { at, .. } = &mut task.role
        {
            *at = next;
        }
    }
}
