//! What of the kernel's own file systems is covered in the mount namespaces of containers.
//!
//! **Invariant:** judged by inode, in every mount there is: no name that somebody moved and no
//! link can hide one.

use super::World;
use super::files::{Ino, Node, Place};
use super::proctree::Proc;
use super::spaces::Kind;
use super::walk::Link;
use crate::sys::flags;

/// Where each of those file systems belongs.
const PLACES: [(&[u8], &str); 2] = [(b"proc", "/proc/"), (b"sysfs", "/sys/")];

/// What is found at a path of a file system.
enum Found {
    /// Nothing, or what something else covers.
    Nothing,
    /// It is bare.
    Bare,
    /// It is covered by that mount.
    Covered(u32),
}

impl World {
    /// Returns the paths of `masked` that a procfs or sysfs of a container shows, bare or covered
    /// by what is not nothing, and those of `readonly` that can be written there: a line each.
    ///
    /// Each file system is looked at where it is, whatever is at its usual path.
    #[must_use]
    pub fn bare(&self, masked: &[String], readonly: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        for (row, mount) in self.mounts.iter() {
            let place = PLACES.iter().find(|(kind, _)| **kind == *mount.kind);
            let Some((_, above)) = place else { continue };
            let host = mount.space == 0 || mount.space == self.task(1).space(Kind::Mnt);
            let hidden = self.mounted_at(self.root_of(row)).is_some();
            if host || hidden || !self.is_whole(mount.root) || !self.is_inhabited(mount.space) {
                continue;
            }
            for path in masked {
                match self.at(row, path.strip_prefix(above)) {
                    Found::Bare => lines.push(format!("{path} is not masked")),
                    Found::Covered(over) if !self.is_nothing(over) => {
                        lines.push(format!("{path} is masked by something"));
                    }
                    Found::Covered(_) | Found::Nothing => (),
                }
            }
            for path in readonly {
                let writable = match self.at(row, path.strip_prefix(above)) {
                    Found::Bare => mount.flags & flags::MS_RDONLY == 0 && !mount.sealed,
                    Found::Covered(over) => {
                        let place = self.root_of(over);
                        self.mount_flags(place) & flags::MS_RDONLY == 0
                    }
                    Found::Nothing => false,
                };
                if writable {
                    lines.push(format!("{path} is not read-only"));
                }
            }
        }
        lines
    }

    /// Returns whether nothing is to be had of a mount: it is the null device or an empty memory.
    fn is_nothing(&self, mount: u32) -> bool {
        let Ino::Plain(root) = self.root_of(mount).ino else { return false };
        match self.inodes.get(root).map(|inode| &inode.node) {
            Some(Node::Device { number, .. }) => *number == (1, 3),
            Some(Node::Directory { entries, .. }) => entries.is_empty(),
            Some(Node::Fifo(_) | Node::File(_) | Node::Link(_) | Node::Socket { .. }) | None => {
                false
            }
        }
    }

    /// Returns whether an object is the root of a file system.
    fn is_whole(&self, root: Ino) -> bool {
        root == Ino::Proc(Proc::ROOT)
            || matches!(root, Ino::Plain(_) if self.parent_of(root) == root)
    }

    /// Returns whether a process lives in a mount namespace.
    fn is_inhabited(&self, space: u32) -> bool {
        self.tasks.iter().any(|(_, task)| task.life.is_alive() && task.space(Kind::Mnt) == space)
    }

    /// Returns what is at a path below the root of a mount.
    fn at(&self, mount: u32, path: Option<&str>) -> Found {
        let Some(path) = path else { return Found::Nothing };
        let mut place = self.root_of(mount);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if place.ino != self.root_of(mount).ino && self.mounted_at(place).is_some() {
                return Found::Nothing;
            }
            let Ok(Some(ino)) = self.lookup(1, place, name.as_bytes()) else {
                return Found::Nothing;
            };
            place = Place { mount, ino };
            if matches!(self.link_of(1, place), Ok(Some(Link::Magic(_) | Link::Text(_)))) {
                return Found::Nothing;
            }
        }
        self.mounted_at(place).map_or(Found::Bare, |over| {
            let mut top = over;
            while let Some(next) = self.mounted_at(self.root_of(top)) {
                top = next;
            }
            Found::Covered(top)
        })
    }
}
