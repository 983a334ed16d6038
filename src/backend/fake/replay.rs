//! Clients whose operation is run again from its start, fed with the answers it had.
//!
//! An operation is a deterministic function of its answers, so the answers are all there is to a
//! suspended one: no thread and no future holds it, and it hashes.
//!
//! ```text
//! answers  a b c            the body runs: a, b, c are fed back,
//! body     a b c d │ e      d is performed on the world and recorded,
//!                  └─ at e the body is unwound; what its destructors ask is forgotten
//! ```
//!
//! **Invariant:** a body that asks something else than it asked before panics: `not deterministic`.

use std::cell::{Cell, RefCell};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::parts::{self, Part};
use super::{Answer, Pid, World};
use crate::sys::{Call, Errno, Kernel, Live};

/// An answer that a client had.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recorded {
    name: &'static str,
    /// What was asked, digested.
    call: u64,
    value: Answer,
    /// What the kernel wrote, room after room.
    rooms: Arc<[u8]>,
}

/// What a body is unwound with: the call that it is about to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Suspended {
    /// The call's name.
    pub name: &'static str,
    /// The call with its operands, digested.
    pub call: u64,
    blocked: bool,
}

/// What advancing a client came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress<R> {
    /// One more call was performed, and there will be another.
    Asked,
    /// The next call cannot be performed now; at most, it is now known to wait at a fifo.
    Blocked,
    /// One more call was performed, or none was left, and the body returned.
    Done(R),
    /// The client's process does not run any more.
    Killed,
}

/// A client and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its process.
    pub pid: Pid,
    answers: Vec<Recorded>,
    /// The answers, hashed as they came.
    digest: u64,
    next: Option<Suspended>,
}

impl Hash for Client {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.pid, self.answers.len(), self.digest).hash(state);
    }
}

/// Whether a call with a timeout that nothing has ended yet may run into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// It does.
    Passes,
    /// It waits: others are faster than any timeout.
    Stands,
}

/// What happens at the first call without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Perform,
    /// Goes on over private calls and over one that is not.
    Stride(Time),
    /// Goes on over private calls only.
    Trail,
    Unwind,
}

/// The kernel as the body of a client sees it.
#[derive(Debug)]
pub struct Replay<'w> {
    world: RefCell<&'w mut World>,
    pid: Pid,
    answers: RefCell<Vec<Recorded>>,
    next: Cell<usize>,
    first: Cell<First>,
    /// Whether the body has got as far as a call without an answer.
    performed: Cell<bool>,
}

impl Client {
    /// Returns a client at the beginning of an operation.
    #[must_use]
    pub const fn new(pid: Pid) -> Self {
        Self { pid, answers: Vec::new(), digest: 0, next: None }
    }

    /// Returns how many calls were answered since the beginning of the operation.
    #[must_use]
    pub const fn answered(&self) -> usize {
        self.answers.len()
    }

    /// Returns the call that is asked next, once a first one was performed.
    #[must_use]
    pub const fn next(&self) -> Option<Suspended> {
        self.next
    }

