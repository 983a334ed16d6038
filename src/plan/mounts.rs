//! The mounts of a container, each on a target that was opened below its root.
//!
//! | mount        | calls                                                                  |
//! |--------------|------------------------------------------------------------------------|
//! | file system  | openat2(target), fchdir, mount on `.`                                  |
//! | proc, sysfs  | openat2(target), mount over the root, cover its paths, move_mount      |
//! | filled tmpfs | mount over the root, openat2 it, copy, move_mount                      |
//! | bind         | open_tree(source), mount_setattr, openat2(target), move_mount; that of |
//! |              | the host's proc or sysfs lies over the root first, as above            |
//! | cgroup       | see [`cgroups`](super::cgroups)                                        |
//!
//! **Invariant:** no target is named twice: the descriptor that was resolved is mounted on.

use super::cgroups;
use super::draft::{Content, Draft, Leaf, Mounting, from, handle, invalid, normal};
use super::host::{Feature, Source};
use super::paths;
use crate::spec::{AttrFlags, Invalid, Mount, MountFlags, MountKind, NamespaceKind, Propagation};
use crate::spec::{Reason, Sharing, Spec};
use crate::sys::flags::{
    AT_EMPTY_PATH, AT_RECURSIVE, MOUNT_ATTR_ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY, MOUNT_ATTR_STRICTATIME, MOVE_MOUNT_F_SYMLINKS, MOVE_MOUNT_T_EMPTY_PATH,
    MS_BIND, MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_NOSYMFOLLOW, MS_PRIVATE,
    MS_RDONLY, MS_REC, MS_RELATIME, MS_REMOUNT, MS_SHARED, MS_SLAVE, MS_STRICTATIME, MS_UNBINDABLE,
    O_DIRECTORY, O_PATH,
};
use crate::sys::{Act, Call, Compiled, Errno, Handle, OnError, Slot};

/// What may be mounted below `/proc`: what lxcfs and its like put there.
const IN_PROC: [&str; 10] = [
    "proc/cpuinfo",
    "proc/diskstats",
    "proc/loadavg",
    "proc/meminfo",
    "proc/slabinfo",
    "proc/stat",
    "proc/swaps",
    "proc/sys/crypto/fips_enabled",
    "proc/sys/kernel/ns_last_pid",
    "proc/uptime",
];

/// The flags of mount(2) that belong to one mount rather than to its file system.
const PER_MOUNT: u64 = MS_RDONLY
    | MS_NOSUID
    | MS_NODEV
    | MS_NOEXEC
    | MS_NOATIME
    | MS_NODIRATIME
    | MS_RELATIME
    | MS_STRICTATIME
    | MS_NOSYMFOLLOW;

/// Refuses mounts that cannot be had.
///
/// # Errors
///
/// The first of them.
pub(super) fn check(spec: &Spec, draft: &Draft<'_>) -> Result<(), Invalid> {
    let old = draft.lacks(Feature::MountSetattr);
    for (i, mount) in spec.mounts.iter().enumerate() {
        let refuse = |what: &str, why| Err(invalid(format!("/mounts/{i}/{what}"), why));
        let target = normal(&mount.target);
        let bind = matches!(mount.kind, MountKind::Bind { .. });
        if target.is_empty() {
            return refuse("destination", Reason::Malformed("the root itself"));
        }
        if (target == "proc" || target.starts_with("proc/")) && !fits_proc(mount, &target) {
            return refuse("destination", Reason::Malformed("only a proc belongs on /proc"));
        }
        if bind && mount.source.is_none() {
            return refuse("source", Reason::Missing);
        }
        if bind && !mount.data.is_empty() {
            return refuse("options", Reason::Malformed("a bind mount has no file system options"));
        }
        let tmpfs = matches!(&mount.kind, MountKind::Filesystem(kind) if kind == "tmpfs");
        if mount.tmpcopyup && !tmpfs {
            return refuse("options", Reason::Malformed("only a tmpfs is filled with a copy"));
        }
        if old && tree_attributes(mount) != (0, 0) {
            return refuse("options", Reason::Unsupported);
        }
    }
    Ok(())
}

