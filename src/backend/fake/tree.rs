//! Calls on mounts.

use super::creds::SYS_CHROOT;
use super::fds::{Open, What};
use super::files::{Ino, Place};
use super::mounts::{KEPT, Mount, NOWHERE};
use super::spaces::{Held, Kind, Space};
use super::walk::Walk;
use super::{Answer, Pid, World};
use crate::sys::{CWD, Errno, RawFd, flags};

const PROPAGATION: u64 =
    flags::MS_PRIVATE | flags::MS_SHARED | flags::MS_SLAVE | flags::MS_UNBINDABLE;

/// The operands of mount(2) beside its target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mounting<'a> {
    pub(super) source: &'a [u8],
    pub(super) kind: &'a [u8],
    pub(super) flags: u64,
    pub(super) data: &'a [u8],
}

/// The change that mount_setattr(2) asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) set: u64,
    pub(super) clear: u64,
    pub(super) propagation: u64,
}

impl World {
    pub(super) fn mount(&mut self, pid: Pid, target: &[u8], ask: Mounting<'_>) -> Answer {
        let place = self.find(Walk::new(pid, CWD, target))?;
        self.may_mount(pid)?;
        let has = |bits| ask.flags & bits != 0;
        if has(flags::MS_REMOUNT) {
            return self.remount(pid, place, ask);
        }
        if has(flags::MS_BIND) {
            let source = self.find(Walk::new(pid, CWD, ask.source))?;
            return self.bind(pid, [source, place], has(flags::MS_REC).into());
        }
        if has(PROPAGATION) {
            let kind = ask.flags & !(flags::MS_REC | flags::MS_SILENT);
            return self.propagate(pid, place, kind, has(flags::MS_REC).into());
        }
        if has(flags::MS_MOVE) {
            let source = self.find(Walk::new(pid, CWD, ask.source))?;
            return self.move_tree(pid, source, place);
        }
        self.mount_new(pid, place, ask)
    }

    fn mount_new(&mut self, pid: Pid, place: Place, ask: Mounting<'_>) -> Answer {
        let space = self.own_mount(pid, place)?;
        let kind = std::str::from_utf8(ask.kind).unwrap_or_default();
        let data = std::str::from_utf8(ask.data).unwrap_or_default();
        let task = self.task(pid);
        let pids =
            task.next_spaces.get(&Kind::Pid).copied().unwrap_or_else(|| task.space(Kind::Pid));
        let root = match kind {
            "proc" | "sysfs" | "tmpfs" | "ramfs" | "devpts" | "mqueue" | "bpf" | "debugfs"
            | "tracefs" | "securityfs" => self.new_root(kind),
            "cgroup" | "cgroup2" => self.cgroup_root(pid, kind, data)?,
            "overlay" | "fuse" => super::parts::unmodelled("mount", kind),
            "ext4" | "xfs" | "btrfs" => return Err(Errno::ENOTBLK),
            _ => return Err(Errno::ENODEV),
        };
        self.stands(place)?;
        if !self.is_directory(place.ino) {
            return Err(Errno::ENOTDIR);
        }
        // Law `a_file_system_belongs_to_whoever_mounts_it`.
        match kind {
            "tmpfs" | "ramfs" => {
                let (uid, gid) = (self.task(pid).creds.uid, self.task(pid).creds.gid);
                self.set_owner(root, uid, gid);
            }
            "devpts" => self.set_owner(root, self.root_uid(pid), self.root_gid(pid)),
            _ => (),
        }
        if let (Ino::Plain(row), Some(mode)) = (root, mode_of(data))
            && let Some(inode) = self.inodes.get_mut(row)
        {
            inode.mode = mode;
        }
        let mut mount = Mount::new(kind, root);
        mount.space = space;
        mount.source = ask.source.into();
        mount.data = ask.data.into();
        mount.flags = kept(ask.flags);
        mount.sealed = ask.flags & flags::MS_RDONLY != 0;
        mount.pids = if kind == "proc" { pids } else { 0 };
        let row = self.mounts.add(mount);
        self.attach_tree(row, place);
        Ok(0)
    }

