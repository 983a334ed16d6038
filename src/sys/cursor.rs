//! The interpreter of programs, the same on Linux and on the fake kernel.
//!
//! **Invariant:** no allocation, no panic, no thread-local: it runs in a process that has nothing.

use core::cell::Cell;

use super::calls::Call;
use super::copy::copy;
use super::errno::Errno;
use super::form::{Binder, Compiled, Handle, Live, RawFd};
use super::kernel::Kernel;
use super::op::{Act, Code, OnError, Op, SLOTS};
use super::reach::{Goal, insist, reach};

/// A place in a program, with what the program holds there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The next operation.
    pub at: u16,
    /// The descriptors and numbers that operations have kept.
    pub slots: [RawFd; SLOTS],
    /// What the last reading operation read.
    pub room: [u8; 8],
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Turn {
    /// A child that the program waited for has ended badly; the program is over.
    Ended {
        /// Which operation found out.
        op: u16,
        /// The child's status, as wait4(2) writes it.
        status: u16,
    },
    /// An operation failed; the program is over.
    Failed {
        /// Which.
        op: u16,
        /// Why.
        errno: Errno,
    },
    /// There is more to do.
    Going,
    /// The program is over and all went well.
    Over,
}

impl Cursor {
    /// Returns the beginning of a program, with its given descriptors in the first slots.
    #[must_use]
    pub fn new(code: Code<'_>, given: &[RawFd]) -> Self {
        let mut slots = [-1; SLOTS];
        for (slot, fd) in slots.iter_mut().zip(given).take(usize::from(code.given)) {
            *slot = *fd;
        }
        Self { at: 0, slots, room: [0; 8] }
    }

    /// Performs the next operation.
    pub fn step<K: Kernel + ?Sized>(&mut self, code: Code<'_>, kernel: &K) -> Turn {
        let Some(op) = code.ops.get(usize::from(self.at)) else {
            return Turn::Over;
        };
        match op.act {
            Act::Abort { errno } => Turn::Failed { op: self.at, errno },
            Act::Call(call) => {
                let answer = self.ask(call, code, kernel);
                self.settle(op, answer)
            }
            Act::Check => match self.room {
                [0, 0, ..] => self.advance(1),
                [low, high, ..] => {
                    Turn::Ended { op: self.at, status: u16::from_le_bytes([low, high]) }
                }
            },
            Act::Copy { from, to } => {
                let ends = self.raw(from).zip(self.raw(to)).ok_or(Errno::EFAULT);
                let answer = ends.and_then(|(from, to)| copy(kernel, from, to));
                self.settle(op, answer)
            }
            Act::End => Turn::Over,
            Act::Fork { flags, ops } => match kernel.call(Call::Fork { flags }) {
                Ok(0) => self.advance(1),
                Ok(pid) => {
                    self.keep(op, pid);
                    self.advance(ops.saturating_add(1))
                }
                Err(errno) => Turn::Failed { op: self.at, errno },
            },
            Act::Jump { ops } => self.advance(ops.saturating_add(1)),
            Act::Reach { dir, path, mode, barred } => {
                let goal = || {
                    let (dir, path) = (self.raw(dir)?, path.within(code.bytes)?);
                    Some(Goal { dir, path, mode, barred })
                };
                let answer = goal().ok_or(Errno::EFAULT).and_then(|goal| reach(goal, kernel));
                self.settle(op, answer)
            }
            Act::Tell { fd, slot } => {
                let answer = self.tell(fd, slot.0, kernel);
                self.settle(op, answer)
            }
        }
    }

    /// Returns whether the next operation makes a copy of the process.
    #[must_use]
    pub fn forks(&self, code: Code<'_>) -> bool {
        let op = code.ops.get(usize::from(self.at));
        matches!(op, Some(Op { act: Act::Fork { .. }, .. }))
    }

    /// Asks the kernel, and counts a short transfer as an error: a program has no use for half.
    fn ask<K: Kernel + ?Sized>(
        &mut self,
        call: Call<Compiled>,
        code: Code<'_>,
        kernel: &K,
    ) -> Result<u64, Errno> {
        let room = Cell::new(self.room);
        let binder =
            Binder { bytes: code.bytes, slots: &self.slots, room: room.as_array_of_cells() };
        let live = call.bind(&binder).ok_or(Errno::EFAULT)?;
        let answer = insist(kernel, live);
        self.room = room.get();
        let count = answer?;
        if count == 0 && matches!(live, Call::Await { .. }) {
            return Err(Errno::ETIMEDOUT);
        }
        match wanted(&live) {
            Some(_) if count == 0 => Err(Errno::EPIPE),
            Some(wanted) if count != wanted => Err(Errno::EIO),
            Some(_) | None => Ok(count),
        }
    }

    fn tell<K: Kernel + ?Sized>(&self, fd: Handle, slot: u8, kernel: &K) -> Result<u64, Errno> {
        let number = self.slots.get(usize::from(slot)).copied().ok_or(Errno::EFAULT)?;
        let fd = self.raw(fd).ok_or(Errno::EFAULT)?;
        kernel.call(Call::Write { fd, bytes: &number.to_le_bytes() })
    }

    fn raw(&self, fd: Handle) -> Option<RawFd> {
        match fd.as_slot() {
            Some(slot) => self.slots.get(slot).copied(),
            None => Some(fd.0),
        }
    }

    fn settle(&mut self, op: &Op, answer: Result<u64, Errno>) -> Turn {
        match (answer, op.on_error) {
            (Ok(value), _) => {
                self.keep(op, value);
                self.advance(1)
            }
            (Err(errno), OnError::Accept(set)) if set.contains(errno) => self.advance(1),
            (Err(errno), OnError::Skip { on, ops }) if on.contains(errno) => {
                self.advance(ops.saturating_add(1))
            }
            (Err(errno), OnError::Split { near, near_ops, .. }) if near.contains(errno) => {
                self.advance(near_ops.saturating_add(1))
            }
            (Err(errno), OnError::Split { far, far_ops, .. }) if far.contains(errno) => {
                self.advance(far_ops.saturating_add(1))
            }
            (Err(errno), _) => Turn::Failed { op: self.at, errno },
        }
    }

    fn keep(&mut self, op: &Op, value: u64) {
        if let (Some(slot), Ok(value)) =
            (self.slots.get_mut(usize::from(op.save.0)), RawFd::try_from(value))
        {
            *slot = value;
        }
    }

    fn advance(&mut self, ops: u16) -> Turn {
        self.at = self.at.saturating_add(ops);
        Turn::Going
    }
}

/// How many bytes a transfer must move for the program to go on.
fn wanted(call: &Call<Live<'_>>) -> Option<u64> {
    match call {
        Call::Read { buf, .. } => u64::try_from(buf.len()).ok(),
        Call::Write { bytes, .. } => u64::try_from(bytes.len()).ok(),
        _ => None,
    }
}