    /// Returns the calls that were answered since `earlier`, with their answers, in words.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Vec<String> {
        let answers = self.answers.iter().skip(earlier.answers.len());
        let tell = |recorded: &Recorded| match recorded.value {
            Ok(value) => format!("{} = {value}", recorded.name),
            Err(errno) => format!("{} = {errno:?}", recorded.name),
        };
        answers.map(tell).collect()
    }

    /// Begins another operation of the same process.
    pub fn restart(&mut self) {
        self.answers.clear();
        self.digest = 0;
        self.next = None;
    }

    /// Performs exactly one more call of `body`.
    ///
    /// # Panics
    ///
    /// Panics where the body panics, and where it asks something else than it asked before.
    pub fn advance<R>(
        &mut self,
        world: &mut World,
        body: &dyn Fn(&Replay<'_>) -> R,
    ) -> Progress<R> {
        self.go(world, body, First::Perform)
    }

    /// Performs one more call of `body` that concerns others, and all around it that do not.
    ///
    /// # Panics
    ///
    /// As [`Client::advance`] does.
    pub fn stride<R>(
        &mut self,
        world: &mut World,
        body: &dyn Fn(&Replay<'_>) -> R,
        time: Time,
    ) -> Progress<R> {
        self.go(world, body, First::Stride(time))
    }

    fn go<R>(
        &mut self,
        world: &mut World,
        body: &dyn Fn(&Replay<'_>) -> R,
        first: First,
    ) -> Progress<R> {
        if !world.is_alive(self.pid) {
            return Progress::Killed;
        }
        let before = self.answers.len();
        let outcome = self.run(world, body, first);
        for recorded in self.answers.iter().skip(before) {
            let mut hasher = DefaultHasher::new();
            (self.digest, recorded).hash(&mut hasher);
            self.digest = hasher.finish();
        }
        match outcome {
            Ok(result) => {
                self.next = None;
                if cfg!(debug_assertions) {
                    let again = self.run(world, body, First::Unwind);
                    assert!(again.is_ok(), "not deterministic: another call after the last");
                }
                Progress::Done(result)
            }
            Err(suspended) => {
                self.next = Some(suspended);
                if self.answers.len() == before { Progress::Blocked } else { Progress::Asked }
            }
        }
    }

    /// Returns the call that `body` asks next without performing it, or `None` where it returns.
    pub fn peek<R>(
        &mut self,
        world: &mut World,
        body: &dyn Fn(&Replay<'_>) -> R,
    ) -> Option<Suspended> {
        self.run(world, body, First::Unwind).err()
    }

    fn run<R>(
        &mut self,
        world: &mut World,
        body: &dyn Fn(&Replay<'_>) -> R,
        first: First,
    ) -> Result<R, Suspended> {
        let replay = Replay {
            world: RefCell::new(world),
            pid: self.pid,
            answers: RefCell::new(std::mem::take(&mut self.answers)),
            next: Cell::new(0),
            first: Cell::new(first),
            performed: Cell::new(false),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&replay)));
        let unused = replay.answers.borrow().len() > replay.next.get();
        self.answers = replay.answers.into_inner();
        match outcome {
            Ok(_) if unused => panic!("not deterministic: it asked more the last time"),
            Ok(result) => Ok(result),
            Err(payload) => match payload.downcast::<Suspended>() {
                Ok(suspended) => Err(*suspended),
                Err(payload) => resume_unwind(payload),
            },
        }
    }
}

impl Replay<'_> {
    /// Returns the number of the client's process.
    #[must_use]
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns whether an enabled call without an answer is performed, and what becomes of the
    /// next.
    fn judge(&self, call: &Call<Live<'_>>, first: First) -> (bool, First) {
        let world = self.world.borrow();
        match first {
            First::Perform => (true, First::Unwind),
            First::Stride(time) => {
                let hasty = time == Time::Stands && world.would_rather_wait(self.pid, call);
                let private = world.is_private(self.pid, call);
                (!hasty, if private { first } else { First::Trail })
            }
            First::Trail => (world.is_private(self.pid, call), First::Trail),
            First::Unwind => (false, First::Unwind),
        }
    }

    /// Feeds a recorded answer back.
    fn feed(&self, recorded: &Recorded, call: &Call<Live<'_>>) -> Answer {
        let mut rest = &*recorded.rooms;
        parts::visit(call, &mut |part| {
            if let Part::Out(room) = part {
                let len = written(call, recorded.value, room.len());
                let (bytes, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
                parts::fill(room, bytes);
                rest = after;
            }
        });
        recorded.value
    }

    fn record(&self, call: &Call<Live<'_>>, digest: u64) -> Answer {
        let value = self.world.borrow_mut().perform(self.pid, call);
        let mut rooms = Vec::new();
        parts::visit(call, &mut |part| {
            if let Part::Out(room) = part {
                let len = written(call, value, room.len());
                rooms.extend(room.iter().take(len).map(Cell::get));
            }
        });
        let recorded = Recorded { name: call.row().name, call: digest, value, rooms: rooms.into() };
        self.answers.borrow_mut().push(recorded);
        value
    }
}

impl Kernel for Replay<'_> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        // Destructors close what the world still holds open: a suspended client has it open, and
        // a crashed one loses it in the world.
        if std::thread::panicking() {
            return Ok(0);
        }
        let digest = parts::digest(&call);
        let at = self.next.get();
        let recorded = self.answers.borrow().get(at).cloned();
        if let Some(recorded) = recorded {
            assert!(
                recorded.call == digest,
                "not deterministic: call {at} is now {}",
                parts::summary(&call)
            );
            self.next.set(at + 1);
            return self.feed(&recorded, &call);
        }
        let enabled = self.world.borrow().enabled(self.pid, &call);
        let first = self.first.get();
        let (goes_on, then) = self.judge(&call, first);
        if goes_on && enabled {
            self.first.set(then);
            self.performed.set(true);
            self.next.set(at + 1);
            return self.record(&call, digest);
        }
        if matches!(first, First::Perform | First::Stride(_)) && !self.performed.get() {
            self.world.borrow_mut().begin_wait(self.pid, &call);
        }
        let suspended = Suspended { name: call.row().name, call: digest, blocked: !enabled };
        resume_unwind(Box::new(suspended))
    }
}

impl Suspended {
    /// Returns whether the call could not be performed when it was asked.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        self.blocked
    }
}

/// Returns how much of a room of that length a call has written.
fn written(call: &Call<Live<'_>>, value: Answer, len: usize) -> usize {
    let Ok(value) = value else { return 0 };
    match call {
        Call::Getdents64 { .. } | Call::Read { .. } | Call::Readlinkat { .. } => {
            usize::try_from(value).unwrap_or(len).min(len)
        }
        Call::RecvFd { .. } => usize::try_from(value & 0xffff_ffff).unwrap_or(len).min(len),
        _ => len,
    }
}
