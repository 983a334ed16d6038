//! Namespaces, id maps, devices, kernel parameters and clock offsets.
//!
//! **Invariant:** a [`Sysctl`] has an owner known by its path alone, or is nobody's and refused.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A namespace to make, or to join.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Namespace {
    /// Of what kind.
    pub kind: NamespaceKind,
    /// The absolute path of the one to join; none: a new one.
    pub path: Option<String>,
}

/// What a namespace sets apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NamespaceKind {
    /// The root of the cgroup tree.
    Cgroup,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Mounts.
    Mount,
    /// Interfaces, addresses, routes.
    Network,
    /// Process ids.
    Pid,
    /// The monotonic and boot clocks.
    Time,
    /// Users, groups and capabilities.
    User,
    /// Host and domain name.
    Uts,
}

impl fmt::Display for NamespaceKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Mount => "mount",
            Self::Network => "network",
            Self::Pid => "pid",
            Self::Time => "time",
            Self::User => "user",
            Self::Uts => "uts",
        })
    }
}

/// A run of ids of a user namespace and the ids they stand for.
///
/// `count` is not 0, and neither run reaches past the largest id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdMap {
    /// The first id within.
    pub inside: u32,
    /// The first id without.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Device {
    /// Its absolute path within the root file system.
    pub path: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Its permission bits, at most `0o7777`.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What a device node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeviceKind {
    /// A block device.
    Block {
        /// The driver, less than 2^12.
        major: u32,
        /// The device, less than 2^20.
        minor: u32,
    },
    /// A character device.
    Char {
        /// The driver, less than 2^12.
        major: u32,
        /// The device, less than 2^20.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// A kernel parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sysctl {
    /// Its name as the document has it.
    pub name: String,
    /// Its file below `/proc/sys`.
    pub path: String,
    /// The value.
    pub value: String,
}

impl Sysctl {
    /// A parameter by its name in either notation: `net.ipv4.ip_forward`, `net/ipv4/ip_forward`.
    ///
    /// Whichever of `.` and `/` comes first parts the name, and the other is a plain character
    /// written in its place. None if the path would leave `/proc/sys`.
    pub fn new(name: &str, value: &str) -> Option<Self> {
        let dotted = name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('.'));
        let swap = |character| match character {
            '.' => '/',
            '/' => '.',
            other => other,
        };
        let path: String = if dotted { name.chars().map(swap).collect() } else { name.to_owned() };
        let plain = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        (plain && !path.contains('\0')).then(|| Self {
            name: name.to_owned(),
            path,
            value: value.to_owned(),
        })
    }

    /// The kind of namespace it belongs to; none: it is the whole host's.
    pub fn owner(&self) -> Option<NamespaceKind> {
        let (top, rest) = self.path.split_once('/')?;
        match (top, rest) {
            ("kernel", "domainname") => Some(NamespaceKind::Uts),
            ("kernel", "msgmax" | "msgmnb" | "msgmni" | "sem") => Some(NamespaceKind::Ipc),
            ("kernel", "shmall" | "shmmax" | "shmmni" | "shm_rmid_forced") => {
                Some(NamespaceKind::Ipc)
            }
            ("fs", rest) if rest.starts_with("mqueue/") => Some(NamespaceKind::Ipc),
            ("net", _) => Some(NamespaceKind::Network),
            ("user", _) => Some(NamespaceKind::User),
            _ => None,
        }
    }
}

/// How far the clocks of a time namespace are from the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeOffsets {
    /// `CLOCK_BOOTTIME`.
    pub boottime: TimeOffset,
    /// `CLOCK_MONOTONIC`.
    pub monotonic: TimeOffset,
}

/// One clock's distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeOffset {
    /// Seconds.
    pub secs: i64,
    /// Nanoseconds on top, less than a second.
    pub nanosecs: u32,
}
