//! The closed vocabularies of `config.json`: each word and what it stands for.
//!
//! `features` lists these tables, so what it promises is what is read.

use crate::spec::{
    Action, Architecture, AttrFlags, Comparison, DeviceRuleKind, MountFlags, NamespaceKind,
    Propagation, RlimitKind, Sharing,
};

/// Hooks, in the order of their running.
pub const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Namespaces.
pub const NAMESPACES: &[(&str, NamespaceKind)] = &[
    ("cgroup", NamespaceKind::Cgroup),
    ("ipc", NamespaceKind::Ipc),
    ("mount", NamespaceKind::Mount),
    ("network", NamespaceKind::Network),
    ("pid", NamespaceKind::Pid),
    ("time", NamespaceKind::Time),
    ("user", NamespaceKind::User),
    ("uts", NamespaceKind::Uts),
];

/// Resource limits.
pub const RLIMITS: &[(&str, RlimitKind)] = &[
    ("RLIMIT_AS", RlimitKind::As),
    ("RLIMIT_CORE", RlimitKind::Core),
    ("RLIMIT_CPU", RlimitKind::Cpu),
    ("RLIMIT_DATA", RlimitKind::Data),
    ("RLIMIT_FSIZE", RlimitKind::Fsize),
    ("RLIMIT_LOCKS", RlimitKind::Locks),
    ("RLIMIT_MEMLOCK", RlimitKind::Memlock),
    ("RLIMIT_MSGQUEUE", RlimitKind::Msgqueue),
    ("RLIMIT_NICE", RlimitKind::Nice),
    ("RLIMIT_NOFILE", RlimitKind::Nofile),
    ("RLIMIT_NPROC", RlimitKind::Nproc),
    ("RLIMIT_RSS", RlimitKind::Rss),
    ("RLIMIT_RTPRIO", RlimitKind::Rtprio),
    ("RLIMIT_RTTIME", RlimitKind::Rttime),
    ("RLIMIT_SIGPENDING", RlimitKind::Sigpending),
    ("RLIMIT_STACK", RlimitKind::Stack),
];

/// What an option of a mount asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountOption {
    /// A bind mount.
    Bind {
        /// With all that is mounted below.
        recursive: bool,
    },
    /// Flags not to be set.
    Clear(MountFlags),
    /// Attributes cleared on the whole tree.
    ClearTree(AttrFlags),
    /// A tmpfs that starts with what lies beneath.
    CopyUp,
    /// How mounts travel.
    Propagate(Propagation),
    /// Flags set.
    Set(MountFlags),
    /// Attributes set on the whole tree.
    SetTree(AttrFlags),
    /// When the access time of files of the whole tree changes.
    TreeAtime(AttrFlags),
    /// Something that this runtime cannot do.
    Unsupported,
}

use MountOption::{Bind, Clear, ClearTree, CopyUp, Propagate, Set, SetTree, TreeAtime};

