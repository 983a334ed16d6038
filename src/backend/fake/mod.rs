//! A kernel in memory: a value that can be cloned, hashed, compared and advanced step by step.
//!
//! ```text
//! client ── Process / Replay ──┐                      ┌── files walk names open
//! child  ── Cursor::step ──────┼── World::perform ────┼── fds pipes sockets
//! payload ── script ───────────┘    (calls.rs)        ├── mounts spaces cgroups procfs
//! kernel ── exits, freezer, … ── World::apply         └── procs signals creds
//! ```
//!
//! A call either is performed whole or is not enabled: nothing waits in here. Who runs next is
//! the scheduler's choice among [`World::transitions`] and the calls that clients ask.
//!
//! **Invariant:** no type of Linux and no I/O; the same world and the same choices give the same
//! world, on every machine.
//!
//! **Invariant:** it never guesses. What is not modelled panics and names the call.
//!
//! **Invariant:** numbers are reused lowest first, so that worlds which differ by history alone
//! are equal; process ids go round as Linux has it.

mod calls;
mod cgroupfs;
mod cgroups;
mod child;
mod covers;
mod creds;
mod devices;
mod fds;
mod files;
mod hash;
mod histories;
mod kept;
mod labels;
mod midway;
mod mounts;
mod names;
mod open;
mod parts;
mod paths;
mod payload;
mod pipes;
mod poll;
mod private;
mod procfs;
mod procs;
mod proctree;
mod profile;
mod replay;
mod residue;
mod setup;
mod signals;
mod sockets;
mod spaces;
mod status;
mod table;
mod transition;
mod tree;
mod walk;

use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use self::hash::{Digested, Taken, digest};
pub use self::histories::{Asked, Body, Gait, Histories, History, Progress, Time};
pub use self::payload::{Action, Payload};
pub use self::profile::{AppArmor, Caller, Cgroups, Named, Profile};
pub use self::replay::Replay;
#[cfg(feature = "testing")]
pub(crate) use self::residue::is_below;
pub use self::signals::Signalled;
pub use self::transition::Transition;

use self::cgroups::Cgroup;
use self::fds::Open;
use self::files::Inode;
use self::mounts::Mount;
use self::procs::Task;
use self::sockets::Socket;
use self::spaces::Space;
use self::table::Table;
use crate::sys::{Call, Errno, Kernel, Live, Row};

/// A process by its number, as the first pid namespace counts.
pub type Pid = u32;

/// A value or an errno.
type Answer = Result<u64, Errno>;

/// A kernel with everything that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    profile: Arc<Profile>,
    tasks: Table<Task>,
    inodes: Table<Inode>,
    opens: Table<Open>,
    sockets: Table<Socket>,
    mounts: Table<Mount>,
    spaces: Table<Space>,
    cgroups: Table<Cgroup>,
    /// What was written to files of /proc/sys, by their number in the list of those.
    sysctls: Table<Arc<[u8]>>,
    hierarchies: Arc<[cgroups::Hierarchy]>,
    last_pid: Pid,
    makers: u32,
    now_ms: u64,
    boot: u32,
    signals: Arc<Vec<Signalled>>,
    violations: Arc<Vec<String>>,
    /// Aside, since a walk has many worlds at once, and nobody watches.
    watched: Option<Box<Watched>>,
}

/// What programs of children have asked since somebody began to watch, and which call fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Watched {
    asked: Vec<Row>,
    fault: Option<(usize, Errno)>,
}

impl Hash for World {
    /// Hashes what changes, without the profile and what follows from it, and who watches.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.tasks, &self.inodes, &self.opens, &self.sockets).hash(state);
        (&self.mounts, &self.spaces, &self.cgroups, &self.sysctls).hash(state);
        (self.last_pid, self.makers, self.now_ms, self.boot).hash(state);
        (&self.signals, &self.violations).hash(state);
    }
}

/// A kernel as one client process of a world sees it, in simple mode: a call that would block
/// first lets everybody else advance, one deterministic step at a time, until it no longer would.
#[derive(Clone, Copy, Debug)]
pub struct Process<'w> {
    world: &'w RefCell<World>,
    pid: Pid,
}

impl Process<'_> {
    /// Returns the process's number.
    #[must_use]
    pub const fn pid(&self) -> Pid {
        self.pid
    }
}

impl Kernel for Process<'_> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        self.world.borrow_mut().call_in_turn(self.pid, &call)
    }
}

impl World {
    /// Returns the kernel as the client `pid` sees it.
    #[must_use]
    pub const fn process(world: &RefCell<Self>, pid: Pid) -> Process<'_> {
        Process { world, pid }
    }

    /// Advances everybody but clients until nothing is enabled.
    pub fn settle(world: &RefCell<Self>) {
        world.borrow_mut().quiesce();
    }

    /// Returns the signals that were sent so far, oldest first.
    #[must_use]
    pub fn signals(&self) -> &[Signalled] {
        &self.signals
    }

    /// Returns what processes did that no correct process does: closing what is not open.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Begins to watch what children's programs ask: the call of that number, counted from 0, fails
    /// with that error.
    pub fn watch_programs(&mut self, fault: Option<(usize, Errno)>) {
        self.watched = Some(Box::new(Watched { asked: Vec::new(), fault }));
    }

    /// Returns what children's programs have asked since [`World::watch_programs`].
    #[must_use]
    pub fn asked_by_programs(&self) -> &[Row] {
        self.watched.as_ref().map_or(&[], |watched| &watched.asked)
    }

    /// Returns the milliseconds since the machine came up.
    #[must_use]
    pub const fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Lets time pass.
    pub const fn pass_ms(&mut self, time_ms: u64) {
        self.now_ms += time_ms;
    }
}

#[cfg(test)]
mod tests;
