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
