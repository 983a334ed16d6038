//! The way back: which path leads to a place, and the table of mounts that says so.

use super::files::{Ino, Node, Place};
use super::spaces::Kind;
use super::{Pid, World};
use crate::sys::flags;

impl World {
    /// Returns the path of a place as somebody with that root sees it.
    pub(super) fn path_of(&self, place: Place, root: Place) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        let mut at = place;
        while at != root {
            let bottom = self.beneath(at);
            let up = self.above(at, root);
            if up == at {
                break;
            }
            parts.push(self.name_of(bottom.ino, up.ino));
            at = up;
        }
        let mut path = Vec::new();
        for part in parts.iter().rev() {
            path.push(b'/');
            path.extend(part);
        }
        if path.is_empty() { b"/".to_vec() } else { path }
    }

    /// Returns the place that a stack of mounts covers at its bottom.
    fn beneath(&self, mut place: Place) -> Place {
        while let Some(mount) = self.mounts.get(place.mount)
            && mount.root == place.ino
            && mount.at.mount != 0
        {
            place = mount.at;
        }
        place
    }

    fn name_of(&self, ino: Ino, parent: Ino) -> Vec<u8> {
        match (ino, parent) {
            (Ino::Plain(row), Ino::Plain(above)) => {
                match self.inodes.get(above).map(|inode| &inode.node) {
                    Some(Node::Directory { entries, .. }) => entries
                        .iter()
                        .find(|(_, child)| **child == row)
                        .map_or_else(|| b"?".to_vec(), |(name, _)| name.to_vec()),
                    Some(_) | None => b"?".to_vec(),
                }
            }
            (Ino::Cgroup(row), _) => self.cgroups.get(row).map_or(Vec::new(), |c| c.name.to_vec()),
            (Ino::CgroupFile(_, file), _) => super::cgroupfs::name(file).as_bytes().to_vec(),
            (Ino::Proc(proc), _) => proc.name().into_bytes(),
            (Ino::Nameless | Ino::Plain(_) | Ino::Socket(_) | Ino::Space(_), _) => b"?".to_vec(),
        }
    }

    /// Returns `/proc/<pid>/mountinfo`.
    pub(super) fn mountinfo(&self, pid: Pid) -> Vec<u8> {
        let task = self.task(pid);
        let mut text = Vec::new();
        for (row, mount) in self.mounts.iter() {
            if mount.space == 0 || mount.space != task.space(Kind::Mnt) {
                continue;
            }
            let device = self.attributes(mount.root).device;
            let inside = self.path_in(mount.root);
            let over = self.path_of(Place { mount: row, ino: mount.root }, task.root);
            let options = options(mount.flags);
            text.extend(format!("{row} {} 0:{device} ", mount.at.mount).into_bytes());
            text.extend(inside);
            text.push(b' ');
            text.extend(over);
            text.extend(format!(" {options}").into_bytes());
            if mount.peers != 0 {
                text.extend(format!(" shared:{}", mount.peers).into_bytes());
            }
            if mount.master != 0 {
                text.extend(format!(" master:{}", mount.master).into_bytes());
            }
            if mount.unbindable {
                text.extend(b" unbindable");
            }
            text.extend(b" - ");
            text.extend(&*mount.kind);
            text.push(b' ');
            text.extend(&*mount.source);
            let writable = if mount.sealed { " ro" } else { " rw" };
            text.extend(writable.as_bytes());
            if !mount.data.is_empty() {
                text.push(b',');
                text.extend(&*mount.data);
            }
            text.push(b'\n');
        }
        text
    }

    /// Returns the path of an object inside its file system.
    pub(super) fn path_in(&self, ino: Ino) -> Vec<u8> {
        let mut parts = Vec::new();
        let mut at = ino;
        loop {
            let up = self.parent_of(at);
            if up == at {
                break;
            }
            parts.push(self.name_of(at, up));
            at = up;
        }
        let mut path = Vec::new();
        for part in parts.iter().rev() {
            path.push(b'/');
            path.extend(part);
        }
        if path.is_empty() { b"/".to_vec() } else { path }
    }
}

fn options(bits: u64) -> String {
    let mut text = String::from(if bits & flags::MS_RDONLY == 0 { "rw" } else { "ro" });
    for (bit, name) in [
        (flags::MS_NOSUID, "nosuid"),
        (flags::MS_NODEV, "nodev"),
        (flags::MS_NOEXEC, "noexec"),
        (flags::MS_NOATIME, "noatime"),
        (flags::MS_NODIRATIME, "nodiratime"),
        (flags::MS_RELATIME, "relatime"),
        (flags::MS_NOSYMFOLLOW, "nosymfollow"),
    ] {
        if bits & bit != 0 {
            text.push(',');
            text.push_str(name);
        }
    }
    text
}
