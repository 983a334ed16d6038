//! The lifecycle of one container: what it is now, what may be asked of it, and how that is done.
//!
//! ```text
//!   what the disk says ─ Record ─┐
//!                                ├─ status() ─ decide() ─ a plan of steps ─ Machine ─ do, undo
//!   what the kernel says ─ Facts ┘                 └───── or a Refusal
//! ```
//!
//! The transitions are not written down anywhere: [`diagram`] plays every plan and draws what it
//! saw, and the decision table is a snapshot next to `tests/props/table.rs`.
//!
//! **Invariant:** nothing here knows a clock, a path, an errno or a file: core, alloc and the
//! derive macros of serde are all that is imported, and CI compiles this directory without std.
//!
//! **Invariant:** every function is total; no match over an enum of this module has a `_` arm.

mod decide;
mod diagram;
mod facts;
mod machine;
mod record;
mod step;

pub use decide::{Refusal, Why, decide, status};
pub use diagram::diagram;
pub use facts::{Facts, Freezer, Gate, Liveness, Occupancy, Owner};
pub use machine::{Machine, Next, Outcome, Verdict};
pub use record::{CgroupDir, FORMAT, Manifest, ProcessId, Record, Stage};
pub use step::{
    CHECKPOINT, CREATE, DELETE, EXEC, KILL, NOTHING, PAUSE, PLANS, RESTORE, RESUME, REVIVE, RUN,
    START, STARTED, Step, UPDATE,
};

/// Where a container is in its life; the order is that of the life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// There is no record.
    Absent,
    /// Its maker is at work.
    Creating,
    /// Its init waits behind the gate.
    Created,
    /// Its init has passed the gate.
    Running,
    /// A freeze was asked for and is not complete.
    Pausing,
    /// Its processes are frozen.
    Paused,
    /// Its init is gone and an image of it exists.
    Checkpointed,
    /// Its init is gone, or was never finished and has nobody to finish it.
    Stopped,
}

impl Status {
    /// Every status, in order.
    pub const ALL: [Self; 8] = [
        Self::Absent,
        Self::Creating,
        Self::Created,
        Self::Running,
        Self::Pausing,
        Self::Paused,
        Self::Checkpointed,
        Self::Stopped,
    ];

    /// Names the status as OCI does, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Checkpointed => "checkpointed",
            Self::Stopped => "stopped",
        }
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What can be asked of a container; the order is that of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// Make everything but let nothing of the user's run.
    Create,
    /// Make everything and let the user's program run.
    Run,
    /// Let the init run the user's program.
    Start,
    /// Run one more process inside.
    Exec,
    /// Send a signal.
    Kill,
    /// Freeze every process.
    Pause,
    /// Thaw every process.
    Resume,
    /// Change the limits.
    Update,
    /// Write an image of every process.
    Checkpoint,
    /// Bring an image back to life.
    Restore,
    /// Remove what has ended.
    Delete,
    /// Remove whatever is there.
    ForceDelete,
    /// Report the status.
    State,
}

impl Request {
    /// Every request, in order.
    pub const ALL: [Self; 13] = [
        Self::Create,
        Self::Run,
        Self::Start,
        Self::Exec,
        Self::Kill,
        Self::Pause,
        Self::Resume,
        Self::Update,
        Self::Checkpoint,
        Self::Restore,
        Self::Delete,
        Self::ForceDelete,
        Self::State,
    ];

    /// Names the request as a command line would, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Run => "run",
            Self::Start => "start",
            Self::Exec => "exec",
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Update => "update",
            Self::Checkpoint => "checkpoint",
            Self::Restore => "restore",
            Self::Delete => "delete",
            Self::ForceDelete => "delete --force",
            Self::State => "state",
        }
    }
}

impl core::fmt::Display for Request {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}
