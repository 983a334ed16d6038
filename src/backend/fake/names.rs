//! Calls on names: making, removing, moving, describing.

use std::cell::Cell;

use super::creds;
use super::files::{Ino, Inode, Name, Node, Place};
use super::walk::{Walk, Walked};
use super::{Answer, Pid, World};
use crate::sys::{Errno, RawFd, flags};

impl World {
    /// Adds a file of a kind with a mode where a walk found nothing.
    pub(super) fn make(
        &mut self,
        pid: Pid,
        walked: &Walked,
        made: (Node, u32),
    ) -> Result<u32, Errno> {
        let (node, mode) = made;
        self.writable(pid, walked.parent)?;
        let Ino::Plain(directory) = walked.parent.ino else {
            // Neither procfs nor cgroupfs lets anybody make files.
            return Err(match walked.parent.ino {
                Ino::Proc(_) => Errno::ENOENT,
                _ => Errno::EACCES,
            });
        };
        let device = match self.inodes.get(directory) {
            Some(inode) if inode.links > 0 => inode.device,
            Some(_) | None => return Err(Errno::ENOENT),
        };
        let task = self.task(pid);
        let mut inode = Inode::new(node, mode & 0o7777 & !task.umask, device);
        inode.uid = task.creds.uid;
        inode.gid = task.creds.gid;
        let row = self.inodes.add_by(pid, inode);
        self.link(directory, &walked.name, row);
        Ok(row)
    }

    /// Refuses changes to a directory on a read-only mount or without permission.
    fn writable(&self, pid: Pid, directory: Place) -> Result<(), Errno> {
        if self.mount_flags(directory) & flags::MS_RDONLY != 0 {
            return Err(Errno::EROFS);
        }
        self.may(pid, directory.ino, 3)
    }

    /// Refuses what only mkdir(2) makes in cgroupfs; law `a_cgroup_has_no_files_of_others`.
    fn barren(&self, walked: &Walked) -> Result<(), Errno> {
        match walked.parent.ino {
            Ino::Cgroup(_) if self.is_dead(walked.parent.ino) => Err(Errno::ENOENT),
            Ino::Cgroup(_) => Err(Errno::EPERM),
            _ => Ok(()),
        }
    }

    /// Walks to where a name is to be made, which must not be there yet.
    fn vacant(&self, pid: Pid, at: (RawFd, &[u8])) -> Result<Walked, Errno> {
        let mut walked = self.parent(pid, at)?;
        if walked.is_dots() {
            return Err(Errno::EEXIST);
        }
        self.seek(pid, &mut walked)?;
        if walked.target.is_some() { Err(Errno::EEXIST) } else { Ok(walked) }
    }

    pub(super) fn mkdirat(&mut self, pid: Pid, at: (RawFd, &[u8]), mode: u32) -> Answer {
        let walked = self.vacant(pid, at)?;
        if let Ino::Cgroup(parent) = walked.parent.ino {
            self.writable(pid, walked.parent)?;
            return self.make_cgroup(pid, parent, &walked.name);
        }
        self.make(pid, &walked, (Node::directory(0), mode))?;
        Ok(0)
    }

    pub(super) fn mknodat(&mut self, pid: Pid, at: (RawFd, &[u8]), how: (u32, u64)) -> Answer {
        let (mode, device) = how;
        let walked = self.vacant(pid, at)?;
        if walked.slash {
            return Err(Errno::ENOENT);
        }
        // A file would come from creat(2), which a file system refuses in another way.
        let is_file = matches!(mode & flags::S_IFMT, 0 | flags::S_IFREG);
        self.barren(&walked).map_err(|errno| match errno {
            Errno::EPERM if is_file => Errno::EACCES,
            _ => errno,
        })?;
        let node = match mode & flags::S_IFMT {
            0 | flags::S_IFREG => Node::file(b""),
            flags::S_IFIFO => Node::Fifo(super::pipes::Pipe::default()),
            flags::S_IFSOCK => Node::Socket { listened: false },
            kind @ (flags::S_IFCHR | flags::S_IFBLK) => {
                // 0:0 is the whiteout, which anybody may make (mknod(2)).
                if device != 0 && !self.capable(pid, creds::MKNOD) {
                    return Err(Errno::EPERM);
                }
                Node::Device { kind, number: split(device) }
            }
            _ => return Err(Errno::EINVAL),
        };
        self.make(pid, &walked, (node, mode))?;
        Ok(0)
    }

