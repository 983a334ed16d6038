//! The stub, kept open as long as the process lives.
//!
//! **Invariant:** what is executed is what this module wrote: a sealed file or, where
//! `vm.memfd_noexec` forbids that, one without a name that serves a single child. For a container
//! that holds on to the stub it was born from can write to what is not sealed.

use core::ffi::CStr;
use std::ffi::CString;
use std::sync::{Mutex, PoisonError};

use super::Linux;
use super::memfd::{Purpose, Run, create, own, seal, write};
use super::raw::ask;
use crate::sys::{CWD, Call, Errno, Fd, RawFd, Syscalls, flags};

/// The program that `src/stub.rs` is compiled to.
static STUB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stub"));

/// A stub to execute.
#[derive(Debug)]
pub(super) enum Stub {
    /// It serves every child.
    Kept(RawFd),
    /// It serves one child.
    Single(Fd<'static, Linux>),
}

impl Stub {
    /// Returns its descriptor.
    pub(super) const fn raw(&self) -> RawFd {
        match self {
            Self::Kept(fd) => *fd,
            Self::Single(fd) => fd.raw(),
        }
    }
}

/// A sealed stub, with what tells whether the descriptor is still the stub's.
#[derive(Clone, Copy, Debug)]
struct Kept {
    fd: RawFd,
    device: (u32, u32),
    inode: u64,
}

static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

/// Where a file without a name may be executed from, if one in memory may not.
const PLACES: [&CStr; 4] = [c"/run", c"/dev/shm", c"/tmp", c"/var/tmp"];
const O_TMPFILE: u64 = 0o20_000_000 | flags::O_DIRECTORY;

/// Returns a stub, the one that the process keeps if it may.
pub(super) fn stub() -> Result<Stub, Errno> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    // A host that daemonizes closes what it does not know, and opens something else there.
    if let Some(stub) = *kept
        && stub.is_there()
    {
        return Ok(Stub::Kept(stub.fd));
    }
    match sealed() {
        Ok(fd) => {
            let stub = kept.insert(Kept::of(fd)?);
            Ok(Stub::Kept(stub.fd))
        }
        // EACCES: `vm.memfd_noexec` is 2; sysctl documentation, admin-guide/sysctl/vm.
        Err(Errno::EACCES) => unnamed().map(Stub::Single),
        Err(errno) => Err(errno),
    }
}

impl Kept {
    fn of(fd: Fd<'static, Linux>) -> Result<Self, Errno> {
        let stat = Linux.stat(fd.raw(), c"", flags::AT_EMPTY_PATH)?;
        Ok(Self { fd: fd.into_raw(), device: stat.device, inode: stat.inode })
    }

    fn is_there(self) -> bool {
        let stat = Linux.stat(self.fd, c"", flags::AT_EMPTY_PATH);
        stat.is_ok_and(|stat| stat.device == self.device && stat.inode == self.inode)
    }
}

fn sealed() -> Result<Fd<'static, Linux>, Errno> {
    let fd = create(c"cofferdam-stub", Purpose::Execute)?;
    write(fd.raw(), &[Run::of(STUB)])?;
    seal(fd.raw())?;
    Ok(fd)
}

/// Writes the stub to a file on disk that has no name.
fn unnamed() -> Result<Fd<'static, Linux>, Errno> {
    let mut errno = Errno::EACCES;
    for place in PLACES {
        match unnamed_at(place) {
            Ok(fd) => return Ok(fd),
            Err(why) => errno = why,
        }
    }
    Err(errno)
}

fn unnamed_at(place: &CStr) -> Result<Fd<'static, Linux>, Errno> {
    let flags = O_TMPFILE | flags::O_RDWR | flags::O_CLOEXEC;
    let file = own(ask(&Call::Openat2 { dir: CWD, path: place, flags, mode: 0o555, resolve: 0 })?)?;
    write(file.raw(), &[Run::of(STUB)])?;
    // ETXTBSY: what is open for writing is not executed, so it is opened again, to be read.
    let name = CString::new(format!("/proc/self/fd/{}", file.raw())).map_err(|_| Errno::EINVAL)?;
    let (path, flags) = (&*name, flags::O_RDONLY | flags::O_CLOEXEC);
    let stub = own(ask(&Call::Openat2 { dir: CWD, path, flags, mode: 0, resolve: 0 })?)?;
    drop(file);
    let (mode, flags) = (flags::X_OK, flags::AT_EMPTY_PATH);
    // EACCES: the place is mounted noexec.
    ask(&Call::Faccessat2 { dir: stub.raw(), path: c"", mode, flags })?;
    Ok(stub)
}

#[cfg(test)]
mod tests {
    use super::STUB;

    fn holds(words: &[u8]) -> bool {
        STUB.windows(words.len()).any(|window| window == words)
    }

    #[test]
    fn the_stub_cannot_panic() {
        assert!(!holds(b"the stub panicked"), "the panic handler is linked in");
        assert!(holds(b"cofferdam\0"), "the words would be found");
    }

    #[test]
    fn the_stub_is_small() {
        assert!(STUB.len() < 22_000, "{} bytes", STUB.len());
    }
}
