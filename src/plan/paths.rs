//! Paths of the container that are made read-only or unreadable, and kernel parameters.
//!
//! **Invariant:** what covers a path was taken from the host before its root was left: the image
//! can put nothing in its place (CVE-2025-31133).

use super::draft::{Draft, Mounting, handle, normal};
use super::host::Feature;
use super::mounts::{self, Change};
use crate::spec::{MountFlags, Spec};
use crate::sys::flags::{
    MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MS_BIND, MS_NODEV, MS_NOEXEC,
    MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT, O_CLOEXEC, O_DIRECTORY, O_PATH, O_WRONLY,
    RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
};
use crate::sys::{Act, Call, Compiled, Errno, Handle, OnError, Slot};

/// Paths of procfs and sysfs that are directories where they exist.
const DIRECTORIES: [&str; 5] =
    ["proc/acpi", "proc/asound", "proc/scsi", "sys/devices/virtual/powercap", "sys/firmware"];

/// A path that every kernel with a procfs has.
const SUREST: &str = "proc/timer_list";

/// move_mount(2) goes on through a link at the end of its target.
const MOVE_MOUNT_T_SYMLINKS: u32 = 0x10;

/// A detached copy of `/dev/null`, which covers files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cover(Slot);

/// Takes the cover from the host, if it will be needed.
pub(super) fn cover(draft: &mut Draft<'_>, spec: &Spec) -> Option<Cover> {
    if spec.masked_paths.is_empty() {
        return None;
    }
    draft.about("prepare what masks paths");
    let cover = draft.copy(Handle::CWD, "/dev/null", 0);
    if !draft.lacks(Feature::MountSetattr) {
        // It is the host's own node: nobody within may change its mode or times. What is copied
        // from this copy is read-only too, and a device is written to all the same.
        let set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
        mounts::set_attributes(draft, cover, Change { set, ..Change::default() });
    }
    Some(Cover(cover))
}

/// What a masked path may answer that is not there.
const ABSENT: [Errno; 2] = [Errno::ENOENT, Errno::ENOTDIR];

/// Covers the paths that exist: files by `/dev/null`, directories by an empty tmpfs each, which is
/// cheaper than one that is made aside: taking that away again would cost a grace period.
///
/// A cover that was used is attached, so another copy can be made of it; one that was not is kept
/// for the next path. The surest path comes last, so that no cover is left over: to give that up
/// would cost a grace period, too.
pub(super) fn mask(draft: &mut Draft<'_>, spec: &Spec, cover: Cover) {
    let mut paths: Vec<_> = spec.masked_paths.iter().map(|path| normal(path)).collect();
    paths.dedup();
    paths.sort_by_key(|path| path == SUREST);
    for (at, path) in paths.iter().enumerate() {
        let renewed = (at + 1 < paths.len()).then_some(cover);
        draft.about(format!("mask /{path}"));
        // What is usually there is tried first; the other way is for what is not.
        let directory = DIRECTORIES.contains(&path.as_str());
        let path = format!("/{path}");
        let emptying = emptying(draft, &path);
        let covering = covering(draft, cover.0, &path);
        if directory {
            // ENOTDIR: it is a file, or its parent is.
            let (other, gone) =
                draft.b.call_or_split(emptying, &[Errno::ENOTDIR], &[Errno::ENOENT]);
            let covered = draft.b.jump();
            draft.b.land(other);
            let vanished = draft.b.open_or_skip(covering, Slot::NONE, &ABSENT);
            spend(draft, &path, renewed);
            draft.b.land(vanished);
            draft.b.land(gone);
            draft.b.land(covered);
        } else {
            // EINVAL: a file does not cover a directory.
            let (other, gone) = draft.b.call_or_split(covering, &[Errno::EINVAL], &ABSENT);
            spend(draft, &path, renewed);
            let covered = draft.b.jump();
            draft.b.land(other);
            draft.b.call_or(emptying, &ABSENT);
            draft.b.land(gone);
            draft.b.land(covered);
        }
    }
    draft.done(cover.0);
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

/// Makes paths read-only by a bind of each on itself; what is missing stays so.
pub(super) fn readonly(draft: &mut Draft<'_>, spec: &Spec) {
    for path in &spec.readonly_paths {
        draft.about(format!("make {path} read-only"));
        let absent = [Errno::ENOENT, Errno::ENOTDIR];
        let (source, target, flags) = (path.as_str(), path.as_str(), MS_BIND | MS_REC);
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

/// Sets the kernel parameters.
///
/// CVE-2025-52881: the walk starts in proc and leaves it by no link and no mount.
pub(super) fn sysctls(draft: &mut Draft<'_>, spec: &Spec) {
    if spec.sysctls.is_empty() {
        return;
    }
    draft.about("open /proc/sys");
    let path = draft.text("/proc/sys");
    let flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    let resolve = RESOLVE_NO_SYMLINKS;
    let (dir, mode) = (Handle::CWD, 0);
    let tree = draft.b.open(Call::Openat2 { dir, path, flags, mode, resolve });
    for sysctl in &spec.sysctls {
        draft.about(format!("set {} to {}", sysctl.name, sysctl.value));
        let path = draft.text(&sysctl.path);
        let flags = O_WRONLY | O_CLOEXEC;
        let resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
        let dir = handle(tree);
        let file = draft.b.open(Call::Openat2 { dir, path, flags, mode, resolve });
        draft.write(handle(file), sysctl.value.as_bytes());
        draft.done(file);
    }
    draft.done(tree);
}
