//! Paths of the container that are made read-only or unreadable, and kernel parameters.
//!
//! **Invariant:** what covers a path was taken from the host before its root was left: the image
//! can put nothing in its place (CVE-2025-31133).

use super::draft::{Draft, Mounting, from, handle, normal};
use super::host::Feature;
use super::mounts;
use crate::spec::{MountFlags, Spec};
use crate::sys::flags::{
    MNT_DETACH, MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT, O_CLOEXEC,
    O_DIRECTORY, O_PATH, O_WRONLY, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV,
};
use crate::sys::{Call, Errno, Handle, Slot};

/// Paths of procfs and sysfs that are directories where they exist.
const DIRECTORIES: [&str; 5] =
    ["proc/acpi", "proc/asound", "proc/scsi", "sys/devices/virtual/powercap", "sys/firmware"];

/// move_mount(2) goes on through a link at the end of its target.
const MOVE_MOUNT_T_SYMLINKS: u32 = 0x10;

/// Detached mounts that cover paths: a copy of `/dev/null`, and an empty directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Covers {
    file: Slot,
    directory: Slot,
}

/// Takes the covers from the host, if any will be needed.
pub(super) fn covers(draft: &mut Draft<'_>, spec: &Spec) -> Option<Covers> {
    if spec.masked_paths.is_empty() {
        return None;
    }
    draft.about("prepare what masks paths");
    let file = draft.copy(Handle::CWD, "/dev/null", 0);
    // The root's own path is a place that is surely there and surely ours for a moment.
    let place = from(draft.situation.bundle, &spec.rootfs.path);
    let (source, kind, target) = ("tmpfs", "tmpfs", place.as_str());
    let (flags, data) = (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "nr_blocks=1,nr_inodes=1");
    draft.mount(Mounting { source, target, kind, flags, data });
    let directory = draft.copy(Handle::CWD, &place, 0);
    let target = draft.text(&place);
    draft.b.call(Call::Umount2 { target, flags: MNT_DETACH });
    Some(Covers { file, directory })
}

/// Covers the paths that exist: first as files, then as directories.
///
/// A cover that was used is attached, so another copy can be made of it; one that was not is kept
/// for the next path.
pub(super) fn mask(draft: &mut Draft<'_>, spec: &Spec, covers: Covers) {
    let Covers { file, directory } = covers;
    let mut paths: Vec<_> = spec.masked_paths.iter().map(|path| normal(path)).collect();
    paths.dedup();
    for (i, path) in paths.iter().enumerate() {
        draft.about(format!("mask /{path}"));
        let last = i + 1 == paths.len();
        // What is usually there is tried first; the other way is for what is not.
        let (first, second) = if DIRECTORIES.contains(&path.as_str()) {
            (directory, file)
        } else {
            (file, directory)
        };
        let path = format!("/{path}");
        let call = covering(draft, first, &path);
        // EINVAL: a file does not cover a directory, nor a directory a file.
        let absent = [Errno::ENOENT, Errno::ENOTDIR];
        let (other, gone) = draft.b.call_or_split(call, &[Errno::EINVAL], &absent);
        renew(draft, first, last);
        let covered = draft.b.jump();
        draft.b.land(other);
        let call = covering(draft, second, &path);
        let vanished = draft.b.open_or_skip(call, Slot::NONE, &absent);
        renew(draft, second, last);
        draft.b.land(vanished);
        draft.b.land(gone);
        draft.b.land(covered);
    }
    draft.done(file);
    draft.done(directory);
}

fn renew(draft: &mut Draft<'_>, cover: Slot, last: bool) {
    if !last {
        let call = draft.copying(handle(cover), "", 0);
        draft.b.push(crate::sys::Act::Call(call), crate::sys::OnError::Fail, cover);
    }
}

fn covering(draft: &mut Draft<'_>, cover: Slot, path: &str) -> Call<crate::sys::Compiled> {
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
