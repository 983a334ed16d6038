//! Descriptors: tables of numbers, and the open files that they share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::files::{Ino, Inode, Name, Node, Place};
use super::{Answer, Pid, World};
use crate::sys::{Errno, RawFd, flags};

/// The first number that is given: a leak into a real kernel is `EBADF` there.
pub(super) const FIRST: RawFd = 1 << 30;

/// A row of a process's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) open: u32,
    pub(super) cloexec: bool,
}

/// An open file, shared by every number that leads to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Open {
    pub(super) what: What,
    /// `O_*`
    pub(super) flags: u64,
    pub(super) offset: u64,
    pub(super) lock: Lock,
    /// The directory as it was when it was first listed.
    pub(super) listing: Option<Arc<[Listed]>>,
    /// What the last read of the whole file gave, for poll(2) on files that announce changes.
    pub(super) seen: Option<Name>,
    /// How many numbers and messages hold it.
    pub(super) holders: u32,
}

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    Named(Place),
    /// A process, until it was waited for.
    Pidfd(Option<Pid>),
    Socket(u32),
    /// A detached mount.
    Tree(Place),
}

/// What flock(2) has on an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lock {
    Exclusive,
    None,
    Shared,
}

/// One entry of a listed directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Listed {
    pub(super) name: Name,
    pub(super) ino: Ino,
}

impl Open {
    pub(super) const fn new(what: What, flags: u64) -> Self {
        Self { what, flags, offset: 0, lock: Lock::None, listing: None, seen: None, holders: 1 }
    }

    pub(super) const fn place(&self) -> Place {
        match self.what {
            What::Named(place) | What::Tree(place) => place,
            What::Pidfd(_) => Place { mount: 0, ino: Ino::Nameless },
            What::Socket(row) => Place { mount: 0, ino: Ino::Socket(row) },
        }
    }

    pub(super) const fn has(&self, bits: u64) -> bool {
        self.flags & bits != 0
    }

    pub(super) const fn reads(&self) -> bool {
        self.flags & 3 != flags::O_WRONLY && !self.has(flags::O_PATH)
    }

    pub(super) const fn writes(&self) -> bool {
        self.flags & 3 != flags::O_RDONLY && !self.has(flags::O_PATH)
    }
}

impl World {
    pub(super) fn entry(&self, pid: Pid, fd: RawFd) -> Result<Entry, Errno> {
        self.task(pid).fds.get(&fd).copied().ok_or(Errno::EBADF)
    }

    /// Returns the open file of a number.
    pub(super) fn open_of(&self, pid: Pid, fd: RawFd) -> Result<&Open, Errno> {
        let entry = self.entry(pid, fd)?;
        self.opens.get(entry.open).ok_or(Errno::EBADF)
    }

    /// Returns the open file of a number for whoever does more with it than name what it leads to.
    pub(super) fn used(&self, pid: Pid, fd: RawFd) -> Result<&Open, Errno> {
        self.open_of(pid, fd)
            .and_then(|o| if o.has(flags::O_PATH) { Err(Errno::EBADF) } else { Ok(o) })
    }

    pub(super) fn open_mut(&mut self, pid: Pid, fd: RawFd) -> Result<&mut Open, Errno> {
        let entry = self.entry(pid, fd)?;
        self.opens.get_mut(entry.open).ok_or(Errno::EBADF)
    }

    /// Gives a process a number for a new open file.
    pub(super) fn give(&mut self, pid: Pid, mut open: Open) -> Answer {
        let cloexec = open.has(flags::O_CLOEXEC);
        open.flags &= !flags::O_CLOEXEC;
        let open = self.opens.add_by(pid, open);
        Ok(self.number(pid, Entry { open, cloexec }))
    }

    /// Gives a process the next number for an open file that already counts this holder.
    pub(super) fn number(&mut self, pid: Pid, entry: Entry) -> u64 {
        let task = self.task_mut(pid);
        let fd = task.next_fd;
        task.next_fd += 1;
        Arc::make_mut(&mut task.fds).insert(fd, entry);
        u64::from(fd.cast_unsigned())
    }

    pub(super) fn close(&mut self, pid: Pid, fd: RawFd) -> Answer {
        let Ok(entry) = self.entry(pid, fd) else {
            let what = format!("process {pid} closed {fd}, which it does not have open");
            Arc::make_mut(&mut self.violations).push(what);
            return Err(Errno::EBADF);
        };
        Arc::make_mut(&mut self.task_mut(pid).fds).remove(&fd);
        self.release(entry.open);
        Ok(0)
    }