fn fits_proc(mount: &Mount, target: &str) -> bool {
    match &mount.kind {
        MountKind::Bind { .. } => {
            IN_PROC.contains(&target)
                || (target == "proc" && mount.source.as_deref() == Some("/proc"))
        }
        MountKind::Cgroup => false,
        MountKind::Filesystem(kind) => kind == "proc" && target == "proc",
    }
}

/// Makes all mounts of a container.
pub(super) fn all(draft: &mut Draft<'_>, spec: &Spec) {
    for mount in &spec.mounts {
        let path = normal(&mount.target);
        let target = &mount.target;
        match &mount.kind {
            MountKind::Bind { recursive } => {
                let source = mount.source.as_deref().unwrap_or_default();
                draft.about(format!("bind {source} to {target}"));
                let tree = if *recursive { AT_RECURSIVE } else { 0 };
                bind(draft, spec, mount, tree);
            }
            MountKind::Cgroup => {
                draft.about(format!("mount cgroups on {target}"));
                cgroups::mount(draft, spec, mount);
            }
            MountKind::Filesystem(kind) => {
                draft.about(format!("mount {kind} on {target}"));
                file_system(draft, spec, &Typed { mount, kind, path: &path });
            }
        }
    }
}

/// Whether a mount is made writable at first, since others are mounted in it.
fn is_late_readonly(mount: &Mount) -> bool {
    let late = match &mount.kind {
        MountKind::Bind { .. } | MountKind::Cgroup => false,
        MountKind::Filesystem(kind) => kind == "tmpfs" || normal(&mount.target) == "dev",
    };
    late && mount.set.contains(MountFlags::RDONLY)
}

/// Makes read-only what had to be writable until now; in the new root.
pub(super) fn late_readonly(draft: &mut Draft<'_>, spec: &Spec) {
    for mount in spec.mounts.iter().filter(|mount| is_late_readonly(mount)) {
        draft.about(format!("make {} read-only", mount.target));
        let path = format!("/{}", normal(&mount.target));
        readonly(draft, &path, mount.set.bits() & PER_MOUNT);
    }
}

/// Makes the mount at `path` read-only; `flags` are what it has already.
pub(super) fn readonly(draft: &mut Draft<'_>, path: &str, flags: u64) {
    if draft.lacks(Feature::MountSetattr) {
        let flags = MS_REMOUNT | MS_BIND | MS_RDONLY | flags;
        return draft.mount(Mounting { target: path, flags, ..Mounting::default() });
    }
    let path = draft.text(path);
    let (set, dir) = (MOUNT_ATTR_RDONLY, Handle::CWD);
    draft.b.call(Call::MountSetattr { dir, path, flags: 0, set, clear: 0, propagation: 0 });
}

/// A mount of a file system of some type, where it goes.
#[derive(Clone, Copy)]
struct Typed<'m> {
    mount: &'m Mount,
    kind: &'m str,
    path: &'m str,
}

fn file_system(draft: &mut Draft<'_>, spec: &Spec, typed: &Typed<'_>) {
    let Typed { mount, kind, path } = *typed;
    if mount.tmpcopyup {
        return filled(draft, spec, mount, path);
    }
    if mount.propagation.is_empty() && tree_attributes(mount) == (0, 0) && in_dev(draft, typed) {
        return;
    }
    // CVE-2019-19921: a link on the way would put proc where labels are not looked for.
    let plain = matches!(kind, "proc" | "sysfs");
    if plain && paths::has_early(draft, spec, mount) {
        return kernels_own(draft, spec, typed);
    }
    let target = draft.target(path, if plain { Leaf::PlainDirectory } else { Leaf::Directory });
    let source = mount.source.as_deref().unwrap_or(kind);
    let late = if is_late_readonly(mount) { MS_RDONLY } else { 0 };
    let flags = mount.set.bits() & !late;
    draft.b.call(Call::Fchdir { fd: handle(target) });
    let data = &mount.data;
    let call = draft.mounting(Mounting { source, target: ".", kind, flags, data });
    let own = host_instance(draft, spec, kind);
    make(draft, mount, (call, own), handle(target));
    draft.mounted(path, if kind == "tmpfs" { Content::Empty } else { Content::Some });
    draft.done(target);
    finish(draft, mount, path);
}

