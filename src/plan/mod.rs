//! The compiler: a [`Spec`](crate::spec::Spec) and a [`Host`] in, a [`Plan`] out.
//!
//! A plan is the program that a child performs alone, with what its maker must know of it:
//!
//! | who        | on [`Given::Sync`]                                                            |
//! |------------|-------------------------------------------------------------------------------|
//! | child      | four bytes: init's pid, when the plan [forks](Plan::forks)                    |
//! | child      | the terminal's master with `/dev/ptmx`, for [`Terminal::Relay`]               |
//! | child      | `H`, when [`Plan::hooks_stop`]; it waits for one byte                         |
//! | child      | `R`: all that can fail before the start is done; it waits for one byte        |
//! | init       | waits for one byte on [`Given::Gate`]; from here on failures go to the gate   |
//!
//! **Invariant:** pure: the host is a value, nothing is opened, read or asked.
//!
//! **Invariant:** every program that is compiled here passes [`lint`](crate::sys::lint()).

mod host;

use crate::spec::{Hook, Invalid, Process, Spec};
use crate::sys::{Errno, Program};

pub use host::{
    CgroupDir, Feature, Filter, Given, Hierarchy, Host, Leaving, Situation, Source, Stream,
    Terminal, Version,
};

/// What a child does alone, and what its maker must know of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// What the child does.
    pub program: Program,
    /// The `CLONE_NEW*` flags that the child is made with.
    pub namespaces: u64,
    /// What fills the program's slots, from 0 up; the first is always [`Given::Sync`].
    pub given: Vec<Given>,
    /// The child makes another one, which is init: its pid comes as four bytes on the sync
    /// socket, in the numbers of the child's own pid namespace.
    pub forks: bool,
    /// The child makes a user namespace and waits for its id maps.
    pub mapped: bool,
    /// Init stops with `H` for the hooks of the runtime.
    pub hooks_stop: bool,
}

/// A container that a process is to join.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Joined {
    /// The pid of its init; the namespaces are those of `/proc/PID/ns`.
    pub init_pid: u32,
    /// The kinds of namespace to join: those in which init differs from the caller.
    pub namespaces: Vec<crate::spec::NamespaceKind>,
}

/// Compiles what the init of a container does, from its birth to its program.
///
/// # Errors
///
/// What the specification asks for and cannot be had on this host.
pub fn init(spec: &Spec, situation: &Situation<'_>) -> Result<Plan, Invalid> {
    let _ = (spec, situation);
    todo!("compiled next")
}

/// Compiles what a process does that joins a container, from its birth to its program.
///
/// # Errors
///
/// What the process asks for and cannot be had.
pub fn exec(
    process: &Process,
    joined: &Joined,
    situation: &Situation<'_>,
) -> Result<Plan, Invalid> {
    let _ = (process, joined, situation);
    todo!("compiled next")
}

/// Compiles what a hook of the runtime does: its one given descriptor becomes the standard input,
/// and a failure is reported on the other.
#[must_use]
pub fn hook(hook: &Hook, host: &Host) -> Plan {
    let _ = (hook, host);
    todo!("compiled next")
}

impl Plan {
    /// Returns a failure of the program in one short line.
    #[must_use]
    pub fn explain(&self, op: u16, errno: Errno) -> String {
        let about = self.program.about(op);
        format!("{about}: {errno}")
    }
}