    /// Takes one holder away from an open file, and the file with the last.
    pub(super) fn release(&mut self, row: u32) {
        let Some(open) = self.opens.get_mut(row) else { return };
        open.holders -= 1;
        if open.holders > 0 {
            return;
        }
        let what = open.what;
        self.opens.remove(row);
        match what {
            What::Named(place) => self.leave_place(place),
            What::Pidfd(_) => (),
            What::Socket(socket) => self.hang_up(socket),
            What::Tree(place) => {
                self.dissolve(place.mount);
                self.leave_place(place);
            }
        }
    }

    fn leave_place(&mut self, place: Place) {
        match place.ino {
            Ino::Plain(row) => {
                self.drain(row);
                self.forget(place.ino);
                self.sweep_mounts();
            }
            Ino::Cgroup(_) | Ino::CgroupFile(..) => self.sweep_cgroups(),
            Ino::Space(_) => self.sweep_spaces(),
            Ino::Nameless | Ino::Proc(_) | Ino::Socket(_) => (),
        }
    }

    pub(super) fn close_range(&mut self, pid: Pid, range: [u32; 2], how: u32) -> Answer {
        let [first, last] = range;
        if first > last || how & !flags::CLOSE_RANGE_CLOEXEC != 0 {
            return Err(Errno::EINVAL);
        }
        let inside = |fd: &RawFd| (first..=last).contains(&fd.cast_unsigned());
        let found: Vec<RawFd> = self.task(pid).fds.keys().copied().filter(inside).collect();
        for fd in found {
            if how & flags::CLOSE_RANGE_CLOEXEC == 0 {
                self.close(pid, fd)?;
            } else if let Some(entry) = Arc::make_mut(&mut self.task_mut(pid).fds).get_mut(&fd) {
                entry.cloexec = true;
            }
        }
        Ok(0)
    }

    pub(super) fn dup3(&mut self, pid: Pid, fds: [RawFd; 2], how: u32) -> Answer {
        let [old, new] = fds;
        if old == new || u64::from(how) & !flags::O_CLOEXEC != 0 {
            return Err(Errno::EINVAL);
        }
        let entry = self.entry(pid, old)?;
        if new < 0 {
            return Err(Errno::EBADF);
        }
        self.hold(entry.open);
        let cloexec = u64::from(how) & flags::O_CLOEXEC != 0;
        let copy = Entry { open: entry.open, cloexec };
        let task = self.task_mut(pid);
        let before = Arc::make_mut(&mut task.fds).insert(new, copy);
        if new >= task.next_fd {
            task.next_fd = new + 1;
        }
        if let Some(before) = before {
            self.release(before.open);
        }
        Ok(u64::from(new.cast_unsigned()))
    }

    pub(super) fn hold(&mut self, row: u32) {
        if let Some(open) = self.opens.get_mut(row) {
            open.holders += 1;
        }
    }

    pub(super) fn fcntl(&mut self, pid: Pid, fd: RawFd, ask: (u32, u64)) -> Answer {
        const CHANGEABLE: u64 = flags::O_APPEND | flags::O_NONBLOCK;
        let (command, argument) = ask;
        let entry = self.entry(pid, fd)?;
        let named = matches!(command, 0..=flags::F_GETFL | 1030);
        if !named {
            self.used(pid, fd)?;
        }
        match command {
            flags::F_DUPFD | 1030 => {
                self.hold(entry.open);
                Ok(self.number(pid, Entry { open: entry.open, cloexec: command == 1030 }))
            }
            flags::F_GETFD => Ok(u64::from(entry.cloexec)),
            flags::F_SETFD => {
                if let Some(entry) = Arc::make_mut(&mut self.task_mut(pid).fds).get_mut(&fd) {
                    entry.cloexec = argument & flags::FD_CLOEXEC != 0;
                }
                Ok(0)
            }
            flags::F_GETFL => Ok(self.open_of(pid, fd)?.flags),
            flags::F_SETFL => {
                let open = self.open_mut(pid, fd)?;
                open.flags = open.flags & !CHANGEABLE | argument & CHANGEABLE;
                Ok(0)
            }
            flags::F_ADD_SEALS => self.seal(pid, fd, argument),
            _ => Err(Errno::EINVAL),
        }
    }