    /// Returns the namespace of a mount that has to be one of the caller's.
    fn own_mount(&self, pid: Pid, place: Place) -> Result<u32, Errno> {
        let space = self.task(pid).space(Kind::Mnt);
        match self.mounts.get(place.mount) {
            Some(mount) if mount.space == space => Ok(space),
            Some(_) | None => Err(Errno::EINVAL),
        }
    }

    /// Refuses what was removed as a place for a mount; law
    /// `nothing_is_mounted_on_what_was_removed`.
    fn stands(&self, place: Place) -> Result<(), Errno> {
        match self.attributes(place.ino) {
            found if found.links == 0 => Err(Errno::ENOENT),
            _ => Ok(()),
        }
    }

    fn remount(&mut self, pid: Pid, place: Place, ask: Mounting<'_>) -> Answer {
        self.own_mount(pid, place)?;
        let Some(mount) = self.mounts.get_mut(place.mount) else { return Err(Errno::EINVAL) };
        if mount.root != place.ino {
            return Err(Errno::EINVAL);
        }
        mount.flags = kept(ask.flags);
        if ask.flags & flags::MS_BIND == 0 {
            if !ask.data.is_empty() {
                mount.data = ask.data.into();
            }
            self.seal_mounts(place.ino, ask.flags & flags::MS_RDONLY != 0);
        }
        Ok(0)
    }

    /// Makes the file system of an object read-only or writable, through all its mounts.
    fn seal_mounts(&mut self, ino: Ino, sealed: bool) {
        let device = self.attributes(ino).device;
        for row in self.mounts.keys() {
            let root = self.mounts.get(row).map_or(ino, |mount| mount.root);
            if self.attributes(root).device == device
                && let Some(mount) = self.mounts.get_mut(row)
            {
                mount.sealed = sealed;
            }
        }
    }

    fn bind(&mut self, pid: Pid, ends: [Place; 2], reach: Reach) -> Answer {
        let [source, target] = ends;
        self.own_mount(pid, target)?;
        self.stands(target)?;
        if self.is_directory(source.ino) != self.is_directory(target.ino) {
            return Err(Errno::ENOTDIR);
        }
        let top = self.clone_tree(pid, source, reach)?;
        self.attach_tree(top, target);
        Ok(0)
    }

    /// Makes a detached copy of what is seen at a place.
    fn clone_tree(&mut self, pid: Pid, source: Place, reach: Reach) -> Result<u32, Errno> {
        if let Ino::Space(_) = source.ino
            && source.mount == 0
        {
            // The file of a namespace, by which a bind mount keeps it (namespaces(7)).
            return Ok(self.mounts.add(Mount::new("nsfs", source.ino)));
        }
        let own = self.task(pid).space(Kind::Mnt);
        let Some(mount) = self.mounts.get(source.mount) else { return Err(Errno::EINVAL) };
        if mount.unbindable || mount.space != own && mount.space != 0 {
            return Err(Errno::EINVAL);
        }
        let mut rows = vec![source.mount];
        if reach == Reach::Whole {
            for row in self.subtree(source.mount).into_iter().skip(1) {
                let Some(below) = self.mounts.get(row) else { continue };
                let inside = below.at.mount != source.mount || self.shows(source.ino, below.at.ino);
                if inside && rows.contains(&below.at.mount) && !below.unbindable {
                    rows.push(row);
                }
            }
        }
        let copies = self.copy_tree(&rows, 0);
        let top = copies.first().copied().ok_or(Errno::EINVAL)?;
        if let Some(mount) = self.mounts.get_mut(top) {
            mount.root = source.ino;
            mount.at = NOWHERE;
        }
        Ok(top)
    }