/// Mounts a file system, or puts a copy of the host's instance on `target` where there can be no
/// other.
fn make(
    draft: &mut Draft<'_>,
    mount: &Mount,
    (call, instance): (Call<Compiled>, Option<&str>),
    target: Handle,
) {
    let Some(instance) = instance else { return draft.b.call(call) };
    let refused = draft.b.open_or_skip(call, Slot::NONE, &[Errno::EPERM]);
    let made = draft.b.jump();
    draft.b.land(refused);
    let copy = draft.copy(Handle::CWD, instance, AT_RECURSIVE);
    let placed = Placed { mount: copy, path: "", leaf: Leaf::Directory };
    attributes(draft, &placed, mount);
    let call = draft.onto(handle(copy), target);
    draft.b.call(call);
    draft.done(copy);
    draft.b.land(made);
}

/// Changes a file system that was mounted as its flags in mount(2) cannot say.
fn finish(draft: &mut Draft<'_>, mount: &Mount, path: &str) {
    if !mount.propagation.is_empty() || tree_attributes(mount) != (0, 0) {
        let mounted = draft.reopen(path);
        let placed = Placed { mount: mounted, path, leaf: Leaf::Directory };
        tree(draft, &placed, mount);
        travel(draft, &placed, mount);
        draft.done(mounted);
    }
}

/// Mounts a procfs or sysfs over the root, whose path is the host's, covers what it shows, and puts
/// it where it belongs: as many calls as there are without.
fn kernels_own(draft: &mut Draft<'_>, spec: &Spec, typed: &Typed<'_>) {
    let Typed { mount, kind, path } = *typed;
    // Before anything lies over the root: from there a walk upwards would lead into that.
    let target = draft.target(path, Leaf::PlainDirectory);
    let root = from(draft.situation.bundle, &spec.rootfs.path);
    let (source, data) = (mount.source.as_deref().unwrap_or(kind), mount.data.as_str());
    let flags = mount.set.bits();
    let call = draft.mounting(Mounting { source, target: &root, kind, flags, data });
    let (own, over) = (host_instance(draft, spec, kind), draft.root);
    make(draft, mount, (call, own), over);
    paths::early(draft, spec, path, &root);
    draft.about(format!("mount {kind} on {}", mount.target));
    let (from_dir, from_path) = (Handle::CWD, draft.text(&root));
    let (to_dir, to_path) = (handle(target), draft.text(""));
    let flags = MOVE_MOUNT_F_SYMLINKS | MOVE_MOUNT_T_EMPTY_PATH;
    draft.b.call(Call::MoveMount { from_dir, from_path, to_dir, to_path, flags });
    draft.mounted(path, Content::Some);
    draft.done(target);
    finish(draft, mount, path);
}

/// Fills a tmpfs with what the image has at its target, and puts it there when it is whole.
///
/// It is filled over the root, whose path is the host's: the image has no name for it yet.
fn filled(draft: &mut Draft<'_>, spec: &Spec, mount: &Mount, path: &str) {
    draft.about(format!("fill tmpfs on {}", mount.target));
    let target = draft.target(path, Leaf::Shared);
    let root = from(draft.situation.bundle, &spec.rootfs.path);
    let source = mount.source.as_deref().unwrap_or("tmpfs");
    let (flags, data) = (mount.set.bits() & !MS_RDONLY, mount.data.as_str());
    draft.mount(Mounting { source, target: &root, kind: "tmpfs", flags, data });
    let memory = draft.open_host(&root, O_PATH | O_DIRECTORY);
    let copy = Act::Copy { from: handle(target), to: handle(memory) };
    draft.b.push(copy, OnError::Fail, Slot::NONE);
    if let Some(mode) = asked_mode(data) {
        let (dir, path) = (handle(memory), draft.text("."));
        draft.b.call(Call::Fchmodat { dir, path, mode });
    }
    draft.attach(memory, target);
    draft.done(target);
    draft.mounted(path, Content::Some);
    let placed = Placed { mount: memory, path, leaf: Leaf::Directory };
    tree(draft, &placed, mount);
    travel(draft, &placed, mount);
    draft.done(memory);
}

/// Returns the mode that a tmpfs is told to have.
fn asked_mode(data: &str) -> Option<u32> {
    let mut given = data.split(',').filter_map(|option| option.strip_prefix("mode="));
    given.next_back().and_then(|mode| u32::from_str_radix(mode, 8).ok())
}

