//! Pipes and fifos: bytes between whoever reads and whoever writes.

use std::cell::Cell;
use std::sync::Arc;

use super::fds::{Open, What};
use super::files::{Ino, Inode, Node, PIPES, Place};
use super::{Answer, Pid, World};
use crate::sys::{Call, Errno, Live, flags};

/// Writes of at most this many bytes go in whole or not at all (pipe(7)).
const ATOMIC: usize = 4096;

/// What a pipe holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Pipe {
    bytes: Arc<Vec<u8>>,
    /// How many times it was opened for writing: a reader sees a hang-up only after one.
    written_to: u64,
}

/// A process that waits in open(2) for the other side of a fifo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Waiting {
    fifo: u32,
    /// `O_RDONLY` or `O_WRONLY`
    access: u64,
    /// The other side was there, though it may have left since.
    met: bool,
}

impl World {
    /// Makes a pipe and gives its two ends.
    pub(super) fn pipe(&mut self, pid: Pid, how: u32, ends: &[Cell<u8>]) -> Answer {
        let how = u64::from(how);
        if how & !(flags::O_CLOEXEC | flags::O_NONBLOCK) != 0 {
            return Err(Errno::EINVAL);
        }
        let node = Node::Fifo(Pipe { written_to: 1, ..Pipe::default() });
        let ino = Ino::Plain(self.inodes.add_by(pid, Inode::new(node, 0o600, PIPES)));
        let what = What::Named(Place { mount: 0, ino });
        let read = self.give(pid, Open::new(what, flags::O_RDONLY | how))?;
        let write = self.give(pid, Open::new(what, flags::O_WRONLY | how))?;
        super::parts::fill(ends, &super::parts::pair(read, write));
        Ok(0)
    }

    pub(super) fn pipe_of(&self, row: u32) -> Option<&Pipe> {
        match self.inodes.get(row).map(|inode| &inode.node) {
            Some(Node::Fifo(pipe)) => Some(pipe),
            Some(_) | None => None,
        }
    }

    fn pipe_mut(&mut self, row: u32) -> Option<&mut Pipe> {
        match self.inodes.get_mut(row).map(|inode| &mut inode.node) {
            Some(Node::Fifo(pipe)) => Some(pipe),
            Some(_) | None => None,
        }
    }

    /// Returns whether a fifo is one without a name.
    fn is_pipe(&self, row: u32) -> bool {
        self.inodes.get(row).is_some_and(|inode| inode.device == PIPES)
    }

    fn ends(&self, row: u32) -> impl Iterator<Item = &Open> {
        self.opens
            .iter()
            .map(|(_, open)| open)
            .filter(move |open| open.place().ino == Ino::Plain(row) && !open.has(flags::O_PATH))
    }

    fn waiters(&self, row: u32, access: u64) -> bool {
        let mut waiting = self.tasks.iter().filter_map(|(_, task)| task.waiting);
        waiting.any(|waiting| waiting.fifo == row && waiting.access == access)
    }

    pub(super) fn has_reader(&self, row: u32) -> bool {
        self.ends(row).any(Open::reads) || self.waiters(row, flags::O_RDONLY)
    }

    pub(super) fn has_writer(&self, row: u32) -> bool {
        self.ends(row).any(Open::writes) || self.waiters(row, flags::O_WRONLY)
    }

    /// Returns what poll(2) says of an end.
    pub(super) fn pipe_events(&self, row: u32, open: &Open) -> u32 {
        let Some(pipe) = self.pipe_of(row) else { return 0 };
        let mut events = 0;
        if open.reads() {
            if !pipe.bytes.is_empty() {
                events |= flags::POLLIN;
            }
            if !self.has_writer(row) && pipe.written_to > open.offset {
                events |= flags::POLLHUP;
            }
        }
        if open.writes() {
            if pipe.bytes.len() < self.profile.pipe_bytes {
                events |= flags::POLLOUT;
            }
            if !self.has_reader(row) {
                events |= flags::POLLERR;
            }
        }
        events
    }

    /// Returns whether a file that may be a pipe is read at once.
    pub(super) fn may_read_pipe(&self, row: u32) -> bool {
        self.pipe_of(row).is_none_or(|pipe| !pipe.bytes.is_empty()) || !self.has_writer(row)
    }

    /// Returns whether that many bytes are written at once to a file that may be a pipe.
    pub(super) fn may_write_pipe(&self, row: u32, len: usize) -> bool {
        let free = self.pipe_room(row);
        self.pipe_of(row).is_none()
            || !self.has_reader(row)
            || free >= if len <= ATOMIC { len } else { 1 }
    }

    fn pipe_room(&self, row: u32) -> usize {
        let held = self.pipe_of(row).map_or(0, |pipe| pipe.bytes.len());
        self.profile.pipe_bytes.saturating_sub(held)
    }