    fn propagate(&mut self, pid: Pid, place: Place, kind: u64, reach: Reach) -> Answer {
        self.own_mount(pid, place)?;
        if kind.count_ones() != 1 {
            return Err(Errno::EINVAL);
        }
        if self.mounts.get(place.mount).is_none_or(|mount| mount.root != place.ino) {
            return Err(Errno::EINVAL);
        }
        for row in self.reached(place.mount, reach) {
            let group = self.free_peers();
            let Some(mount) = self.mounts.get(row) else { continue };
            let alone = !self.mounts.iter().any(|(r, m)| r != row && m.peers == mount.peers);
            let Some(mount) = self.mounts.get_mut(row) else { continue };
            mount.unbindable = kind == flags::MS_UNBINDABLE;
            match kind {
                flags::MS_SHARED if mount.peers == 0 => mount.peers = group,
                flags::MS_SHARED => (),
                flags::MS_SLAVE if mount.peers != 0 => {
                    let group = std::mem::take(&mut mount.peers);
                    // A group of one has nobody to receive from.
                    if !alone {
                        mount.master = group;
                    }
                }
                flags::MS_SLAVE => (),
                _ => {
                    mount.peers = 0;
                    mount.master = 0;
                }
            }
        }
        Ok(0)
    }

    fn reached(&self, mount: u32, reach: Reach) -> Vec<u32> {
        match reach {
            Reach::One => vec![mount],
            Reach::Whole => self.subtree(mount),
        }
    }

    fn move_tree(&mut self, pid: Pid, source: Place, target: Place) -> Answer {
        self.own_mount(pid, target)?;
        self.stands(target)?;
        let Some(mount) = self.mounts.get(source.mount) else { return Err(Errno::EINVAL) };
        let attached = mount.at.mount;
        let shared = self.mounts.get(attached).is_some_and(|parent| parent.peers != 0);
        if mount.root != source.ino || attached == 0 && mount.space != 0 || shared {
            return Err(Errno::EINVAL);
        }
        if mount.space != 0 {
            self.own_mount(pid, source)?;
        }
        // Not ENOTDIR; law `a_mount_moves_with_what_is_below`.
        if self.is_directory(source.ino) != self.is_directory(target.ino) {
            return Err(Errno::EINVAL);
        }
        if self.subtree(source.mount).contains(&target.mount) {
            return Err(Errno::ELOOP);
        }
        self.attach_tree(source.mount, target);
        Ok(0)
    }

    pub(super) fn open_tree(&mut self, pid: Pid, at: (RawFd, &[u8]), how: u32) -> Answer {
        let known = flags::OPEN_TREE_CLONE
            | flags::OPEN_TREE_CLOEXEC
            | flags::AT_RECURSIVE
            | flags::AT_EMPTY_PATH
            | flags::AT_SYMLINK_NOFOLLOW;
        let clones = how & flags::OPEN_TREE_CLONE != 0;
        if how & !known != 0 || !clones && how & flags::AT_RECURSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        if clones {
            self.may_mount(pid)?;
        }
        let place = self.find_at(Walk::new(pid, at.0, at.1), how)?;
        let cloexec = u64::from(how) & flags::O_CLOEXEC;
        if !clones {
            return self.give(pid, Open::new(What::Named(place), flags::O_PATH | cloexec));
        }
        let top = self.clone_tree(pid, place, (how & flags::AT_RECURSIVE != 0).into())?;
        let what = What::Tree(Place { mount: top, ino: place.ino });
        self.give(pid, Open::new(what, flags::O_PATH | cloexec))
    }

    pub(super) fn move_mount(&mut self, pid: Pid, ends: [(RawFd, &[u8]); 2], how: u32) -> Answer {
        self.may_mount(pid)?;
        let [from, to] = ends;
        let empty = |bit| if how & bit != 0 { flags::AT_EMPTY_PATH } else { 0 };
        let kept = |bit| if how & bit != 0 { 0 } else { flags::AT_SYMLINK_NOFOLLOW };
        let from_flags = empty(flags::MOVE_MOUNT_F_EMPTY_PATH) | kept(flags::MOVE_MOUNT_F_SYMLINKS);
        let to_flags = empty(flags::MOVE_MOUNT_T_EMPTY_PATH) | kept(flags::MOVE_MOUNT_T_SYMLINKS);
        let source = self.find_at(Walk::new(pid, from.0, from.1), from_flags)?;
        let target = self.over(self.find_at(Walk::new(pid, to.0, to.1), to_flags)?);
        self.move_tree(pid, source, target)
    }

