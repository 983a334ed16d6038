//! The steps of a container's life, asked of any kernel.
//!
//! | module | holds |
//! |---|---|
//! | `runtime`, `container` | [`Runtime`] and [`Container`]: what an embedder calls |
//! | `request` | what a request carries: streams, terminal, descriptors |
//! | `operation` | the engine: a plan of steps, each done or undone |
//! | `compile` | a request becomes a program and a record, before anything is made |
//! | `birth` | the steps of create: spawn, id maps, hand-shake, commit, release |
//! | `maps` | the id maps of a user namespace |
//! | `gate` | the steps of start |
//! | `join` | the step of exec |
//! | `update` | the step of update |
//! | `stats` | what a container uses |
//! | `end` | the steps of delete, which are create's undone |
//! | `hooks` | programs of others, run on the way |
//! | `cgroup` | the container's cgroups |
//! | `observe` | the facts: what the kernel says now |
//! | `streams` | standard streams for other users |
//! | `store` | the record and its directory: what the disk says |
//! | `sweep` | homes taken down, and their locks |
//! | `identity` | processes that cannot be mistaken for others |
//! | `probe` | the host, asked once |
//! | `error` | what can go wrong |
//!
//! **Invariant:** no backend is named here: every function is generic over [`Kernel`].
//!
//! **Invariant:** a step's body is a function of the kernel's answers: it keeps descriptors and
//! locals, no other state, and makes at most one residue. So it can be replayed.
//!
//! **Invariant:** the calling process stays as it is: no thread is started, nothing of its own
//! (directory, mask, environment, signals) is changed; what must change a process is a program.
//!
//! [`Kernel`]: crate::sys::Kernel

mod birth;
mod cgroup;
mod compile;
mod container;
mod end;
mod error;
mod gate;
mod hooks;
mod identity;
mod join;
mod maps;
mod observe;
mod operation;
mod probe;
mod process;
mod records;
mod request;
mod runtime;
mod stats;
mod store;
mod streams;
mod sweep;
mod update;

pub use container::Container;
#[cfg(feature = "cli")]
pub(crate) use error::regardless;
pub use error::{Error, Failure};
#[cfg(feature = "cli")]
pub(crate) use probe::now;
pub use process::{Exit, Process};
pub use request::{Console, Create, Exec, Filter, Stdio};
pub use runtime::{Runtime, State};
pub use stats::{
    Amount, BlockEntry, BlockStats, CpuStats, CpuUsage, MemoryStats, PidsStats, Stats, Throttling,
};