    pub(super) fn read_pipe(&mut self, row: u32, buf: &[Cell<u8>]) -> Answer {
        let ended = !self.has_writer(row);
        let Some(pipe) = self.pipe_mut(row) else { return Err(Errno::EBADF) };
        if pipe.bytes.is_empty() && !buf.is_empty() {
            return if ended { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let count = buf.len().min(pipe.bytes.len());
        let bytes = Arc::make_mut(&mut pipe.bytes);
        for (cell, byte) in buf.iter().zip(bytes.drain(..count)) {
            cell.set(byte);
        }
        Ok(count as u64)
    }

    pub(super) fn write_pipe(&mut self, row: u32, bytes: &[u8]) -> Answer {
        if bytes.is_empty() {
            return Ok(0);
        }
        if !self.has_reader(row) {
            return Err(Errno::EPIPE);
        }
        let free = self.pipe_room(row);
        let count =
            if bytes.len() <= ATOMIC && free < bytes.len() { 0 } else { bytes.len().min(free) };
        if count == 0 {
            return Err(Errno::EAGAIN);
        }
        let Some(pipe) = self.pipe_mut(row) else { return Err(Errno::EBADF) };
        Arc::make_mut(&mut pipe.bytes).extend(bytes.iter().take(count));
        Ok(count as u64)
    }

    /// Empties a pipe that nobody has open any more.
    pub(super) fn drain(&mut self, row: u32) {
        if self.pipe_of(row).is_some_and(|pipe| !pipe.bytes.is_empty())
            && self.ends(row).next().is_none()
            && let Some(pipe) = self.pipe_mut(row)
        {
            pipe.bytes = Arc::default();
        }
    }

    /// Returns what opening a fifo comes to: the offset of its open file, or why it fails.
    pub(super) fn open_fifo(&mut self, pid: Pid, row: u32, how: u64) -> Answer {
        if how & flags::O_PATH != 0 {
            return Ok(0);
        }
        let access = how & 3;
        let alone = !self.has_reader(row);
        // A pipe opened through /proc waits for nobody: its two sides have met.
        let met = self.is_pipe(row);
        if access == flags::O_WRONLY && how & flags::O_NONBLOCK != 0 && alone && !met {
            return Err(Errno::ENXIO);
        }
        for other in self.tasks.keys() {
            if let Some(waiting) = &mut self.task_mut(other).waiting
                && waiting.fifo == row
                && (waiting.access != access || access == flags::O_RDWR)
            {
                waiting.met = true;
            }
        }
        self.task_mut(pid).waiting = None;
        let joined = self.has_writer(row);
        let Some(pipe) = self.pipe_mut(row) else { return Err(Errno::ENXIO) };
        let before = if joined || met { 0 } else { pipe.written_to };
        if access != flags::O_RDONLY {
            pipe.written_to += 1;
        }
        Ok(before)
    }

    /// Returns the fifo and the access that a call opens, if it is one that may have to wait.
    fn rendezvous(&self, pid: Pid, call: &Call<Live<'_>>) -> Option<Waiting> {
        let Call::Openat2 { dir, path, flags: how, resolve, .. } = *call else { return None };
        let access = how & 3;
        let at_once = flags::O_DIRECTORY | flags::O_NONBLOCK | flags::O_PATH;
        if how & at_once != 0 || access == flags::O_RDWR {
            return None;
        }
        let walk =
            super::walk::Walk { resolve, ..super::walk::Walk::new(pid, dir, path.to_bytes()) };
        let Ino::Plain(fifo) = self.find(walk).ok()?.ino else { return None };
        self.pipe_of(fifo).filter(|_| !self.is_pipe(fifo))?;
        Some(Waiting { fifo, access, met: false })
    }

    /// Returns whether a call waits for the other side of a fifo.
    pub(super) fn is_alone(&self, pid: Pid, call: &Call<Live<'_>>) -> bool {
        let Some(wanted) = self.rendezvous(pid, call) else { return false };
        let met = self.task(pid).waiting.is_some_and(|w| w.met && w.fifo == wanted.fifo);
        let there = if wanted.access == flags::O_RDONLY {
            self.has_writer(wanted.fifo)
        } else {
            self.has_reader(wanted.fifo)
        };
        !met && !there
    }

    /// Returns whether beginning to wait for a call would change something.
    pub(super) fn could_wait(&self, pid: Pid, call: &Call<Live<'_>>) -> bool {
        self.task(pid).waiting.is_none() && self.is_alone(pid, call)
    }

    /// Begins to wait for the other side of a fifo: from here on this side is there.
    pub(super) fn begin_wait(&mut self, pid: Pid, call: &Call<Live<'_>>) {
        if self.could_wait(pid, call) {
            self.task_mut(pid).waiting = self.rendezvous(pid, call);
        }
    }
}
