//! Paths of the container that are made read-only or unreadable, and kernel parameters.
//!
//! **Invariant:** what covers a path was taken from the host before its root was left: the image
//! can put nothing in its place (CVE-2025-31133).
//!
//! **Invariant:** a procfs and a sysfs are covered before the container's root has a name for them:
//! whoever owns that root can move the name away from whoever looks for it there, and back.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Mounting, handle, normal};
use super::host::Feature;
use super::mounts::{self, Change};
use crate::spec::{Mount, MountFlags, MountKind, NamespaceKind, Spec};
use crate::sys::flags::{
    MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MOVE_MOUNT_T_SYMLINKS, MS_BIND,
    MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT, O_CLOEXEC, O_DIRECTORY, O_PATH,
    O_WRONLY, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
};
use crate::sys::{Act, Call, Compiled, Errno, Handle, OnError, Slot};

/// Paths of procfs and sysfs that are directories where they exist.
const DIRECTORIES: [&str; 5] =
    ["proc/acpi", "proc/asound", "proc/scsi", "sys/devices/virtual/powercap", "sys/firmware"];

/// A path that every kernel with a procfs has.
const SUREST: &str = "proc/timer_list";

/// A detached copy of `/dev/null`, which covers files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cover(Slot);

/// Takes the cover from the host, if it will be needed.
pub(super) fn cover(draft: &mut Draft<'_>, spec: &Spec) -> Option<Cover> {
    if spec.masked_paths.is_empty() {
        return None;
    }
    draft.about("prepare what masks paths");
    let paths = masked(spec);
    let early = &draft.early;
    let sure = paths.iter().filter(|path| is_directory(path) && early.contains(*path)).count();
    draft.to_cover = paths.len() - sure;
    Some(Cover(take_cover(draft)))
}

fn take_cover(draft: &mut Draft<'_>) -> Slot {
    let cover = draft.copy(Handle::CWD, "/dev/null", 0);
    if !draft.lacks(Feature::MountSetattr) {
        // It is the host's own node: nobody within may change its mode or times. What is copied
        // from this copy is read-only too, and a device is written to all the same.
        let set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
        mounts::set_attributes(draft, cover, Change { set, ..Change::default() });
    }
    cover
}

/// Returns the masked paths in the order in which they are covered.
///
/// The surest path comes last, so that no cover is left over: to give that up would cost a grace
/// period.
fn masked(spec: &Spec) -> Vec<String> {
    let mut paths: Vec<_> = spec.masked_paths.iter().map(|path| normal(path)).collect();
    paths.dedup();
    paths.sort_by_key(|path| path == SUREST);
    paths
}

fn is_directory(path: &str) -> bool {
    DIRECTORIES.contains(&path)
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// Returns the paths that are covered before their procfs or sysfs has a name: those on one of the
/// container's where no other mount is made, below them or above them.
pub(super) fn all_early(spec: &Spec) -> BTreeSet<String> {
    let tops = ["proc", "sys"].map(|top| kernels_own(spec, top).map(|_| top));
    let targets: Vec<_> = spec.mounts.iter().map(|mount| normal(&mount.target)).collect();
    let is_early = |path: &String| {
        let top = path.split_once('/').map(|(top, _)| top);
        let meets = |target: &String| {
            target == path
                || is_below(target, path)
                || top != Some(target) && is_below(path, target)
        };
        top.is_some() && tops.contains(&top) && !targets.iter().any(meets)
    };
    let paths = spec.masked_paths.iter().chain(&spec.readonly_paths);
    paths.map(|path| normal(path)).filter(is_early).collect()
}

/// Returns whether a mount is a procfs or sysfs with something to be done before it has a name.
pub(super) fn has_early(draft: &Draft<'_>, spec: &Spec, mount: &Mount) -> bool {
    let target = normal(&mount.target);
    kernels_own(spec, &target).is_some_and(|last| std::ptr::eq(last, mount))
        && (draft.early.iter().any(|path| is_below(path, &target))
            || target == "proc" && !spec.sysctls.is_empty())
}

/// Returns the procfs or sysfs that a container's own mounts put at a target, a new one or the
/// host's.
fn kernels_own<'s>(spec: &'s Spec, target: &str) -> Option<&'s Mount> {
    if !matches!(target, "proc" | "sys") {
        return None;
    }
    spec.namespace(NamespaceKind::Mount)?;
    let last = spec.mounts.iter().rfind(|mount| normal(&mount.target) == target)?;
    let fits = match &last.kind {
        MountKind::Bind { .. } => true,
        MountKind::Cgroup => false,
        MountKind::Filesystem(kind) => {
            matches!((kind.as_str(), target), ("proc", "proc") | ("sysfs", "sys"))
        }
    };
    fits.then_some(last)
}

