//! What a container is now, and which requests are legal.
//!
//! | record                        | facts                       | status                       |
//! |-------------------------------|-----------------------------|------------------------------|
//! | none                          | any                         | absent                       |
//! | creating                      | owner alive                 | creating                     |
//! | creating                      | owner gone                  | stopped: nobody finishes it  |
//! | created checkpointed deleting | init alive, frozen          | paused                       |
//! | created checkpointed deleting | init alive, freezing        | pausing                      |
//! | created checkpointed deleting | init alive, thawed and held | created                      |
//! | created checkpointed          | init nascent, thawed, free  | creating                     |
//! | created checkpointed deleting | init alive, thawed and free | running                      |
//! | checkpointed                  | init not alive              | checkpointed                 |
//! | created deleting              | init not alive              | stopped                      |
//!
//! | request    | absent  | creating | created | running | pausing | paused | checkp. | stopped |
//! |------------|---------|----------|---------|---------|---------|--------|---------|---------|
//! | create     | CREATE  | –        | –       | –       | –       | –      | –       | –       |
//! | run        | RUN     | –        | –       | –       | –       | –      | –       | –       |
//! | start      | –       | –        | START   | –       | –       | –      | –       | –       |
//! | exec       | –       | –        | EXEC    | EXEC    | –       | –      | –       | –       |
//! | kill       | –       | –³       | KILL    | KILL    | KILL    | KILL   | –       | –       |
//! | pause      | –       | –        | PAUSE   | PAUSE   | PAUSE   | –      | –       | –       |
//! | resume     | –       | –        | –       | –       | RESUME  | RESUME | –       | –       |
//! | update     | –       | –        | UPDATE  | UPDATE  | UPDATE  | UPDATE | –       | –       |
//! | checkpoint | –       | –        | –       | CHECKP. | –       | CHECKP.| –       | –       |
//! | restore    | RESTORE | –        | –       | –       | –       | –      | REVIVE² | –       |
//! | delete     | –       | –¹       | DELETE  | –¹      | –¹      | –¹     | DELETE  | DELETE  |
//! | delete -f  | NOTHING | DELETE   | DELETE  | DELETE  | DELETE  | DELETE | DELETE  | DELETE  |
//! | state      | –       | NOTHING  | NOTHING | NOTHING | NOTHING | NOTHING| NOTHING | NOTHING |
//!
//! ¹ DELETE in the stage deleting: a removal that has begun is gone on with, whoever still lives.
//! In that stage kill, delete and state are all that is legal: part of the container may be gone.
//!
//! ² Only while its cgroup holds no process: a restore that was cut short is deleted first.
//!
//! ³ KILL where the record says created: whoever is there to be killed can be.
//!
//! **Invariant:** only [`Liveness::Alive`] or [`Liveness::Nascent`] of an init that the record
//! names is alive; who is nascent is joined by nobody, for its root may be the host's. A zombie has
//! ended, and a stranger under the init's number is not ours to signal.
//!
//! **Invariant:** init decides. A dead init's leftover processes make no container running; they
//! are killed by delete, since [`super::DELETE`] kills what the cgroup holds in every status.

use core::fmt;

use super::{
    CHECKPOINT, CREATE, DELETE, EXEC, Facts, Freezer, Gate, KILL, Liveness, NOTHING, Occupancy,
    Owner, PAUSE, RESTORE, RESUME, REVIVE, RUN, Record, Request, START, Stage, Status, Step,
    UPDATE,
};

/// A plan, or why there is none.
type Answer = Result<&'static [Step], Why>;

/// Says what a container is, from the disk's word and the kernel's.
#[must_use]
pub fn status(record: Option<&Record>, facts: &Facts) -> Status {
    let Some(record) = record else {
        return Status::Absent;
    };
    match (record.stage, facts.owner) {
        (Stage::Creating, Owner::Alive) => return Status::Creating,
        (Stage::Creating, Owner::Gone) => return Status::Stopped,
        (Stage::Created | Stage::Checkpointed | Stage::Deleting, Owner::Alive | Owner::Gone) => (),
    }
    if !facts.init.is_alive() || record.init.is_none() {
        return match record.stage {
            Stage::Checkpointed => Status::Checkpointed,
            Stage::Creating | Stage::Created | Stage::Deleting => Status::Stopped,
        };
    }
    match (facts.freezer, facts.gate) {
        (Freezer::Frozen, Gate::Held | Gate::Free) => Status::Paused,
        (Freezer::Freezing, Gate::Held | Gate::Free) => Status::Pausing,
        (Freezer::Thawed, Gate::Held) => Status::Created,
        (Freezer::Thawed, Gate::Free) => match (record.stage, facts.init) {
            (Stage::Created | Stage::Checkpointed, Liveness::Nascent) => Status::Creating,
            (_, _) => Status::Running,
        },
    }
}

