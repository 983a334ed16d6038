//! Inodes: what a name leads to, and what every file system says of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::payload::Payload;
use super::pipes::Pipe;
use super::proctree::Proc;
use super::spaces::Kind;
use super::{Pid, World};
use crate::sys::{Errno, flags};

/// A name in a directory, or other bytes that are shared and never changed.
pub(super) type Name = Arc<[u8]>;

/// Which object a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Ino {
    /// A directory of the cgroup file system.
    Cgroup(u32),
    /// A file of a cgroup, by its number in the list of those.
    CgroupFile(u32, u8),
    /// Something without a name: a pidfd.
    Nameless,
    /// A row of the inode table.
    Plain(u32),
    /// Something of procfs.
    Proc(Proc),
    /// A socket without a name.
    Socket(u32),
    /// A namespace.
    Space(u32),
}

/// The number of the file system of pipes, which have no name and yet one link.
pub(super) const PIPES: u32 = 3;

/// An object as seen through a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which mount; 0 is the kernel's own, where nameless objects live.
    pub(super) mount: u32,
    /// Which object.
    pub(super) ino: Ino,
}

/// A file of a file system that keeps what it is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Inode {
    pub(super) node: Node,
    /// Permissions, without the type.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    /// The number of the file system.
    pub(super) device: u32,
    /// What it does when it is executed.
    pub(super) payload: Option<Arc<Payload>>,
    /// What fcntl(2) has sealed.
    pub(super) seals: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// A device; `kind` is `S_IFBLK` or `S_IFCHR`.
    Device {
        kind: u32,
        number: (u32, u32),
    },
    Directory {
        entries: BTreeMap<Name, u32>,
        parent: u32,
    },
    Fifo(Pipe),
    File(Arc<Vec<u8>>),
    Link(Name),
    /// A bound socket; what connects to it is queued for the listener, if there is one.
    Socket {
        listened: bool,
    },
}

/// What statx(2) says, of whatever file system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes {
    /// Type and permissions.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) size: u64,
    pub(super) number: u64,
    pub(super) device: u32,
    pub(super) node: (u32, u32),
}

impl Node {
    /// Returns an empty directory.
    pub(super) const fn directory(parent: u32) -> Self {
        Self::Directory { entries: BTreeMap::new(), parent }
    }

    /// Returns a file with that content.
    pub(super) fn file(bytes: &[u8]) -> Self {
        Self::File(Arc::new(bytes.to_vec()))
    }

    const fn kind(&self) -> u32 {
        match self {
            Self::Device { kind, .. } => *kind,
            Self::Directory { .. } => flags::S_IFDIR,
            Self::Fifo(_) => flags::S_IFIFO,
            Self::File(_) => flags::S_IFREG,
            Self::Link(_) => flags::S_IFLNK,
            Self::Socket { .. } => flags::S_IFSOCK,
        }
    }
}

impl Inode {
    /// Returns an inode without a name yet.
    pub(super) const fn new(node: Node, mode: u32, device: u32) -> Self {
        Self { node, mode, uid: 0, gid: 0, links: 0, device, payload: None, seals: 0 }
    }

    fn attributes(&self, number: u32) -> Attributes {
        let (size, links) = match &self.node {
            Node::File(bytes) => (bytes.len() as u64, self.links),
            Node::Link(target) => (target.len() as u64, self.links),
            Node::Directory { .. } => (40, if self.links == 0 { 0 } else { 2 }),
            Node::Fifo(_) if self.device == PIPES => (0, 1),
            Node::Device { .. } | Node::Fifo(_) | Node::Socket { .. } => (0, self.links),
        };
        let node = match self.node {
            Node::Device { number, .. } => number,
            Node::Directory { .. }
            | Node::Fifo(_)
            | Node::File(_)
            | Node::Link(_)
            | Node::Socket { .. } => (0, 0),
        };
        Attributes {
            mode: self.mode | self.node.kind(),
            uid: self.uid,
            gid: self.gid,
            links,
            size,
            number: u64::from(number),
            device: self.device,
            node,
        }
    }
}

impl Attributes {
    /// Returns what a synthetic object of root's says.
    pub(super) const fn synthetic(mode: u32, number: u64, device: u32) -> Self {
        Self { mode, uid: 0, gid: 0, links: 1, size: 0, number, device, node: (0, 0) }
    }

