//! A kernel that feeds the answers of a history back, and unwinds its caller at the first new call.
//!
//! ```text
//! answers  a b c            the body runs: a, b, c are fed back,
//! body     a b c │ d        d is kept, and the body unwound;
//!                └─ what its destructors ask is forgotten
//! ```
//!
//! **Invariant:** a body that asks something else than it asked before panics: `not deterministic`.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::kept::Kept;
use super::{Answer, Asked, parts};
use crate::sys::{Call, Errno, Kernel, Live};

/// A call of the past with its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past<'h> {
    pub(super) asked: &'h Kept,
    pub(super) value: Answer,
    /// What the kernel wrote, room after room.
    pub(super) rooms: &'h [u8],
}

impl Past<'_> {
    /// Tells it in words.
    pub(super) fn told(&self) -> Asked {
        let room = &mut Vec::new();
        let (call, names) =
            self.asked.with(room, |call| (parts::summary(call), parts::names(call)));
        Asked { name: self.asked.name(), call, names, value: self.value }
    }
}

/// The kernel as the body of a client sees it.
#[derive(Debug)]
pub struct Replay<'h> {
    past: Vec<Past<'h>>,
    next: Cell<usize>,
    asked: RefCell<Option<Kept>>,
}

/// What a body is unwound with.
struct Suspended;

impl<'h> Replay<'h> {
    /// Runs a body on the answers that it had: returns the call that it asks next, or what it
    /// tells in the end.
    pub(super) fn run(
        past: Vec<Past<'h>>,
        body: &dyn Fn(&Replay<'_>) -> String,
    ) -> Result<String, Kept> {
        let replay = Self { past, next: Cell::new(0), asked: RefCell::new(None) };
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&replay)));
        match outcome {
            Ok(told) => {
                let unused = replay.past.len() - replay.next.get();
                assert!(unused == 0, "not deterministic: it asked {unused} more the last time");
                Ok(told)
            }
            Err(payload) => match (payload.downcast::<Suspended>(), replay.asked.take()) {
                (Ok(_), Some(asked)) => Err(asked),
                (Ok(_), None) => unreachable!("who is suspended has asked something"),
                (Err(payload), _) => resume_unwind(payload),
            },
        }
    }
}

impl Kernel for Replay<'_> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        // Destructors close what the world still holds open: a suspended client has it open, and
        // a crashed one loses it in the world.
        if std::thread::panicking() {
            return Ok(0);
        }
        let asked = Kept::new(&call);
        let at = self.next.get();
        let Some(past) = self.past.get(at) else {
            self.asked.replace(Some(asked));
            resume_unwind(Box::new(Suspended));
        };
        assert!(
            asked == *past.asked,
            "not deterministic: call {at} is now {}",
            parts::summary(&call)
        );
        self.next.set(at + 1);
        parts::feed(&call, past.value, past.rooms);
        past.value
    }
}