/// Mounts on a directory made for it in a `/dev` that is a fresh tmpfs: nobody else can have put
/// anything there, so a name is as good as a descriptor.
fn in_dev(draft: &mut Draft<'_>, typed: &Typed<'_>) -> bool {
    let Typed { mount, kind, path } = *typed;
    let Some(name) = path.strip_prefix("dev/").filter(|name| !name.contains('/')) else {
        return false;
    };
    let nested = draft.user_namespace || draft.situation.host.user_namespace;
    if nested || !draft.surely_missing(path) {
        return false;
    }
    let dir = draft.dev();
    let source = mount.source.as_deref().unwrap_or(kind);
    let late = if is_late_readonly(mount) { MS_RDONLY } else { 0 };
    let (flags, data) = (mount.set.bits() & !late, mount.data.as_str());
    if draft.within_dev != Some(draft.b.at()) {
        draft.b.call(Call::Fchdir { fd: dir });
    }
    let made = draft.text(name);
    // EEXIST: a mount whose target was a link has led here.
    draft.b.call_or(Call::Mkdirat { dir: Handle::CWD, path: made, mode: 0o755 }, &[Errno::EEXIST]);
    draft.mount(Mounting { source, target: name, kind, flags, data });
    draft.within_dev = Some(draft.b.at());
    draft.mounted(path, if kind == "tmpfs" { Content::Empty } else { Content::Some });
    true
}

/// Returns where the host has the only instance that a user namespace can have of a file system
/// which belongs to another namespace that the container does not make.
fn host_instance(draft: &Draft<'_>, spec: &Spec, kind: &str) -> Option<&'static str> {
    let (owner, path) = match kind {
        "mqueue" => (NamespaceKind::Ipc, "/dev/mqueue"),
        "sysfs" => (NamespaceKind::Network, "/sys"),
        _ => return None,
    };
    let nested = draft.user_namespace || draft.situation.host.user_namespace;
    (nested && !spec.makes(owner)).then_some(path)
}

fn bind(draft: &mut Draft<'_>, spec: &Spec, mount: &Mount, flags: u32) {
    let path = &normal(&mount.target);
    let named = mount.source.as_deref().unwrap_or_default();
    let kind = draft.situation.sources.get(named).copied().unwrap_or(Source::Directory);
    let leaf = Leaf::from(kind);
    let source = from(draft.situation.bundle, named);
    let copy = draft.copy(Handle::CWD, &source, flags);
    let placed = Placed { mount: copy, path, leaf };
    if !draft.lacks(Feature::MountSetattr) {
        attributes(draft, &placed, mount);
        tree(draft, &placed, mount);
    }
    // Before anything lies over the root: from there a link upwards would lead into that.
    let target = draft.target(path, leaf);
    if paths::has_early(draft, spec, mount) {
        let root = draft.root;
        let call = draft.onto(handle(copy), root);
        draft.b.call(call);
        let over = from(draft.situation.bundle, &spec.rootfs.path);
        paths::early(draft, spec, path, &over);
        draft.about(format!("bind {named} to {}", mount.target));
    }
    draft.attach(copy, target);
    draft.done(target);
    draft.mounted(path, Content::Some);
    if draft.lacks(Feature::MountSetattr) {
        attributes(draft, &placed, mount);
    }
    travel(draft, &placed, mount);
    draft.done(copy);
}

/// A mount by its descriptor and by where it is.
struct Placed<'p> {
    mount: Slot,
    path: &'p str,
    leaf: Leaf,
}

/// Sets a mount's own flags.
fn attributes(draft: &mut Draft<'_>, placed: &Placed<'_>, mount: &Mount) {
    let (set, clear) = own_attributes(mount.set.bits(), mount.clear.bits());
    if (set, clear) == (0, 0) {
        return;
    }
    if draft.lacks(Feature::MountSetattr) {
        let flags = MS_REMOUNT | MS_BIND | (mount.set.bits() & PER_MOUNT);
        return change(draft, placed, flags);
    }
    set_attributes(draft, placed.mount, Change { set, clear, ..Change::default() });
}

