//! Mounts: which file system lies where in which namespace, and how changes spread.

use std::cell::Cell;

use super::fds::What;
use super::files::{Ino, Inode, Name, Node, Place};
use super::proctree::Proc;
use super::spaces::{Held, Kind, Space};
use super::{Answer, Pid, World};
use crate::sys::{Errno, RawFd, flags};

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mount {
    /// The mount namespace; 0 while it is detached.
    pub(super) space: u32,
    /// Where it is attached; mount 0 at the root of a tree.
    pub(super) at: Place,
    pub(super) root: Ino,
    pub(super) kind: Name,
    pub(super) source: Name,
    pub(super) data: Name,
    /// `MS_*`, those that stay.
    pub(super) flags: u64,
    /// Whether the file system itself is read-only, whatever its mounts say.
    pub(super) sealed: bool,
    /// The peer group that it shares changes with; 0 is none.
    pub(super) peers: u32,
    /// The peer group that it receives changes from; 0 is none.
    pub(super) master: u32,
    pub(super) unbindable: bool,
    /// The pid namespace that a procfs shows.
    pub(super) pids: u32,
}

/// Nowhere: what the root of a tree of mounts is attached to.
pub(super) const NOWHERE: Place = Place { mount: 0, ino: Ino::Nameless };

/// The flags that a mount keeps.
pub(super) const KEPT: u64 = flags::MS_RDONLY
    | flags::MS_NOSUID
    | flags::MS_NODEV
    | flags::MS_NOEXEC
    | flags::MS_NOATIME
    | flags::MS_NODIRATIME
    | flags::MS_RELATIME
    | flags::MS_NOSYMFOLLOW;

impl Mount {
    /// Returns a detached mount.
    pub(super) fn new(kind: &str, root: Ino) -> Self {
        Self {
            space: 0,
            at: NOWHERE,
            root,
            kind: kind.as_bytes().into(),
            source: kind.as_bytes().into(),
            data: Name::from(&b""[..]),
            flags: flags::MS_RELATIME,
            sealed: false,
            peers: 0,
            master: 0,
            unbindable: false,
            pids: 0,
        }
    }
}

impl World {
    /// Returns the mount that lies over a place.
    pub(super) fn mounted_at(&self, place: Place) -> Option<u32> {
        let mut there = self.mounts.iter().filter(|(_, mount)| mount.at == place);
        there.next().map(|(row, _)| row)
    }

    /// Returns the flags of the mount that a place is seen through.
    pub(super) fn mount_flags(&self, place: Place) -> u64 {
        self.mounts
            .get(place.mount)
            .map_or(0, |mount| mount.flags | if mount.sealed { flags::MS_RDONLY } else { 0 })
    }

    /// Says of which type the file system of an open file is (statfs(2)), and no more.
    pub(super) fn fstatfs(&self, pid: Pid, fd: RawFd, buf: &[Cell<u8>]) -> Answer {
        let place = self.open_of(pid, fd)?.place();
        let mount = self.mounts.get(place.mount);
        let magic: u64 = match mount.map(|mount| &*mount.kind) {
            Some(b"cgroup") => 0x27_e0eb,
            Some(b"cgroup2") => 0x6367_7270,
            Some(b"devpts") => 0x1cd1,
            Some(b"ext4") => 0xef53,
            Some(b"mqueue") => 0x1980_0202,
            Some(b"overlay") => 0x794c_7630,
            Some(b"proc") => flags::PROC_SUPER_MAGIC.into(),
            Some(b"sysfs") => 0x6265_6572,
            Some(b"tmpfs") => flags::TMPFS_MAGIC.into(),
            Some(_) => super::parts::unmodelled("fstatfs", "of that file system"),
            None => super::parts::unmodelled("fstatfs", "of what has no name"),
        };
        let block = magic.to_le_bytes().into_iter().chain(std::iter::repeat(0)).take(120);
        for (cell, byte) in buf.iter().zip(block) {
            cell.set(byte);
        }
        Ok(0)
    }

    pub(super) fn root_of(&self, mount: u32) -> Place {
        Place { mount, ino: self.mounts.get(mount).map_or(Ino::Nameless, |mount| mount.root) }
    }

    /// Returns the lowest number that no peer group has.
    pub(super) fn free_peers(&self) -> u32 {
        let used = |group| self.mounts.iter().any(|(_, m)| m.peers == group || m.master == group);
        (1..).find(|group| !used(*group)).unwrap_or(u32::MAX)
    }