/// Options of mounts. Any other is for the file system.
pub const MOUNT_OPTIONS: &[(&str, MountOption)] = &[
    ("acl", Set(MountFlags::POSIXACL)),
    ("async", Clear(MountFlags::SYNCHRONOUS)),
    ("atime", Clear(MountFlags::NOATIME)),
    ("bind", Bind { recursive: false }),
    ("defaults", Set(MountFlags::NONE)),
    ("dev", Clear(MountFlags::NODEV)),
    ("diratime", Clear(MountFlags::NODIRATIME)),
    ("dirsync", Set(MountFlags::DIRSYNC)),
    ("exec", Clear(MountFlags::NOEXEC)),
    ("idmap", MountOption::Unsupported),
    ("iversion", Set(MountFlags::I_VERSION)),
    ("lazytime", Set(MountFlags::LAZYTIME)),
    ("loud", Clear(MountFlags::SILENT)),
    ("mand", Set(MountFlags::MANDLOCK)),
    ("noacl", Clear(MountFlags::POSIXACL)),
    ("noatime", Set(MountFlags::NOATIME)),
    ("nodev", Set(MountFlags::NODEV)),
    ("nodiratime", Set(MountFlags::NODIRATIME)),
    ("noexec", Set(MountFlags::NOEXEC)),
    ("noiversion", Clear(MountFlags::I_VERSION)),
    ("nolazytime", Clear(MountFlags::LAZYTIME)),
    ("nomand", Clear(MountFlags::MANDLOCK)),
    ("norelatime", Clear(MountFlags::RELATIME)),
    ("nostrictatime", Clear(MountFlags::STRICTATIME)),
    ("nosuid", Set(MountFlags::NOSUID)),
    ("nosymfollow", Set(MountFlags::NOSYMFOLLOW)),
    ("private", Propagate(Propagation { sharing: Sharing::Private, recursive: false })),
    ("ratime", TreeAtime(AttrFlags::NONE)),
    ("rbind", Bind { recursive: true }),
    ("rdev", ClearTree(AttrFlags::NODEV)),
    ("rdiratime", ClearTree(AttrFlags::NODIRATIME)),
    ("relatime", Set(MountFlags::RELATIME)),
    ("remount", Set(MountFlags::REMOUNT)),
    ("rexec", ClearTree(AttrFlags::NOEXEC)),
    ("ridmap", MountOption::Unsupported),
    ("rnoatime", TreeAtime(AttrFlags::NOATIME)),
    ("rnodev", SetTree(AttrFlags::NODEV)),
    ("rnodiratime", SetTree(AttrFlags::NODIRATIME)),
    ("rnoexec", SetTree(AttrFlags::NOEXEC)),
    // Relatime is the absence of the other two: nothing is left to clear.
    ("rnorelatime", ClearTree(AttrFlags::NONE)),
    ("rnostrictatime", TreeAtime(AttrFlags::NONE)),
    ("rnosuid", SetTree(AttrFlags::NOSUID)),
    ("rnosymfollow", SetTree(AttrFlags::NOSYMFOLLOW)),
    ("ro", Set(MountFlags::RDONLY)),
    ("rprivate", Propagate(Propagation { sharing: Sharing::Private, recursive: true })),
    ("rrelatime", TreeAtime(AttrFlags::NONE)),
    ("rro", SetTree(AttrFlags::RDONLY)),
    ("rrw", ClearTree(AttrFlags::RDONLY)),
    ("rshared", Propagate(Propagation { sharing: Sharing::Shared, recursive: true })),
    ("rslave", Propagate(Propagation { sharing: Sharing::Slave, recursive: true })),
    ("rstrictatime", TreeAtime(AttrFlags::STRICTATIME)),
    ("rsuid", ClearTree(AttrFlags::NOSUID)),
    ("rsymfollow", ClearTree(AttrFlags::NOSYMFOLLOW)),
    ("runbindable", Propagate(Propagation { sharing: Sharing::Unbindable, recursive: true })),
    ("rw", Clear(MountFlags::RDONLY)),
    ("shared", Propagate(Propagation { sharing: Sharing::Shared, recursive: false })),
    ("silent", Set(MountFlags::SILENT)),
    ("slave", Propagate(Propagation { sharing: Sharing::Slave, recursive: false })),
    ("strictatime", Set(MountFlags::STRICTATIME)),
    ("suid", Clear(MountFlags::NOSUID)),
    ("symfollow", Clear(MountFlags::NOSYMFOLLOW)),
    ("sync", Set(MountFlags::SYNCHRONOUS)),
    ("tmpcopyup", CopyUp),
    ("unbindable", Propagate(Propagation { sharing: Sharing::Unbindable, recursive: false })),
];

/// Values of `rootfsPropagation`; the recursive ones are those of other runtimes.
pub const PROPAGATIONS: &[(&str, Propagation)] = &[
    ("private", Propagation { sharing: Sharing::Private, recursive: false }),
    ("rprivate", Propagation { sharing: Sharing::Private, recursive: true }),
    ("rshared", Propagation { sharing: Sharing::Shared, recursive: true }),
    ("rslave", Propagation { sharing: Sharing::Slave, recursive: true }),
    ("runbindable", Propagation { sharing: Sharing::Unbindable, recursive: true }),
    ("shared", Propagation { sharing: Sharing::Shared, recursive: false }),
    ("slave", Propagation { sharing: Sharing::Slave, recursive: false }),
    ("unbindable", Propagation { sharing: Sharing::Unbindable, recursive: false }),
];