    pub(super) fn mount_setattr(
        &mut self,
        pid: Pid,
        at: (RawFd, &[u8], u32),
        change: Change,
    ) -> Answer {
        let (dir, path, how) = at;
        self.may_mount(pid)?;
        if how & !(flags::AT_RECURSIVE | flags::AT_EMPTY_PATH | flags::AT_SYMLINK_NOFOLLOW) != 0
            || change.propagation & !PROPAGATION != 0
            || change.propagation.count_ones() > 1
            // The times are one choice: to set one, the choice is cleared whole (mount_setattr(2)).
            || change.set & flags::MOUNT_ATTR_ATIME != 0
                && change.clear & flags::MOUNT_ATTR_ATIME != flags::MOUNT_ATTR_ATIME
        {
            return Err(Errno::EINVAL);
        }
        let place = self.find_at(Walk::new(pid, dir, path), how)?;
        let Some(mount) = self.mounts.get(place.mount) else { return Err(Errno::EINVAL) };
        if mount.root != place.ino {
            return Err(Errno::EINVAL);
        }
        if mount.space != 0 {
            self.own_mount(pid, place)?;
        }
        let reach = Reach::from(how & flags::AT_RECURSIVE != 0);
        for row in self.reached(place.mount, reach) {
            if let Some(mount) = self.mounts.get_mut(row) {
                mount.flags = attributes(mount.flags, change);
            }
        }
        if change.propagation != 0 && self.mounts.get(place.mount).is_some_and(|m| m.space != 0) {
            self.propagate(pid, place, change.propagation, reach)?;
        }
        Ok(0)
    }

    pub(super) fn umount2(&mut self, pid: Pid, target: &[u8], how: u32) -> Answer {
        if how & !(flags::MNT_DETACH | flags::UMOUNT_NOFOLLOW | 1 | 4) != 0 {
            return Err(Errno::EINVAL);
        }
        let walk = if how & flags::UMOUNT_NOFOLLOW != 0 {
            Walk::keep(pid, CWD, target)
        } else {
            Walk::new(pid, CWD, target)
        };
        // Even ".", which the walk does not cross, means what is mounted on top of it.
        let place = self.over(self.find(walk)?);
        self.may_mount(pid)?;
        let Some(mount) = self.mounts.get(place.mount) else { return Err(Errno::EINVAL) };
        if mount.root != place.ino || mount.at.mount == 0 {
            return Err(Errno::EINVAL);
        }
        self.own_mount(pid, place)?;
        if how & flags::MNT_DETACH == 0 && self.is_busy(place.mount) {
            return Err(Errno::EBUSY);
        }
        self.detach_tree(place.mount);
        Ok(0)
    }