    /// Makes a file system of a kind and returns its root.
    pub(super) fn new_root(&mut self, kind: &str) -> Ino {
        if kind == "proc" {
            return Ino::Proc(Proc::ROOT);
        }
        let row = self.inodes.free();
        let mode = if kind == "tmpfs" || kind == "mqueue" { 0o1777 } else { 0o755 };
        let mut root = Inode::new(Node::directory(row), mode, 100 + row);
        root.links = 1;
        self.inodes.insert(row, root);
        let below: &[&str] = match kind {
            "sysfs" => &["fs", "fs/cgroup", "kernel", "firmware", "class", "devices"],
            _ => &[],
        };
        let mut rows = vec![("", row)];
        for path in below {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            let above = rows.iter().find(|(path, _)| *path == above).map_or(row, |(_, row)| *row);
            let child = self.inodes.add(Inode::new(Node::directory(above), 0o755, 100 + row));
            self.link(above, name.as_bytes(), child);
            rows.push((path, child));
        }
        if kind == "devpts" {
            let node = Node::Device { kind: flags::S_IFCHR, number: (5, 2) };
            let child = self.inodes.add(Inode::new(node, 0o666, 100 + row));
            self.link(row, b"ptmx", child);
        }
        Ino::Plain(row)
    }

    /// Returns a mount and those under it, parents first.
    pub(super) fn subtree(&self, top: u32) -> Vec<u32> {
        let mut found = vec![top];
        let mut next = 0;
        while let Some(above) = found.get(next).copied() {
            let below = self.mounts.iter().filter(|(_, mount)| mount.at.mount == above);
            found.extend(below.map(|(row, _)| row));
            next += 1;
        }
        found
    }

    /// Copies mounts, which stand parents first; returns the copies in the same order.
    pub(super) fn copy_tree(&mut self, rows: &[u32], space: u32) -> Vec<u32> {
        let mut copies: Vec<u32> = Vec::new();
        for row in rows {
            let Some(mut copy) = self.mounts.get(*row).cloned() else { continue };
            let above = rows.iter().position(|other| *other == copy.at.mount);
            copy.at = match above.and_then(|at| copies.get(at)) {
                Some(mount) => Place { mount: *mount, ino: copy.at.ino },
                None => NOWHERE,
            };
            copy.space = space;
            copies.push(self.mounts.add(copy));
        }
        copies
    }

    /// Gives a process a copy of its mounts in a new namespace.
    pub(super) fn copy_mounts(&mut self, pid: Pid, space: u32) {
        let old = self.task(pid).space(Kind::Mnt);
        let owner = |world: &Self, space| world.spaces.get(space).map_or(0, |space| space.owner);
        let foreign = owner(self, old) != owner(self, space);
        let Some(Held::Mnt { root }) = self.spaces.get(old).map(|space| space.held.clone()) else {
            return;
        };
        let rows = self.subtree(root);
        let copies = self.copy_tree(&rows, space);
        if foreign {
            // What a user namespace does with its mounts does not come back (mount_namespaces(7)).
            for row in &copies {
                if let Some(mount) = self.mounts.get_mut(*row)
                    && mount.peers != 0
                {
                    mount.master = std::mem::take(&mut mount.peers);
                }
            }
        }
        if let Some(Space { held: Held::Mnt { root }, .. }) = self.spaces.get_mut(space) {
            *root = copies.first().copied().unwrap_or(0);
        }
        let moved = |place: Place| {
            let at = rows.iter().position(|row| *row == place.mount);
            let mount = at.and_then(|at| copies.get(at).copied()).unwrap_or(place.mount);
            Place { mount, ..place }
        };
        let task = self.task_mut(pid);
        task.cwd = moved(task.cwd);
        task.root = moved(task.root);
        task.set_space(Kind::Mnt, space);
    }

    /// Attaches a tree of mounts at a place, and copies of it wherever changes spread to.
    pub(super) fn attach_tree(&mut self, top: u32, place: Place) {
        let Some(parent) = self.mounts.get(place.mount).cloned() else { return };
        let tree = self.subtree(top);
        for row in &tree {
            let group = self.free_peers();
            if let Some(mount) = self.mounts.get_mut(*row) {
                mount.space = parent.space;
                if parent.peers != 0 && mount.peers == 0 {
                    mount.peers = group;
                }
            }
        }
        if let Some(mount) = self.mounts.get_mut(top) {
            mount.at = place;
        }
        for to in self.receivers(place) {
            let Some(receiver) = self.mounts.get(to).cloned() else { continue };
            let copies = self.copy_tree(&tree, receiver.space);
            for row in &copies {
                if let Some(mount) = self.mounts.get_mut(*row)
                    && receiver.peers != parent.peers
                {
                    mount.master = std::mem::take(&mut mount.peers);
                }
            }
            if let Some(mount) = copies.first().and_then(|row| self.mounts.get_mut(*row)) {
                mount.at = Place { mount: to, ino: place.ino };
            }
        }
    }

    /// Returns the mounts to which a change at a place spreads.
    pub(super) fn receivers(&self, place: Place) -> Vec<u32> {
        let Some(source) = self.mounts.get(place.mount) else { return Vec::new() };
        let mut groups = vec![source.peers];
        let mut found = Vec::new();
        while let Some(group) = groups.pop() {
            if group == 0 {
                continue;
            }
            for (row, mount) in self.mounts.iter() {
                let told = mount.peers == group || mount.master == group;
                if !told || row == place.mount || found.contains(&row) || mount.space == 0 {
                    continue;
                }
                if self.shows(mount.root, place.ino) {
                    found.push(row);
                }
                if mount.peers != group {
                    groups.push(mount.peers);
                }
            }
        }
        found
    }