    pub(super) fn symlinkat(&mut self, pid: Pid, target: &[u8], at: (RawFd, &[u8])) -> Answer {
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        let walked = self.vacant(pid, at)?;
        if walked.slash {
            return Err(Errno::ENOENT);
        }
        self.barren(&walked)?;
        let row = self.make(pid, &walked, (Node::Link(target.into()), 0o777))?;
        if let Some(inode) = self.inodes.get_mut(row) {
            inode.mode = 0o777;
        }
        Ok(0)
    }

    pub(super) fn unlinkat(&mut self, pid: Pid, at: (RawFd, &[u8]), how: u32) -> Answer {
        if how & !flags::AT_REMOVEDIR != 0 {
            return Err(Errno::EINVAL);
        }
        let removes = how & flags::AT_REMOVEDIR != 0;
        let mut walked = self.parent(pid, at)?;
        match (&*walked.name, removes) {
            (b"." | b"..", false) => return Err(Errno::EISDIR),
            (b".", true) => return Err(Errno::EINVAL),
            (b"..", true) => return Err(Errno::ENOTEMPTY),
            _ => (),
        }
        self.seek(pid, &mut walked)?;
        let place = walked.target.ok_or(Errno::ENOENT)?;
        if walked.slash && !removes {
            return Err(if self.is_directory(place.ino) { Errno::EISDIR } else { Errno::ENOTDIR });
        }
        if place.mount != walked.parent.mount {
            return Err(Errno::EBUSY);
        }
        self.writable(pid, walked.parent)?;
        self.sticky(pid, walked.parent, place)?;
        match (place.ino, walked.parent.ino) {
            (Ino::Cgroup(row), _) if removes => self.remove_cgroup(row),
            (Ino::Cgroup(_), _) => Err(Errno::EISDIR),
            (Ino::CgroupFile(..), _) if removes => Err(Errno::ENOTDIR),
            (Ino::Plain(row), Ino::Plain(directory)) => {
                match (self.inodes.get(row).map(|inode| &inode.node), removes) {
                    (Some(Node::Directory { .. }), false) => return Err(Errno::EISDIR),
                    (Some(Node::Directory { entries, .. }), true) if !entries.is_empty() => {
                        return Err(Errno::ENOTEMPTY);
                    }
                    (Some(Node::Directory { .. }), true) | (_, false) => (),
                    (_, true) => return Err(Errno::ENOTDIR),
                }
                self.unmount_under(place.ino);
                self.unlink(directory, &walked.name);
                Ok(0)
            }
            _ => Err(Errno::EPERM),
        }
    }

    /// In a sticky directory only owners remove.
    fn sticky(&self, pid: Pid, directory: Place, place: Place) -> Result<(), Errno> {
        let above = self.attributes(directory.ino);
        if above.mode & 0o1000 == 0 || above.uid == self.task(pid).creds.uid {
            return Ok(());
        }
        self.owns(pid, place.ino)
    }

    pub(super) fn renameat2(&mut self, pid: Pid, ends: [(RawFd, &[u8]); 2], how: u32) -> Answer {
        let [from, to] = self.rename_ends(pid, ends, how)?;
        let moved = from.target.ok_or(Errno::ENOENT)?;
        let (Ino::Plain(row), Ino::Plain(source), Ino::Plain(target)) =
            (moved.ino, from.parent.ino, to.parent.ino)
        else {
            return Err(Errno::EPERM);
        };
        let elsewhere = |end: &Walked| end.target.is_some_and(|p| p.mount != end.parent.mount);
        if elsewhere(&from) || elsewhere(&to) {
            return Err(Errno::EBUSY);
        }
        for end in [&from, &to] {
            self.writable(pid, end.parent)?;
        }
        if self.inodes.get(target).is_none_or(|inode| inode.links == 0) {
            return Err(Errno::ENOENT);
        }
        if how & flags::RENAME_EXCHANGE != 0 {
            return self.exchange([(source, &from), (target, &to)]);
        }
        let is_directory = self.is_directory(moved.ino);
        if !is_directory && (from.slash || to.slash) {
            return Err(Errno::ENOTDIR);
        }
        if is_directory && self.is_within(to.parent, moved) {
            return Err(Errno::EINVAL);
        }
        if let Some(Place { ino: Ino::Plain(old), .. }) = to.target {
            if old == row {
                return Ok(0);
            }
            self.replaceable(old, is_directory)?;
            self.unmount_under(Ino::Plain(old));
            self.unlink(target, &to.name);
        }
        self.link(target, &to.name, row);
        self.unlink(source, &from.name);
        Ok(0)
    }

