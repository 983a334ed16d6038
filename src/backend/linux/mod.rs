//! The real kernel.
//!
//! ```text
//! Linux ── ask ──► raw: one instruction
//!    └─── Spawn ─► spawn: clone3, vfork-like ─► born: touches its own stack only
//!                    └─ image: the sealed memfd that the child executes, its program in it
//! ```
//!
//! **Invariant:** every `unsafe` of the crate is here and in the stub.
//!
//! **Invariant:** nothing here changes the caller's process: no thread, no handler, no `errno`,
//! and no descriptor that stays open.

mod born;
mod device;
#[cfg(feature = "seccomp")]
pub mod filter;
pub mod host;
mod image;
#[path = "../../stub/image.rs"]
mod layout;
mod memfd;
mod raw;
mod spawn;

use core::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sys::{Call, Errno, Kernel, Live, flags};

pub use device::{block_broken_pipes, wait_signal, window_size};

/// Linux, as the calling process sees it.
///
/// `Execve`, `Exit` and `Fork` are answered `ENOSYS`: a library neither replaces, ends nor copies
/// the process that it is a guest in. They are for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Linux;

impl Kernel for Linux {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        match call {
            Call::Execve { .. } | Call::Exit { .. } | Call::Fork { .. } => Err(Errno::ENOSYS),
            Call::Spawn { child, pidfd } => spawn::spawn(child, pidfd),
            // The C library mostly knows without asking the kernel (vdso(7)).
            Call::ClockGettime { clock: flags::CLOCK_REALTIME, time } => now(time),
            call => raw::ask(&call),
        }
    }
}

/// Tells the time as clock_gettime(2) does: a `struct timespec`.
fn now(time: &[Cell<u8>]) -> Result<u64, Errno> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| Errno::EINVAL)?;
    let seconds = since.as_secs().to_le_bytes();
    let nanoseconds = u64::from(since.subsec_nanos()).to_le_bytes();
    for (cell, byte) in time.iter().zip(seconds.into_iter().chain(nanoseconds)) {
        cell.set(byte);
    }
    Ok(0)
}
