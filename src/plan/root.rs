//! The root of a container: prepared, entered, finished.
//!
//! | mount namespace | leaving | how                                                              |
//! |-----------------|---------|------------------------------------------------------------------|
//! | its own         | pivot   | pivot_root onto itself, and the old root below it is detached    |
//! | its own         | move    | the host's proc and sysfs are covered, the new root moves onto / |
//! | the host's      |         | chroot                                                           |

use super::draft::{Draft, Mounting, from, handle, invalid};
use super::host::Leaving;
use super::mounts;
use crate::spec::{Invalid, NamespaceKind, Propagation, Reason, Sharing, Spec};
use crate::sys::flags::{
    MNT_DETACH, MS_BIND, MS_MOVE, MS_PRIVATE, MS_REC, MS_SLAVE, O_DIRECTORY, O_PATH,
};
use crate::sys::{Call, Errno, Handle, Slot};

/// Refuses a root that cannot be had.
///
/// # Errors
///
/// Why.
pub(super) fn check(spec: &Spec, leaving: Leaving) -> Result<(), Invalid> {
    if spec.rootfs.overlaid.is_some() && spec.namespace(NamespaceKind::Mount).is_none() {
        return Err(invalid("/root", Reason::Malformed("an overlay needs a mount namespace")));
    }
    let private = spec.rootfs.propagation.is_some_and(|how| how.sharing == Sharing::Private);
    if private && leaving == Leaving::Move {
        let why = Reason::Malformed("[r]private is not safe without pivot_root");
        return Err(invalid("/linux/rootfsPropagation", why));
    }
    Ok(())
}

/// Opens the container's root, made a mount of its own where it has a mount namespace.
pub(super) fn prepare(draft: &mut Draft<'_>, spec: &Spec) {
    let path = from(draft.situation.bundle, &spec.rootfs.path);
    if spec.namespace(NamespaceKind::Mount).is_some() {
        isolate(draft, spec);
        match &spec.rootfs.overlaid {
            Some(lower) => overlay(draft, lower, &path),
            None => {
                draft.about(format!("bind the root file system {path}"));
                let flags = MS_BIND | MS_REC;
                let (source, target) = (path.as_str(), path.as_str());
                draft.mount(Mounting { source, target, flags, ..Mounting::default() });
            }
        }
    }
    draft.about(format!("open the root file system {path}"));
    let root = draft.open_host(&path, O_PATH | O_DIRECTORY);
    draft.root = handle(root);
}

/// Mounts what is written to memory over what is read from a directory.
fn overlay(draft: &mut Draft<'_>, lower: &str, target: &str) {
    draft.about(format!("lay memory over {lower}"));
    let data = "mode=755";
    draft.mount(Mounting { source: "tmpfs", target, kind: "tmpfs", flags: 0, data });
    let memory = draft.open_host(target, O_PATH | O_DIRECTORY);
    draft.b.call(Call::Fchdir { fd: handle(memory) });
    for name in ["upper", "work"] {
        let path = draft.text(name);
        draft.b.call(Call::Mkdirat { dir: Handle::CWD, path, mode: 0o755 });
    }
    // A colon parts lower directories, a comma options (the kernel's overlayfs guide).
    let escape = |c: char| if matches!(c, '\\' | ':' | ',') { vec!['\\', c] } else { vec![c] };
    let lower: String = lower.chars().flat_map(escape).collect();
    let data = &format!("lowerdir={lower},upperdir=upper,workdir=work");
    draft.mount(Mounting { source: "overlay", target, kind: "overlay", flags: 0, data });
    draft.done(memory);
}

/// Keeps the mounts made from here on out of the host's mount namespace.
fn isolate(draft: &mut Draft<'_>, spec: &Spec) {
    draft.about("set the propagation of /");
    let propagation = spec.rootfs.propagation;
    let flags = propagation.map_or(MS_REC | MS_SLAVE, mounts::propagation_flags);
    draft.mount(Mounting { target: "/", flags, ..Mounting::default() });
    if spreads(spec) {
        // pivot_root(2) refuses a shared parent, and what is mounted in it would be the host's.
        draft.about("keep the root's mounts to itself");
        let target = draft.situation.rootfs_mount;
        draft.mount(Mounting { target, flags: MS_PRIVATE, ..Mounting::default() });
    }
}

