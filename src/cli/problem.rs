//! What went wrong, in one line, and the exit status that says so.

use std::fmt::Display;
use std::io;

use crate::run::Error;
use crate::spec::Invalid;
use crate::state::{Refusal, Step, Why};
use crate::sys::Errno;

pub(super) use crate::run::regardless;

use super::PROGRAM;
use super::look::spoken;

/// The exit status of `exec` for its own failures: those below 128 and above are the process's.
const EXEC_FAILED: u8 = 255;

/// The exit status for a command that there is not.
const UNKNOWN: u8 = 3;

/// Why a command was not carried out.
#[derive(Debug)]
pub(super) struct Problem {
    /// The reason: one line.
    pub(super) message: String,
    /// The exit status.
    pub(super) status: u8,
    /// How the command is used, where it was used wrongly.
    pub(super) usage: Option<String>,
}

impl Problem {
    /// A problem with that reason.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: 1, usage: None }
    }

    /// A failed operation on something.
    pub(super) fn of(what: impl Display, why: impl Display) -> Self {
        Self::new(format!("{what}: {why}"))
    }

    /// A flag that is not taken, in the words of Go.
    pub(super) fn wrong_flag(message: String, usage: &str) -> Self {
        let head = format!("Incorrect Usage: {message}");
        Self::new(message).with_usage(&head, usage)
    }

    /// A command that there is not.
    pub(super) fn unknown(name: &str) -> Self {
        Self { status: UNKNOWN, ..Self::new(format!("No help topic for '{name}'")) }
    }

    /// The same, with the usage shown first, below a headline.
    pub(super) fn with_usage(self, head: &str, usage: &str) -> Self {
        Self { usage: Some(format!("{head}\n\n{usage}")), ..self }
    }

    /// What `create` and `run` say of their failures.
    pub(super) fn in_creating(self, command: &str) -> Self {
        let message = format!("{PROGRAM} {command} failed: {}", self.message);
        Self { message, ..self }
    }

    /// What `delete` says of its failures.
    pub(super) fn in_deleting(error: Error, id: &str) -> Self {
        match error {
            Error::Refused(Refusal { why: Why::NotStopped, status, .. }) => Self::new(format!(
                "cannot delete container {id} that is not stopped: {}",
                spoken(status)
            )),
            other => other.into(),
        }
    }

    /// What `exec` says of its failures.
    pub(super) fn in_exec(self) -> Self {
        let message = format!("exec failed: {}", self.message);
        Self { message, status: EXEC_FAILED, ..self }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let message = match &error {
            Error::Refused(Refusal { why: Why::ExecPaused, .. }) => {
                format!("{error} (use --ignore-paused to override)")
            }
            Error::Invalid(invalid) => format!("invalid configuration: {invalid}"),
            Error::Failed(failure) if failure.step.is_some_and(starts_a_process) => {
                format!("unable to start container process: {failure}")
            }
            _ => error.to_string(),
        };
        Self::new(message)
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::of("config.json", invalid)
    }
}

impl From<Errno> for Problem {
    fn from(errno: Errno) -> Self {
        Self::new(errno.to_string())
    }
}

/// The words for an error of the standard library's, spelled as clients match them.
pub(super) fn text(error: &io::Error) -> String {
    match error.raw_os_error().and_then(|number| u16::try_from(number).ok()) {
        Some(number) => Errno(number).to_string(),
        None => error.to_string(),
    }
}

/// Whether the step's failure is that of the container's process, or of the way to it.
const fn starts_a_process(step: Step) -> bool {
    match step {
        Step::Spawn
        | Step::IdMap
        | Step::RuntimeHooks
        | Step::Prepare
        | Step::Release
        | Step::OpenGate
        | Step::Launch
        | Step::PoststartHooks
        | Step::SpawnExec => true,
        Step::Manifest
        | Step::Cgroup
        | Step::CommitCreated
        | Step::Signal
        | Step::Freeze
        | Step::Thaw
        | Step::Limit
        | Step::Dump
        | Step::CommitCheckpointed
        | Step::RestoreTree
        | Step::CommitRestored
        | Step::CommitDeleting
        | Step::KillAll
        | Step::Reap
        | Step::RemoveCgroup
        | Step::PoststopHooks
        | Step::RemoveRecord => false,
    }
}
