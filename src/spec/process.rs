//! The program of a container, or one executed in it later.
//!
//! **Invariant:** nothing here is looked up: users are numbers, paths are not resolved.

use serde::{Deserialize, Serialize};

/// A program and the powers it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Process {
    /// The program and its arguments; at least the program, no NUL byte.
    pub args: Vec<String>,
    /// `NAME=VALUE` in order, each name once, no NUL byte.
    pub env: Vec<String>,
    /// The absolute working directory.
    pub cwd: String,
    /// Whether it gets a terminal of its own.
    pub terminal: bool,
    /// The size of that terminal.
    pub console_size: Option<ConsoleSize>,
    /// Who it runs as.
    pub user: User,
    /// What it may do. None: the document does not say, and so grants nothing.
    pub capabilities: Option<Capabilities>,
    /// Its resource limits, each kind at most once.
    pub rlimits: Vec<Rlimit>,
    /// Whether executing files can never add to its powers.
    pub no_new_privs: bool,
    /// How readily it is killed when memory runs out, from -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// The AppArmor profile that the program is under, by its name among those that are loaded;
    /// `unconfined` is under none, and holds on every host. None: the one of whoever makes it.
    pub apparmor_profile: Option<String>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConsoleSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// Who a process runs as, in the ids of the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The file mode creation mask, at most `0o777`.
    pub umask: Option<u32>,
    /// Groups beside `gid`.
    pub groups: Vec<u32>,
}

/// The five capability sets of a process.
///
/// `effective` lies within `permitted`, and `ambient` within `permitted` and `inheritable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Capabilities {
    /// What it and its children can ever have.
    pub bounding: CapSet,
    /// What is in force.
    pub effective: CapSet,
    /// What it may put in force.
    pub permitted: CapSet,
    /// What files may hand on.
    pub inheritable: CapSet,
    /// What plain programs inherit.
    pub ambient: CapSet,
}

/// A set of capabilities, as the kernel's bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CapSet(u64);

impl CapSet {
    /// The set of none.
    pub const EMPTY: Self = Self(0);

    /// Adds one.
    pub fn insert(&mut self, capability: Capability) {
        self.0 |= 1 << capability.0;
    }

    /// The set as the kernel's bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set of those bits.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it holds this one.
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 >> capability.0 & 1 == 1
    }

    /// Those in either.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those in both.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the other holds all of these.
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The known ones, by number.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::all().filter(move |&capability| self.contains(capability))
    }
}

impl FromIterator<Capability> for CapSet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        let mut set = Self::EMPTY;
        capabilities.into_iter().for_each(|capability| set.insert(capability));
        set
    }
}

/// One of Linux's capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

impl Capability {
    /// Every capability, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        (0u8..).take(CAPABILITIES.len()).map(Self)
    }

    /// The capability of that name (`CAP_KILL`), if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("CAP_")?;
        Self::all().find(|capability| CAPABILITIES[usize::from(capability.0)] == name)
    }

    /// Its name (`CAP_KILL`).
    pub fn name(self) -> String {
        format!("CAP_{}", CAPABILITIES[usize::from(self.0)])
    }

    /// Its number, the kernel's.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The names less `CAP_`, each at its number. `linux/capability.h`, as of Linux 5.9 and later.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A resource limit. `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rlimit {
    /// What is limited.
    pub kind: RlimitKind,
    /// The limit in force, at most `hard`.
    pub soft: u64,
    /// The limit up to which the process may raise it.
    pub hard: u64,
}

/// What a resource limit limits; setrlimit(2) names and explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RlimitKind {
    /// Address space.
    As,
    /// Size of a core dump.
    Core,
    /// CPU time.
    Cpu,
    /// Data segment.
    Data,
    /// Size of a file.
    Fsize,
    /// File locks; without effect since Linux 2.6.
    Locks,
    /// Locked memory.
    Memlock,
    /// POSIX message queues.
    Msgqueue,
    /// Nice value.
    Nice,
    /// Open descriptors.
    Nofile,
    /// Processes of the user.
    Nproc,
    /// Resident memory; without effect since Linux 2.6.
    Rss,
    /// Real-time priority.
    Rtprio,
    /// CPU time of a real-time process without a blocking call.
    Rttime,
    /// Queued signals.
    Sigpending,
    /// Stack.
    Stack,
}
