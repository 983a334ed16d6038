//! A program as it lies in the stub's file, between the library that writes it and the stub itself.
//!
//! ```text
//! Header | ops: Op… | given: i32… (an even number) | bytes
//! ```
//!
//! **Invariant:** both sides are compiled from this file by one compiler, so an operation has one
//! layout; the header's `new` and `sound` say all there is to agree on.

use crate::sys::Op;

/// Where the stub finds it mapped: above all that is its own.
pub(crate) const PLACE: usize = 0x1000_0000;

const MAGIC: u64 = u64::from_le_bytes(*b"cofferd\x01");

/// What an image begins with.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Header {
    magic: u64,
    op_size: u32,
    /// How many operations there are.
    pub(crate) ops: u32,
    /// How many descriptors are given; the last may be -1, which is none.
    pub(crate) given: u32,
    /// How many of them fill slots.
    pub(crate) slots: u32,
    /// How many bytes there are.
    pub(crate) bytes: u32,
    /// Whether to wait for id maps first: 0 or 1.
    pub(crate) mapped: u32,
}

#[cfg(not(cofferdam_stub))]
impl Header {
    /// Returns a header with nothing behind it yet.
    pub(crate) const fn new() -> Self {
        Self { magic: MAGIC, op_size: OP_SIZE, ops: 0, given: 0, slots: 0, bytes: 0, mapped: 0 }
    }
}

#[cfg(cofferdam_stub)]
impl Header {
    /// Returns whether this very build has written it.
    pub(crate) const fn sound(&self) -> bool {
        self.magic == MAGIC && self.op_size == OP_SIZE && self.given.is_multiple_of(2)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an operation is some 50 bytes")]
const OP_SIZE: u32 = size_of::<Op>() as u32;
const _: () = assert!(align_of::<Op>() == 8 && size_of::<Header>() == 32);
