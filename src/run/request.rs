//! What a request carries beside the container's name.

use std::collections::BTreeSet;

use crate::plan::{Leaving, Stream};
use crate::spec;
use crate::sys::RawFd;

/// Where a standard stream of a container leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stdio {
    /// To a copy of this descriptor of the caller's.
    Fd(RawFd),
    /// Where the caller's own leads.
    #[default]
    Inherit,
}

/// Where the master of a container's terminal goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Console {
    /// There is no terminal.
    #[default]
    None,
    /// To the caller, who takes it from the process ([`Process::take_terminal`]).
    ///
    /// [`Process::take_terminal`]: super::Process::take_terminal
    Relay,
    /// Over this connected socket of the caller's (`--console-socket`).
    Socket(RawFd),
}

/// A compiled system call filter: an array of `struct sock_filter`, and flags of seccomp(2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// The instructions.
    pub code: Vec<u8>,
    /// The flags.
    pub flags: u32,
}

/// A container to create.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Create {
    /// The absolute path of the bundle, which relative paths of the spec start from.
    pub bundle: String,
    /// What the container is to be.
    pub spec: spec::Spec,
    /// The spec's filter, compiled; a spec with a filter is refused without it.
    pub filter: Option<Filter>,
    /// Its standard input, output and error.
    pub stdio: [Stdio; 3],
    /// Where the master of its terminal goes; only for a spec that asks for a terminal.
    pub console: Console,
    /// How the old root is left.
    pub leaving: Leaving,
    /// How many descriptors of the caller's, from 3 up, the container keeps.
    pub preserve_fds: u32,
}

/// A process to add to a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exec {
    /// The process.
    pub process: spec::Process,
    /// The container's filter, compiled.
    pub filter: Option<Filter>,
    /// Its standard input, output and error.
    pub stdio: [Stdio; 3],
    /// Where the master of its terminal goes.
    pub console: Console,
    /// How many descriptors of the caller's, from 3 up, the process keeps.
    pub preserve_fds: u32,
    /// In a paused container, it is made and freezes, and whoever makes it waits for the thaw.
    pub ignore_paused: bool,
}

/// The streams that are not inherited.
pub(super) fn replaced(stdio: &[Stdio; 3]) -> BTreeSet<Stream> {
    let streams = [Stream::Stdin, Stream::Stdout, Stream::Stderr];
    let replaced = |(stream, stdio): (Stream, &Stdio)| match stdio {
        Stdio::Fd(_) => Some(stream),
        Stdio::Inherit => None,
    };
    streams.into_iter().zip(stdio).filter_map(replaced).collect()
}
