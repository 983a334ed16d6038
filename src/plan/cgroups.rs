//! The cgroup mount of a container, in whatever form the host has its cgroups.
//!
//! | host        | cgroup namespace | what is there                                              |
//! |-------------|------------------|------------------------------------------------------------|
//! | v1, hybrid  | the host's       | a tmpfs with the container's cgroup bound per hierarchy    |
//! | v1, hybrid  | its own          | a tmpfs with each hierarchy mounted anew                   |
//! | v2          | any              | the hierarchy mounted anew, or its cgroup bound if refused |

use super::draft::{Content, Draft, Leaf, Mounting, handle, normal};
use super::host::{Feature, Hierarchy, Version};
use super::mounts::{self, Change};
use crate::spec::{Mount, NamespaceKind, Spec};
use crate::sys::flags::{AT_RECURSIVE, MS_BIND, MS_RDONLY, MS_REC, MS_REMOUNT};
use crate::sys::{Act, Call, Compiled, Errno, Handle, OnError, Slot};

/// Mounts the cgroups.
pub(super) fn mount(draft: &mut Draft<'_>, spec: &Spec, mount: &Mount) {
    let host = draft.situation.host;
    let path = normal(&mount.target);
    let unified = host.hierarchies.iter().find(|hierarchy| hierarchy.version == Version::V2);
    let split = host.hierarchies.iter().any(|hierarchy| hierarchy.version == Version::V1);
    match unified {
        Some(hierarchy) if !split => whole(draft, hierarchy, mount, &path),
        Some(_) | None => parts(draft, spec, mount, &path),
    }
    draft.mounted(&path, Content::Some);
}

/// The one tree of v2.
fn whole(draft: &mut Draft<'_>, hierarchy: &Hierarchy, mount: &Mount, path: &str) {
    let target = draft.target(path, Leaf::PlainDirectory);
    let flags = mount.set.bits();
    let options = [hierarchy.options.as_str(), mount.data.as_str()];
    let data = &options.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(",");
    let cgroup2 = Mounting { source: "cgroup", target: ".", kind: "cgroup2", flags, data };
    draft.b.call(Call::Fchdir { fd: handle(target) });
    let call = draft.mounting(cgroup2);
    // EPERM in a user namespace that does not own the cgroup namespace; EBUSY with options.
    let refused = draft.b.open_or_skip(call, Slot::NONE, &[Errno::EPERM, Errno::EBUSY]);
    let made = draft.b.jump();
    draft.b.land(refused);
    let copy = draft.b.take();
    either(draft, hierarchy, copy, |draft, source| draft.copying(Handle::CWD, source, 0));
    if !draft.lacks(Feature::MountSetattr) {
        let (set, clear) = mounts::own_attributes(flags, mount.clear.bits());
        mounts::set_attributes(draft, copy, Change { set, clear, ..Change::default() });
    }
    draft.attach(copy, target);
    draft.done(copy);
    draft.b.land(made);
    draft.done(target);
}

/// The several trees of v1.
fn parts(draft: &mut Draft<'_>, spec: &Spec, mount: &Mount, path: &str) {
    let target = draft.target(path, Leaf::PlainDirectory);
    draft.b.call(Call::Fchdir { fd: handle(target) });
    let flags = mount.set.bits() & !MS_RDONLY;
    let kind = "tmpfs";
    draft.mount(Mounting { source: kind, target: ".", kind, flags, data: "mode=755" });
    draft.done(target);
    let root = draft.reopen(path);
    draft.b.call(Call::Fchdir { fd: handle(root) });
    let own = spec.namespace(NamespaceKind::Cgroup).is_some();
    let host = draft.situation.host;
    for hierarchy in host.hierarchies.iter().filter(|one| one.version == Version::V1) {
        let name = hierarchy.mount.rsplit('/').next().unwrap_or_default();
        part(draft, hierarchy, name, Part { own, flags: mount.set.bits() });
    }
    seal(draft, root, mount);
    draft.done(root);
}

/// How one hierarchy is mounted.
#[derive(Clone, Copy, Debug)]
struct Part {
    own: bool,
    flags: u64,
}

fn part(draft: &mut Draft<'_>, hierarchy: &Hierarchy, name: &str, part: Part) {
    let dir = Handle::CWD;
    let path = draft.text(name);
    draft.b.call_or(Call::Mkdirat { dir, path, mode: 0o755 }, &[Errno::EEXIST]);
    if part.own {
        let named = hierarchy.controllers.iter().any(|one| one.starts_with("name="));
        let none = if named { "none," } else { "" };
        let data = format!("{none}{}", hierarchy.controllers.join(","));
        let (kind, flags) = ("cgroup", part.flags);
        draft.mount(Mounting { source: kind, target: name, kind, flags, data: &data });
    } else {
        let flags = MS_BIND | MS_REC;
        either(draft, hierarchy, Slot::NONE, |draft, source| {
            draft.mounting(Mounting { source, target: name, flags, ..Mounting::default() })
        });
        if draft.lacks(Feature::MountSetattr) {
            let flags = MS_REMOUNT | MS_BIND | part.flags;
            draft.mount(Mounting { target: name, flags, ..Mounting::default() });
        }
    }
    for controller in hierarchy.controllers.iter().filter(|one| *one != name) {
        if !controller.starts_with("name=") {
            let target = draft.text(name);
            let path = draft.text(controller);
            draft.b.call_or(Call::Symlinkat { target, dir, path }, &[Errno::EEXIST]);
        }
    }
}

/// Gives the tmpfs, and what was bound in it, the flags that the mount asks for.
fn seal(draft: &mut Draft<'_>, root: Slot, mount: &Mount) {
    if !draft.lacks(Feature::MountSetattr) {
        let (set, clear) = mounts::own_attributes(mount.set.bits(), mount.clear.bits());
        let change = Change { flags: AT_RECURSIVE, set, clear, propagation: 0 };
        if (set, clear) != (0, 0) {
            mounts::set_attributes(draft, root, change);
        }
    } else if mount.set.bits() & MS_RDONLY != 0 {
        let flags = MS_REMOUNT | MS_BIND | mount.set.bits();
        draft.mount(Mounting { target: ".", flags, ..Mounting::default() });
    }
}

/// Takes the host's directory of the container's cgroup, or of the maker's where it has none or
/// the host let it have none.
fn either(
    draft: &mut Draft<'_>,
    hierarchy: &Hierarchy,
    slot: Slot,
    take: impl Fn(&mut Draft<'_>, &str) -> Call<Compiled>,
) {
    let situation = draft.situation;
    let own =
        below(hierarchy, hierarchy.own.strip_prefix(&*hierarchy.root).unwrap_or(&hierarchy.own));
    let dirs = situation.cgroups;
    let Some(dir) = dirs.iter().find(|one| one.mount == hierarchy.mount) else {
        let call = take(draft, &own);
        return draft.b.push(Act::Call(call), OnError::Fail, slot);
    };
    let call = take(draft, &below(hierarchy, &dir.path));
    if situation.host.user == 0 && !situation.host.user_namespace {
        return draft.b.push(Act::Call(call), OnError::Fail, slot);
    }
    let absent = draft.b.open_or_skip(call, slot, &[Errno::ENOENT]);
    let taken = draft.b.jump();
    draft.b.land(absent);
    let call = take(draft, &own);
    draft.b.push(Act::Call(call), OnError::Fail, slot);
    draft.b.land(taken);
}

fn below(hierarchy: &Hierarchy, path: &str) -> String {
    let path = path.trim_start_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{}{slash}{path}", hierarchy.mount)
}
