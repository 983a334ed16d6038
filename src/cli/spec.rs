//! The command `spec`: a config.json to start from.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::spec::oci::{Example, Owner, example};

use super::args::Parsed;
use super::problem::{Problem, text};
use super::session::{Session, effective_user};

/// Writes the example, unless there is a file already.
pub(super) fn spec(_: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let rootless = parsed.has("rootless").then(|| Owner { uid: effective_user(), gid: group() });
    // Only the one tree of version 2 has this file in its root.
    let unified_cgroups = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let text_of = example(Example { rootless, unified_cgroups });
    let path = match parsed.value("bundle") {
        Some(dir) => format!("{dir}/config.json"),
        None => "config.json".to_owned(),
    };
    let mut new = OpenOptions::new();
    let new = new.write(true).create_new(true).mode(0o666).open(&path);
    let written = new.and_then(|mut file| file.write_all(format!("{text_of}\n").as_bytes()));
    written.map(|()| 0).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Problem::new(format!("File {path} exists. Remove it first"))
        }
        _ => Problem::of(format!("write {path}"), text(&error)),
    })
}

/// The effective group: that of this very process's entry in `/proc`.
fn group() -> u32 {
    std::fs::metadata("/proc/self").map_or(0, |entry| entry.gid())
}
