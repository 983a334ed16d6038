//! Signals: who may send them, who feels them, and the log of all that were sent.

use std::sync::Arc;

use super::creds::KILL;
use super::fds::What;
use super::procs::{Life, Role};
use super::spaces::{Held, Kind};
use super::{Answer, Pid, World};
use crate::sys::{Errno, RawFd, flags};

/// A signal that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signalled {
    /// Who sent it.
    pub sender: Pid,
    /// The client in whose tree the sender grew, counted from 1; 0 is a stranger.
    pub tree: u32,
    /// Whom it reached.
    pub target: Pid,
    /// Which signal.
    pub signal: u32,
    /// The client in whose tree the target grew, counted from 1; 0 is a stranger.
    pub maker: u32,
}

impl World {
    pub(super) fn kill(&mut self, pid: Pid, number: i32, signal: u32) -> Answer {
        if number <= 0 {
            super::parts::unmodelled("kill", &format!("{number}, {signal}: process groups"));
        }
        let target = self.numbered(pid, number.cast_unsigned()).ok_or(Errno::ESRCH)?;
        self.send(pid, target, signal)
    }

    pub(super) fn pidfd_send_signal(&mut self, pid: Pid, fd: RawFd, signal: u32) -> Answer {
        let What::Pidfd(target) = self.open_of(pid, fd)?.what else { return Err(Errno::EBADF) };
        let target = target.ok_or(Errno::ESRCH)?;
        self.send(pid, target, signal)
    }

    pub(super) fn pidfd_open(&mut self, pid: Pid, number: u32) -> Answer {
        if number == 0 || number > i32::MAX.cast_unsigned() {
            return Err(Errno::EINVAL);
        }
        let target = self.numbered(pid, number).ok_or(Errno::ESRCH)?;
        self.give(
            pid,
            super::fds::Open::new(What::Pidfd(Some(target)), flags::O_RDWR | flags::O_CLOEXEC),
        )
    }

    fn send(&mut self, pid: Pid, target: Pid, signal: u32) -> Answer {
        if !self.tasks.has(target) {
            return Err(Errno::ESRCH);
        }
        if signal > 64 {
            return Err(Errno::EINVAL);
        }
        let (from, to) = (&self.task(pid).creds, self.task(target));
        let space = to.space(Kind::User);
        if from.uid != to.creds.uid && !self.capable_in(pid, KILL, space) {
            return Err(Errno::EPERM);
        }
        if signal == 0 {
            return Ok(0);
        }
        let (tree, maker) = (self.task(pid).maker, to.maker);
        let sent = Signalled { sender: pid, tree, target, signal, maker };
        Arc::make_mut(&mut self.signals).push(sent);
        let from = self.task(pid).space(Kind::Pid);
        self.deliver(target, signal, from);
        Ok(0)
    }

    /// Lets a process feel a signal that comes from a pid namespace, or keeps it until it can.
    pub(super) fn deliver(&mut self, target: Pid, signal: u32, from: u32) {
        let led = self.leads(target);
        let task = self.task(target);
        let trapped = task.traps.contains_key(&signal);
        let outside = from != task.space(Kind::Pid);
        match signal {
            _ if task.life != Life::Running => (),
            // The first process of a namespace feels only what it handles, and what its ancestors
            // send that nobody can handle (pid_namespaces(7)).
            flags::SIGKILL | flags::SIGSTOP if led && !outside => (),
            flags::SIGCONT => {
                let task = self.task_mut(target);
                task.stopped = false;
                task.pending &= !bit(flags::SIGSTOP);
                self.feel_pending(target);
            }
            flags::SIGCHLD | flags::SIGWINCH | 23 => (),
            flags::SIGKILL | flags::SIGSTOP => self.feel_or_keep(target, signal),
            _ if task.ignored & bit(signal) != 0 => (),
            _ if !trapped && (led || matches!(task.role, Role::Reaper)) => (),
            _ => self.feel_or_keep(target, signal),
        }
    }

    fn feel_or_keep(&mut self, target: Pid, signal: u32) {
        let task = self.task(target);
        let kept = match signal {
            flags::SIGKILL => self.is_frozen_v1(target),
            flags::SIGSTOP => self.is_halted(target),
            // Law `a_frozen_cgroup_of_v2_still_dies`: of what has no handler.
            _ if task.traps.contains_key(&signal) => self.is_halted(target),
            _ => task.stopped || self.is_frozen_v1(target),
        };
        if kept {
            self.task_mut(target).pending |= bit(signal);
        } else {
            self.feel(target, signal);
        }
    }

    fn feel(&mut self, target: Pid, signal: u32) {
        match self.task(target).traps.get(&signal).copied() {
            _ if signal == flags::SIGSTOP => self.task_mut(target).stopped = true,
            Some(status) => self.die(target, u32::from(status) << 8),
            None => self.die(target, signal),
        }
    }

    /// Lets a process that may run feel what was kept, the lowest number first.
    pub(super) fn feel_pending(&mut self, target: Pid) {
        while self.is_alive(target) && !self.is_halted(target) {
            let task = self.task_mut(target);
            if task.pending == 0 {
                return;
            }
            let signal = task.pending.trailing_zeros() + 1;
            task.pending &= !bit(signal);
            self.feel(target, signal);
        }
    }

    /// Returns whether a process is the first of its pid namespace.
    pub(super) fn leads(&self, pid: Pid) -> bool {
        let space = self.task(pid).space(Kind::Pid);
        match self.spaces.get(space).map(|space| &space.held) {
            Some(Held::Pid { init, .. }) => *init == pid,
            Some(_) | None => false,
        }
    }

    /// Returns whether a process is stopped or frozen.
    pub(super) fn is_halted(&self, pid: Pid) -> bool {
        self.task(pid).stopped || self.is_frozen(pid)
    }
}

/// Answers who wants a signal's default: only scripts handle or ignore any, and they do not ask.
pub(super) const fn signal_default(signal: u32) -> Answer {
    if signal == 0 || signal > 64 || matches!(signal, flags::SIGKILL | flags::SIGSTOP) {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

/// Returns a signal's place in a set, which begins with the first.
const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}
