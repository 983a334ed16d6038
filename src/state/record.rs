//! What the disk says of a container: one record, written before anything it names exists.
//!
//! ```text
//!   Record ─┬─ stage      how far its maker, or its remover, had come
//!           ├─ init       the first process, once there is one
//!           └─ manifest   every residue, and all that a later command needs
//! ```
//!
//! **Invariant:** no command reads config.json again: what it needs is in the [`Manifest`].
//!
//! **Invariant:** a field that is missing means its natural absence, and a field that is unknown is
//! passed over, so that records of other versions load.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// The version of the form of a [`Record`], raised when an old reader would misread a new one.
pub const FORMAT: u32 = 1;

/// A container as the disk has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The version of this form; 0 is that of a record which does not say.
    #[serde(default)]
    pub format: u32,
    /// How far the container has come.
    pub stage: Stage,
    /// The container's first process, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<ProcessId>,
    /// What exists, or may exist, because of this container.
    pub manifest: Manifest,
}

impl Record {
    /// Begins a container: nothing of it exists but this.
    #[must_use]
    pub const fn new(manifest: Manifest) -> Self {
        Self { format: FORMAT, stage: Stage::Creating, init: None, manifest }
    }

    /// Returns what is true of the container in that boot: no cgroup outlives the machine, so one
    /// of that name is somebody else's after a restart. A record that tells no boot is of this one.
    #[must_use]
    pub fn in_boot(mut self, boot: u64) -> Self {
        if self.manifest.boot.is_some_and(|made| made != boot) {
            self.manifest.cgroups.clear();
        }
        self
    }
}

/// How far a container has come; the order is meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Its maker is making it, or has died over it.
    Creating,
    /// It was made; what has become of it since is the kernel's to say.
    Created,
    /// An image of it was written and its processes are gone.
    Checkpointed,
    /// A removal has begun: part of it may be missing, and it can only be removed further.
    Deleting,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 4] = [Self::Creating, Self::Created, Self::Checkpointed, Self::Deleting];
}

/// A process named so that no other can be mistaken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessId {
    /// The number, which the kernel gives out again.
    pub pid: u32,
    /// When the process started, in clock ticks since boot.
    pub started: u64,
    /// A hash of the boot id, since ticks begin anew with every boot.
    pub boot: u64,
}

/// Every residue of a container, and all that a later command needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Manifest {
    /// The container's name.
    pub id: String,
    /// A hash of the boot id under which it was made, where that was kept.
    pub boot: Option<u64>,
    /// The directory that config.json was read from.
    pub bundle: String,
    /// The root filesystem, as the host sees it.
    pub rootfs: String,
    /// When the container was made, in RFC 3339.
    pub created: String,
    /// The version of the OCI specification that the container asked for.
    pub version: String,
    /// The annotations of config.json.
    pub annotations: BTreeMap<String, String>,
    /// The cgroup directories, one for each hierarchy.
    ///
    /// The first is home: it is asked for occupancy, and it is frozen.
    pub cgroups: Vec<CgroupDir>,
    /// Whether its init stops at no gate on the way to its program.
    pub ungated: bool,
    /// Whether the death of init takes every other process with it.
    pub own_pid_namespace: bool,
    /// JSON of the default process and the namespaces, which `exec` starts from.
    pub process: String,
    /// JSON of the list of hooks to run after the start.
    pub poststart: String,
    /// JSON of the list of hooks to run after the stop.
    pub poststop: String,
    /// Whatever else names a residue or is wanted later, by name.
    pub extra: BTreeMap<String, String>,
}

/// One cgroup directory of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CgroupDir {
    /// The absolute path.
    pub path: String,
    /// The version of the hierarchy, 1 or 2.
    pub version: u8,
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const INIT: ProcessId = ProcessId { pid: 7, started: 11, boot: u64::MAX };

    #[test]
    fn a_record_survives_the_disk() {
        let mut record = Record::new(Manifest { id: "a".to_string(), ..Default::default() });
        record
            .manifest
            .cgroups
            .push(CgroupDir { path: "/sys/fs/cgroup/a".to_string(), version: 2 });
        record.manifest.extra.insert("console".to_string(), "/run/a.sock".to_string());
        for stage in Stage::ALL {
            for init in [None, Some(INIT)] {
                let record = Record { stage, init, ..record.clone() };
                let json = serde_json::to_string(&record).unwrap();
                assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
            }
        }
    }

    #[test]
    fn a_record_names_no_cgroup_of_another_boot() {
        let dir = CgroupDir { path: "/sys/fs/cgroup/a".to_string(), version: 2 };
        let of = |boot| {
            Record::new(Manifest { boot, cgroups: alloc::vec![dir.clone()], ..Default::default() })
        };
        for boot in [None, Some(7)] {
            assert_eq!(of(boot).in_boot(7), of(boot));
        }
        let later = of(Some(6)).in_boot(7);
        assert_eq!(later.manifest.cgroups, []);
        assert_eq!(later.manifest.boot, Some(6));
    }

    #[test]
    fn a_record_of_another_version_loads() {
        let json = r#"{"stage":"created","init":{"pid":7,"started":11,"boot":18446744073709551615},
            "manifest":{"id":"a","later":[1]},"later":{}}"#;
        let record: Record = serde_json::from_str(json).unwrap();
        assert_eq!((record.format, record.init), (0, Some(INIT)));
        assert_eq!(record.manifest, Manifest { id: "a".to_string(), ..Default::default() });
    }

    #[test]
    fn the_words_on_disk_are_these() {
        let record = Record { init: Some(INIT), ..Record::new(Manifest::default()) };
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            concat!(
                r#"{"format":1,"stage":"creating","#,
                r#""init":{"pid":7,"started":11,"boot":18446744073709551615},"#,
                r#""manifest":{"id":"","boot":null,"bundle":"","rootfs":"","#,
                r#""created":"","version":"","#,
                r#""annotations":{},"cgroups":[],"ungated":false,"#,
                r#""ownPidNamespace":false,"process":"","poststart":"","poststop":"","extra":{}}}"#,
            )
        );
    }
}
