//! The `mounts` list.

use super::node::{Fault, Node, Notes};
use super::words::{MOUNT_OPTIONS, MountOption};
use crate::spec::{AttrFlags, Mount, MountFlags, MountKind, Oddity, Reason};

/// Files of a procfs that may be covered one by one.
const COVERABLE: [&[&str]; 11] = [
    &["cpuinfo"],
    &["diskstats"],
    &["loadavg"],
    &["meminfo"],
    &["net", "dev"],
    &["slabinfo"],
    &["stat"],
    &["swaps"],
    &["sys", "crypto", "fips_enabled"],
    &["sys", "kernel", "ns_last_pid"],
    &["uptime"],
];

/// Reads a mount.
pub(super) fn mount<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Mount, Fault<'d>> {
    let (mut target, mut kind, mut source, mut options) = (None, None, None, None);
    for (key, value) in node.fields()? {
        match key {
            "destination" => target = Some(value),
            "type" => kind = value.some_text()?,
            "source" => source = value.some_text()?,
            "options" => options = Some(value),
            "uidMappings" | "gidMappings" => value.unsupported()?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    let target = target.ok_or_else(|| node.lacks("destination"))?;
    let mut mount = Mount::new(MountKind::Cgroup, absolute(notes, target)?);
    let asked = options.map_or_else(|| Ok(Options::default()), |node| apply(&mut mount, node))?;
    mount.source = source;
    mount.kind = match (kind, asked.bind) {
        (_, Some(recursive)) => MountKind::Bind { recursive },
        (Some(kind), None) if kind == "bind" => MountKind::Bind { recursive: false },
        (Some(kind), None) if kind == "cgroup" => MountKind::Cgroup,
        (Some(kind), None) => MountKind::Filesystem(kind),
        // A remount changes what is there, whatever it is.
        (None, None) if mount.set.contains(MountFlags::REMOUNT) => {
            MountKind::Filesystem(String::new())
        }
        (None, None) => return Err(node.lacks("type")),
    };
    if let (MountKind::Bind { .. }, Some(item)) = (&mount.kind, asked.data) {
        let (what, word) = ("option of a bind mount", item.string()?);
        return Err(item.fault(Reason::Unknown { what, word }));
    }
    if matches!(mount.kind, MountKind::Bind { .. }) && mount.source.is_none() {
        return Err(node.lacks("source"));
    }
    check_target(&mount).map_err(|why| target.fault(why))?;
    Ok(mount)
}

fn absolute<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<String, Fault<'d>> {
    match node.text()? {
        "" => Err(node.fault(Reason::Empty)),
        path if path.starts_with('/') => Ok(path.to_owned()),
        path => {
            notes.add(node, Oddity::Relative);
            Ok(format!("/{path}"))
        }
    }
}

/// What options say beside flags.
#[derive(Default)]
struct Options<'d> {
    /// A bind mount; whether with all that is mounted below.
    bind: Option<bool>,
    /// The first one for the file system.
    data: Option<&'d Node<'d>>,
}

/// Applies the options, later ones over earlier ones.
fn apply<'d>(mount: &mut Mount, node: &'d Node<'d>) -> Result<Options<'d>, Fault<'d>> {
    let mut options = Options::default();
    for item in node.items()? {
        let word = item.text()?;
        let Some((_, option)) = MOUNT_OPTIONS.iter().find(|(known, _)| *known == word) else {
            if !mount.data.is_empty() && !word.is_empty() {
                mount.data.push(',');
            }
            mount.data.push_str(word);
            options.data = options.data.or(Some(item)).filter(|_| !mount.data.is_empty());
            continue;
        };
        match *option {
            MountOption::Bind { recursive } => {
                options.bind = Some(recursive || options.bind == Some(true));
            }
            MountOption::CopyUp => mount.tmpcopyup = true,
            MountOption::Propagate(propagation) => mount.propagation.push(propagation),
            MountOption::Set(flags) => {
                mount.set = mount.set | flags;
                mount.clear = mount.clear.without(flags);
            }
            MountOption::Clear(flags) => {
                mount.set = mount.set.without(flags);
                mount.clear = mount.clear | flags;
            }
            MountOption::SetTree(flags) => {
                mount.set_tree = mount.set_tree | flags;
                mount.clear_tree = mount.clear_tree.without(flags);
            }
            MountOption::ClearTree(flags) => {
                mount.set_tree = mount.set_tree.without(flags);
                mount.clear_tree = mount.clear_tree | flags;
            }
            MountOption::TreeAtime(flags) => {
                mount.set_tree = mount.set_tree.without(AttrFlags::ATIME) | flags;
                mount.clear_tree = mount.clear_tree | AttrFlags::ATIME;
            }
            MountOption::Unsupported => return Err(item.fault(Reason::Unsupported)),
        }
    }
    Ok(options)
}

/// Refuses places where a mount would undo the container's own confinement.
///
/// This is by name only; links in the root file system are the business of who resolves them.
fn check_target(mount: &Mount) -> Result<(), Reason> {
    let mut parts = Vec::new();
    for part in mount.target.split('/') {
        match part {
            "" | "." => (),
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    match parts.split_first() {
        None => Err(Reason::Malformed("covers the root file system itself")),
        Some((&"proc", [])) => match &mount.kind {
            // Whether what is bound is a procfs is to be seen on the host.
            MountKind::Bind { .. } => Ok(()),
            MountKind::Filesystem(name) if name == "proc" => Ok(()),
            MountKind::Cgroup | MountKind::Filesystem(_) => {
                Err(Reason::Malformed("only a procfs can be mounted on /proc"))
            }
        },
        Some((&"proc", rest)) if !COVERABLE.contains(&rest) => {
            Err(Reason::Malformed("inside /proc, and none of the files that may be covered"))
        }
        Some(_) => Ok(()),
    }
}