    /// Returns whether an object lies at or under the root of a mount.
    pub(super) fn shows(&self, root: Ino, mut ino: Ino) -> bool {
        loop {
            if ino == root {
                return true;
            }
            let inside = Place { mount: 0, ino };
            let up = self.parent_of(inside.ino);
            if up == ino {
                return false;
            }
            ino = up;
        }
    }

    /// Detaches a tree of mounts here and wherever the change spreads to.
    pub(super) fn detach_tree(&mut self, top: u32) {
        let Some(mount) = self.mounts.get(top) else { return };
        let at = mount.at;
        let mut tops = vec![top];
        for to in self.receivers(at) {
            tops.extend(self.mounted_at(Place { mount: to, ino: at.ino }));
        }
        for top in tops {
            for row in self.subtree(top) {
                if let Some(mount) = self.mounts.get_mut(row) {
                    mount.space = 0;
                    mount.at = NOWHERE;
                }
            }
        }
        self.sweep_mounts();
    }

    /// Detaches what is mounted over an object that is being removed, in whatever namespace.
    pub(super) fn unmount_under(&mut self, ino: Ino) {
        let over: Vec<u32> = self
            .mounts
            .iter()
            .filter(|(_, m)| m.at.ino == ino && m.at.mount != 0)
            .map(|(row, _)| row)
            .collect();
        for row in over {
            self.detach_tree(row);
        }
    }

    /// Drops the mounts of a namespace that is no more.
    pub(super) fn drop_mounts(&mut self, space: u32) {
        for row in self.mounts.keys() {
            if let Some(mount) = self.mounts.get(row)
                && mount.space == space
                && let Some(mount) = self.mounts.get_mut(row)
            {
                mount.space = 0;
                mount.at = NOWHERE;
            }
        }
        self.sweep_mounts();
    }

    /// Drops a detached tree whose descriptor was closed, unless it was attached meanwhile.
    pub(super) fn dissolve(&mut self, top: u32) {
        if self.mounts.get(top).is_some_and(|mount| mount.space == 0) {
            self.sweep_mounts();
        }
    }

    /// Drops the detached mounts that nobody holds.
    pub(super) fn sweep_mounts(&mut self) {
        let detached: Vec<u32> =
            self.mounts.iter().filter(|(_, mount)| mount.space == 0).map(|(row, _)| row).collect();
        for row in detached {
            let mut top = row;
            while let Some(mount) = self.mounts.get(top)
                && mount.at.mount != 0
            {
                top = mount.at.mount;
            }
            if self.is_held(row) || self.is_held(top) {
                continue;
            }
            if let Some(mount) = self.mounts.remove(row) {
                self.forget_tree(mount.root);
                self.forget(mount.at.ino);
            }
        }
    }

    /// Drops what a file system held, once nothing mounts it.
    fn forget_tree(&mut self, root: Ino) {
        let Ino::Plain(row) = root else { return };
        let device = self.inodes.get(row).map_or(0, |inode| inode.device);
        let own = Ino::Plain(device.saturating_sub(100));
        let mounted = |world: &Self, other: Ino| match other {
            Ino::Plain(row) => world.inodes.get(row).is_some_and(|inode| inode.device == device),
            _ => false,
        };
        if device <= 100
            || own != root && self.mounts.iter().any(|(_, m)| mounted(self, m.root))
            || self.mounts.iter().any(|(_, m)| mounted(self, m.root))
            || self.opens.iter().any(|(_, open)| mounted(self, open.place().ino))
            || self.tasks.iter().any(|(_, t)| mounted(self, t.cwd.ino) || mounted(self, t.root.ino))
        {
            return;
        }
        for row in self.inodes.keys() {
            if self.inodes.get(row).is_some_and(|inode| inode.device == device) {
                self.inodes.remove(row);
            }
        }
    }

    fn is_held(&self, mount: u32) -> bool {
        self.opens.iter().any(|(_, open)| {
            matches!(open.what, What::Named(place) | What::Tree(place) if place.mount == mount)
        }) || self.tasks.iter().any(|(_, task)| {
            task.cwd.mount == mount || task.root.mount == mount
        })
    }

    /// Returns whether a mount is in use beside being there.
    pub(super) fn is_busy(&self, mount: u32) -> bool {
        self.is_held(mount) || self.subtree(mount).len() > 1
    }

    /// Refuses whoever may not change the mounts of the namespace that he is in.
    pub(super) fn may_mount(&self, pid: Pid) -> Result<(), Errno> {
        if self.capable_of(pid, super::creds::SYS_ADMIN, Kind::Mnt) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }
}