/// Decides whether a request is legal now, and what it does step by step.
///
/// # Errors
///
/// The [`Refusal`] says what the container is and why the request does not fit that.
pub fn decide(
    record: Option<&Record>,
    facts: &Facts,
    request: Request,
) -> Result<&'static [Step], Refusal> {
    let status = status(record, facts);
    let answer = match record.map(|record| record.stage) {
        Some(Stage::Created) if (status, request) == (Status::Creating, Request::Kill) => Ok(KILL),
        None | Some(Stage::Creating | Stage::Created | Stage::Checkpointed) => {
            whole(status, facts, request)
        }
        Some(Stage::Deleting) => deleting(status, facts, request),
    };
    answer.map_err(|why| Refusal { request, status, why })
}

/// Answers for a container that nobody has begun to remove.
fn whole(status: Status, facts: &Facts, request: Request) -> Answer {
    match request {
        Request::Create => create(status, CREATE),
        Request::Run => create(status, RUN),
        Request::Start => start(status),
        Request::Exec => exec(status),
        Request::Kill => while_alive(status, KILL),
        Request::Pause => pause(status),
        Request::Resume => resume(status),
        Request::Update => while_alive(status, UPDATE),
        Request::Checkpoint => checkpoint(status),
        Request::Restore => restore(status, facts.cgroup),
        Request::Delete => delete(status),
        Request::ForceDelete => Ok(force_delete(status)),
        Request::State => state(status),
    }
}

/// Answers for a container that is half removed.
fn deleting(status: Status, facts: &Facts, request: Request) -> Answer {
    match request {
        Request::Delete => Ok(DELETE),
        Request::Create | Request::Run | Request::Kill | Request::ForceDelete | Request::State => {
            whole(status, facts, request)
        }
        Request::Start
        | Request::Exec
        | Request::Pause
        | Request::Resume
        | Request::Update
        | Request::Checkpoint
        | Request::Restore => whole(status, facts, request).and(Err(Why::BeingDeleted)),
    }
}

fn create(status: Status, plan: &'static [Step]) -> Answer {
    match status {
        Status::Absent => Ok(plan),
        Status::Creating
        | Status::Created
        | Status::Running
        | Status::Pausing
        | Status::Paused
        | Status::Checkpointed
        | Status::Stopped => Err(Why::Exists),
    }
}

fn start(status: Status) -> Answer {
    match status {
        Status::Absent => Err(Why::DoesNotExist),
        Status::Creating => Err(Why::BeingCreated),
        Status::Created => Ok(START),
        Status::Running | Status::Pausing | Status::Paused => Err(Why::AlreadyRunning),
        Status::Checkpointed | Status::Stopped => Err(Why::HasStopped),
    }
}

fn exec(status: Status) -> Answer {
    match status {
        Status::Absent => Err(Why::DoesNotExist),
        Status::Creating => Err(Why::BeingCreated),
        Status::Created | Status::Running => Ok(EXEC),
        // A process that joins a freezing cgroup freezes before its execve, and exec would hang.
        Status::Pausing | Status::Paused => Err(Why::ExecPaused),
        Status::Checkpointed | Status::Stopped => Err(Why::ExecStopped),
    }
}

/// Answers for the requests that want a living init and nothing else.
fn while_alive(status: Status, plan: &'static [Step]) -> Answer {
    match status {
        Status::Absent => Err(Why::DoesNotExist),
        Status::Created | Status::Running | Status::Pausing | Status::Paused => Ok(plan),
        Status::Creating | Status::Checkpointed | Status::Stopped => Err(Why::NotRunning),
    }
}

fn pause(status: Status) -> Answer {
    match status {
        Status::Absent => Err(Why::DoesNotExist),
        // Pausing: who began the freeze is gone, for it would hold the lock. It is finished.
        Status::Created | Status::Running | Status::Pausing => Ok(PAUSE),
        Status::Paused => Err(Why::AlreadyPaused),
        Status::Creating | Status::Checkpointed | Status::Stopped => Err(Why::NotRunning),
    }
}

fn resume(status: Status) -> Answer {
    match status {
        Status::Absent => Err(Why::DoesNotExist),
        Status::Pausing | Status::Paused => Ok(RESUME),
        Status::Creating
        | Status::Created
        | Status::Running
        | Status::Checkpointed
        | Status::Stopped => Err(Why::NotPaused),
    }
}