    /// Walks to both names of a rename, and refuses what no file system is asked for.
    fn rename_ends(
        &self,
        pid: Pid,
        ends: [(RawFd, &[u8]); 2],
        how: u32,
    ) -> Result<[Walked; 2], Errno> {
        let known = flags::RENAME_EXCHANGE | flags::RENAME_NOREPLACE;
        if how & !known != 0 {
            super::parts::unmodelled("renameat2", &format!("flags {how:#x}"));
        }
        if how == known {
            return Err(Errno::EINVAL);
        }
        let replaces = how & flags::RENAME_NOREPLACE == 0;
        let [from, to] = ends.map(|end| self.parent(pid, end));
        let (mut from, mut to) = (from?, to?);
        if from.parent.mount != to.parent.mount {
            return Err(Errno::EXDEV);
        }
        if from.is_dots() || to.is_dots() && replaces {
            return Err(Errno::EBUSY);
        }
        if to.is_dots() {
            return Err(Errno::EEXIST);
        }
        self.seek(pid, &mut from)?;
        if from.target.is_none() {
            return Err(Errno::ENOENT);
        }
        self.seek(pid, &mut to)?;
        if to.target.is_some() && !replaces {
            return Err(Errno::EEXIST);
        }
        let swaps = how & flags::RENAME_EXCHANGE != 0;
        if to.target.is_none() && (swaps || matches!(to.parent.ino, Ino::Proc(_))) {
            return Err(Errno::ENOENT);
        }
        Ok([from, to])
    }

    /// Puts each of two names where the other was, in directories by their rows.
    fn exchange(&mut self, ends: [(u32, &Walked); 2]) -> Answer {
        let [(source, from), (target, to)] = ends;
        let (Some(moved), Some(back)) = (from.target, to.target) else {
            return Err(Errno::ENOENT);
        };
        for (place, end) in [(moved, from), (back, to)] {
            if !self.is_directory(place.ino) && end.slash {
                return Err(Errno::ENOTDIR);
            }
        }
        for (place, end) in [(moved, to), (back, from)] {
            if self.is_directory(place.ino) && self.is_within(end.parent, place) {
                return Err(Errno::EINVAL);
            }
        }
        let (Ino::Plain(moved), Ino::Plain(back)) = (moved.ino, back.ino) else {
            return Err(Errno::EPERM);
        };
        if moved != back {
            // Each has a name throughout, so that neither is forgotten on the way.
            self.link(target, &to.name, moved);
            self.link(source, &from.name, back);
            for row in [moved, back] {
                if let Some(inode) = self.inodes.get_mut(row) {
                    inode.links -= 1;
                }
            }
        }
        Ok(0)
    }

    /// Refuses to put a directory over a file, a file over a directory, or anything over a full
    /// directory.
    fn replaceable(&self, old: u32, by_directory: bool) -> Result<(), Errno> {
        match (self.inodes.get(old).map(|inode| &inode.node), by_directory) {
            (Some(Node::Directory { .. }), false) => Err(Errno::EISDIR),
            (Some(Node::Directory { entries, .. }), true) if !entries.is_empty() => {
                Err(Errno::ENOTEMPTY)
            }
            (Some(Node::Directory { .. }), true) | (_, false) => Ok(()),
            (_, true) => Err(Errno::ENOTDIR),
        }
    }

    fn is_within(&self, place: Place, above: Place) -> bool {
        let mut at = place;
        loop {
            if at.ino == above.ino {
                return true;
            }
            let up = self.above(at, at_root());
            if up == at {
                return false;
            }
            at = up;
        }
    }

    pub(super) fn readlinkat(&self, pid: Pid, at: (RawFd, &[u8]), buf: &[Cell<u8>]) -> Answer {
        let place = if at.1.is_empty() {
            self.start(pid, at.0)?
        } else {
            self.find(Walk::keep(pid, at.0, at.1))?
        };
        if buf.is_empty() {
            return Err(Errno::EINVAL);
        }
        let text: Name = match self.link_of(pid, place)? {
            None => return Err(Errno::EINVAL),
            Some(super::walk::Link::Magic(to)) => self.magic_text(pid, to).into(),
            Some(super::walk::Link::Text(text)) => text,
        };
        super::parts::fill(buf, &text);
        Ok(buf.len().min(text.len()) as u64)
    }

    /// Returns the text of a link of procfs that leads straight to an object.
    fn magic_text(&self, pid: Pid, to: Place) -> Vec<u8> {
        let number = self.attributes(to.ino).number;
        match to.ino {
            Ino::Nameless => b"anon_inode:[pidfd]".to_vec(),
            Ino::Plain(row) if to.mount == 0 => match self.pipe_of(row) {
                Some(_) => format!("pipe:[{number}]").into_bytes(),
                None => b"/memfd: (deleted)".to_vec(),
            },
            Ino::Socket(_) => format!("socket:[{number}]").into_bytes(),
            Ino::Space(row) => {
                let kind = self.spaces.get(row).map_or("", |space| space.kind.name());
                format!("{kind}:[{number}]").into_bytes()
            }
            Ino::Cgroup(_) | Ino::CgroupFile(..) | Ino::Plain(_) | Ino::Proc(_) => {
                self.path_of(to, self.task(pid).root)
            }
        }
    }

