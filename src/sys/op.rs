//! One operation of a program, and the program as its interpreter sees it.

use super::calls::Call;
use super::errno::Errno;
use super::form::{Compiled, Handle, Text};

/// How many descriptors a program can hold by name.
pub const SLOTS: usize = 16;

/// Where an operation keeps its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Slot(pub u8);

impl Slot {
    /// Nowhere.
    pub const NONE: Self = Self(u8::MAX);
}

/// Up to four errnos, each of which means the same to one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct ErrnoSet([u16; 4]);

impl ErrnoSet {
    /// Makes a set.
    ///
    /// # Panics
    ///
    /// Panics on more than four errnos: programs are written by hand, not by input.
    #[must_use]
    pub const fn of(errnos: &[Errno]) -> Self {
        assert!(errnos.len() <= 4, "an errno set holds four");
        let mut set = [0; 4];
        let mut i = 0;
        while i < errnos.len() {
            set[i] = errnos[i].0;
            i += 1;
        }
        Self(set)
    }

    /// Returns whether the set holds `errno`.
    #[must_use]
    pub fn contains(self, errno: Errno) -> bool {
        errno.0 != 0 && self.0.contains(&errno.0)
    }

    /// Returns the errnos of the set.
    pub fn iter(self) -> impl Iterator<Item = Errno> {
        self.0.into_iter().filter(|number| *number != 0).map(Errno)
    }
}

/// What an error of one operation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum OnError {
    /// These are as good as success; the slot keeps what it had.
    Accept(ErrnoSet),
    /// Every error ends the program.
    Fail,
    /// These skip the next operations; others end the program.
    Skip {
        /// The errors that skip.
        on: ErrnoSet,
        /// How many operations are skipped.
        ops: u16,
    },
    /// Either of two sets of errors skips operations, each its own number; others end the program.
    Split {
        /// The errors that skip the first number.
        near: ErrnoSet,
        /// How many operations those skip.
        near_ops: u16,
        /// The errors that skip the second number.
        far: ErrnoSet,
        /// How many operations those skip.
        far_ops: u16,
    },
}

/// What one operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Act {
    /// Ends the program with an error of its own.
    Abort {
        /// The error to report.
        errno: Errno,
    },
    /// Asks the kernel.
    Call(Call<Compiled>),
    /// Ends the program unless the status in the cursor's bytes, as wait4(2) writes it, is zero.
    Check,
    /// Copies what a directory holds, and its mode, to an empty one that nobody else has.
    Copy {
        /// Which directory.
        from: Handle,
        /// The empty one.
        to: Handle,
    },
    /// Ends the program well: the process exits with status 0.
    End,
    /// Makes a copy of this process, which goes on behind this operation; this process goes on
    /// `ops` operations further and keeps the child's pid in the slot.
    Fork {
        /// Flags of clone(2), without the signal.
        flags: u64,
        /// How many operations belong to the child alone.
        ops: u16,
    },
    /// Goes on `ops` operations further.
    Jump {
        /// How many operations are passed over.
        ops: u16,
    },
    /// Opens a path below a directory, as `O_PATH` does; what is missing is made, at the ends of
    /// links too, below the same directory. Where links led is refused, as `EXDEV`, on a file
    /// system of a type that is barred.
    Reach {
        /// The directory that nothing leads out of.
        dir: Handle,
        /// The path.
        path: Text,
        /// What is made at the end: a directory or a file, with its mode.
        mode: u32,
        /// The type of file system, as statfs(2) has it, that no link may lead to; 0 is none.
        barred: u32,
    },
    /// Writes the number kept in a slot to a descriptor, as four bytes, least first.
    Tell {
        /// Where to.
        fd: Handle,
        /// Which slot.
        slot: Slot,
    },
}

/// One operation of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Op {
    /// What is done.
    pub act: Act,
    /// What an error means.
    pub on_error: OnError,
    /// Where the result is kept.
    pub save: Slot,
}

/// A program as its interpreter sees it: borrowed, so that it may lie in a shared mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code<'a> {
    /// The operations.
    pub ops: &'a [Op],
    /// The texts and blocks that they point to.
    pub bytes: &'a [u8],
    /// How many slots, from 0 up, are filled with given descriptors.
    pub given: u8,
}