fn checkpoint(status: Status) -> Answer {
    match status {
        Status::Absent => Err(Why::DoesNotExist),
        Status::Running | Status::Paused => Ok(CHECKPOINT),
        Status::Creating
        | Status::Created
        | Status::Pausing
        | Status::Checkpointed
        | Status::Stopped => Err(Why::NoCheckpoint),
    }
}

fn restore(status: Status, cgroup: Occupancy) -> Answer {
    match (status, cgroup) {
        (Status::Absent, Occupancy::Absent | Occupancy::Empty | Occupancy::Populated) => {
            Ok(RESTORE)
        }
        (Status::Checkpointed, Occupancy::Absent | Occupancy::Empty) => Ok(REVIVE),
        (Status::Checkpointed, Occupancy::Populated) => Err(Why::Occupied),
        (
            Status::Creating
            | Status::Created
            | Status::Running
            | Status::Pausing
            | Status::Paused
            | Status::Stopped,
            Occupancy::Absent | Occupancy::Empty | Occupancy::Populated,
        ) => Err(Why::Exists),
    }
}

fn delete(status: Status) -> Answer {
    match status {
        Status::Absent => Err(Why::DoesNotExist),
        // Created is killed, as runc does: nothing of the user's has run yet.
        Status::Created | Status::Checkpointed | Status::Stopped => Ok(DELETE),
        Status::Creating | Status::Running | Status::Pausing | Status::Paused => {
            Err(Why::NotStopped)
        }
    }
}

const fn force_delete(status: Status) -> &'static [Step] {
    match status {
        Status::Absent => NOTHING,
        // Creating, under the lock: its maker gave up an undo half way, so it is gone on with.
        Status::Creating
        | Status::Created
        | Status::Running
        | Status::Pausing
        | Status::Paused
        | Status::Checkpointed
        | Status::Stopped => DELETE,
    }
}

fn state(status: Status) -> Answer {
    match status {
        Status::Absent => Err(Why::DoesNotExist),
        Status::Creating
        | Status::Created
        | Status::Running
        | Status::Pausing
        | Status::Paused
        | Status::Checkpointed
        | Status::Stopped => Ok(NOTHING),
    }
}

/// A request that is not legal now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refusal {
    /// What was asked.
    pub request: Request,
    /// What the container was.
    pub status: Status,
    /// Why the two do not fit.
    pub why: Why,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// A pause, and every process is frozen.
    AlreadyPaused,
    /// A start, and the init has passed the gate.
    AlreadyRunning,
    /// A start or an exec, and the maker is not done.
    BeingCreated,
    /// Anything that would use a container which is half removed.
    BeingDeleted,
    /// Anything but a create or a restore, and there is no record.
    DoesNotExist,
    /// An exec, and the processes are frozen or about to be.
    ExecPaused,
    /// An exec, and the init is gone.
    ExecStopped,
    /// A create or a restore, and the id is taken.
    Exists,
    /// A start, and the init is gone.
    HasStopped,
    /// A checkpoint, and the container is neither running nor paused.
    NoCheckpoint,
    /// A resume, and nothing is frozen.
    NotPaused,
    /// A signal, a pause or new limits, and there is no living init.
    NotRunning,
    /// A delete without force, and the container is in use.
    NotStopped,
    /// A restore, and an earlier one has left processes.
    Occupied,
}

impl fmt::Display for Refusal {
    /// Writes the text that clients of runc compare with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status;
        match self.why {
            Why::AlreadyPaused => f.write_str("container not running: it is paused"),
            Why::AlreadyRunning => f.write_str("cannot start an already running container"),
            Why::BeingCreated => f.write_str("container is still being created"),
            Why::BeingDeleted => f.write_str("container is being deleted"),
            Why::DoesNotExist => f.write_str("container does not exist"),
            Why::ExecPaused => f.write_str("cannot exec in a paused container"),
            Why::ExecStopped => f.write_str("cannot exec in a stopped container"),
            Why::Exists => f.write_str("container with given ID already exists"),
            Why::HasStopped => f.write_str("cannot start a container that has stopped"),
            Why::NoCheckpoint => write!(f, "container cannot be checkpointed: {status}"),
            Why::NotPaused => f.write_str("container not paused"),
            Why::NotRunning => f.write_str("container not running"),
            Why::NotStopped => write!(f, "container is not stopped: {status}"),
            Why::Occupied => f.write_str("container cgroup is not empty"),
        }
    }
}

impl core::error::Error for Refusal {}