    pub(super) fn statx(&self, pid: Pid, at: (RawFd, &[u8]), how: u32, buf: &[Cell<u8>]) -> Answer {
        let place = self.find_at(Walk::new(pid, at.0, at.1), how)?;
        let found = self.attributes(place.ino);
        let mut block = [0; 256];
        let mounted = self.mounts.get(place.mount).is_some_and(|mount| mount.root == place.ino);
        let words = [
            (0, flags::STATX_BASIC_STATS),
            (4, 4096),
            // STATX_ATTR_MOUNT_ROOT, and that it is known.
            (8, if mounted { 0x2000 } else { 0 }),
            (16, found.links),
            (20, self.seen_uid(pid, found.uid)),
            (24, self.seen_gid(pid, found.gid)),
            (28, found.mode),
            (56, 0x2000),
            (128, found.node.0),
            (132, found.node.1),
            (140, found.device),
            (144, place.mount),
        ];
        for (at, word) in words {
            block[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        for (at, long) in [(32, found.number), (40, found.size)] {
            block[at..at + 8].copy_from_slice(&long.to_le_bytes());
        }
        super::parts::fill(buf, &block);
        Ok(0)
    }

    pub(super) fn faccessat2(&self, pid: Pid, at: (RawFd, &[u8]), ask: [u32; 2]) -> Answer {
        let [mode, how] = ask;
        let known = flags::AT_EACCESS | flags::AT_EMPTY_PATH | flags::AT_SYMLINK_NOFOLLOW;
        if mode & !7 != 0 || how & !known != 0 {
            return Err(Errno::EINVAL);
        }
        let place = self.find_at(Walk::new(pid, at.0, at.1), how)?;
        let mounted = self.mount_flags(place);
        let regular = self.attributes(place.ino).kind() == flags::S_IFREG;
        if mode & 1 != 0 && regular && mounted & flags::MS_NOEXEC != 0 {
            return Err(Errno::EACCES);
        }
        if mode & 2 != 0 && mounted & flags::MS_RDONLY != 0 {
            return Err(Errno::EROFS);
        }
        self.may(pid, place.ino, mode)?;
        Ok(0)
    }

    pub(super) fn chmod(&mut self, pid: Pid, place: Place, mode: u32) -> Answer {
        if self.mount_flags(place) & flags::MS_RDONLY != 0 {
            return Err(Errno::EROFS);
        }
        self.owns(pid, place.ino)?;
        if let Ino::Plain(row) = place.ino
            && let Some(inode) = self.inodes.get_mut(row)
        {
            inode.mode = mode & 0o7777;
        }
        Ok(0)
    }

    pub(super) fn chown(&mut self, pid: Pid, place: Place, ids: [u32; 2]) -> Answer {
        let [uid, gid] = ids;
        if self.mount_flags(place) & flags::MS_RDONLY != 0 {
            return Err(Errno::EROFS);
        }
        let found = self.attributes(place.ino);
        let same = u32::MAX;
        let uid = if uid == same { found.uid } else { self.meant(pid, uid, creds::Id::User)? };
        let gid = if gid == same { found.gid } else { self.meant(pid, gid, creds::Id::Group)? };
        let given_away = uid != found.uid || gid != found.gid;
        if given_away && !self.capable_over(pid, creds::CHOWN, &found) {
            return Err(Errno::EPERM);
        }
        self.set_owner(place.ino, uid, gid);
        Ok(0)
    }

    pub(super) fn set_owner(&mut self, ino: Ino, uid: u32, gid: u32) {
        match ino {
            Ino::Cgroup(_) | Ino::CgroupFile(..) => self.own_cgroup(ino, uid, gid),
            Ino::Plain(row) => {
                if let Some(inode) = self.inodes.get_mut(row) {
                    inode.uid = uid;
                    inode.gid = gid;
                }
            }
            Ino::Nameless | Ino::Proc(_) | Ino::Socket(_) | Ino::Space(_) => (),
        }
    }
}

/// A place that no walk reaches, for walking up as far as it goes.
const fn at_root() -> Place {
    Place { mount: 0, ino: Ino::Nameless }
}

/// Splits a device number as the kernel takes it: 12 bits of major, 20 of minor (makedev(3)).
fn split(device: u64) -> (u32, u32) {
    let [major, minor] = [device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00];
    (u32::try_from(major).unwrap_or(0), u32::try_from(minor).unwrap_or(0))
}
