//! What is in the container's `/dev` beside what is mounted there.
//!
//! In a user namespace device nodes cannot be made, so those of the host are bound instead.

use super::draft::{Draft, Leaf, handle, normal};
use crate::spec::{Device, DeviceKind, MountKind, Spec};
use crate::sys::flags::{AT_SYMLINK_NOFOLLOW, S_IFBLK, S_IFCHR, S_IFIFO, S_IFREG};
use crate::sys::{Call, Errno, Handle, Slot};

/// The nodes that every container has (`linux/Documentation/admin-guide/devices.txt`).
const USUAL: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// The links that every container has.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("ptmx", "pts/ptmx"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Makes the nodes and links, unless the host's `/dev` is bound there.
pub(super) fn all(draft: &mut Draft<'_>, spec: &Spec) {
    let bound = spec.mounts.iter().any(|mount| {
        matches!(mount.kind, MountKind::Bind { .. }) && normal(&mount.target) == "dev"
    });
    if bound {
        return;
    }
    draft.about("open /dev");
    let dev = draft.dev();
    for (name, major, minor) in USUAL {
        let path = format!("/dev/{name}");
        if !spec.devices.iter().any(|device| device.path == path) {
            let kind = DeviceKind::Char { major, minor };
            node(draft, dev, &Device { path, kind, mode: 0o666, uid: 0, gid: 0 });
        }
    }
    // The container's own terminals are behind a link there, whatever a document lists.
    let listed = spec.devices.iter().filter(|device| normal(&device.path) != "dev/ptmx");
    for device in listed {
        node(draft, dev, device);
    }
    links(draft, dev);
}

fn node(draft: &mut Draft<'_>, dev: Handle, device: &Device) {
    draft.about(format!("make {}", device.path));
    let path = normal(&device.path);
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let opened = (parent != "dev").then(|| draft.target(parent, Leaf::Directory));
    let dir = opened.map_or(dev, handle);
    let nested = draft.user_namespace || draft.situation.host.user_namespace;
    if nested && device.kind != DeviceKind::Fifo {
        bind(draft, dir, name, &device.path);
    } else {
        make(draft, dir, name, device);
    }
    if let Some(slot) = opened {
        draft.done(slot);
    }
}

fn make(draft: &mut Draft<'_>, dir: Handle, name: &str, device: &Device) {
    let (kind, number) = match device.kind {
        DeviceKind::Block { major, minor } => (S_IFBLK, number(major, minor)),
        DeviceKind::Char { major, minor } => (S_IFCHR, number(major, minor)),
        DeviceKind::Fifo => (S_IFIFO, 0),
    };
    let path = draft.text(name);
    let mode = kind | device.mode;
    let call = Call::Mknodat { dir, path, mode, device: number };
    // EEXIST: the image brought it, or something is mounted there, and that is left as it is.
    let (uid, gid) = (device.uid, device.gid);
    if (uid, gid) == (0, 0) {
        return draft.b.call_or(call, &[Errno::EEXIST]);
    }
    let there = draft.b.open_or_skip(call, Slot::NONE, &[Errno::EEXIST]);
    let flags = AT_SYMLINK_NOFOLLOW;
    draft.b.call(Call::Fchownat { dir, path, uid, gid, flags });
    draft.b.land(there);
}

fn bind(draft: &mut Draft<'_>, dir: Handle, name: &str, host: &str) {
    let path = draft.text(name);
    let mode = S_IFREG | 0o644;
    draft.b.call_or(Call::Mknodat { dir, path, mode, device: 0 }, &[Errno::EEXIST]);
    let copy = draft.copy(Handle::CWD, host, 0);
    let call = draft.attaching(copy, dir, name);
    draft.b.call(call);
    draft.done(copy);
}

fn links(draft: &mut Draft<'_>, dev: Handle) {
    draft.about("make the links in /dev");
    if !draft.begins_empty("dev") {
        // An image's own ptmx would be a device of the host's devpts.
        let path = draft.text("ptmx");
        draft.b.call_or(Call::Unlinkat { dir: dev, path, flags: 0 }, &[Errno::ENOENT]);
    }
    for (name, target) in LINKS {
        link(draft, dev, name, target);
    }
    let kcore = draft.text("/proc/kcore");
    let call = Call::Faccessat2 { dir: Handle::CWD, path: kcore, mode: 0, flags: 0 };
    let absent = draft.b.open_or_skip(call, Slot::NONE, &[Errno::ENOENT]);
    link(draft, dev, "core", "/proc/kcore");
    draft.b.land(absent);
}

fn link(draft: &mut Draft<'_>, dir: Handle, name: &str, target: &str) {
    let target = draft.text(target);
    let path = draft.text(name);
    draft.b.call_or(Call::Symlinkat { target, dir, path }, &[Errno::EEXIST]);
}

/// Returns a device's number as mknodat(2) takes it.
const fn number(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    minor & 0xff | (major & 0xfff) << 8 | (minor & !0xff) << 12
}