    pub(super) const fn kind(&self) -> u32 {
        self.mode & flags::S_IFMT
    }
}

/// The number that the kernel keeps for it; law `the_first_user_namespace_has_this_number`.
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;

impl World {
    /// Returns what statx(2) says of an object.
    pub(super) fn attributes(&self, ino: Ino) -> Attributes {
        match ino {
            Ino::Cgroup(_) | Ino::CgroupFile(..) => self.cgroup_attributes(ino),
            Ino::Nameless => Attributes::synthetic(0o600, 1, 1),
            Ino::Plain(row) => {
                self.inodes.get(row).map_or(Attributes::synthetic(0, 0, 0), |i| i.attributes(row))
            }
            Ino::Proc(proc) => self.proc_attributes(proc),
            Ino::Socket(row) => Attributes::synthetic(flags::S_IFSOCK | 0o777, u64::from(row), 2),
            Ino::Space(row) => {
                let number = match row {
                    _ if row == Kind::User.first() => FIRST_USER_NAMESPACE,
                    _ => 4_026_532_000 + u64::from(row),
                };
                Attributes::synthetic(flags::S_IFREG | 0o444, number, 4)
            }
        }
    }

    /// Adds a name to a directory of the inode table.
    pub(super) fn link(&mut self, directory: u32, name: &[u8], child: u32) {
        if let Some(Inode { node: Node::Directory { entries, .. }, .. }) =
            self.inodes.get_mut(directory)
        {
            entries.insert(name.into(), child);
        }
        if let Some(inode) = self.inodes.get_mut(child) {
            inode.links += 1;
            if let Node::Directory { parent, .. } = &mut inode.node {
                *parent = directory;
            }
        }
    }

    /// Takes a name away from a directory; what nobody uses any more is gone.
    pub(super) fn unlink(&mut self, directory: u32, name: &[u8]) {
        let mut child = None;
        if let Some(Inode { node: Node::Directory { entries, .. }, .. }) =
            self.inodes.get_mut(directory)
        {
            child = entries.remove(name);
        }
        let Some(child) = child else { return };
        if let Some(inode) = self.inodes.get_mut(child) {
            inode.links = inode.links.saturating_sub(1);
        }
        self.forget(Ino::Plain(child));
    }

    /// Drops an inode that has neither a name nor a user.
    pub(super) fn forget(&mut self, ino: Ino) {
        let Ino::Plain(row) = ino else { return };
        let unnamed = self.inodes.get(row).is_some_and(|inode| inode.links == 0);
        if unnamed && !self.in_use(ino) {
            self.inodes.remove(row);
        }
    }

    /// Returns whether a descriptor, a process or a mount holds an object.
    pub(super) fn in_use(&self, ino: Ino) -> bool {
        self.opens.iter().any(|(_, open)| open.place().ino == ino)
            || self.tasks.iter().any(|(_, task)| task.cwd.ino == ino || task.root.ino == ino)
            || self.mounts.iter().any(|(_, mount)| mount.root == ino || mount.at.ino == ino)
    }

    /// Returns whether `pid` may do with an object what the bits of `want` say: 4, 2, 1.
    pub(super) fn may(&self, pid: Pid, ino: Ino, want: u32) -> Result<(), Errno> {
        let attributes = self.attributes(ino);
        let creds = &self.task(pid).creds;
        let shift = if creds.uid == attributes.uid {
            6
        } else if creds.gid == attributes.gid || creds.groups.contains(&attributes.gid) {
            3
        } else {
            0
        };
        if attributes.mode >> shift & want == want {
            return Ok(());
        }
        let executable =
            want & 1 == 0 || attributes.kind() == flags::S_IFDIR || attributes.mode & 0o111 != 0;
        let free = !matches!(ino, Ino::Proc(proc) if proc.is_setting());
        let power = free && self.capable_over(pid, super::creds::DAC_OVERRIDE, &attributes);
        if executable && power { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Refuses whoever neither owns an object nor has power over it.
    pub(super) fn owns(&self, pid: Pid, ino: Ino) -> Result<(), Errno> {
        let attributes = self.attributes(ino);
        let owner = self.task(pid).creds.uid == attributes.uid;
        if owner || self.capable_over(pid, super::creds::FOWNER, &attributes) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// Returns whether an object is a directory.
    pub(super) fn is_directory(&self, ino: Ino) -> bool {
        self.attributes(ino).kind() == flags::S_IFDIR
    }
}
