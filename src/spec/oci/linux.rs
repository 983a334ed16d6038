//! The `linux` object.

use super::node::{Fault, Node, Notes};
use super::process::ID_MAX;
use super::{cgroup, seccomp, strings, words};
use crate::spec::{
    Device, DeviceKind, IdMap, Namespace, NamespaceKind, Oddity, Propagation, Reason, Spec, Sysctl,
    TimeOffset, TimeOffsets,
};

/// The file type within a mode, which some programs leave in it.
const S_IFMT: u32 = 0o170_000;

/// The most that Linux's device numbers hold.
const MAJOR_MAX: u32 = (1 << 12) - 1;
const MINOR_MAX: u32 = (1 << 20) - 1;

/// Reads the `linux` object into the spec.
pub(super) fn linux<'d>(
    notes: &mut Notes<'d>,
    node: &'d Node<'d>,
    spec: &mut Spec,
) -> Result<(), Fault<'d>> {
    let mut maps = Vec::new();
    for (key, value) in node.fields()? {
        match key {
            "uidMappings" | "gidMappings" => maps.push((key, value)),
            "namespaces" => spec.namespaces = namespaces(notes, value)?,
            "devices" => spec.devices = value.list(|item| device(notes, item))?,
            "cgroupsPath" => spec.cgroup.path = value.some_text()?,
            "resources" => spec.cgroup.resources = cgroup::resources(notes, value)?,
            "rootfsPropagation" => spec.rootfs.propagation = propagation(value)?,
            "maskedPaths" => spec.masked_paths = value.list(Node::absolute)?,
            "readonlyPaths" => spec.readonly_paths = value.list(Node::absolute)?,
            "seccomp" => spec.seccomp = Some(seccomp::seccomp(notes, value)?),
            "sysctl" => spec.sysctls = sysctls(value)?,
            "timeOffsets" => spec.time_offsets = time_offsets(notes, value)?,
            "personality" => personality(notes, value)?,
            "intelRdt" | "memoryPolicy" | "mountLabel" => value.unsupported()?,
            "netDevices" => value.unsupported_map()?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    let joined = spec.namespace(NamespaceKind::User).is_some_and(|user| user.path.is_some());
    for (key, value) in maps {
        let read = value.list(|item| id_map(notes, item))?;
        if joined && !read.is_empty() {
            // Engines write them all the same, since runc once asked for them.
            notes.add(value, Oddity::IdMaps);
        } else if key == "uidMappings" {
            spec.uid_maps = read;
        } else {
            spec.gid_maps = read;
        }
    }
    Ok(())
}

fn namespaces<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Vec<Namespace>, Fault<'d>> {
    let mut namespaces: Vec<Namespace> = Vec::new();
    for item in node.items()? {
        let namespace = namespace(notes, item)?;
        if namespaces.iter().any(|other| other.kind == namespace.kind) {
            return Err(item.fault(Reason::Duplicate));
        }
        namespaces.push(namespace);
    }
    Ok(namespaces)
}

fn namespace<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Namespace, Fault<'d>> {
    let (mut kind, mut path) = (None, None);
    for (key, value) in node.fields()? {
        match key {
            "type" => kind = Some(value.word("namespace", words::NAMESPACES)?),
            "path" if value.is_nothing() => (),
            "path" => path = Some(value.absolute()?),
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(Namespace { kind: kind.ok_or_else(|| node.lacks("type"))?, path })
}

fn id_map<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<IdMap, Fault<'d>> {
    let (mut inside, mut outside, mut count) = (None, None, None);
    for (key, value) in node.fields()? {
        match key {
            "containerID" => inside = Some(value.integer(0..=ID_MAX)?),
            "hostID" => outside = Some(value.integer(0..=ID_MAX)?),
            "size" => count = Some(value.integer(1..=u32::MAX)?),
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    let map = IdMap {
        inside: inside.ok_or_else(|| node.lacks("containerID"))?,
        outside: outside.ok_or_else(|| node.lacks("hostID"))?,
        count: count.ok_or_else(|| node.lacks("size"))?,
    };
    if map.inside.max(map.outside).checked_add(map.count).is_some() {
        Ok(map)
    } else {
        Err(node.fault(Reason::Malformed("reaches past the largest id")))
    }
}

fn device<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Device, Fault<'d>> {
    let (mut path, mut kind, mut major, mut minor) = (None, None, None, None);
    let (mut mode, mut uid, mut gid) = (0o666, 0, 0);
    for (key, value) in node.fields()? {
        match key {
            "path" => path = Some(value.absolute()?),
            "type" => kind = Some(value),
            "major" => major = Some(value.integer(0..=MAJOR_MAX)?),
            "minor" => minor = Some(value.integer(0..=MINOR_MAX)?),
            "fileMode" => mode = value.integer(0..=S_IFMT | 0o7777)? & !S_IFMT,
            "uid" => uid = value.integer(0..=ID_MAX)?,
            "gid" => gid = value.integer(0..=ID_MAX)?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    let path = path.ok_or_else(|| node.lacks("path"))?;
    let kind = kind.ok_or_else(|| node.lacks("type"))?;
    let major = major.ok_or_else(|| node.lacks("major"));
    let minor = minor.ok_or_else(|| node.lacks("minor"));
    let kind = match kind.text()? {
        "b" => DeviceKind::Block { major: major?, minor: minor? },
        "c" | "u" => DeviceKind::Char { major: major?, minor: minor? },
        "p" => DeviceKind::Fifo,
        word => {
            let word = word.to_owned();
            return Err(kind.fault(Reason::Unknown { what: "device type", word }));
        }
    };
    Ok(Device { path, kind, mode, uid, gid })
}

fn propagation<'d>(node: &'d Node<'d>) -> Result<Option<Propagation>, Fault<'d>> {
    match node.text()? {
        "" => Ok(None),
        _ => node.word("propagation", words::PROPAGATIONS).map(Some),
    }
}

fn sysctls<'d>(node: &'d Node<'d>) -> Result<Vec<Sysctl>, Fault<'d>> {
    strings(node)?;
    node.fields()?
        .map(|(name, value)| match Sysctl::new(name, value.text()?) {
            None => Err(value.fault(Reason::Malformed("not named after a file of /proc/sys"))),
            Some(sysctl) if sysctl.path == "kernel/hostname" => {
                Err(value.fault(Reason::Malformed("is what the property hostname sets")))
            }
            Some(sysctl) => Ok(sysctl),
        })
        .collect()
}

fn time_offsets<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<TimeOffsets, Fault<'d>> {
    let mut offsets = TimeOffsets::default();
    for (key, value) in node.fields()? {
        match key {
            "boottime" => offsets.boottime = time_offset(notes, value)?,
            "monotonic" => offsets.monotonic = time_offset(notes, value)?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(offsets)
}

fn time_offset<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<TimeOffset, Fault<'d>> {
    let mut offset = TimeOffset::default();
    for (key, value) in node.fields()? {
        match key {
            "secs" => offset.secs = value.integer(i64::MIN..=i64::MAX)?,
            "nanosecs" => offset.nanosecs = value.integer(0..=999_999_999)?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(offset)
}

/// Accepts the personality that every program has anyway.
fn personality<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<(), Fault<'d>> {
    for (key, value) in node.fields()? {
        match key {
            "domain" if value.text()? == "LINUX" => (),
            "domain" | "flags" => value.unsupported()?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(())
}
