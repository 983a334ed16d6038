//! A program: what a child does alone, as a value.
//!
//! **Invariant:** a program is position-independent and complete: everything that it needs but
//! its descriptors is in its own bytes, so it can be hashed, printed, linted and handed over.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::op::{Code, Op};

/// A compiled program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Program {
    pub(super) ops: Box<[Op]>,
    pub(super) bytes: Box<[u8]>,
    pub(super) given: u8,
    /// From which operation on, what the program is about; ascending.
    pub(super) about: Vec<(u16, String)>,
}

impl Program {
    /// Returns the program as its interpreter sees it.
    #[must_use]
    pub fn code(&self) -> Code<'_> {
        Code { ops: &self.ops, bytes: &self.bytes, given: self.given }
    }

    /// Returns what the operations from each number on are about.
    #[must_use]
    pub fn topics(&self) -> &[(u16, String)] {
        &self.about
    }

    /// Returns what the operation of that number is about, in words of the user's.
    #[must_use]
    pub fn about(&self, op: u16) -> &str {
        let after = self.about.partition_point(|(from, _)| *from <= op);
        after.checked_sub(1).and_then(|i| self.about.get(i)).map_or("", |(_, about)| about)
    }
}
