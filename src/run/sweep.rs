//! Homes taken down, with what their makers or removers have left of them; and their locks.
//!
//! **Invariant:** what is gone already is success: two may take the same home down.

use std::ffi::CString;

use crate::sys::{CWD, Call, Errno, Fd, Kernel, Syscalls, flags};

use super::error::{Doing, Failure};

/// Removes a home that was being made, if its maker has died; returns whether the name is free.
///
/// The lock is held meanwhile, so that what is emptied is the orphan and no newer home; a newer
/// one that is not locked yet may lose its name, and its maker makes another.
pub(super) fn clear_orphan<K: Kernel>(kernel: &K, path: &CString) -> Result<bool, Errno> {
    let dir = match kernel.open(CWD, path, flags::O_RDONLY | flags::O_DIRECTORY) {
        Ok(dir) => dir,
        Err(Errno::ENOENT) => return Ok(true),
        Err(errno) => return Err(errno),
    };
    match flock(kernel, &dir, flags::LOCK_EX | flags::LOCK_NB) {
        Ok(()) => (),
        Err(Errno::EAGAIN) => return Ok(false),
        Err(errno) => return Err(errno),
    }
    discard(kernel, path, &dir)
}

/// Removes a home that was being made, and that this caller has locked; returns whether the name
/// is free.
pub(super) fn discard<K: Kernel>(
    kernel: &K,
    path: &CString,
    dir: &Fd<'_, K>,
) -> Result<bool, Errno> {
    // Its maker may have moved it in before it was locked: then it is a container's home.
    if !names(kernel, path, dir)? {
        return Ok(true);
    }
    empty(kernel, dir)?;
    match kernel.unlink(CWD, path, flags::AT_REMOVEDIR) {
        // Somebody else's newer home stands there by now.
        Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Returns whether a path leads to an open directory.
pub(super) fn names<K: Kernel>(kernel: &K, path: &CString, dir: &Fd<'_, K>) -> Result<bool, Errno> {
    let held = kernel.stat(dir.raw(), c"", flags::AT_EMPTY_PATH)?;
    match kernel.stat(CWD, path, flags::AT_SYMLINK_NOFOLLOW) {
        Ok(named) => Ok((named.inode, named.device) == (held.inode, held.device)),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Removes what is in a home, then the home; what is gone already is success.
pub(super) fn strip<K: Kernel>(kernel: &K, path: &CString) -> Result<(), Errno> {
    match kernel.open(CWD, path, flags::O_RDONLY | flags::O_DIRECTORY) {
        Ok(dir) => empty_and_remove(kernel, &dir, path, true),
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Removes a home and what is usually in it; what else was found in it then, too.
pub(super) fn empty_and_remove<K: Kernel>(
    kernel: &K,
    dir: &Fd<'_, K>,
    path: &CString,
    gate: bool,
) -> Result<(), Errno> {
    if gate {
        gone(kernel.unlink(dir.raw(), c"gate", 0))?;
    }
    gone(kernel.unlink(dir.raw(), c"record.json", 0))?;
    match kernel.unlink(CWD, path, flags::AT_REMOVEDIR) {
        Err(Errno::ENOTEMPTY) => {
            empty(kernel, dir)?;
            gone(kernel.unlink(CWD, path, flags::AT_REMOVEDIR))
        }
        removed => gone(removed),
    }
}

/// Removes all that can be in a home.
pub(super) fn empty<K: Kernel>(kernel: &K, dir: &Fd<'_, K>) -> Result<(), Errno> {
    for name in [c"gate", c"record.json", c"record.new"] {
        gone(kernel.unlink(dir.raw(), name, 0))?;
    }
    Ok(())
}

fn gone(answer: Result<(), Errno>) -> Result<(), Errno> {
    match answer {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Gives a lock up, and keeps the directory open.
///
/// # Errors
///
/// Those of flock(2).
pub(super) fn unlock<K: Kernel>(home: &Fd<'_, K>) -> Result<(), Failure> {
    flock(home.kernel(), home, flags::LOCK_UN).doing(|| "unlock the container")
}

pub(super) fn flock<K: Kernel>(kernel: &K, dir: &Fd<'_, K>, operation: u32) -> Result<(), Errno> {
    loop {
        match kernel.call(Call::Flock { fd: dir.raw(), operation }) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => (),
            Err(errno) => return Err(errno),
        }
    }
}
