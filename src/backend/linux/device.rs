//! What the commands ask of devices.

#![expect(unsafe_code, reason = "a call that writes into memory")]

use std::os::fd::{AsRawFd, BorrowedFd};

use super::raw::door;
use crate::sys::{Errno, number};

/// Returns the size of a terminal, as a `struct winsize`.
///
/// # Errors
///
/// `ENOTTY` where it is no terminal.
pub fn window_size(terminal: BorrowedFd<'_>) -> Result<[u8; 8], Errno> {
    const TIOCGWINSZ: usize = 0x5413;
    let mut size = [0_u8; 8];
    let fd = usize::try_from(terminal.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let block = (&raw mut size).expose_provenance();
    // SAFETY: the call writes the eight bytes of a `struct winsize` (ioctl_tty(2)).
    unsafe { door(number::IOCTL, [fd, TIOCGWINSZ, block, 0, 0, 0]) }?;
    Ok(size)
}

/// Makes a write to a pipe without readers an error instead of a signal, as Rust's own start-up
/// does for programs that it enters.
///
/// For commands only: a library leaves the dispositions of its caller alone.
pub fn ignore_broken_pipes() {
    const SIGPIPE: usize = 13;
    /// `struct sigaction` of the kernel: SIG_IGN, no flags, no restorer, no mask.
    static IGNORE: [usize; 4] = [1, 0, 0, 0];
    let action = (&raw const IGNORE).expose_provenance();
    // SAFETY: the call reads one `struct sigaction`; no handler is installed.
    let set = unsafe { door(number::RT_SIGACTION, [SIGPIPE, action, 0, 8, 0, 0]) };
    debug_assert!(set.is_ok(), "SIGPIPE can be ignored");
}
