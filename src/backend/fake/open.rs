//! openat2(2), and reading and writing what it opened.

use std::cell::Cell;
use std::sync::Arc;

use super::fds::{Listed, Open, What};
use super::files::{Ino, Inode, Name, Node, Place};
use super::walk::{Last, Walk, Walked};
use super::{Answer, Pid, World};
use crate::sys::{Errno, RawFd, flags};

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) flags: u64,
    pub(super) mode: u64,
    pub(super) resolve: u64,
}

impl How {
    const fn has(&self, bits: u64) -> bool {
        self.flags & bits != 0
    }

    const fn writes(&self) -> bool {
        self.flags & 3 != flags::O_RDONLY
    }

    /// Refuses what openat2(2) refuses: unknown bits, and a mode without a file to create.
    const fn check(&self) -> Result<(), Errno> {
        const KNOWN: u64 = 0o17_777_703;
        let modeless = !self.has(flags::O_CREAT) && self.mode != 0;
        let path_only = flags::O_PATH | flags::O_DIRECTORY | flags::O_NOFOLLOW | flags::O_CLOEXEC;
        if self.flags & !KNOWN != 0
            || self.mode & !0o7777 != 0
            || modeless
            || self.resolve & !0x3f != 0
            || self.resolve & flags::RESOLVE_BENEATH != 0
                && self.resolve & flags::RESOLVE_IN_ROOT != 0
            || self.has(flags::O_PATH) && self.flags & !path_only != 0
            || self.has(flags::O_CREAT) && self.has(flags::O_DIRECTORY)
        {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

impl World {
    pub(super) fn openat2(&mut self, pid: Pid, at: (RawFd, &[u8]), how: How) -> Answer {
        how.check()?;
        let (dir, path) = at;
        let exclusive = how.has(flags::O_CREAT) && how.has(flags::O_EXCL);
        let keep = how.has(flags::O_NOFOLLOW) || exclusive;
        let last = match (keep, how.has(flags::O_CREAT)) {
            (false, false) => Last::Follow,
            (false, true) => Last::Create,
            (true, false) => Last::Keep,
            (true, true) => Last::New,
        };
        let walked = self.walk(Walk { pid, dir, path, last, resolve: how.resolve })?;
        let (place, made) = match walked.target {
            Some(_) if exclusive => return Err(Errno::EEXIST),
            Some(place) => (place, false),
            None if how.has(flags::O_CREAT) => (self.create(pid, &walked, how)?, true),
            None => return Err(Errno::ENOENT),
        };
        self.check_open(pid, place, how, walked.slash)?;
        if !made && !how.has(flags::O_PATH) {
            let want = match how.flags & 3 {
                flags::O_RDONLY => 4,
                flags::O_WRONLY => 2,
                _ => 6,
            };
            self.may(pid, place.ino, want)?;
        }
        self.open_place(pid, place, how)
    }

    /// Refuses what the type of a file does not allow.
    fn check_open(&self, pid: Pid, place: Place, how: How, slash: bool) -> Result<(), Errno> {
        let attributes = self.attributes(place.ino);
        let kind = attributes.kind();
        if kind != flags::S_IFDIR && (how.has(flags::O_DIRECTORY) || slash) {
            return Err(Errno::ENOTDIR);
        }
        if how.has(flags::O_PATH) {
            return Ok(());
        }
        match kind {
            flags::S_IFDIR if how.writes() || how.has(flags::O_CREAT | flags::O_TRUNC) => {
                Err(Errno::EISDIR)
            }
            flags::S_IFLNK => Err(Errno::ELOOP),
            flags::S_IFSOCK => Err(Errno::ENXIO),
            flags::S_IFCHR | flags::S_IFBLK => {
                if self.mount_flags(place) & flags::MS_NODEV != 0 {
                    return Err(Errno::EACCES);
                }
                match attributes.node {
                    (1, 3 | 5 | 7 | 8 | 9) => Ok(()),
                    (5, 0) => Err(Errno::ENXIO),
                    (major, minor) => super::parts::unmodelled(
                        "openat2",
                        &format!("device {major}:{minor} by {pid}"),
                    ),
                }
            }
            flags::S_IFREG if (how.writes() || how.has(flags::O_TRUNC)) => {
                if self.mount_flags(place) & flags::MS_RDONLY != 0 {
                    Err(Errno::EROFS)
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    /// Makes the file that a walk did not find.
    fn create(&mut self, pid: Pid, walked: &Walked, how: How) -> Result<Place, Errno> {
        let mode = u32::try_from(how.mode).unwrap_or(0);
        let row = self.make(pid, walked, (Node::file(b""), mode))?;
        Ok(Place { mount: walked.parent.mount, ino: Ino::Plain(row) })
    }

    fn open_place(&mut self, pid: Pid, place: Place, how: How) -> Answer {
        let mut offset = 0;
        if let Ino::Plain(row) = place.ino
            && !how.has(flags::O_PATH)
        {
            if self.pipe_of(row).is_some() {
                offset = self.open_fifo(pid, row, how.flags)?;
            } else if how.has(flags::O_TRUNC) {
                self.write_bytes(row, &mut |bytes| bytes.clear());
            }
        }
        let kept = how.flags & !(flags::O_CREAT | flags::O_EXCL | flags::O_TRUNC | flags::O_NOCTTY);
        let mut open = Open::new(What::Named(place), kept);
        open.offset = offset;
        self.give(pid, open)
    }

    fn write_bytes(&mut self, row: u32, change: &mut dyn FnMut(&mut Vec<u8>)) {
        if let Some(Inode { node: Node::File(bytes), .. }) = self.inodes.get_mut(row) {
            change(Arc::make_mut(bytes));
        }
    }

    /// Returns whether read(2) can be answered now.
    pub(super) fn may_read(&self, pid: Pid, fd: RawFd) -> bool {
        let Ok(open) = self.open_of(pid, fd) else { return true };
        if open.has(flags::O_NONBLOCK) || !open.reads() {
            return true;
        }
        match (&open.what, open.place().ino) {
            (What::Socket(row), _) => self.may_receive(*row),
            (_, Ino::Plain(row)) => self.may_read_pipe(row),
            _ => true,
        }
    }

    /// Returns whether a write of that many bytes can be answered now.
    pub(super) fn may_write(&self, pid: Pid, fd: RawFd, len: usize) -> bool {
        let Ok(open) = self.open_of(pid, fd) else { return true };
        if open.has(flags::O_NONBLOCK) || !open.writes() {
            return true;
        }
        match (&open.what, open.place().ino) {
            (What::Socket(row), _) => self.may_send(*row),
            (_, Ino::Plain(row)) => self.may_write_pipe(row, len),
            _ => true,
        }
    }

    pub(super) fn read(&mut self, pid: Pid, fd: RawFd, buf: &[Cell<u8>]) -> Answer {
        let open = self.open_of(pid, fd)?;
        if !open.reads() {
            return Err(Errno::EBADF);
        }
        let (place, offset) = (open.place(), open.offset);
        match open.what {
            What::Pidfd(_) => return Err(Errno::EINVAL),
            // Law `reading_nothing_takes_no_message`.
            What::Socket(_) if buf.is_empty() => return Ok(0),
            What::Socket(row) => {
                let received = self.receive(row, buf)?;
                // A descriptor that read(2) does not ask for is closed (unix(7)).
                if let Some(open) = received.open {
                    self.release(open);
                }
                return Ok(received.count);
            }
            What::Named(_) | What::Tree(_) => (),
        }
        if buf.is_empty() && matches!(place.ino, Ino::CgroupFile(..)) {
            return Ok(0);
        }
        if let Ino::Plain(row) = place.ino {
            match self.inodes.get(row).map(|inode| &inode.node) {
                Some(Node::Fifo(_)) => return self.read_pipe(row, buf),
                Some(Node::Device { number: (1, 3), .. }) => return Ok(0),
                Some(Node::Device { .. }) => {
                    buf.iter().for_each(|cell| cell.set(0));
                    return Ok(buf.len() as u64);
                }
                Some(_) | None => (),
            }
        }
        let whole = self.whole(pid, place)?;
        let rest = whole.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        super::parts::fill(buf, rest);
        let count = buf.len().min(rest.len()) as u64;
        let open = self.open_mut(pid, fd)?;
        open.offset += count;
        if let Ino::CgroupFile(_, file) = place.ino
            && offset == 0
            && Self::is_noted(file, &whole)
        {
            open.seen = Some(whole.into());
        }
        Ok(count)
    }

    /// Returns everything that a file holds now.
    pub(super) fn whole(&self, pid: Pid, place: Place) -> Result<Vec<u8>, Errno> {
        match place.ino {
            Ino::CgroupFile(cgroup, file) => self.read_cgroup(pid, cgroup, file),
            Ino::Plain(row) => match self.inodes.get(row).map(|inode| &inode.node) {
                Some(Node::File(bytes)) => Ok(bytes.to_vec()),
                Some(Node::Directory { .. }) => Err(Errno::EISDIR),
                Some(Node::Device { .. } | Node::Fifo(_) | Node::Link(_) | Node::Socket { .. })
                | None => Err(Errno::EINVAL),
            },
            Ino::Proc(proc) => self.read_proc(pid, proc),
            Ino::Cgroup(_) => Err(Errno::EISDIR),
            Ino::Nameless | Ino::Socket(_) | Ino::Space(_) => Err(Errno::EINVAL),
        }
    }

    pub(super) fn write(&mut self, pid: Pid, fd: RawFd, bytes: &[u8]) -> Answer {
        let open = self.open_of(pid, fd)?;
        if !open.writes() {
            return Err(Errno::EBADF);
        }
        let (what, place, offset) = (open.what, open.place(), open.offset);
        let appends = open.has(flags::O_APPEND);
        match (what, place.ino) {
            (What::Pidfd(_), _) => Err(Errno::EINVAL),
            (What::Socket(row), _) => self.send_message(row, bytes, None),
            (_, Ino::CgroupFile(cgroup, file)) => self.write_cgroup(pid, (cgroup, file), bytes),
            (_, Ino::Proc(proc)) => self.write_proc(pid, proc, bytes),
            (_, Ino::Plain(row)) => match self.inodes.get(row).map(|inode| &inode.node) {
                Some(Node::Fifo(_)) => self.write_pipe(row, bytes),
                Some(Node::Device { .. }) => Ok(bytes.len() as u64),
                Some(Node::File(held)) => {
                    let at = if appends { held.len() as u64 } else { offset };
                    self.write_file_at(row, at, bytes)?;
                    self.open_mut(pid, fd)?.offset = at + bytes.len() as u64;
                    Ok(bytes.len() as u64)
                }
                Some(Node::Directory { .. } | Node::Link(_) | Node::Socket { .. }) | None => {
                    Err(Errno::EINVAL)
                }
            },
            (_, Ino::Cgroup(_) | Ino::Nameless | Ino::Socket(_) | Ino::Space(_)) => {
                Err(Errno::EINVAL)
            }
        }
    }

    pub(super) fn ftruncate(&mut self, pid: Pid, fd: RawFd, length: u64) -> Answer {
        let open = self.used(pid, fd)?;
        if matches!(open.what, What::Pidfd(_)) {
            // A file of pidfs, which no size can be set of; law `a_process_has_no_length`.
            return Err(Errno::EOPNOTSUPP);
        }
        if matches!(open.place().ino, Ino::CgroupFile(..)) && open.writes() {
            // It is not refused and does nothing; law `a_file_of_a_cgroup_does_what_its_mode_says`.
            return Ok(0);
        }
        let Ino::Plain(row) = open.place().ino else { return Err(Errno::EINVAL) };
        let Some(inode) = self.inodes.get(row).filter(|_| open.writes()) else {
            return Err(Errno::EINVAL);
        };
        let Node::File(held) = &inode.node else { return Err(Errno::EINVAL) };
        let length = usize::try_from(length).map_err(|_| Errno::EFBIG)?;
        let grows = flags::F_SEAL_GROW * u64::from(held.len() < length);
        let shrinks = flags::F_SEAL_SHRINK * u64::from(length < held.len());
        if inode.seals & (grows | shrinks) != 0 {
            return Err(Errno::EPERM);
        }
        self.write_bytes(row, &mut |held| held.resize(length, 0));
        Ok(0)
    }

    fn write_file_at(&mut self, row: u32, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        let Some(inode) = self.inodes.get(row) else { return Err(Errno::EBADF) };
        let Node::File(held) = &inode.node else { return Err(Errno::EINVAL) };
        let at = usize::try_from(at).map_err(|_| Errno::EFBIG)?;
        let grows = at + bytes.len() > held.len();
        if inode.seals & flags::F_SEAL_WRITE != 0 || grows && inode.seals & flags::F_SEAL_GROW != 0
        {
            return Err(Errno::EPERM);
        }
        self.write_bytes(row, &mut |held| {
            held.resize(held.len().max(at + bytes.len()), 0);
            held[at..at + bytes.len()].copy_from_slice(bytes);
        });
        Ok(())
    }

    pub(super) fn getdents(&mut self, pid: Pid, fd: RawFd, buf: &[Cell<u8>]) -> Answer {
        let open = self.used(pid, fd)?;
        let place = open.place();
        if !self.is_directory(place.ino) {
            return Err(Errno::ENOTDIR);
        }
        if self.is_dead(place.ino) {
            return Err(Errno::ENOENT);
        }
        let fresh = open.listing.is_none();
        if fresh {
            let listing = self.list(pid, place)?.into();
            self.open_mut(pid, fd)?.listing = Some(listing);
        }
        let open = self.open_of(pid, fd)?;
        let (mut next, mut bytes) = (open.offset, Vec::new());
        let listing = open.listing.clone().unwrap_or_default();
        for entry in listing.iter().skip(usize::try_from(next).unwrap_or(usize::MAX)) {
            let gone = !fresh
                && entry.name.first() != Some(&b'.')
                && self.lookup(pid, place, &entry.name)?.is_none();
            let record = if gone { Vec::new() } else { self.record(entry, next + 1) };
            if bytes.len() + record.len() > buf.len() {
                if bytes.is_empty() {
                    return Err(Errno::EINVAL);
                }
                break;
            }
            bytes.extend(record);
            next += 1;
        }
        super::parts::fill(buf, &bytes);
        self.open_mut(pid, fd)?.offset = next;
        Ok(bytes.len() as u64)
    }

    /// Returns one `struct linux_dirent64`.
    fn record(&self, entry: &Listed, offset: u64) -> Vec<u8> {
        let attributes = self.attributes(entry.ino);
        let length = (19 + entry.name.len() + 1).next_multiple_of(8);
        let mut record = Vec::with_capacity(length);
        record.extend(attributes.number.to_le_bytes());
        record.extend(offset.to_le_bytes());
        record.extend(u16::try_from(length).unwrap_or(0).to_le_bytes());
        // The type of an entry is its mode's upper four bits (readdir(3)).
        record.push(u8::try_from(attributes.kind() >> 12).unwrap_or(0));
        record.extend(&*entry.name);
        record.resize(length, 0);
        record
    }

    fn list(&self, pid: Pid, place: Place) -> Result<Vec<Listed>, Errno> {
        let own = [&b"."[..], b".."].map(|name| Listed { name: name.into(), ino: place.ino });
        let entries: Vec<(Name, Ino)> = match place.ino {
            Ino::Cgroup(row) => self.cgroup_list(row),
            Ino::Plain(row) => match self.inodes.get(row).map(|inode| &inode.node) {
                Some(Node::Directory { entries, .. }) => {
                    entries.iter().map(|(name, row)| (name.clone(), Ino::Plain(*row))).collect()
                }
                Some(_) | None => return Err(Errno::ENOTDIR),
            },
            Ino::Proc(proc) => {
                let pids = self.mounts.get(place.mount).map_or(0, |mount| mount.pids);
                self.proc_list(pid, proc, pids)
            }
            Ino::CgroupFile(..) | Ino::Nameless | Ino::Socket(_) | Ino::Space(_) => {
                return Err(Errno::ENOTDIR);
            }
        };
        let listed = entries.into_iter().map(|(name, ino)| Listed { name, ino });
        Ok(own.into_iter().chain(listed).collect())
    }
}
