//! What is left behind: what two worlds differ by and should not.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::fds::Lock;
use super::files::{Ino, Node, Place};
use super::procs::Role;
use super::spaces::Kind;
use super::{Pid, World};

impl World {
    /// Returns what is here and was not `before`, or was and is gone: processes, cgroups, mounts
    /// of the host, files, locks, descriptors of clients, namespaces. One line each, sorted.
    #[must_use]
    pub fn residue(&self, before: &Self) -> Vec<String> {
        let (then, now) = (before.inventory(), self.inventory());
        differences(&then, &now)
    }

    /// Returns what differs from `before` of the files and mounts that the host has, by inode and
    /// whatever is mounted over them: nothing below `within`, which are paths without links.
    #[must_use]
    pub fn tampered(&self, before: &Self, within: &[&str]) -> Vec<String> {
        let seen = |world: &Self| {
            let mut found = BTreeSet::new();
            world.host_tree(&mut found);
            found.retain(|line| !within.iter().any(|above| is_below(line, above)));
            found
        };
        differences(&seen(before), &seen(self))
    }

    /// Returns whether a process is there and has not begun to die.
    #[must_use]
    pub fn is_alive(&self, pid: Pid) -> bool {
        self.tasks.get(pid).is_some_and(|task| task.life.is_alive())
    }

    /// Returns whether a process runs the program of a container, or of somebody outside.
    #[must_use]
    pub fn is_payload(&self, pid: Pid) -> bool {
        self.is_alive(pid) && self.is_script(pid)
    }

    /// Returns whether a process is still all that it was, though it may be about to die.
    #[must_use]
    pub fn has_body(&self, pid: Pid) -> bool {
        self.tasks.get(pid).is_some_and(|task| task.life.is_listed())
    }

    /// Returns whether a process was made by a client and is, or was, no program yet.
    #[must_use]
    pub fn is_stub(&self, pid: Pid) -> bool {
        self.tasks.get(pid).is_some_and(|task| matches!(task.role, Role::Program(_)))
    }

    /// Returns whether a process is, or was, a container's program or that of somebody outside.
    #[must_use]
    pub fn is_script(&self, pid: Pid) -> bool {
        self.tasks.get(pid).is_some_and(|task| matches!(task.role, Role::Script { .. }))
    }

    /// Returns whether the client that made a process is no more.
    #[must_use]
    pub fn is_orphan(&self, pid: Pid) -> bool {
        let Some(task) = self.tasks.get(pid) else { return true };
        let maker = self.tasks.get(task.parent).filter(|maker| maker.role != Role::Reaper);
        maker.is_none_or(|maker| !maker.life.is_listed())
    }

    fn inventory(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (pid, task) in self.tasks.iter() {
            if task.role == Role::Client {
                let fds = task.fds.keys().filter(|fd| **fd > 2);
                found.extend(fds.map(|fd| format!("descriptor {fd} of process {pid}")));
            } else {
                let argv = String::from_utf8_lossy(&task.argv).replace('\0', " ");
                found.insert(format!("process {pid}, {:?}, {}", task.life, argv.trim_end()));
            }
        }
        for (row, cgroup) in self.cgroups.iter().filter(|(_, cgroup)| !cgroup.dead) {
            let path = self.path_in(Ino::Cgroup(row));
            let path = String::from_utf8_lossy(&path).into_owned();
            let tree = self.tree_of(row).controllers;
            found.insert(format!("cgroup {tree}:{path}"));
            if cgroup.freeze {
                found.insert(format!("frozen cgroup {tree}:{path}"));
            }
        }
        let locks = self.opens.iter().filter(|(_, open)| open.lock != Lock::None);
        found.extend(locks.map(|(row, open)| format!("lock {:?} of open file {row}", open.lock)));
        let made = self.spaces.iter().filter(|(row, _)| *row > 8);
        found.extend(made.map(|(row, space)| format!("{} namespace {row}", space.kind.name())));
        self.host_tree(&mut found);
        found
    }

    /// Adds the mounts of the host, and every file of their file systems.
    fn host_tree(&self, found: &mut BTreeSet<String>) {
        let (host, space) = (self.task(1).root, self.task(1).space(Kind::Mnt));
        for (row, mount) in self.mounts.iter() {
            if mount.space != space {
                continue;
            }
            let path = self.path_of(Place { mount: row, ino: mount.root }, host);
            let path = String::from_utf8_lossy(&path).into_owned();
            let kind = String::from_utf8_lossy(&mount.kind);
            found.insert(format!("mount of {kind} on {path}"));
            if let Ino::Plain(root) = mount.root {
                self.files_under(root, path.trim_end_matches('/').to_owned(), found);
            }
        }
    }

    fn files_under(&self, row: u32, path: String, found: &mut BTreeSet<String>) {
        let Some(inode) = self.inodes.get(row) else { return };
        let what = match &inode.node {
            Node::Device { number, .. } => format!("device {number:?}"),
            Node::Directory { .. } => "directory".to_owned(),
            Node::Fifo(_) => "fifo".to_owned(),
            Node::File(bytes) => {
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                format!("file of {} bytes, {:x}", bytes.len(), hasher.finish())
            }
            Node::Link(target) => format!("link to {}", String::from_utf8_lossy(target)),
            Node::Socket { .. } => "socket".to_owned(),
        };
        found.insert(format!("{path}: {what}, {:o} {}:{}", inode.mode, inode.uid, inode.gid));
        let empty = BTreeMap::new();
        let entries = match &inode.node {
            Node::Directory { entries, .. } => entries,
            Node::Device { .. }
            | Node::Fifo(_)
            | Node::File(_)
            | Node::Link(_)
            | Node::Socket { .. } => &empty,
        };
        for (name, child) in entries {
            let below = format!("{path}/{}", String::from_utf8_lossy(name));
            self.files_under(*child, below, found);
        }
    }
}

/// Returns what is in one inventory alone, a line each.
fn differences(then: &BTreeSet<String>, now: &BTreeSet<String>) -> Vec<String> {
    let left = now.difference(then).map(|what| format!("left: {what}"));
    let lost = then.difference(now).map(|what| format!("lost: {what}"));
    left.chain(lost).collect()
}

/// Returns whether a line of an inventory is of a file at or below a path.
pub(crate) fn is_below(line: &str, above: &str) -> bool {
    line.strip_prefix(above).is_some_and(|rest| rest.starts_with(['/', ':']))
}
