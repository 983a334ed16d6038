//! A client of which calls fail, and which is killed: at a call, or by what it does.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use arbitrary::Arbitrary;
use cofferdam::backend::fake::{Pid, World};
use cofferdam::sys::{Call, Errno, Kernel, Live, Row};
use cofferdam::testing::faults::errors;

/// No request asks as much.
const CALLS_MAX: usize = 20_000;

/// What a kernel does not answer for ever: it is interrupted, or has told of a reset.
const MOMENTARY: [Errno; 2] = [Errno::ECONNRESET, Errno::EINTR];

/// A call that fails, by its number, with one of the errors of its row.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(crate) struct Blow {
    pub(crate) at: u8,
    pub(crate) errno: u8,
    /// Whether all calls behind it fail alike.
    pub(crate) lasting: bool,
}

impl Blow {
    /// Returns with what a call of that row fails; some cannot fail.
    pub(crate) fn errno(self, row: &Row) -> Option<Errno> {
        let all: Vec<_> = errors(row).collect();
        all.get(usize::from(self.errno).checked_rem(all.len())?).copied()
    }
}

/// Asks the world as a client of it, but for the calls that it fails without asking.
pub(crate) struct Hurt<'b> {
    world: &'b RefCell<World>,
    client: Pid,
    blows: &'b [Blow],
    dies: Option<u8>,
    asked: Cell<usize>,
    lasting: Cell<Option<Errno>>,
    dead: Cell<bool>,
}

/// What a client unwinds with that is killed.
struct Death;

impl<'b> Hurt<'b> {
    pub(crate) fn new(
        world: &'b RefCell<World>,
        client: Pid,
        blows: &'b [Blow],
        dies: Option<u8>,
    ) -> Self {
        let (asked, lasting, dead) = (Cell::new(0), Cell::new(None), Cell::new(false));
        Self { world, client, blows, dies, asked, lasting, dead }
    }

    /// Runs a client, and returns what it tells; nothing if it is killed.
    pub(crate) fn run<R>(&self, client: impl FnOnce(&Self) -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(|| client(self))) {
            Ok(told) => Some(told),
            Err(payload) if payload.is::<Death>() => None,
            Err(payload) => resume_unwind(payload),
        }
    }

    fn die(&self) -> ! {
        self.dead.set(true);
        resume_unwind(Box::new(Death))
    }

    fn failure(&self, number: usize, row: &Row) -> Option<Errno> {
        if let Some(errno) = self.lasting.get() {
            return Some(errno);
        }
        let blow = self.blows.iter().find(|blow| usize::from(blow.at) == number)?;
        let errno = blow.errno(row)?;
        if blow.lasting && !MOMENTARY.contains(&errno) {
            self.lasting.set(Some(errno));
        }
        Some(errno)
    }
}

impl Kernel for Hurt<'_> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        // Its destructors close what the world closes for it.
        if self.dead.get() {
            return Ok(0);
        }
        let number = self.asked.get();
        self.asked.set(number + 1);
        assert!(number < CALLS_MAX || std::thread::panicking(), "it goes on for ever");
        if self.dies.is_some_and(|at| usize::from(at) == number) && !std::thread::panicking() {
            self.die();
        }
        let kernel = World::process(self.world, self.client);
        let failure = self.failure(number, &call.row());
        // close(2) frees the descriptor whatever it answers.
        let closes = matches!(call, Call::Close { .. });
        let answer = if failure.is_none() || closes { kernel.call(call) } else { Ok(0) };
        // A damaged record may name whoever reads it.
        if !self.world.borrow().is_alive(self.client) && !std::thread::panicking() {
            self.die();
        }
        failure.map_or(answer, Err)
    }
}