/// Covers what a procfs or sysfs shows, and sets the kernel parameters, while it lies over the
/// root: by paths of the host's, at `over` in place of `top`.
pub(super) fn early(draft: &mut Draft<'_>, spec: &Spec, top: &str, over: &str) {
    let early: BTreeMap<_, _> = draft
        .early
        .iter()
        .filter_map(|path| {
            let rest = path.strip_prefix(top).filter(|rest| rest.starts_with('/'))?;
            Some((path.clone(), format!("{over}{rest}")))
        })
        .collect();
    if top == "proc" && !spec.sysctls.is_empty() {
        draft.about("open /proc/sys");
        let tree = draft.open_host(&format!("{over}/sys"), O_PATH | O_DIRECTORY);
        set_all(draft, spec, tree);
    }
    for path in &spec.readonly_paths {
        if let Some(there) = early.get(&normal(path)) {
            draft.about(format!("make {path} read-only"));
            bind_readonly(draft, spec, path, there);
        }
    }
    let Some(cover) = draft.cover else { return };
    for path in masked(spec) {
        if let Some(there) = early.get(&path) {
            draft.about(format!("mask /{path}"));
            if is_directory(&path) {
                cover_directory(draft, None, there);
            } else {
                cover_file(draft, cover, there);
            }
        }
    }
}

/// What a masked path may answer that is not there.
const ABSENT: [Errno; 2] = [Errno::ENOENT, Errno::ENOTDIR];

/// Covers the paths that exist and were not covered before: files by `/dev/null`, directories by
/// an empty tmpfs each, which is cheaper than one that is made aside: taking that away again would
/// cost a grace period.
///
/// A cover that was used is attached, so another copy can be made of it; one that was not is kept
/// for the next path.
pub(super) fn mask(draft: &mut Draft<'_>, spec: &Spec) {
    let Some(cover) = draft.cover else { return };
    for path in masked(spec) {
        if draft.early.contains(&path) {
            continue;
        }
        draft.about(format!("mask /{path}"));
        if is_directory(&path) {
            cover_directory(draft, Some(cover), &format!("/{path}"));
        } else {
            cover_file(draft, cover, &format!("/{path}"));
        }
    }
    draft.done(cover.0);
}

/// Returns the cover if there is a path for another one behind this.
fn renewed(draft: &mut Draft<'_>, cover: Cover) -> Option<Cover> {
    draft.to_cover = draft.to_cover.saturating_sub(1);
    (draft.to_cover > 0).then_some(cover)
}

/// Covers what is usually a file.
fn cover_file(draft: &mut Draft<'_>, cover: Cover, path: &str) {
    let renewed = renewed(draft, cover);
    let emptying = emptying(draft, path);
    let covering = covering(draft, cover.0, path);
    // EINVAL: a file does not cover a directory.
    let (other, gone) = draft.b.call_or_split(covering, &[Errno::EINVAL], &ABSENT);
    spend(draft, path, renewed);
    let covered = draft.b.jump();
    draft.b.land(other);
    draft.b.call_or(emptying, &ABSENT);
    draft.b.land(gone);
    draft.b.land(covered);
}

/// Covers what is usually a directory. Without a cover, which is while the host's `/dev/null` is at
/// hand, one is taken for what is none.
fn cover_directory(draft: &mut Draft<'_>, cover: Option<Cover>, path: &str) {
    let renewed = cover.and_then(|cover| renewed(draft, cover));
    let emptying = emptying(draft, path);
    // ENOTDIR: it is a file, or its parent is.
    let (other, gone) = draft.b.call_or_split(emptying, &[Errno::ENOTDIR], &[Errno::ENOENT]);
    let covered = draft.b.jump();
    draft.b.land(other);
    let used = match cover {
        Some(Cover(slot)) => slot,
        None => take_cover(draft),
    };
    let covering = covering(draft, used, path);
    let vanished = draft.b.open_or_skip(covering, Slot::NONE, &ABSENT);
    spend(draft, path, renewed);
    draft.b.land(vanished);
    if cover.is_none() {
        draft.done(used);
    }
    draft.b.land(gone);
    draft.b.land(covered);
}