/// Whether some mounts of the old root are still the host's peers: what becomes of those here
/// would become of the host's.
fn spreads(spec: &Spec) -> bool {
    spec.rootfs.propagation.is_some_and(Propagation::spreads)
}

/// Makes the container's root the only one.
pub(super) fn enter(draft: &mut Draft<'_>, spec: &Spec) {
    let own = spec.namespace(NamespaceKind::Mount).is_some();
    draft.about("enter the root");
    match draft.situation.leaving {
        _ if !own => {
            draft.b.call(Call::Fchdir { fd: draft.root });
            chroot(draft);
        }
        Leaving::Move => {
            if spreads(spec) {
                // What is covered, unmounted and moved here must not be so there.
                let flags = MS_REC | MS_SLAVE;
                draft.mount(Mounting { target: "/", flags, ..Mounting::default() });
            }
            cover(draft);
            draft.about("move the root");
            draft.b.call(Call::Fchdir { fd: draft.root });
            let (source, target) = (".", "/");
            draft.mount(Mounting { source, target, flags: MS_MOVE, ..Mounting::default() });
            chroot(draft);
        }
        Leaving::Pivot => pivot(draft, spec),
    }
    if own && let Some(propagation) = spec.rootfs.propagation {
        draft.about("set the propagation of the root");
        let flags = mounts::propagation_flags(propagation);
        draft.mount(Mounting { target: "/", flags, ..Mounting::default() });
    }
}

fn chroot(draft: &mut Draft<'_>) {
    let path = draft.text(".");
    draft.b.call(Call::Chroot { path });
}

/// The old root is stacked on the new one, where the working directory stays (pivot_root(2)).
fn pivot(draft: &mut Draft<'_>, spec: &Spec) {
    let old = spreads(spec).then(|| draft.open_host("/", O_PATH | O_DIRECTORY));
    draft.b.call(Call::Fchdir { fd: draft.root });
    let here = draft.text(".");
    draft.b.call(Call::PivotRoot { new_root: here, put_old: here });
    if let Some(old) = old {
        // What is still shared with the host must not be unmounted there too.
        draft.b.call(Call::Fchdir { fd: handle(old) });
        let flags = MS_REC | MS_SLAVE;
        draft.mount(Mounting { target: ".", flags, ..Mounting::default() });
        draft.b.call(Call::Umount2 { target: here, flags: MNT_DETACH });
        draft.b.close(old);
        let path = draft.text("/");
        draft.b.call(Call::Chdir { path });
    } else {
        draft.b.call(Call::Umount2 { target: here, flags: MNT_DETACH });
    }
}

/// Hides the host's proc and sysfs, which a moved root leaves reachable.
fn cover(draft: &mut Draft<'_>) {
    for path in ["/proc", "/sys"] {
        draft.about(format!("hide the host's {path}"));
        let target = draft.text(path);
        let call = Call::Umount2 { target, flags: MNT_DETACH };
        // EINVAL: not a mount, or one that a user namespace cannot take away.
        let refusals = [Errno::EINVAL, Errno::EPERM];
        let stays = draft.b.open_or_skip(call, Slot::NONE, &refusals);
        let gone = draft.b.jump();
        draft.b.land(stays);
        draft.mount(Mounting { source: "tmpfs", target: path, kind: "tmpfs", flags: 0, data: "" });
        draft.b.land(gone);
    }
}

/// Makes read-only what had to be writable until now.
pub(super) fn finish(draft: &mut Draft<'_>, spec: &Spec) {
    if spec.namespace(NamespaceKind::Mount).is_none() {
        return;
    }
    mounts::late_readonly(draft, spec);
    if spec.rootfs.readonly {
        draft.about("make the root read-only");
        mounts::readonly(draft, "/", 0);
    }
}
