//! An operation of several calls, of which a turn performs one.
//!
//! ```text
//! answers    a b              the operation begins anew: a and b are fed back,
//! operation  a b c │ d        c is performed and kept for the next turn,
//!                  └─ d is not: what the operation makes of the error that it gets is forgotten
//! ```

use std::cell::{Cell, RefCell};

use super::{Answer, parts};
use crate::sys::{Call, Errno, Kernel, Live};

/// What a call of an operation was answered that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Answered {
    value: Answer,
    /// What the kernel wrote, room after room.
    rooms: Vec<u8>,
}

/// A kernel that feeds answers back, and asks another for one more.
pub(super) struct Once<'p, K> {
    pub(super) kernel: K,
    past: &'p [Answered],
    next: Cell<usize>,
    fresh: RefCell<Option<Answered>>,
    cut: Cell<bool>,
}

impl<'p, K> Once<'p, K> {
    pub(super) const fn new(kernel: K, past: &'p [Answered]) -> Self {
        let (next, cut) = (Cell::new(0), Cell::new(false));
        Self { kernel, past, next, fresh: RefCell::new(None), cut }
    }

    /// Returns what was answered anew, if the operation went on asking and is not over.
    pub(super) fn left(self) -> Option<Answered> {
        self.fresh.into_inner().filter(|_| self.cut.get())
    }
}

impl<K: Kernel> Kernel for Once<'_, K> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        let at = self.next.replace(self.next.get() + 1);
        if let Some(past) = self.past.get(at) {
            parts::feed(&call, past.value, &past.rooms);
            return past.value;
        }
        if at > self.past.len() {
            self.cut.set(true);
            return Err(Errno::EIO);
        }
        let value = self.kernel.call(call);
        let rooms = parts::rooms(&call, value);
        self.fresh.replace(Some(Answered { value, rooms }));
        value
    }
}
