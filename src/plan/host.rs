//! What the compiler is told about the host: values, probed by whoever performs the plan.
//!
//! **Invariant:** no kernel and no file system is asked here, so every old or odd host is a value
//! that a test can write down.

use std::collections::{BTreeMap, BTreeSet};

/// A host, as far as a container's program depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Host {
    /// The capabilities in the bounding set of whoever spawns, as the kernel's bits.
    pub bounding: u64,
    /// The signals that whoever spawns ignores: bit `n - 1` is signal `n`.
    pub ignored_signals: u64,
    /// The memory nodes of the cpuset of whoever spawns, as a list (cpuset(7)).
    pub memory_nodes: String,
    /// The cgroup hierarchies that are mounted.
    pub hierarchies: Vec<Hierarchy>,
    /// The effective user of whoever spawns.
    pub user: u32,
    /// Whether that user lives in a user namespace other than the first.
    pub user_namespace: bool,
    /// What the kernel lacks.
    pub missing: BTreeSet<Feature>,
}

/// Something that not every supported kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// `CLOSE_RANGE_CLOEXEC` (Linux 5.11).
    CloseRange,
    /// mount_setattr(2) (Linux 5.12).
    MountSetattr,
    /// Time namespaces (Linux 5.6).
    TimeNamespace,
}

impl Feature {
    /// Returns what a kernel of that version lacks, going by the version alone.
    #[must_use]
    pub fn missing_before(kernel: (u32, u32)) -> BTreeSet<Self> {
        let since = [
            (Self::CloseRange, (5, 11)),
            (Self::MountSetattr, (5, 12)),
            (Self::TimeNamespace, (5, 6)),
        ];
        since.into_iter().filter(|(_, since)| kernel < *since).map(|(feature, _)| feature).collect()
    }
}

/// A cgroup hierarchy of the host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: String,
    /// Its controllers as mountinfo names them (`cpu`, `cpuacct`, `name=systemd`).
    pub controllers: Vec<String>,
    /// Which interface it speaks.
    pub version: Version,
    /// The cgroup of whoever spawns, as `/proc/self/cgroup` has it.
    pub own: String,
    /// Which cgroup the mount shows as its root (mountinfo's root field).
    pub root: String,
    /// What the hierarchy of v2 was mounted with (`nsdelegate`): another mount of it that does not
    /// say so again takes it from all.
    pub options: String,
}

/// A cgroup interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// One tree for some of the controllers.
    V1,
    /// The one tree for all.
    V2,
}

/// The cgroup that a container has in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CgroupDir {
    /// The hierarchy, by where it is mounted ([`Hierarchy::mount`]).
    pub mount: String,
    /// The directory below that mount, with a leading slash.
    pub path: String,
}

/// What lies at the source of a bind mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A directory.
    Directory,
    /// Anything else: the target is a file.
    File,
}

/// A compiled system call filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Filter<'a> {
    /// The instructions, as an array of `struct sock_filter`.
    pub code: &'a [u8],
    /// Flags of seccomp(2).
    pub flags: u32,
}

/// Where a terminal's master goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Terminal {
    /// Over the socket that is given as [`Given::Console`].
    Console,
    /// There is no terminal.
    #[default]
    None,
    /// Over [`Given::Sync`], to whoever relays.
    Relay,
}

/// What a container waits for, once it is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Start {
    /// For nothing: its program runs at once.
    AtOnce,
    /// For the byte that opens the gate.
    #[default]
    AtTheGate,
}

/// How the old root is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Leaving {
    /// By moving the new root over it and chroot(2), for an old root that cannot be left otherwise.
    Move,
    /// By pivot_root(2).
    #[default]
    Pivot,
}

/// One of the standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Descriptor 0.
    Stdin,
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Stream {
    /// Returns the descriptor's number.
    #[must_use]
    pub const fn fd(self) -> i32 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }
}

/// A descriptor that the child is handed, in the order of its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Given {
    /// A connected socket that the master of the terminal is sent over.
    Console,
    /// The fifo, open for reading and writing, whose first byte is the start signal.
    Gate,
    /// A file that takes what hooks write to that stream.
    HookOutput(Stream),
    /// A seekable file with the state that hooks read.
    HookState,
    /// The pidfd of the init whose namespaces are joined.
    Init,
    /// The record of a container that waits at no gate. It is locked, and execve(2) closes it: so
    /// long init is not its program yet, whatever has become of its maker.
    Record,
    /// What becomes a standard stream.
    Stream(Stream),
    /// The socket to whoever makes the container; always the first.
    Sync,
}

/// Everything beside the specification that a program depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The host.
    pub host: &'a Host,
    /// The absolute path of the bundle, which relative paths start from.
    pub bundle: &'a str,
    /// The container's cgroups.
    pub cgroups: &'a [CgroupDir],
    /// The mount point that the root file system lies on.
    pub rootfs_mount: &'a str,
    /// The compiled system call filter.
    pub filter: Option<Filter<'a>>,
    /// What lies at the sources of bind mounts, by source as the specification spells it.
    pub sources: &'a BTreeMap<String, Source>,
    /// How the old root is left.
    pub leaving: Leaving,
    /// Where the terminal's master goes.
    pub terminal: Terminal,
    /// What the container waits for.
    pub start: Start,
    /// The standard streams that are replaced by given ones; the others are inherited.
    pub streams: &'a BTreeSet<Stream>,
    /// How many descriptors from 3 up the program keeps.
    pub preserve_fds: u32,
    /// `HOME`, for a program whose environment lacks it.
    pub home: Option<&'a str>,
}
