//! Which kernel it is: the layout of cgroups, what is missing, how much there is.

use std::collections::BTreeSet;

/// How cgroups are mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cgroups {
    /// One hierarchy per controller, and a v2 one without controllers at `unified`.
    Hybrid,
    /// One hierarchy per controller.
    V1,
    /// One hierarchy.
    #[default]
    V2,
}

/// Who the clients are, and so what of the machine is theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Caller {
    /// The root of the machine.
    #[default]
    Root,
    /// A user without capabilities. A session's cgroup of v2 is its own, in one that has these
    /// controllers at most; without any, no cgroup is.
    User(&'static [&'static str]),
    /// The root of a user namespace that a container has: it may do what that container may. A
    /// cgroup of v2 is its own.
    Nested,
}

impl Caller {
    /// The number of a caller who is not root.
    pub const USER: u32 = 1000;
}

/// What becomes of AppArmor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AppArmor {
    /// The kernel was built without it.
    Absent,
    /// It is built in, and not in use.
    Off,
    /// It is in use, and those profiles are loaded.
    On(BTreeSet<&'static str>),
}

impl Default for AppArmor {
    fn default() -> Self {
        Self::On(BTreeSet::new())
    }
}

/// A name, and how the kernel of that name is made.
pub type Named = (&'static str, fn() -> Profile);

/// A kernel and its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Profile {
    /// Whether AppArmor is in use.
    pub apparmor: AppArmor,
    /// How cgroups are mounted.
    pub cgroups: Cgroups,
    /// Who clients run as.
    pub caller: Caller,
    /// Whether a cgroup stays populated for a while after its last process was waited for.
    pub lingering: bool,
    /// Calls that answer `ENOSYS`, by the names in [`TABLE`](crate::sys::TABLE).
    pub missing: BTreeSet<&'static str>,
    /// Hierarchies of cgroup v1 that are not mounted, by their directories (`freezer`).
    pub missing_hierarchies: BTreeSet<&'static str>,
    /// Names of files that do not exist in cgroup directories (`cgroup.kill` before 5.14).
    pub missing_files: BTreeSet<&'static str>,
    /// The first process number that is not given.
    pub pid_max: u32,
    /// How many bytes a pipe holds.
    pub pipe_bytes: usize,
    /// What uname(2) calls the release.
    pub release: &'static str,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            apparmor: AppArmor::default(),
            cgroups: Cgroups::default(),
            caller: Caller::Root,
            lingering: true,
            missing: BTreeSet::new(),
            missing_hierarchies: BTreeSet::new(),
            missing_files: BTreeSet::new(),
            pid_max: 64,
            pipe_bytes: 65536,
            release: "6.12.0-fake",
        }
    }
}

impl Profile {
    /// Returns the default kernel with cgroups of v1.
    #[must_use]
    pub fn v1() -> Self {
        Self { cgroups: Cgroups::V1, ..Self::default() }
    }

    /// Returns the oldest kernel that containers are made on, Linux 5.10, with cgroups of v2.
    #[must_use]
    pub fn oldest() -> Self {
        Self {
            missing: ["mount_setattr"].into(),
            missing_files: ["cgroup.kill"].into(),
            release: "5.10.0-fake",
            ..Self::default()
        }
    }

    /// Returns the default kernel with cgroups of v1, and nothing that freezes.
    #[must_use]
    pub fn without_freezer() -> Self {
        Self { missing_hierarchies: ["freezer"].into(), ..Self::v1() }
    }

    /// Returns a kernel with cgroups of v2 where everything is short: process numbers, pipes, and
    /// what a cgroup keeps of the dead.
    #[must_use]
    pub fn narrow() -> Self {
        Self { lingering: false, pid_max: 16, pipe_bytes: 1, ..Self::default() }
    }

    /// Returns the default kernel as a user sees it who has a session: systemd hands on to it what
    /// `Delegate=` names.
    #[must_use]
    pub fn rootless() -> Self {
        Self { caller: Caller::User(&["memory", "pids"]), ..Self::default() }
    }

    /// Returns the default kernel with cgroups of v1 as a user sees it, to whom none belongs.
    #[must_use]
    pub fn rootless_without_cgroups() -> Self {
        Self { caller: Caller::User(&[]), ..Self::v1() }
    }

    /// Returns the default kernel as a container with a user namespace sees it.
    #[must_use]
    pub fn nested() -> Self {
        Self { caller: Caller::Nested, ..Self::default() }
    }

    /// The kernels by name.
    pub const NAMED: [Named; 9] = [
        ("v2", Self::default),
        ("v1", Self::v1),
        ("hybrid", Self::hybrid),
        ("oldest", Self::oldest),
        ("without-freezer", Self::without_freezer),
        ("narrow", Self::narrow),
        ("rootless", Self::rootless),
        ("rootless-without-cgroups", Self::rootless_without_cgroups),
        ("nested", Self::nested),
    ];

    /// Returns the default kernel with cgroups of both versions.
    #[must_use]
    pub fn hybrid() -> Self {
        Self { cgroups: Cgroups::Hybrid, ..Self::default() }
    }
}
