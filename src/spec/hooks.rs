//! Programs run on the way.

use serde::{Deserialize, Serialize};

/// The hooks of a container, each list in order. The OCI text says when each runs, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hooks {
    /// Deprecated; run as `create_runtime` is, before it.
    pub prestart: Vec<Hook>,
    /// In the runtime's namespaces, once the container's are made, before its root is changed.
    pub create_runtime: Vec<Hook>,
    /// In the container's namespaces, before its root is changed.
    pub create_container: Vec<Hook>,
    /// In the container, just before the program.
    pub start_container: Vec<Hook>,
    /// In the runtime's namespaces, after the program has been started.
    pub poststart: Vec<Hook>,
    /// In the runtime's namespaces, after the container is gone.
    pub poststop: Vec<Hook>,
}

impl Hooks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A program that is handed the container's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hook {
    /// Its absolute path.
    pub path: String,
    /// Its arguments, the zeroth included: never empty.
    pub args: Vec<String>,
    /// Its environment; without one it has that of the runtime, or of the container's program.
    pub env: Option<Vec<String>>,
    /// How long it may take, in seconds; at least 1.
    pub timeout_secs: Option<u32>,
}

impl Hook {
    /// Returns how long it may take, in milliseconds as poll(2) takes them: -1 is for ever.
    pub(crate) fn timeout_ms(&self) -> i32 {
        let limit = self.timeout_secs.and_then(|secs| i32::try_from(secs).ok()?.checked_mul(1000));
        limit.unwrap_or(-1)
    }
}
