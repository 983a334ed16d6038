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

/// Makes a write to a pipe without readers an error instead of a signal.
///
/// The signal is blocked, not ignored: what is blocked here is not blocked in a container, while
/// ignoring it would be inherited and would have to be undone there.
///
/// For commands only: a library leaves the signals of its caller alone.
pub fn block_broken_pipes() {
    const SIG_BLOCK: usize = 0;
    static SIGPIPE: u64 = 1 << 12;
    let mask = (&raw const SIGPIPE).expose_provenance();
    // SAFETY: the call reads one mask of eight bytes.
    let set = unsafe { door(number::RT_SIGPROCMASK, [SIG_BLOCK, mask, 0, 8, 0, 0]) };
    debug_assert!(set.is_ok(), "SIGPIPE can be blocked");
}

/// Waits for any signal, all of which the caller has blocked, and takes it.
///
/// # Errors
///
/// `EINTR` where a signal that was not blocked came.
pub fn wait_signal() -> Result<u32, Errno> {
    static ALL: u64 = u64::MAX;
    let all = (&raw const ALL).expose_provenance();
    // SAFETY: the call reads one mask of eight bytes; nothing else of it is asked for.
    let signal = unsafe { door(number::RT_SIGTIMEDWAIT, [all, 0, 0, 8, 0, 0]) }?;
    u32::try_from(signal).map_err(|_| Errno::EOVERFLOW)
}
