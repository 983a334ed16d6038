//! The `config.json` to start from: a shell on a terminal, confined as is customary.
//!
//! **Invariant:** [`read`](super::read) reads it without a warning.

use serde::Serialize;
use serde_json::{Value, json};

/// The version that the example claims: all it says was already in that one.
const VERSION: &str = "1.2.1";

/// What the example is to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// Who will run it, if that is not root.
    pub rootless: Option<Owner>,
    /// Whether the host has one cgroup tree (v2), whose root a container should not see.
    pub unified_cgroups: bool,
}

/// The one user that a rootless container maps to its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

/// The document, its properties in the order in which one reads them.
#[derive(Serialize)]
struct Document {
    #[serde(rename = "ociVersion")]
    version: &'static str,
    process: Value,
    root: Value,
    hostname: &'static str,
    mounts: Value,
    linux: Value,
}

/// Writes the example, indented.
pub fn example(wanted: Example) -> String {
    let document = Document {
        version: VERSION,
        process: process(),
        root: json!({ "path": "rootfs", "readonly": true }),
        hostname: "cofferdam",
        mounts: mounts(wanted),
        linux: linux(wanted),
    };
    serde_json::to_string_pretty(&document).expect("every key is a string")
}

fn process() -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "terminal": true,
        "user": { "uid": 0, "gid": 0 },
        "args": ["sh"],
        "env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=xterm",
        ],
        "cwd": "/",
        "capabilities": {
            "bounding": capabilities,
            "effective": capabilities,
            "permitted": capabilities,
        },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024 }],
        "noNewPrivileges": true,
    })
}

fn mounts(wanted: Example) -> Value {
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    let sys = match wanted.rootless {
        // Group 5 is not mapped, and a sysfs belongs to the network namespace's owner.
        Some(_) => json!({
            "destination": "/sys",
            "type": "none",
            "source": "/sys",
            "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
        }),
        None => {
            pts.push("gid=5");
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"])
        }
    };
    json!([
        mount("/proc", "proc", &[]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &pts),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        sys,
        mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ])
}

fn mount(target: &str, kind: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": kind, "source": kind, "options": options })
}

fn linux(wanted: Example) -> Value {
    let mut namespaces = vec!["pid", "ipc", "uts", "mount"];
    if wanted.unified_cgroups {
        namespaces.push("cgroup");
    }
    namespaces.push(if wanted.rootless.is_some() { "user" } else { "network" });
    let namespaces: Vec<_> = namespaces.iter().map(|kind| json!({ "type": kind })).collect();
    let mut linux = json!({
        "namespaces": namespaces,
        "maskedPaths": [
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/sched_debug",
            "/proc/scsi",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/sys/devices/virtual/powercap",
            "/sys/firmware",
        ],
        "readonlyPaths": [
            "/proc/bus",
            "/proc/fs",
            "/proc/irq",
            "/proc/sys",
            "/proc/sysrq-trigger",
        ],
    });
    match wanted.rootless {
        Some(Owner { uid, gid }) => {
            linux["uidMappings"] = json!([{ "containerID": 0, "hostID": uid, "size": 1 }]);
            linux["gidMappings"] = json!([{ "containerID": 0, "hostID": gid, "size": 1 }]);
        }
        None => linux["resources"] = json!({ "devices": [{ "allow": false, "access": "rwm" }] }),
    }
    linux
}
