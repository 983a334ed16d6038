//! The lifecycle without std.

#![no_std]

extern crate alloc;

#[path = "../../../src/state/mod.rs"]
pub mod state;