    pub(super) fn pivot_root(&mut self, pid: Pid, new: &[u8], put_old: &[u8]) -> Answer {
        self.may_mount(pid)?;
        let new = self.find(Walk::new(pid, CWD, new))?;
        let old_at = self.find(Walk::new(pid, CWD, put_old))?;
        let root = self.task(pid).root;
        for place in [new, old_at, root] {
            if !self.is_directory(place.ino) {
                return Err(Errno::ENOTDIR);
            }
            self.own_mount(pid, place)?;
        }
        let (Some(top), Some(old)) = (self.mounts.get(new.mount), self.mounts.get(root.mount))
        else {
            return Err(Errno::EINVAL);
        };
        if new.mount == root.mount || old_at.mount == root.mount {
            return Err(Errno::EBUSY);
        }
        let shares = |mount: u32| self.mounts.get(mount).is_some_and(|mount| mount.peers != 0);
        if top.root != new.ino
            || old.root != root.ino
            || top.at.mount == 0
            || shares(top.at.mount)
            || shares(old.at.mount)
            || shares(new.mount)
        {
            return Err(Errno::EINVAL);
        }
        let was = old.at;
        if let Some(mount) = self.mounts.get_mut(new.mount) {
            mount.at = was;
        }
        let put = self.over(old_at);
        if let Some(mount) = self.mounts.get_mut(root.mount) {
            mount.at = put;
        }
        let space = self.task(pid).space(Kind::Mnt);
        if let Some(Space { held: Held::Mnt { root: held }, .. }) = self.spaces.get_mut(space)
            && *held == root.mount
        {
            *held = new.mount;
        }
        for other in self.tasks.keys() {
            let task = self.task_mut(other);
            if task.root == root {
                task.root = new;
            }
            if task.cwd == root {
                task.cwd = new;
            }
        }
        Ok(0)
    }

    pub(super) fn chroot(&mut self, pid: Pid, path: &[u8]) -> Answer {
        let place = self.find(Walk::new(pid, CWD, path))?;
        if !self.is_directory(place.ino) {
            return Err(Errno::ENOTDIR);
        }
        self.may(pid, place.ino, 1)?;
        if !self.capable_in(pid, SYS_CHROOT, self.task(pid).space(Kind::User)) {
            return Err(Errno::EPERM);
        }
        self.task_mut(pid).root = place;
        Ok(0)
    }

    pub(super) fn change_directory(&mut self, pid: Pid, place: Place) -> Answer {
        if !self.is_directory(place.ino) {
            return Err(Errno::ENOTDIR);
        }
        self.may(pid, place.ino, 1)?;
        let before = std::mem::replace(&mut self.task_mut(pid).cwd, place);
        self.forget(before.ino);
        self.sweep_mounts();
        Ok(0)
    }
}

/// How much of a tree of mounts is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    One,
    Whole,
}

impl From<bool> for Reach {
    fn from(recursive: bool) -> Self {
        if recursive { Self::Whole } else { Self::One }
    }
}

/// Returns the flags that stay; without a choice of times, `MS_RELATIME` is one (mount(2)).
const fn kept(bits: u64) -> u64 {
    let chosen = flags::MS_NOATIME | flags::MS_STRICTATIME;
    let bits = if bits & chosen == 0 { bits | flags::MS_RELATIME } else { bits };
    bits & KEPT
}

/// Returns the flags after a change in the words of mount_setattr(2).
fn attributes(bits: u64, change: Change) -> u64 {
    const SAME: u64 = 0xf;
    const OTHERS: [(u64, u64); 3] = [
        (flags::MOUNT_ATTR_NOATIME, flags::MS_NOATIME),
        (flags::MOUNT_ATTR_NODIRATIME, flags::MS_NODIRATIME),
        (flags::MOUNT_ATTR_NOSYMFOLLOW, flags::MS_NOSYMFOLLOW),
    ];
    let into = |attributes: u64| {
        OTHERS.iter().fold(attributes & SAME, |bits, (attribute, flag)| {
            if attributes & attribute != 0 { bits | flag } else { bits }
        })
    };
    let mut clear = into(change.clear);
    if change.clear & flags::MOUNT_ATTR_ATIME != 0 {
        clear |= flags::MS_NOATIME | flags::MS_RELATIME;
    }
    let mut now = bits & !clear | into(change.set);
    let timed = flags::MOUNT_ATTR_NOATIME | flags::MOUNT_ATTR_STRICTATIME;
    if change.clear & flags::MOUNT_ATTR_ATIME != 0 && change.set & timed == 0 {
        now |= flags::MS_RELATIME;
    }
    now
}

fn mode_of(data: &str) -> Option<u32> {
    let mode = data.split(',').find_map(|option| option.strip_prefix("mode="))?;
    u32::from_str_radix(mode, 8).ok()
}