/// Follows a cover that was used: it is made read-only where that could not be done before, and
/// another is copied from it if there is a path for one.
fn spend(draft: &mut Draft<'_>, target: &str, cover: Option<Cover>) {
    if draft.lacks(Feature::MountSetattr) {
        let flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC;
        draft.mount(Mounting { target, flags, ..Mounting::default() });
    }
    if let Some(Cover(slot)) = cover {
        let call = draft.copying(handle(slot), "", 0);
        draft.b.push(Act::Call(call), OnError::Fail, slot);
    }
}

fn emptying(draft: &mut Draft<'_>, target: &str) -> Call<Compiled> {
    let (source, kind, data) = ("tmpfs", "tmpfs", "nr_blocks=1,nr_inodes=1");
    let flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    draft.mounting(Mounting { source, target, kind, flags, data })
}

fn covering(draft: &mut Draft<'_>, cover: Slot, path: &str) -> Call<Compiled> {
    match draft.attaching(cover, Handle::CWD, path) {
        Call::MoveMount { from_dir, from_path, to_dir, to_path, flags } => {
            let flags = flags | MOVE_MOUNT_T_SYMLINKS;
            Call::MoveMount { from_dir, from_path, to_dir, to_path, flags }
        }
        other => other,
    }
}

/// Makes the paths read-only that were not before.
pub(super) fn readonly(draft: &mut Draft<'_>, spec: &Spec) {
    for path in &spec.readonly_paths {
        if draft.early.contains(&normal(path)) {
            continue;
        }
        draft.about(format!("make {path} read-only"));
        bind_readonly(draft, spec, path, path);
    }
}

/// Makes a path read-only by a bind on itself, by the name that it has now; what is missing stays
/// so.
fn bind_readonly(draft: &mut Draft<'_>, spec: &Spec, path: &str, target: &str) {
    let absent = [Errno::ENOENT, Errno::ENOTDIR];
    let (source, flags) = (target, MS_BIND | MS_REC);
    let call = draft.mounting(Mounting { source, target, flags, ..Mounting::default() });
    let absent = draft.b.open_or_skip(call, Slot::NONE, &absent);
    if draft.lacks(Feature::MountSetattr) {
        let flags = MS_REMOUNT | MS_BIND | MS_RDONLY | covering_flags(spec, path);
        draft.mount(Mounting { target, flags, ..Mounting::default() });
    } else {
        mounts::readonly(draft, target, 0);
    }
    draft.b.land(absent);
}

/// The flags of the mount that a path lies on: a remount by mount(2) must repeat them.
fn covering_flags(spec: &Spec, path: &str) -> u64 {
    let path = normal(path);
    let on = spec.mounts.iter().filter(|mount| {
        let rest = path.strip_prefix(&normal(&mount.target));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let keep = [MountFlags::NOSUID, MountFlags::NODEV, MountFlags::NOEXEC];
    let nearest = on.max_by_key(|mount| normal(&mount.target).len());
    nearest.map_or(0, |mount| {
        let held = keep.into_iter().filter(|flag| mount.set.contains(*flag));
        held.fold(0, |all, flag| all | flag.bits())
    })
}

/// Sets the kernel parameters, unless the container's own procfs took them before.
pub(super) fn sysctls(draft: &mut Draft<'_>, spec: &Spec) {
    if spec.sysctls.is_empty() || kernels_own(spec, "proc").is_some() {
        return;
    }
    draft.about("open /proc/sys");
    let path = draft.text("/proc/sys");
    let flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    let resolve = RESOLVE_NO_SYMLINKS;
    let (dir, mode) = (Handle::CWD, 0);
    let tree = draft.b.open(Call::Openat2 { dir, path, flags, mode, resolve });
    set_all(draft, spec, tree);
}

/// Sets the kernel parameters below `/proc/sys`, which is closed.
///
/// CVE-2025-52881: the walk starts in proc and leaves it by no link and no mount.
fn set_all(draft: &mut Draft<'_>, spec: &Spec, tree: Slot) {
    for sysctl in &spec.sysctls {
        draft.about(format!("set {} to {}", sysctl.name, sysctl.value));
        let path = draft.text(&sysctl.path);
        let flags = O_WRONLY | O_CLOEXEC;
        let resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
        let (dir, mode) = (handle(tree), 0);
        let file = draft.b.open(Call::Openat2 { dir, path, flags, mode, resolve });
        draft.write(handle(file), sysctl.value.as_bytes());
        draft.done(file);
    }
    draft.done(tree);
}
