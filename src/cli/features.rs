//! The command `features`: what this runtime reads and does, as the OCI document of that name.
//!
//! **Invariant:** every list is one that a reader goes by, so what is promised here is done.

use serde_json::{Value, json};

use crate::backend::linux::host;
use crate::spec::oci::words::{self, FilterFlag, MountOption};
use crate::spec::{CapSet, Capability, oci};

use super::args::Parsed;
use super::filters;
use super::help::say;
use super::problem::Problem;
use super::session::Session;

/// Prints the document.
pub(super) fn features(_: &Session<'_>, _: &Parsed) -> Result<u8, Problem> {
    let json = serde_json::to_string_pretty(&document());
    say(&format!("{}\n", json.map_err(|error| Problem::of("write JSON", error))?))
}

fn document() -> Value {
    let supported =
        words::MOUNT_OPTIONS.iter().filter(|(_, does)| *does != MountOption::Unsupported);
    let mut annotations = json!({
        "org.opencontainers.runc.checkpoint.enabled": "false",
        "io.github.cofferdam.version": env!("CARGO_PKG_VERSION"),
    });
    if let Some(version) = filters::library() {
        annotations["io.github.seccomp.libseccomp.version"] = version.into();
    }
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": oci::VERSION,
        "hooks": words::HOOKS,
        "mountOptions": supported.map(|(word, _)| *word).collect::<Vec<_>>(),
        "annotations": annotations,
        "linux": {
            "namespaces": named(words::NAMESPACES),
            "capabilities": capabilities(),
            "cgroup": {
                "v1": true,
                "v2": true,
                "systemd": false,
                "systemdUser": false,
                "rdma": false,
            },
            "seccomp": seccomp(),
            "apparmor": { "enabled": true },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            "mountExtensions": { "idmap": { "enabled": false } },
            "netDevices": { "enabled": false },
        },
    })
}

/// Those that this kernel knows too: an older one refuses to grant a newer capability.
fn capabilities() -> Vec<String> {
    let known = CapSet::from_bits(host::known_capabilities());
    Capability::all().filter(|one| known.contains(*one)).map(Capability::name).collect()
}

fn seccomp() -> Value {
    if filters::library().is_none() {
        return json!({ "enabled": false });
    }
    let flags = words::FILTER_FLAGS;
    let supported = flags.iter().filter(|(_, flag)| *flag != FilterFlag::Unsupported);
    json!({
        "enabled": true,
        "actions": named(words::ACTIONS),
        "operators": named(words::COMPARISONS),
        "archs": named(words::ARCHITECTURES),
        "knownFlags": named(flags),
        "supportedFlags": supported.map(|(word, _)| *word).collect::<Vec<_>>(),
    })
}

fn named<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|(word, _)| *word).collect()
}
