//! Reads `config.json` of the OCI runtime specification 1.x into a [`Spec`].
//!
//! | A property that              | Is                                                       |
//! |------------------------------|----------------------------------------------------------|
//! | OCI does not define          | ignored, as OCI demands, with a warning                  |
//! | OCI defines, and is supported| read, or refused with its place and the reason           |
//! | OCI defines, and is not      | refused, unless its value asks for nothing               |
//! | is another platform's        | ignored with a warning                                   |
//!
//! **Invariant:** every refusal and every warning names its place in the document.
//!
//! **Invariant:** nothing that a document asks for is dropped without a word.

mod block;
mod cgroup;
mod example;
mod hooks;
mod linux;
mod mounts;
mod node;
mod process;
mod seccomp;
mod usual;
pub mod words;

use std::collections::BTreeMap;

use super::{
    Conflict, Invalid, NamespaceKind, Oddity, Process, Read, Reason, Resources, Rootfs, Spec,
};
use node::{Fault, Node, Notes};

pub use example::{Example, Owner, example};

/// The version of the specification that is implemented.
pub const VERSION: &str = "1.3.0";

/// The longest name that the kernel takes for a host or a domain.
const NAME_MAX: usize = 64;

/// Reads a `config.json`.
///
/// # Errors
///
/// The first thing in it that cannot be done, and where it stands.
pub fn read(json: &[u8]) -> Result<Read<Spec>, Invalid> {
    let read = node::document(json, spec)?;
    match read.value.conflict() {
        None => Ok(read),
        Some(conflict) => {
            Err(Invalid { pointer: place(&conflict, &read.value), why: Reason::Conflict(conflict) })
        }
    }
}

/// Reads a `process` object that stands alone, as `exec --process` is given.
///
/// # Errors
///
/// As for [`read`].
pub fn read_process(json: &[u8]) -> Result<Read<Process>, Invalid> {
    node::document(json, process::process)
}

/// Reads a `linux.resources` object that stands alone, as `update --resources` is given.
///
/// # Errors
///
/// As for [`read`].
pub fn read_resources(json: &[u8]) -> Result<Read<Resources>, Invalid> {
    node::document(json, cgroup::resources)
}

fn spec<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Spec, Fault<'d>> {
    let mut spec = Spec { version: version(node)?, ..Spec::default() };
    let (mut root, mut mounts) = (None, None);
    for (key, value) in node.fields()? {
        match key {
            "ociVersion" => (),
            "root" => root = Some(rootfs(notes, value)?),
            "process" => spec.process = Some(process::process(notes, value)?),
            "hostname" => spec.hostname = host_name(value)?,
            "domainname" => spec.domainname = host_name(value)?,
            "mounts" => {
                spec.mounts = value.list(|item| mounts::mount(notes, item))?;
                mounts = Some(value).filter(|_| !spec.mounts.is_empty());
            }
            "hooks" => spec.hooks = hooks::hooks(notes, value)?,
            "annotations" => spec.annotations = strings(value)?,
            "linux" => linux::linux(notes, value, &mut spec)?,
            "freebsd" | "solaris" | "vm" | "windows" | "zos" => {
                notes.add(value, Oddity::Platform);
            }
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    if let (Some(mounts), None) = (mounts, spec.namespace(NamespaceKind::Mount)) {
        notes.add(mounts, Oddity::HostMounts);
    }
    let root = root.ok_or_else(|| node.lacks("root"))?;
    spec.rootfs = Rootfs { propagation: spec.rootfs.propagation, ..root };
    Ok(spec)
}

/// The version is read first: what other versions mean by other properties is not known.
fn version<'d>(node: &'d Node<'d>) -> Result<String, Fault<'d>> {
    let found = node.fields()?.find(|(key, _)| *key == "ociVersion");
    let (_, value) = found.ok_or_else(|| node.lacks("ociVersion"))?;
    let version = value.string()?;
    if is_version_1(&version) { Ok(version) } else { Err(value.fault(Reason::Version(version))) }
}

/// Whether it is a semantic version (semver.org) whose major number is 1.
fn is_version_1(version: &str) -> bool {
    let (version, build) = version.split_once('+').unwrap_or((version, "0"));
    let (core, pre) = version.split_once('-').unwrap_or((version, "0"));
    let is_number = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
            && !part.is_empty()
    };
    let is_label = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && !part.is_empty()
    };
    let numbers: Vec<_> = core.split('.').collect();
    numbers.len() == 3
        && numbers[0] == "1"
        && numbers.into_iter().all(is_number)
        && pre.split('.').chain(build.split('.')).all(is_label)
}

fn rootfs<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Rootfs, Fault<'d>> {
    let mut rootfs = Rootfs::default();
    let mut path = None;
    for (key, value) in node.fields()? {
        match key {
            "path" => path = Some(value),
            "readonly" => rootfs.readonly = value.bool()?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    let path = path.ok_or_else(|| node.lacks("path"))?;
    rootfs.path = path.some_text()?.ok_or_else(|| path.fault(Reason::Empty))?;
    Ok(rootfs)
}

fn host_name<'d>(node: &'d Node<'d>) -> Result<Option<String>, Fault<'d>> {
    match node.some_text()? {
        Some(name) if NAME_MAX < name.len() => {
            Err(node.fault(Reason::Malformed("longer than 64 bytes")))
        }
        name => Ok(name),
    }
}

/// An object of strings, none of them without a name.
fn strings<'d>(node: &'d Node<'d>) -> Result<BTreeMap<String, String>, Fault<'d>> {
    node.fields()?
        .map(|(key, value)| match key {
            "" => Err(value.fault(Reason::Malformed("has an empty name"))),
            key if key.contains('\0') => Err(value.fault(Reason::Nul)),
            key => Ok((key.to_owned(), value.string()?)),
        })
        .collect()
}

/// Where the conflict shows in a `config.json`.
fn place(conflict: &Conflict, spec: &Spec) -> String {
    let place = match conflict {
        Conflict::Domainname => "/domainname",
        Conflict::Hostname => "/hostname",
        Conflict::HostSysctl { name } | Conflict::StraySysctl { name, .. } => {
            let mut pointer = "/linux/sysctl".to_owned();
            node::step(&mut pointer, name);
            return pointer;
        }
        Conflict::MapsWithoutUser if spec.uid_maps.is_empty() => "/linux/gidMappings",
        Conflict::MapsWithoutUser => "/linux/uidMappings",
        Conflict::MaskedPaths => "/linux/maskedPaths",
        Conflict::NoGidMaps => "/linux/gidMappings",
        Conflict::NoUidMaps => "/linux/uidMappings",
        Conflict::ReadonlyPaths => "/linux/readonlyPaths",
        Conflict::TimeOffsets => "/linux/timeOffsets",
    };
    place.to_owned()
}
