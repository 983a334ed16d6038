//! Calls that are nobody else's concern, so that their order among others' calls is nobody's.
//!
//! Such a call neither changes what another process could see nor sees what another could change,
//! and what it does is gone with its process. Whoever explores interleavings performs it at once.
//!
//! **Invariant:** in doubt a call is not private: that costs time, the opposite costs truth.
//!
//! **Invariant:** a regular file that nobody has open for writing keeps its bytes. It is true of
//! this runtime: only who has made a file writes to it, through the descriptor that made it.

use std::ffi::CStr;

use super::fds::{Lock, Open, What};
use super::files::Ino;
use super::proctree::Proc;
use super::spaces::Kind;
use super::{Pid, World};
use crate::sys::{Call, Live, RawFd, flags};

impl World {
    /// Returns whether a call of `pid` is nobody else's concern.
    pub(super) fn is_private(&self, pid: Pid, call: &Call<Live<'_>>) -> bool {
        match *call {
            Call::BpfLoad { .. }
            | Call::Capset { .. }
            | Call::ClockGettime { .. }
            | Call::Fchdir { .. }
            | Call::Fstatfs { .. }
            | Call::Geteuid {}
            | Call::Getpid {}
            | Call::MemfdCreate { .. }
            | Call::MountSetattr { dir: -1, .. }
            | Call::Pipe2 { .. }
            | Call::Prctl { .. }
            | Call::Prlimit { pid: 0, .. }
            | Call::Seccomp { .. }
            | Call::Setgroups { .. }
            | Call::Setresgid { .. }
            | Call::Setresuid { .. }
            | Call::Setsid {}
            | Call::SignalDefault { .. }
            | Call::Socketpair { .. }
            | Call::Umask { .. } => true,
            Call::Chdir { path } | Call::Chroot { path } => is_nameless(path),
            Call::Mount { target, flags: how, .. } => {
                // What attaches depends on whether the directory is still there.
                let changes = flags::MS_REMOUNT
                    | flags::MS_PRIVATE
                    | flags::MS_SHARED
                    | flags::MS_SLAVE
                    | flags::MS_UNBINDABLE;
                how & changes != 0 && is_nameless(target) && self.is_apart(pid)
            }
            Call::MountSetattr { path, .. } | Call::OpenTree { path, .. } => {
                is_nameless(path) && self.is_apart(pid)
            }
            Call::PivotRoot { new_root: path, put_old: other } => {
                is_nameless(path) && is_nameless(other) && self.is_apart(pid)
            }
            Call::Umount2 { target: path, .. } => is_nameless(path) && self.is_apart(pid),
            Call::Close { fd } => self.is_quiet(pid, fd),
            Call::CloseRange { first, last, .. } => {
                let inside = |fd: &&RawFd| (first..=last).contains(&fd.cast_unsigned());
                self.task(pid).fds.keys().filter(inside).all(|fd| self.is_quiet(pid, *fd))
            }
            Call::Dup3 { new, .. } => self.is_quiet(pid, new),
            Call::Openat2 { path, flags: how, .. } => {
                let path = path.to_bytes();
                // In a root of its own that may be anybody's directory.
                self.task(pid).root == self.task(1).root
                    && how & 3 == flags::O_RDONLY
                    && (path.starts_with(b"/proc/self/") || path.starts_with(b"/proc/sys/"))
            }
            Call::Readlinkat { path, .. } => path.to_bytes().starts_with(b"/proc/self/ns/"),
            Call::Lseek { fd, .. } | Call::Read { fd, .. } => {
                self.open_of(pid, fd).is_ok_and(|open| self.is_constant(pid, open))
            }
            _ => false,
        }
    }

    /// Returns whether a process has mounts of its own.
    fn is_apart(&self, pid: Pid) -> bool {
        self.task(pid).space(Kind::Mnt) != self.task(1).space(Kind::Mnt)
    }

    /// Returns whether nobody sees a descriptor being closed.
    fn is_quiet(&self, pid: Pid, fd: RawFd) -> bool {
        self.open_of(pid, fd).is_ok_and(|open| match (open.what, open.place().ino) {
            (What::Socket(_) | What::Tree(_), _) => false,
            (_, Ino::Plain(row)) => open.lock == Lock::None && self.pipe_of(row).is_none(),
            _ => open.lock == Lock::None,
        })
    }

    /// Returns whether what `pid` reads of an open file stays what it is.
    fn is_constant(&self, pid: Pid, open: &Open) -> bool {
        match open.place().ino {
            Ino::Plain(row) => {
                let ino = Ino::Plain(row);
                let written = |open: &Open| open.writes() && open.place().ino == ino;
                self.pipe_of(row).is_none() && !self.opens.iter().any(|(_, open)| written(open))
            }
            Ino::Proc(Proc::Fixed(_)) => true,
            Ino::Proc(Proc::TaskFile(own, _)) => own == pid,
            Ino::Cgroup(_)
            | Ino::CgroupFile(..)
            | Ino::Nameless
            | Ino::Proc(_)
            | Ino::Socket(_)
            | Ino::Space(_) => false,
        }
    }
}

/// Returns whether a path has no name in it that somebody could give to something else.
fn is_nameless(path: &CStr) -> bool {
    matches!(path.to_bytes(), b"" | b"." | b"/")
}
