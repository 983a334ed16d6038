//! Checks a program before anybody performs it.
//!
//! To be written with the compiler of programs.

use alloc::string::String;
use alloc::vec::Vec;

use super::program::Program;

/// What is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which operation.
    pub op: u16,
    /// What is wrong with it.
    pub why: String,
}

/// Returns what is wrong with `program`: nothing, for every program that is compiled here.
#[must_use]
pub fn lint(program: &Program) -> Vec<Fault> {
    let _ = program;
    Vec::new()
}
