//! Why a document is refused, and what about it is merely odd.
//!
//! **Invariant:** each names its place by a JSON pointer (RFC 6901) into the document as given;
//! the pointer of something missing names where it should be.

use std::fmt;

use thiserror::Error;

use super::NamespaceKind;

/// What a reader made of a document, and what it found odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read<T> {
    /// What the document describes.
    pub value: T,
    /// What did not matter enough to refuse it.
    pub warnings: Vec<Warning>,
}

/// Why a document is refused: the first reason found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Invalid {
    /// Where, as a JSON pointer; empty: the whole document.
    pub pointer: String,
    /// Why.
    pub why: Reason,
}

impl fmt::Display for Invalid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(out, &self.pointer)?;
        write!(out, "{}", self.why)
    }
}

/// What about a value is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// Another thing asked for rules it out.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// It is there a second time.
    #[error("given twice")]
    Duplicate,
    /// It holds nothing.
    #[error("empty")]
    Empty,
    /// It is of the right type and cannot be right.
    #[error("{0}")]
    Malformed(&'static str),
    /// It must be there.
    #[error("missing")]
    Missing,
    /// It holds a NUL byte.
    #[error("holds a NUL byte")]
    Nul,
    /// It is no integer of those.
    #[error("not an integer from {least} to {most}")]
    Range {
        /// The least that is.
        least: i128,
        /// The most that is.
        most: i128,
    },
    /// It is a relative path.
    #[error("not an absolute path")]
    Relative,
    /// It is no JSON.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// It is of another type.
    #[error("not {expected}")]
    Type {
        /// Which it should be.
        expected: &'static str,
    },
    /// It is none of the words that could stand there.
    #[error("unknown {what} {word:?}")]
    Unknown {
        /// What kind of word should.
        what: &'static str,
        /// The word.
        word: String,
    },
    /// It makes sense, and this runtime cannot do it.
    #[error("not supported")]
    Unsupported,
    /// The version is none of 1.x.
    #[error("version {0:?} is not 1.x.y")]
    Version(String),
}

/// Two things asked for that exclude each other.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Conflict {
    /// A domain name in the host's UTS namespace.
    #[error("needs a uts namespace")]
    Domainname,
    /// A kernel parameter that is the whole host's.
    #[error("belongs to no namespace")]
    HostSysctl {
        /// Its name as the document has it.
        name: String,
    },
    /// A host name in the host's UTS namespace.
    #[error("needs a uts namespace")]
    Hostname,
    /// Id maps without a user namespace.
    #[error("needs a user namespace")]
    MapsWithoutUser,
    /// Masked paths in the host's mount namespace.
    #[error("needs a mount namespace")]
    MaskedPaths,
    /// A new user namespace without group ids.
    #[error("a new user namespace needs id maps")]
    NoGidMaps,
    /// A new user namespace without user ids.
    #[error("a new user namespace needs id maps")]
    NoUidMaps,
    /// Read-only paths in the host's mount namespace.
    #[error("needs a mount namespace")]
    ReadonlyPaths,
    /// A kernel parameter whose namespace is the host's.
    #[error("needs its own {owner} namespace")]
    StraySysctl {
        /// Its name as the document has it.
        name: String,
        /// The kind of namespace it belongs to.
        owner: NamespaceKind,
    },
    /// Clock offsets without a new time namespace.
    #[error("needs a new time namespace")]
    TimeOffsets,
}

/// Something odd that did not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where, as a JSON pointer.
    pub pointer: String,
    /// What.
    pub what: Oddity,
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(out, &self.pointer)?;
        write!(out, "{}", self.what)
    }
}

/// What is odd about a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Oddity {
    /// An ambient capability that is not both permitted and inheritable.
    #[error("dropped, since it is not both permitted and inheritable")]
    Ambient,
    /// A capability that this runtime does not know.
    #[error("unknown capability {0:?} is ignored")]
    Capability(String),
    /// Mounts, while there is no mount namespace: they would be the host's.
    #[error("not made, since there is no mount namespace")]
    HostMounts,
    /// Id maps, while the user namespace is joined and has its own.
    #[error("ignored, since the user namespace joined by path has its own")]
    IdMaps,
    /// A property that has had no effect for years.
    #[error("obsolete, ignored")]
    Obsolete,
    /// A property of another operating system.
    #[error("of another platform, ignored")]
    Platform,
    /// A relative path.
    #[error("relative, taken from /")]
    Relative,
    /// A property that no version of the format has.
    #[error("unknown property, ignored")]
    Unknown,
}

/// Writes the place before what is to be said of it.
fn place(out: &mut fmt::Formatter<'_>, pointer: &str) -> fmt::Result {
    if pointer.is_empty() { Ok(()) } else { write!(out, "{pointer}: ") }
}
