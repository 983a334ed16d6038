//! A kernel that feeds the answers of a history back, and unwinds its caller where those end.
//!
//! ```text
//! answers  a b c                the body runs: a, b, c are fed back,
//! body     a b c │ d e │ f      d and e are performed, being on its way,
//!                      └─ f is not: it is kept, and the body unwound; what its destructors ask
//!                         is forgotten
//! ```
//!
//! **Invariant:** a body that asks something else than it asked before panics: `not deterministic`.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::histories::Way;
use super::kept::Kept;
use super::{Answer, Asked, Pid, World, parts};
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

/// Where a client goes on when its answers are used up.
#[derive(Debug)]
pub(super) struct Onward<'h> {
    pub(super) world: &'h mut World,
    pub(super) pid: Pid,
    /// What is left of its way, if anything is.
    pub(super) rest: Option<Way>,
    /// Where the kernel writes.
    pub(super) room: Vec<u8>,
    /// What it has done meanwhile.
    pub(super) done: Vec<Done>,
}

/// A call that was performed.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) asked: Kept,
    pub(super) value: Answer,
    /// What the kernel wrote, room after room.
    pub(super) rooms: Vec<u8>,
}

impl Onward<'_> {
    /// Performs a call, if it is on the way; returns what is answered.
    fn perform(&mut self, asked: Kept, call: &Call<Live<'_>>) -> Result<Answer, Kept> {
        let Some(way) = self.rest else { return Err(asked) };
        let Self { world, pid, room, .. } = self;
        let done = asked.with(room, |call| {
            let then = way.over(world, *pid, call)?;
            let value = world.perform(*pid, call);
            Some((then, value, parts::rooms(call, value)))
        });
        let Some((then, value, rooms)) = done else { return Err(asked) };
        parts::feed(call, value, &rooms);
        self.rest = then;
        self.done.push(Done { asked, value, rooms });
        Ok(value)
    }
}

/// The kernel as the body of a client sees it.
#[derive(Debug)]
pub struct Replay<'h> {
    past: Vec<Past<'h>>,
    next: Cell<usize>,
    onward: RefCell<Option<Onward<'h>>>,
    asked: RefCell<Option<Kept>>,
}

/// What a body is unwound with.
struct Suspended;

impl<'h> Replay<'h> {
    /// Runs a body on the answers that it had, and onward from there: returns the call that it asks
    /// next, or what it tells in the end.
    pub(super) fn run(
        past: Vec<Past<'h>>,
        onward: Option<Onward<'h>>,
        body: &dyn Fn(&Replay<'_>) -> String,
    ) -> (Result<String, Kept>, Option<Onward<'h>>) {
        let (onward, asked) = (RefCell::new(onward), RefCell::new(None));
        let replay = Self { past, next: Cell::new(0), onward, asked };
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&replay)));
        let next = match outcome {
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
        };
        (next, replay.onward.into_inner())
    }

    /// Answers a call that was never asked before, or unwinds who asks it.
    fn go_on(&self, call: &Call<Live<'_>>) -> Answer {
        let mut asked = Kept::new(call);
        if let Some(onward) = self.onward.borrow_mut().as_mut() {
            match onward.perform(asked, call) {
                Ok(value) => return value,
                Err(kept) => asked = kept,
            }
        }
        self.asked.replace(Some(asked));
        resume_unwind(Box::new(Suspended));
    }
}

impl Kernel for Replay<'_> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        // Destructors close what the world still holds open: a suspended client has it open, and
        // a crashed one loses it in the world.
        if std::thread::panicking() {
            return Ok(0);
        }
        let at = self.next.get();
        let Some(past) = self.past.get(at) else { return self.go_on(&call) };
        assert!(
            past.asked.is(&call),
            "not deterministic: call {at} is now {}",
            parts::summary(&call)
        );
        self.next.set(at + 1);
        parts::feed(&call, past.value, past.rooms);
        past.value
    }
}
