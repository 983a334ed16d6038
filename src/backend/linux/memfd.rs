//! Files in memory that nobody can change any more.

#![expect(unsafe_code, reason = "operations have padding, so no slice of bytes can show them")]

use core::ffi::CStr;
use core::marker::PhantomData;

use super::Linux;
use super::raw::{ask, door};
use crate::sys::{Call, Errno, Fd, RawFd, flags, number};

/// A file to be executed, as memfd_create(2) spells it since Linux 6.3.
const MFD_EXEC: u32 = 0x10;
const F_SEAL_EXEC: u64 = 0x20;
const SEALS: u64 =
    flags::F_SEAL_SEAL | flags::F_SEAL_SHRINK | flags::F_SEAL_GROW | flags::F_SEAL_WRITE;

/// Makes an empty file in memory, to be executed.
pub(super) fn create(name: &CStr) -> Result<Fd<'static, Linux>, Errno> {
    let flags = flags::MFD_CLOEXEC | flags::MFD_ALLOW_SEALING;
    let fd = match ask(&Call::MemfdCreate { name, flags: flags | MFD_EXEC }) {
        // EINVAL: before Linux 6.3 there was nothing to say about it.
        Err(Errno::EINVAL) => ask(&Call::MemfdCreate { name, flags })?,
        answer => answer?,
    };
    own(fd)
}

/// Takes a descriptor that a call gave.
pub(super) fn own(fd: u64) -> Result<Fd<'static, Linux>, Errno> {
    Ok(Fd::new(RawFd::try_from(fd).map_err(|_| Errno::EOVERFLOW)?, &Linux))
}

/// A run of memory as it lies: `struct iovec`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Run<'a> {
    at: usize,
    len: usize,
    items: PhantomData<&'a ()>,
}

impl<'a> Run<'a> {
    /// Returns the memory of some items.
    pub(super) fn of<T: Copy>(items: &'a [T]) -> Self {
        let at = items.as_ptr().expose_provenance();
        Self { at, len: size_of_val(items), items: PhantomData }
    }
}

/// Writes runs one behind the other, in one call.
pub(super) fn write(fd: RawFd, runs: &[Run<'_>]) -> Result<(), Errno> {
    let len: usize = runs.iter().map(|run| run.len).sum();
    let file = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
    let words = [file, runs.as_ptr().expose_provenance(), runs.len(), 0, 0, 0];
    // SAFETY: writev(2) reads the items, and nobody else sees what is in their padding but the
    // stub, which does not look.
    match unsafe { door(number::WRITEV, words) }? {
        count if count == len => Ok(()),
        _ => Err(Errno::ENOSPC),
    }
}

/// Makes a file what it is for good.
pub(super) fn seal(fd: RawFd) -> Result<(), Errno> {
    let command = flags::F_ADD_SEALS;
    match ask(&Call::Fcntl { fd, command, argument: SEALS | F_SEAL_EXEC }) {
        // EINVAL: the seal of the mode came with Linux 6.3.
        Err(Errno::EINVAL) => ask(&Call::Fcntl { fd, command, argument: SEALS }).map(drop),
        answer => answer.map(drop),
    }
}