/// Sets the flags of a mount and of all below it.
fn tree(draft: &mut Draft<'_>, placed: &Placed<'_>, mount: &Mount) {
    let (set, clear) = tree_attributes(mount);
    if (set, clear) != (0, 0) {
        let change = Change { flags: AT_RECURSIVE, set, clear, propagation: 0 };
        set_attributes(draft, placed.mount, change);
    }
}

/// Sets how mounts below a mount travel.
fn travel(draft: &mut Draft<'_>, placed: &Placed<'_>, mount: &Mount) {
    for propagation in &mount.propagation {
        let bits = propagation_flags(*propagation);
        if draft.lacks(Feature::MountSetattr) {
            change(draft, placed, bits);
            continue;
        }
        let flags = if propagation.recursive { AT_RECURSIVE } else { 0 };
        let change = Change { flags, propagation: bits & !MS_REC, ..Change::default() };
        set_attributes(draft, placed.mount, change);
    }
}

/// Changes an attached mount by mount(2): by `.`, or in its parent where it is a file.
fn change(draft: &mut Draft<'_>, placed: &Placed<'_>, flags: u64) {
    let (parent, name) = placed.path.rsplit_once('/').unwrap_or(("", placed.path));
    match placed.leaf {
        Leaf::Anywhere | Leaf::Directory | Leaf::PlainDirectory | Leaf::Shared => {
            draft.b.call(Call::Fchdir { fd: handle(placed.mount) });
            draft.mount(Mounting { target: ".", flags, ..Mounting::default() });
        }
        Leaf::File => {
            let dir = draft.target(parent, Leaf::Directory);
            draft.b.call(Call::Fchdir { fd: handle(dir) });
            draft.mount(Mounting { target: name, flags, ..Mounting::default() });
            draft.done(dir);
        }
    }
}

/// What mount_setattr(2) is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) flags: u32,
    pub(super) set: u64,
    pub(super) clear: u64,
    pub(super) propagation: u64,
}

pub(super) fn set_attributes(draft: &mut Draft<'_>, mount: Slot, change: Change) {
    let path = draft.text("");
    let Change { flags, set, clear, propagation } = change;
    let flags = flags | AT_EMPTY_PATH;
    let dir = handle(mount);
    draft.b.call(Call::MountSetattr { dir, path, flags, set, clear, propagation });
}

/// Returns mount(2)'s flags as attributes to set and to clear.
pub(super) fn own_attributes(set: u64, clear: u64) -> (u64, u64) {
    let plain = [
        (MS_RDONLY, MOUNT_ATTR_RDONLY),
        (MS_NOSUID, MOUNT_ATTR_NOSUID),
        (MS_NODEV, MOUNT_ATTR_NODEV),
        (MS_NOEXEC, MOUNT_ATTR_NOEXEC),
        (MS_NODIRATIME, MOUNT_ATTR_NODIRATIME),
        (MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW),
    ];
    let attributes = |bits: u64| {
        plain.iter().filter(|(flag, _)| bits & flag != 0).fold(0, |all, (_, attr)| all | attr)
    };
    let clear_plain = attributes(clear & !set);
    let times = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;
    if (set | clear) & times == 0 {
        return (attributes(set), clear_plain);
    }
    // One field holds all three: it is cleared as a whole, and 0 is relatime.
    let time = match set & times {
        bits if bits & MS_STRICTATIME != 0 => MOUNT_ATTR_STRICTATIME,
        bits if bits & MS_NOATIME != 0 => MOUNT_ATTR_NOATIME,
        _ => 0,
    };
    (attributes(set) | time, clear_plain | MOUNT_ATTR_ATIME)
}

fn tree_attributes(mount: &Mount) -> (u64, u64) {
    let (set, clear) = (mount.set_tree, mount.clear_tree);
    let times = AttrFlags::ATIME.bits();
    let time = if (set.bits() | clear.bits()) & times == 0 { 0 } else { times };
    (set.bits(), clear.without(set).bits() | time)
}

/// Returns a propagation as mount(2)'s flags.
pub(super) const fn propagation_flags(propagation: Propagation) -> u64 {
    let sharing = match propagation.sharing {
        Sharing::Private => MS_PRIVATE,
        Sharing::Shared => MS_SHARED,
        Sharing::Slave => MS_SLAVE,
        Sharing::Unbindable => MS_UNBINDABLE,
    };
    if propagation.recursive { sharing | MS_REC } else { sharing }
}