    fn seal(&mut self, pid: Pid, fd: RawFd, seals: u64) -> Answer {
        let Ino::Plain(row) = self.open_of(pid, fd)?.place().ino else { return Err(Errno::EINVAL) };
        let Some(inode) = self.inodes.get_mut(row) else { return Err(Errno::EBADF) };
        // Whatever is not a memfd is sealed against sealing from birth.
        if inode.device != MEMORY {
            return Err(Errno::EINVAL);
        }
        if inode.seals & flags::F_SEAL_SEAL != 0 {
            return Err(Errno::EPERM);
        }
        inode.seals |= seals;
        Ok(0)
    }

    pub(super) fn memfd(&mut self, pid: Pid, how: u32) -> Answer {
        if how & !(flags::MFD_CLOEXEC | flags::MFD_ALLOW_SEALING | 0x18) != 0 {
            return Err(Errno::EINVAL);
        }
        let mut inode = Inode::new(Node::file(b""), 0o777, MEMORY);
        inode.uid = self.task(pid).creds.uid;
        inode.gid = self.task(pid).creds.gid;
        if how & flags::MFD_ALLOW_SEALING == 0 {
            inode.seals = flags::F_SEAL_SEAL;
        }
        let ino = Ino::Plain(self.inodes.add_by(pid, inode));
        let cloexec = if how & flags::MFD_CLOEXEC != 0 { flags::O_CLOEXEC } else { 0 };
        let what = What::Named(Place { mount: 0, ino });
        self.give(pid, Open::new(what, flags::O_RDWR | cloexec))
    }

    pub(super) fn lseek(&mut self, pid: Pid, fd: RawFd, seek: (u64, u32)) -> Answer {
        let (offset, whence) = seek;
        let open = self.used(pid, fd)?;
        let attributes = self.attributes(open.place().ino);
        // SEEK_HOLE is the last.
        if whence > 4 {
            return Err(Errno::EINVAL);
        }
        if matches!(attributes.kind(), flags::S_IFIFO | flags::S_IFSOCK)
            || matches!(open.what, What::Pidfd(_))
        {
            return Err(Errno::ESPIPE);
        }
        let base = match whence {
            0 => 0,
            1 => open.offset,
            2 => attributes.size,
            _ => return Err(Errno::EINVAL),
        };
        let to = base.wrapping_add(offset);
        if to > i64::MAX.cast_unsigned() {
            return Err(Errno::EINVAL);
        }
        let open = self.open_mut(pid, fd)?;
        open.offset = to;
        open.listing = None;
        Ok(to)
    }

    /// Returns whether flock(2) can be answered now.
    pub(super) fn may_lock(&self, pid: Pid, fd: RawFd, operation: u32) -> bool {
        operation & (flags::LOCK_NB | flags::LOCK_UN) != 0 || !self.is_contended(pid, fd, operation)
    }

    fn is_contended(&self, pid: Pid, fd: RawFd, operation: u32) -> bool {
        let Ok(entry) = self.entry(pid, fd) else { return false };
        let Some(this) = self.opens.get(entry.open) else { return false };
        let ino = this.place().ino;
        self.opens.iter().any(|(row, other)| {
            row != entry.open
                && other.place().ino == ino
                && match other.lock {
                    Lock::Exclusive => true,
                    Lock::None => false,
                    Lock::Shared => operation & flags::LOCK_EX != 0,
                }
        })
    }

    /// Returns whether somebody has that file locked, and shares it with nobody.
    pub(super) fn is_locked(&self, ino: Ino) -> bool {
        let mut opens = self.opens.iter().map(|(_, open)| open);
        opens.any(|open| open.lock == Lock::Exclusive && open.place().ino == ino)
    }

    pub(super) fn flock(&mut self, pid: Pid, fd: RawFd, operation: u32) -> Answer {
        let lock = match operation & !flags::LOCK_NB {
            flags::LOCK_SH => Lock::Shared,
            flags::LOCK_EX => Lock::Exclusive,
            flags::LOCK_UN => Lock::None,
            _ => return Err(Errno::EINVAL),
        };
        self.used(pid, fd)?;
        if lock != Lock::None && self.is_contended(pid, fd, operation) {
            // A lock is not changed but dropped and taken anew (flock(2)).
            self.open_mut(pid, fd)?.lock = Lock::None;
            return Err(Errno::EAGAIN);
        }
        self.open_mut(pid, fd)?.lock = lock;
        Ok(0)
    }

    /// Returns the numbers of a process with what each leads to.
    pub(super) fn table(&self, pid: Pid) -> &BTreeMap<RawFd, Entry> {
        &self.task(pid).fds
    }
}

/// The number of the file system of files that live in memory.
pub(super) const MEMORY: u32 = 1;
