//! A container runtime whose lifecycle is a pure state machine over a pluggable syscall backend.
//!
//! A [`Runtime`] keeps containers in a state directory and asks a kernel for everything: Linux
//! ([`backend::linux::Linux`]), or a kernel in memory ([`backend::fake::World`]) on which the very
//! same code is tested, explored and made to fail.
//!
//! # A container's life
//!
//! Create, start, wait, delete: the same function for every kernel. Here it runs on the fake, so
//! it needs neither root nor Linux.
//!
#![cfg_attr(feature = "fake", doc = "```")]
#![cfg_attr(not(feature = "fake"), doc = "```ignore")]
//! use std::cell::RefCell;
//!
//! use cofferdam::backend::fake::{Payload, Profile, World};
//! use cofferdam::spec::Spec;
//! use cofferdam::sys::Kernel;
//! use cofferdam::{Create, Error, Exit, Runtime, Status};
//!
//! fn life<K: Kernel>(kernel: K) -> Result<Exit, Error> {
//!     let runtime = Runtime::new(kernel, "/run/example")?;
//!     let spec = Spec::usual("/bundle/rootfs", ["/bin/three"]);
//!     let create = Create { bundle: "/bundle".into(), spec, ..Create::default() };
//!     let container = runtime.create("life", &create)?;
//!     assert_eq!(container.state()?.status, Status::Created);
//!     container.start()?;
//!     let exit = container.wait()?;
//!     container.delete()?;
//!     Ok(exit)
//! }
//!
//! let mut world = World::new(Profile::default());
//! for directory in ["dev", "proc", "sys"] {
//!     world.mkdir(&format!("/bundle/rootfs/{directory}"));
//! }
//! world.payload("/bundle/rootfs/bin/three", Payload::exit(3));
//! let client = world.client();
//! let world = RefCell::new(world);
//! assert_eq!(life(World::process(&world, client)).unwrap(), Exit::Code(3));
//! ```
//!
//! # Further processes
//!
//! [`Container::exec`] adds a process, with its streams where the caller wants them; what comes
//! back is a [`Process`], named by its pidfd, to be signalled and waited for.
//!
#![cfg_attr(all(feature = "linux", target_os = "linux"), doc = "```no_run")]
#![cfg_attr(not(all(feature = "linux", target_os = "linux")), doc = "```ignore")]
//! use std::io::Read;
//! use std::os::fd::AsRawFd;
//!
//! use cofferdam::backend::linux::Linux;
//! use cofferdam::{Exec, Runtime, Stdio};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::new(Linux, "/run/example")?;
//! let container = runtime.container("web")?;
//! let (mut output, writer) = std::io::pipe()?;
//! let mut process = container.process()?.0.unwrap_or_default();
//! process.args = vec!["date".into()];
//! let stdio = [Stdio::Inherit, Stdio::Fd(writer.as_raw_fd()), Stdio::Inherit];
//! let process = container.exec(&Exec { process, stdio, ..Exec::default() })?;
//! drop(writer);
//! let mut text = String::new();
//! output.read_to_string(&mut text)?;
//! println!("{text}{:?}", process.wait()?);
//! # Ok(())
//! # }
//! ```
//!
//! # What a caller can rely on
//!
//! - Nothing of the calling process changes: directory, mask, environment, signals, descriptors.
//!   No thread is started; the caller's binary is never executed again.
//! - A request that fails leaves nothing behind, or says what it could not remove and keeps the
//!   record, so that [`Container::force_delete`] goes on from there.
//! - A process is signalled only through a descriptor that was verified to be it.
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `fake` | the kernel in memory; needs nothing of the host |
//! | `linux` | the real kernel; needs `libc`, `nix` and `caps` |
//! | `seccomp` | filters compiled by the C library libseccomp |
//! | `testing` | the explorer of interleavings, see [`testing`] |
//! | `cli` | the commands |
//!
//! All are on by default. Without any, the library links no C library.

extern crate alloc;

pub mod backend;
#[cfg(feature = "cli")]
pub mod cli;
pub mod plan;
pub mod run;
pub mod spec;
pub mod state;
pub mod sys;
#[cfg(feature = "testing")]
pub mod testing;

pub use run::{
    Console, Container, Create, Error, Exec, Exit, Failure, Process, Runtime, State, Stdio,
};
pub use state::Status;
