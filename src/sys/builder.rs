//! Writes programs, one operation after the other.

use alloc::string::String;
use alloc::vec::Vec;

use super::calls::Call;
use super::errno::Errno;
use super::form::{Compiled, Handle, List, Span, Text};
use super::op::{Act, ErrnoSet, OnError, Op, SLOTS, Slot};
use super::program::Program;

/// A program in the making.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    ops: Vec<Op>,
    bytes: Vec<u8>,
    about: Vec<(u16, String)>,
    slots: u16,
    given: u8,
}

/// Where a forward jump stands whose length is not known yet.
#[derive(Debug)]
#[must_use = "a jump without a target ends the program"]
pub struct Pending {
    at: usize,
    /// Whether it is the second of two ways.
    far: bool,
}

impl Builder {
    /// Returns an empty program that is given `given` descriptors, in the slots from 0 up.
    #[must_use]
    pub fn new(given: u8) -> Self {
        Self { slots: (1 << given) - 1, given, ..Self::default() }
    }

    /// Says in words of the user's what the operations from here on are about.
    pub fn about(&mut self, about: impl Into<String>) {
        let at = self.at();
        match self.about.last_mut() {
            Some((from, last)) if *from == at => *last = about.into(),
            Some(_) | None => self.about.push((at, about.into())),
        }
    }

    /// Keeps a text in the program's bytes; text behind a NUL is not seen by the kernel, so the
    /// caller has refused it before.
    pub fn text(&mut self, text: &str) -> Text {
        let at = self.here();
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        Text { at }
    }

    /// Keeps a block in the program's bytes, aligned to eight.
    pub fn block(&mut self, block: &[u8]) -> Span {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let at = self.here();
        self.bytes.extend_from_slice(block);
        Span { at, len: u32::try_from(block.len()).unwrap_or(u32::MAX) }
    }

    /// Keeps a list of texts in the program's bytes.
    pub fn list<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) -> List {
        let at = self.here();
        let mut count = 0;
        for text in texts {
            let Text { .. } = self.text(text);
            count += 1;
        }
        List { span: Span { at, len: self.here() - at }, count }
    }

    /// Takes a slot.
    ///
    /// # Panics
    ///
    /// Panics when all are taken: slots are given back by [`Builder::leave`], and a program that
    /// holds more than sixteen descriptors at once is one that nobody can review.
    pub fn take(&mut self) -> Slot {
        let free = (!self.slots).trailing_zeros();
        assert!((free as usize) < SLOTS, "a program holds at most {SLOTS} descriptors");
        self.slots |= 1 << free;
        Slot(u8::try_from(free).unwrap_or(u8::MAX))
    }

    /// Gives a slot back without closing what it holds.
    pub fn leave(&mut self, slot: Slot) {
        self.slots &= !(1 << slot.0);
    }

    /// Adds a call that must succeed.
    pub fn call(&mut self, call: Call<Compiled>) {
        self.push(Act::Call(call), OnError::Fail, Slot::NONE);
    }

    /// Adds a call for which `errnos` are as good as success.
    pub fn call_or(&mut self, call: Call<Compiled>, errnos: &[Errno]) {
        self.push(Act::Call(call), OnError::Accept(ErrnoSet::of(errnos)), Slot::NONE);
    }

    /// Adds a call and keeps what it returns.
    pub fn open(&mut self, call: Call<Compiled>) -> Slot {
        let slot = self.take();
        self.push(Act::Call(call), OnError::Fail, slot);
        slot
    }

    /// Adds a call, keeping what it returns in `slot`; `errnos` skip to where [`Builder::land`]
    /// is called with the returned mark.
    pub fn open_or_skip(&mut self, call: Call<Compiled>, slot: Slot, errnos: &[Errno]) -> Pending {
        let on = ErrnoSet::of(errnos);
        self.push(Act::Call(call), OnError::Skip { on, ops: 0 }, slot);
        Pending { at: self.ops.len() - 1, far: false }
    }

    /// Adds a call of which some errors skip to where the first mark is landed, and others to
    /// where the second is.
    pub fn call_or_split(
        &mut self,
        call: Call<Compiled>,
        near: &[Errno],
        far: &[Errno],
    ) -> (Pending, Pending) {
        self.open_or_split(call, Slot::NONE, [near, far])
    }

    /// The same with a slot that keeps what the call returns.
    pub fn open_or_split(
        &mut self,
        call: Call<Compiled>,
        slot: Slot,
        [near, far]: [&[Errno]; 2],
    ) -> (Pending, Pending) {
        let (near, far) = (ErrnoSet::of(near), ErrnoSet::of(far));
        let on_error = OnError::Split { near, near_ops: 0, far, far_ops: 0 };
        self.push(Act::Call(call), on_error, slot);
        let at = self.ops.len() - 1;
        (Pending { at, far: false }, Pending { at, far: true })
    }

    /// Adds an operation of any kind.
    pub fn push(&mut self, act: Act, on_error: OnError, save: Slot) {
        self.ops.push(Op { act, on_error, save });
    }

    /// Adds a jump to where [`Builder::land`] is called with the returned mark.
    pub fn jump(&mut self) -> Pending {
        self.push(Act::Jump { ops: 0 }, OnError::Fail, Slot::NONE);
        Pending { at: self.ops.len() - 1, far: false }
    }

    /// Adds a fork; the operations up to [`Builder::land`] are the child's alone.
    pub fn fork(&mut self, flags: u64, slot: Slot) -> Pending {
        self.push(Act::Fork { flags, ops: 0 }, OnError::Fail, slot);
        Pending { at: self.ops.len() - 1, far: false }
    }

    /// Makes the next operation the target of a jump, a skip or a fork.
    pub fn land(&mut self, pending: Pending) {
        let distance = u16::try_from(self.ops.len() - pending.at - 1).unwrap_or(u16::MAX);
        let Some(op) = self.ops.get_mut(pending.at) else { return };
        match (&mut op.act, &mut op.on_error) {
            (_, OnError::Split { far_ops, .. }) if pending.far => *far_ops = distance,
            (_, OnError::Split { near_ops, .. }) => *near_ops = distance,
            (Act::Jump { ops } | Act::Fork { ops, .. }, _) | (_, OnError::Skip { ops, .. }) => {
                *ops = distance;
            }
            (
                Act::Abort { .. }
                | Act::Call(_)
                | Act::Check
                | Act::Copy { .. }
                | Act::End
                | Act::Reach { .. }
                | Act::Tell { .. },
                OnError::Accept(_) | OnError::Fail,
            ) => (),
        }
    }

    /// Closes a descriptor and gives its slot back.
    pub fn close(&mut self, slot: Slot) {
        self.call(Call::Close { fd: Handle::slot(slot.0) });
        self.leave(slot);
    }

    /// Returns the number of the next operation.
    #[must_use]
    pub fn at(&self) -> u16 {
        u16::try_from(self.ops.len()).unwrap_or(u16::MAX)
    }

    /// Returns the program.
    #[must_use]
    pub fn finish(self) -> Program {
        Program {
            ops: self.ops.into_boxed_slice(),
            bytes: self.bytes.into_boxed_slice(),
            given: self.given,
            about: self.about,
        }
    }

    fn here(&self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }
}
