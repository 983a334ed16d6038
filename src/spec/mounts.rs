//! What is mounted where, and how.
//!
//! **Invariant:** the flags hold neither `MS_BIND` nor `MS_REC`, nor a propagation: kinds and
//! [`Propagation`] say that.

use std::ops::BitOr;

use serde::{Deserialize, Serialize};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mount {
    /// Where, absolute within the root file system, neither cleaned nor resolved.
    pub target: String,
    /// What: a device, or a path of the host, absolute or relative to the bundle.
    pub source: Option<String>,
    /// Of what kind.
    pub kind: MountKind,
    /// The flags asked for.
    pub set: MountFlags,
    /// The flags asked not to be.
    pub clear: MountFlags,
    /// Attributes set on the whole tree.
    pub set_tree: AttrFlags,
    /// Attributes cleared on the whole tree, before those above are set.
    pub clear_tree: AttrFlags,
    /// How mounts travel, in the order to be applied.
    pub propagation: Vec<Propagation>,
    /// Options for the file system itself, joined by commas.
    pub data: String,
    /// Whether a tmpfs starts with what the directory beneath holds.
    pub tmpcopyup: bool,
}

impl Mount {
    /// A mount of that kind without any option.
    pub fn new(kind: MountKind, target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            source: None,
            kind,
            set: MountFlags::NONE,
            clear: MountFlags::NONE,
            set_tree: AttrFlags::NONE,
            clear_tree: AttrFlags::NONE,
            propagation: Vec::new(),
            data: String::new(),
            tmpcopyup: false,
        }
    }
}

/// What kind of thing is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MountKind {
    /// A file or directory of the host.
    Bind {
        /// With all that is mounted below it.
        recursive: bool,
    },
    /// The container's cgroups, in whatever form the host has them.
    Cgroup,
    /// A new instance of the file system of this name.
    Filesystem(String),
}

/// How mounts below a mount travel to its peers and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Propagation {
    /// Which way.
    pub sharing: Sharing,
    /// Whether everything mounted below is changed too.
    pub recursive: bool,
}

impl Propagation {
    /// Whether mounts that are copies of others may still spread to those once this is set at the
    /// top of their tree.
    #[must_use]
    pub const fn spreads(self) -> bool {
        matches!(self.sharing, Sharing::Shared) || !self.recursive
    }
}

/// Which way mounts travel; mount_namespaces(7) explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sharing {
    /// Not at all.
    Private,
    /// Both ways.
    Shared,
    /// Only in.
    Slave,
    /// Not at all, nor can it be bound.
    Unbindable,
}

/// What sets of Linux's bits have in common.
macro_rules! set_of_bits {
    ($name:ident) => {
        impl $name {
            /// The set as Linux's bits.
            pub const fn bits(self) -> u64 {
                self.0
            }

            /// Whether it holds none.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Whether it holds all of the others.
            pub const fn contains(self, other: Self) -> bool {
                other.0 & !self.0 == 0
            }

            /// These less the others.
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
    };
}

/// Flags of mount(2), with Linux's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MountFlags(u64);

impl MountFlags {
    /// None.
    pub const NONE: Self = Self(0);
    /// `MS_RDONLY`.
    pub const RDONLY: Self = Self(1);
    /// `MS_NOSUID`.
    pub const NOSUID: Self = Self(1 << 1);
    /// `MS_NODEV`.
    pub const NODEV: Self = Self(1 << 2);
    /// `MS_NOEXEC`.
    pub const NOEXEC: Self = Self(1 << 3);
    /// `MS_SYNCHRONOUS`.
    pub const SYNCHRONOUS: Self = Self(1 << 4);
    /// `MS_REMOUNT`.
    pub const REMOUNT: Self = Self(1 << 5);
    /// `MS_MANDLOCK`.
    pub const MANDLOCK: Self = Self(1 << 6);
    /// `MS_DIRSYNC`.
    pub const DIRSYNC: Self = Self(1 << 7);
    /// `MS_NOSYMFOLLOW`.
    pub const NOSYMFOLLOW: Self = Self(1 << 8);
    /// `MS_NOATIME`.
    pub const NOATIME: Self = Self(1 << 10);
    /// `MS_NODIRATIME`.
    pub const NODIRATIME: Self = Self(1 << 11);
    /// `MS_SILENT`.
    pub const SILENT: Self = Self(1 << 15);
    /// `MS_POSIXACL`.
    pub const POSIXACL: Self = Self(1 << 16);
    /// `MS_RELATIME`.
    pub const RELATIME: Self = Self(1 << 21);
    /// `MS_I_VERSION`.
    pub const I_VERSION: Self = Self(1 << 23);
    /// `MS_STRICTATIME`.
    pub const STRICTATIME: Self = Self(1 << 24);
    /// `MS_LAZYTIME`.
    pub const LAZYTIME: Self = Self(1 << 25);
}

set_of_bits!(MountFlags);

/// Attributes of mount_setattr(2), with Linux's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttrFlags(u64);

impl AttrFlags {
    /// None; also `MOUNT_ATTR_RELATIME`.
    pub const NONE: Self = Self(0);
    /// `MOUNT_ATTR_RDONLY`.
    pub const RDONLY: Self = Self(1);
    /// `MOUNT_ATTR_NOSUID`.
    pub const NOSUID: Self = Self(1 << 1);
    /// `MOUNT_ATTR_NODEV`.
    pub const NODEV: Self = Self(1 << 2);
    /// `MOUNT_ATTR_NOEXEC`.
    pub const NOEXEC: Self = Self(1 << 3);
    /// `MOUNT_ATTR_NOATIME`.
    pub const NOATIME: Self = Self(0x10);
    /// `MOUNT_ATTR_STRICTATIME`.
    pub const STRICTATIME: Self = Self(0x20);
    /// `MOUNT_ATTR__ATIME`: the bits that hold one of relatime, noatime and strictatime.
    pub const ATIME: Self = Self(0x70);
    /// `MOUNT_ATTR_NODIRATIME`.
    pub const NODIRATIME: Self = Self(0x80);
    /// `MOUNT_ATTR_NOSYMFOLLOW`.
    pub const NOSYMFOLLOW: Self = Self(0x20_0000);
}

set_of_bits!(AttrFlags);
