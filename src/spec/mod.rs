//! What a container is to be: one [`Spec`], whatever file described it.
//!
//! | Module    | Holds                                                             |
//! |-----------|-------------------------------------------------------------------|
//! | `process` | the program: arguments, user, capabilities, limits                |
//! | `mounts`  | what is mounted where, and how                                    |
//! | `linux`   | namespaces, id maps, devices, kernel parameters, clock offsets    |
//! | `cgroup`  | the cgroup and its resources                                      |
//! | `seccomp` | the system call filter                                            |
//! | `hooks`   | programs run on the way                                           |
//! | `invalid` | why a document is refused, and what about it is merely odd        |
//! | [`oci`]   | the first reader: `config.json` of the OCI runtime specification  |
//!
//! **Invariant:** pure. Bytes in, values out: no files, no environment, no kernel, no Linux types.
//!
//! **Invariant:** a type outside a reader knows no file format, and every value it can hold makes
//! sense by itself; readers refuse the rest.

mod cgroup;
mod hooks;
mod invalid;
mod linux;
mod mounts;
pub mod oci;
mod process;
mod seccomp;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use cgroup::{
    BlockIo, Cgroup, Cpu, DeviceAccess, DeviceRule, DeviceRuleKind, DeviceWeight, Limit, Memory,
    Resources, Throttle, ThrottleKind,
};
pub use hooks::{Hook, Hooks};
pub use invalid::{Conflict, Invalid, Oddity, Read, Reason, Warning};
pub use linux::{
    Device, DeviceKind, IdMap, Namespace, NamespaceKind, Sysctl, TimeOffset, TimeOffsets,
};
pub use mounts::{AttrFlags, Mount, MountFlags, MountKind, Propagation, Sharing};
pub use process::{
    CapSet, Capabilities, Capability, ConsoleSize, Process, Rlimit, RlimitKind, User,
};
pub use seccomp::{Action, Architecture, Comparison, Condition, FilterFlags, Rule, Seccomp};

/// Everything a container is asked to be.
///
/// Absences mean "as on the host": no namespace listed is none made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Spec {
    /// The version of the format that the document claims, as written.
    pub version: String,
    /// The root file system.
    pub rootfs: Rootfs,
    /// The host name; needs a UTS namespace.
    pub hostname: Option<String>,
    /// The NIS domain name; needs a UTS namespace.
    pub domainname: Option<String>,
    /// The program. A container without one can be described and created, never started.
    pub process: Option<Process>,
    /// What is mounted, in this order.
    pub mounts: Vec<Mount>,
    /// The namespaces made or joined, each kind at most once.
    pub namespaces: Vec<Namespace>,
    /// User ids of a new user namespace. One that is joined has its own.
    pub uid_maps: Vec<IdMap>,
    /// Group ids of a new user namespace. One that is joined has its own.
    pub gid_maps: Vec<IdMap>,
    /// Device nodes beside the usual ones.
    pub devices: Vec<Device>,
    /// The cgroup and its resources.
    pub cgroup: Cgroup,
    /// Absolute paths made unreadable.
    pub masked_paths: Vec<String>,
    /// Absolute paths made read-only.
    pub readonly_paths: Vec<String>,
    /// Kernel parameters, all of them belonging to a namespace of the container.
    pub sysctls: Vec<Sysctl>,
    /// Clock offsets of a new time namespace.
    pub time_offsets: TimeOffsets,
    /// The system call filter.
    pub seccomp: Option<Seccomp>,
    /// Programs run on the way.
    pub hooks: Hooks,
    /// Free text for others, handed on by `state` and to hooks.
    pub annotations: BTreeMap<String, String>,
}

/// The root file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rootfs {
    /// Its directory: absolute, or relative to the bundle.
    pub path: String,
    /// Whether it ends up read-only.
    pub readonly: bool,
    /// How mounts travel between it and the host.
    pub propagation: Option<Propagation>,
    /// An absolute path whose file system is the root in place of what lies at `path`, which then
    /// is only where it is mounted. What is written goes to memory and ends with the container.
    pub overlaid: Option<String>,
}

impl Spec {
    /// The namespace of that kind, made or joined; none means the host's.
    pub fn namespace(&self, kind: NamespaceKind) -> Option<&Namespace> {
        self.namespaces.iter().find(|namespace| namespace.kind == kind)
    }

    /// Whether a namespace of that kind is made rather than joined or left alone.
    pub fn makes(&self, kind: NamespaceKind) -> bool {
        self.namespace(kind).is_some_and(|namespace| namespace.path.is_none())
    }

    /// The first thing asked for that another thing asked for rules out.
    ///
    /// Readers call it last, and know where in their format the conflict shows.
    pub fn conflict(&self) -> Option<Conflict> {
        use NamespaceKind::{Mount, Time, User, Uts};
        let lacks = |kind| self.namespace(kind).is_none();
        let maps = !self.uid_maps.is_empty() || !self.gid_maps.is_empty();
        if self.hostname.is_some() && lacks(Uts) {
            Some(Conflict::Hostname)
        } else if self.domainname.is_some() && lacks(Uts) {
            Some(Conflict::Domainname)
        } else if !self.masked_paths.is_empty() && lacks(Mount) {
            Some(Conflict::MaskedPaths)
        } else if !self.readonly_paths.is_empty() && lacks(Mount) {
            Some(Conflict::ReadonlyPaths)
        } else if maps && lacks(User) {
            Some(Conflict::MapsWithoutUser)
        } else if self.makes(User) && self.uid_maps.is_empty() {
            Some(Conflict::NoUidMaps)
        } else if self.makes(User) && self.gid_maps.is_empty() {
            Some(Conflict::NoGidMaps)
        } else if self.time_offsets != TimeOffsets::default() && !self.makes(Time) {
            Some(Conflict::TimeOffsets)
        } else {
            self.sysctls.iter().find_map(|sysctl| self.strays(sysctl))
        }
    }

    /// Whether the parameter would reach outside the container.
    fn strays(&self, sysctl: &Sysctl) -> Option<Conflict> {
        match sysctl.owner() {
            None => Some(Conflict::HostSysctl { name: sysctl.name.clone() }),
            Some(owner) if self.namespace(owner).is_some() => None,
            Some(owner) => Some(Conflict::StraySysctl { name: sysctl.name.clone(), owner }),
        }
    }
}
