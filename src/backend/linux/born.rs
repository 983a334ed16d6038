//! What a child does in its maker's memory, before it becomes the stub.
//!
//! **Invariant:** it writes to its own stack and to [`Birth::errno`], reads what the suspended
//! maker holds still, and calls nothing but the kernel: no allocator, no lock, no thread-local, no
//! panic.

#![expect(unsafe_code, reason = "executes the stub and never returns")]

use core::sync::atomic::{AtomicU16, Ordering};

use super::raw::{ask, door};
use crate::sys::{Call, Errno, RawFd, flags, number};

/// What the child is told.
#[derive(Debug)]
pub(super) struct Birth<'a> {
    /// The cgroups to join.
    pub(super) tasks: &'a [RawFd],
    /// The descriptors to keep.
    pub(super) given: &'a [RawFd],
    /// The stub to become, with its program.
    pub(super) stub: RawFd,
    /// Whether capabilities must come across execve(2) without a user id.
    pub(super) ambient: bool,
    /// Why the child did not become the stub; 0 when it did.
    pub(super) errno: AtomicU16,
}

/// Becomes the stub, or leaves the errno behind and exits.
pub(super) unsafe extern "C" fn born(birth: *const Birth<'_>) -> ! {
    // SAFETY: the maker's, who is suspended until this process executes or exits.
    let birth = unsafe { &*birth };
    let Err(errno) = birth.become_stub();
    birth.errno.store(errno.0, Ordering::Relaxed);
    loop {
        let _ = ask(&Call::Exit { status: 1 });
    }
}

impl Birth<'_> {
    fn become_stub(&self) -> Result<core::convert::Infallible, Errno> {
        // The cheap door into a cgroup of version 1: "0", by the process itself, while it has one
        // thread (kernel/cgroup/cgroup-v1.c, cgroup1_tasks_write takes no lock then).
        for fd in self.tasks {
            ask(&Call::Write { fd: *fd, bytes: b"0" })?;
        }
        if self.ambient {
            raise_ambient()?;
        }
        let (command, argument) = (flags::F_SETFD, 0);
        for fd in self.given {
            ask(&Call::Fcntl { fd: *fd, command, argument })?;
        }
        Err(self.execute())
    }

    fn execute(&self) -> Errno {
        const AT_EMPTY_PATH: usize = flags::AT_EMPTY_PATH as usize;
        let Ok(stub) = usize::try_from(self.stub) else { return Errno::EBADF };
        let argv = [c"cofferdam".as_ptr(), c"init".as_ptr(), core::ptr::null()];
        let no_envp = [0usize];
        let (path, argv, envp) =
            (c"".as_ptr().addr(), argv.as_ptr().addr(), (&raw const no_envp).addr());
        // SAFETY: lists end in null and strings in NUL, and all are on this stack or constants.
        match unsafe { door(number::EXECVEAT, [stub, path, argv, envp, AT_EMPTY_PATH, 0]) } {
            Ok(_) => Errno::EFAULT,
            Err(errno) => errno,
        }
    }
}

/// Makes every capability survive execve(2): a process of a new user namespace has all of them, but
/// without a mapped id it would keep only the ambient ones (capabilities(7)).
///
/// Becoming id 0 here, once mapped, would be simpler, but a change of ids makes the memory that is
/// shared with the maker non-dumpable (prctl(2), `PR_SET_DUMPABLE`): he would be changed by it.
fn raise_ambient() -> Result<(), Errno> {
    let all = u64::MAX;
    ask(&Call::Capset { effective: all, permitted: all, inheritable: all })?;
    let (option, a) = (flags::PR_CAP_AMBIENT, flags::PR_CAP_AMBIENT_RAISE);
    for b in 0..64 {
        match ask(&Call::Prctl { option, a, b, c: 0, d: 0 }) {
            // EINVAL: behind the last capability that this kernel knows.
            Err(Errno::EINVAL) if b != 0 => return Ok(()),
            answer => answer.map(drop)?,
        }
    }
    Ok(())
}
