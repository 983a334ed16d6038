//! Readiness: which calls can be answered now, and poll(2).

use std::cell::Cell;

use super::fds::{Open, What};
use super::files::Ino;
use super::procs::Life;
use super::{Answer, Pid, World};
use crate::sys::{Call, Errno, Live, RawFd, flags};

const POLLPRI: u32 = 2;
const POLLNVAL: u32 = 32;

/// One `struct pollfd`.
#[derive(Clone, Copy)]
struct Asked {
    fd: RawFd,
    events: u32,
}

impl World {
    /// Returns whether a call of `pid` would be answered at once.
    #[must_use]
    pub fn enabled(&self, pid: Pid, call: &Call<Live<'_>>) -> bool {
        match *call {
            Call::Flock { fd, operation } => self.may_lock(pid, fd, operation),
            Call::Openat2 { .. } => !self.is_alone(pid, call),
            Call::Await { fd, events, timeout_ms } => {
                timeout_ms >= 0 || self.is_any_ready(pid, &one(fd, events))
            }
            Call::Poll { fds, timeout_ms } => timeout_ms >= 0 || self.is_any_ready(pid, fds),
            Call::Read { buf: [], .. } => true,
            Call::Read { fd, .. } | Call::RecvFd { socket: fd, .. } => self.may_read(pid, fd),
            Call::Send { socket: fd, bytes }
            | Call::SendFd { socket: fd, bytes, .. }
            | Call::Write { fd, bytes } => self.may_write(pid, fd, bytes.len()),
            Call::Spawn { child, .. } => self.may_spawn(pid, &child),
            Call::Wait4 { pid: number, options, .. } => {
                options & flags::WNOHANG != 0 || self.waited(pid, number) != Ok(None)
            }
            Call::Waitid { fd, options, .. } => {
                let nonblocking = || self.open_of(pid, fd).is_ok_and(|o| o.has(flags::O_NONBLOCK));
                options & flags::WNOHANG != 0
                    || options & flags::WEXITED == 0
                    || self.waited_by(pid, fd) != Ok(None)
                    || nonblocking()
            }
            _ => true,
        }
    }

    /// Returns whether a call could be answered now but would be answered better later.
    pub(super) fn would_rather_wait(&self, pid: Pid, call: &Call<Live<'_>>) -> bool {
        match *call {
            Call::Await { fd, events, timeout_ms } => {
                timeout_ms > 0 && !self.is_any_ready(pid, &one(fd, events))
            }
            Call::Poll { fds, timeout_ms } => timeout_ms > 0 && !self.is_any_ready(pid, fds),
            _ => false,
        }
    }

    fn is_any_ready(&self, pid: Pid, fds: &[Cell<u8>]) -> bool {
        asked(fds).any(|asked| self.events(pid, asked) != 0)
    }

    fn events(&self, pid: Pid, asked: Asked) -> u32 {
        if asked.fd < 0 {
            return 0;
        }
        let Ok(open) = self.used(pid, asked.fd) else { return POLLNVAL };
        self.readiness(open) & (asked.events | flags::POLLERR | flags::POLLHUP)
    }

    /// Returns everything that poll(2) could say of an open file.
    fn readiness(&self, open: &Open) -> u32 {
        let ready = flags::POLLIN | flags::POLLOUT;
        match (&open.what, open.place().ino) {
            (What::Pidfd(None), _) => flags::POLLIN | flags::POLLHUP,
            (What::Pidfd(Some(target)), _) => match self.tasks.get(*target).map(|task| task.life) {
                Some(Life::Zombie(_)) | None => flags::POLLIN,
                Some(Life::Running | Life::Dying(_) | Life::Exiting(_)) => 0,
            },
            (What::Socket(row), _) => self.socket_events(*row),
            (_, Ino::Plain(row)) if self.pipe_of(row).is_some() => self.pipe_events(row, open),
            _ if self.announces(open) => ready | POLLPRI | flags::POLLERR,
            _ => ready,
        }
    }

    pub(super) fn poll(&mut self, pid: Pid, fds: &[Cell<u8>], timeout_ms: i32) -> Answer {
        if !fds.len().is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let mut count = 0;
        for (asked, room) in asked(fds).zip(fds.chunks_exact(8)) {
            let events = self.events(pid, asked);
            count += u64::from(events != 0);
            super::parts::fill(room.get(6..).unwrap_or_default(), &events.to_le_bytes()[..2]);
        }
        if count == 0 {
            self.now_ms += u64::try_from(timeout_ms).unwrap_or(0);
        }
        Ok(count)
    }
}

/// Returns an array of one `struct pollfd`.
pub(super) fn one(fd: RawFd, events: u32) -> [Cell<u8>; 8] {
    let [a, b, c, d] = fd.to_le_bytes();
    let [e, f, ..] = events.to_le_bytes();
    [a, b, c, d, e, f, 0, 0].map(Cell::new)
}

fn asked(fds: &[Cell<u8>]) -> impl Iterator<Item = Asked> {
    fds.chunks_exact(8).map(|room| {
        let byte = |at: usize| room.get(at).map_or(0, Cell::get);
        let fd = RawFd::from_le_bytes([byte(0), byte(1), byte(2), byte(3)]);
        Asked { fd, events: u32::from(u16::from_le_bytes([byte(4), byte(5)])) }
    })
}
