//! The command `cofferdam`.
//!
//! It is entered from the C library, not from Rust's own start-up: that costs eighteen system calls
//! (a guard page, an alternative signal stack, a look at the memory map) for a message about stacks
//! that overflow.

#![no_main]
#![expect(unsafe_code, reason = "the C library calls main by its name")]

use core::ffi::c_int;

/// Runs the command.
// SAFETY: no other function of the program has this name.
#[unsafe(no_mangle)]
extern "C" fn main() -> c_int {
    c_int::from(cofferdam::cli::main())
}
