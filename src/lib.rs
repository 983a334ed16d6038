//! A container runtime whose lifecycle is a pure state machine over a pluggable syscall backend.

extern crate alloc;

pub mod backend;
#[cfg(feature = "cli")]
pub mod cli;
pub mod plan;
pub mod run;
pub mod spec;
pub mod state;
pub mod sys;

pub use run::{
    Console, Container, Create, Error, Exec, Exit, Failure, Process, Runtime, State, Stdio,
};
pub use state::Status;
