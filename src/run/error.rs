//! What can go wrong, in the words of whoever has to act on it.
//!
//! | kind | who said no | what was done |
//! |---|---|---|
//! | [`Error::BadId`], [`Error::Invalid`] | the request itself | nothing was touched |
//! | [`Error::Refused`] | the state machine: not now | nothing was touched |
//! | [`Error::Failed`] | the kernel, at one step | what was done is undone, or the record is kept |

use std::fmt;

use thiserror::Error;

use crate::spec::Invalid;
use crate::state::{Refusal, Step, Why};
use crate::sys::Errno;

/// Why a request did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The name cannot be a container's.
    #[error("invalid container ID format: {0:?}")]
    BadId(String),
    /// A step failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The description of the container cannot be carried out.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The container is in no state for it.
    #[error("{}", Refused(.0))]
    Refused(Refusal),
}

/// A refusal, spelled as clients match it.
struct Refused<'a>(&'a Refusal);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Error {
    /// Returns whether the container does not exist.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(Refusal { why: Why::DoesNotExist, .. }))
    }

    /// Returns the kernel's own error, where there is one.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Failed(failure) => Some(failure.errno),
            Self::BadId(_) | Self::Invalid(_) | Self::Refused(_) => None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A step that the kernel did not let through.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}{}", Undone(.undo.as_deref()))]
pub struct Failure {
    /// The step of the lifecycle, or none while the request was only being looked at.
    pub step: Option<Step>,
    /// What was being done, with which object, and why it failed: one line.
    pub message: String,
    /// The kernel's error.
    pub errno: Errno,
    /// What then went wrong in undoing it; the record is kept, and `delete --force` resumes.
    pub undo: Option<Box<Self>>,
}

/// The failed undo behind a failure.
struct Undone<'a>(Option<&'a Failure>);

impl fmt::Display for Undone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(undo) => write!(f, "; then, undoing it: {undo}"),
            None => Ok(()),
        }
    }
}

impl Failure {
    /// Returns a failure of `what`.
    #[must_use]
    pub fn new(what: impl fmt::Display, errno: Errno) -> Self {
        Self::told(format!("{what}: {errno}"), errno)
    }

    /// Returns a failure whose message is already whole.
    #[must_use]
    pub const fn told(message: String, errno: Errno) -> Self {
        Self { step: None, message, errno, undo: None }
    }
}

/// Says what was being done when the kernel said no.
pub(super) trait Doing<T> {
    /// Names the action; it is only spelled out when it failed.
    fn doing<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T, Failure>;
}

impl<T> Doing<T> for Result<T, Errno> {
    fn doing<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T, Failure> {
        self.map_err(|errno| Failure::new(what(), errno))
    }
}

/// Passes over an answer that changes nothing; each caller says why.
pub(crate) fn regardless<T, E>(_: Result<T, E>) {}