/// Kinds of device that a rule is about. The empty word is what an absent one means.
pub const DEVICE_RULES: &[(&str, DeviceRuleKind)] = &[
    ("", DeviceRuleKind::All),
    ("a", DeviceRuleKind::All),
    ("b", DeviceRuleKind::Block),
    ("c", DeviceRuleKind::Char),
];

/// Actions of seccomp; where one carries a number, with that of a document that gives none.
pub const ACTIONS: &[(&str, Action)] = &[
    ("SCMP_ACT_ALLOW", Action::Allow),
    ("SCMP_ACT_ERRNO", Action::Errno(EPERM)),
    ("SCMP_ACT_KILL", Action::KillThread),
    ("SCMP_ACT_KILL_PROCESS", Action::KillProcess),
    ("SCMP_ACT_KILL_THREAD", Action::KillThread),
    ("SCMP_ACT_LOG", Action::Log),
    ("SCMP_ACT_TRACE", Action::Trace(EPERM)),
    ("SCMP_ACT_TRAP", Action::Trap),
];

/// The errno of a call that is refused without one.
const EPERM: u16 = 1;

/// Comparisons of seccomp.
pub const COMPARISONS: &[(&str, Comparison)] = &[
    ("SCMP_CMP_EQ", Comparison::Equal),
    ("SCMP_CMP_GE", Comparison::GreaterEqual),
    ("SCMP_CMP_GT", Comparison::Greater),
    ("SCMP_CMP_LE", Comparison::LessEqual),
    ("SCMP_CMP_LT", Comparison::Less),
    ("SCMP_CMP_MASKED_EQ", Comparison::MaskedEqual),
    ("SCMP_CMP_NE", Comparison::NotEqual),
];

/// Flags of seccomp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterFlag {
    /// Every action but allowing is logged.
    Log,
    /// Speculative store bypass stays as it is.
    SpecAllow,
    /// The filter holds for all threads.
    Tsync,
    /// Something that this runtime cannot do.
    Unsupported,
}

/// Flags of seccomp.
pub const FILTER_FLAGS: &[(&str, FilterFlag)] = &[
    ("SECCOMP_FILTER_FLAG_LOG", FilterFlag::Log),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", FilterFlag::SpecAllow),
    ("SECCOMP_FILTER_FLAG_TSYNC", FilterFlag::Tsync),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", FilterFlag::Unsupported),
];

/// Architectures of seccomp.
pub const ARCHITECTURES: &[(&str, Architecture)] = &[
    ("SCMP_ARCH_AARCH64", Architecture::Aarch64),
    ("SCMP_ARCH_ARM", Architecture::Arm),
    ("SCMP_ARCH_LOONGARCH64", Architecture::Loongarch64),
    ("SCMP_ARCH_M68K", Architecture::M68k),
    ("SCMP_ARCH_MIPS", Architecture::Mips),
    ("SCMP_ARCH_MIPS64", Architecture::Mips64),
    ("SCMP_ARCH_MIPS64N32", Architecture::Mips64n32),
    ("SCMP_ARCH_MIPSEL", Architecture::Mipsel),
    ("SCMP_ARCH_MIPSEL64", Architecture::Mipsel64),
    ("SCMP_ARCH_MIPSEL64N32", Architecture::Mipsel64n32),
    ("SCMP_ARCH_PARISC", Architecture::Parisc),
    ("SCMP_ARCH_PARISC64", Architecture::Parisc64),
    ("SCMP_ARCH_PPC", Architecture::Ppc),
    ("SCMP_ARCH_PPC64", Architecture::Ppc64),
    ("SCMP_ARCH_PPC64LE", Architecture::Ppc64le),
    ("SCMP_ARCH_RISCV64", Architecture::Riscv64),
    ("SCMP_ARCH_S390", Architecture::S390),
    ("SCMP_ARCH_S390X", Architecture::S390x),
    ("SCMP_ARCH_SH", Architecture::Sh),
    ("SCMP_ARCH_SHEB", Architecture::Sheb),
    ("SCMP_ARCH_X32", Architecture::X32),
    ("SCMP_ARCH_X86", Architecture::X86),
    ("SCMP_ARCH_X86_64", Architecture::X86_64),
];
