//! Namespaces: which are made at the child's birth, which by the child, which are joined.
//!
//! | what                                | how                                               |
//! |-------------------------------------|---------------------------------------------------|
//! | new                                 | at birth, by clone3                               |
//! | new cgroup                          | by the child, once it is in its cgroup            |
//! | new, in a joined user namespace     | by the child, so that the joined one owns it      |
//! | new time, and pid beside it         | by the child, since its offsets are set in between |
//! | joined                              | by the child; user last, or first if not root     |
//!
//! **Invariant:** a pid namespace that the child makes or joins, and a time namespace that it
//! makes, hold its next child only, so then it forks, and init is its sibling (`CLONE_PARENT`).

use super::draft::{Draft, handle, invalid};
use super::host::{Feature, Given};
use super::limits;
use crate::spec::{Invalid, Namespace, NamespaceKind, Reason, Spec, TimeOffset, TimeOffsets};
use crate::sys::flags::{
    AF_UNIX, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWTIME,
    CLONE_NEWUSER, CLONE_NEWUTS, CLONE_PARENT, O_RDONLY, PR_SET_DUMPABLE, SIOCSIFFLAGS,
    SOCK_CLOEXEC, SOCK_STREAM,
};
use crate::sys::{Act, Call, Handle, OnError, Slot};

/// When the namespaces of a container are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Making {
    /// At the child's birth.
    pub(super) birth: u64,
    /// By the child.
    pub(super) child: u64,
    /// Whether the child makes another one.
    pub(super) forks: bool,
}

/// Decides when each namespace is made.
pub(super) fn making(spec: &Spec) -> Making {
    let made = spec.namespaces.iter().filter(|n| n.path.is_none());
    let made = made.fold(0, |set, namespace| set | flag(namespace.kind));
    let joins = |kind| spec.namespace(kind).is_some_and(|n| n.path.is_some());
    let mut child = made & (CLONE_NEWCGROUP | CLONE_NEWTIME);
    if joins(NamespaceKind::User) {
        child = made;
    } else if made & CLONE_NEWTIME != 0 {
        child |= made & CLONE_NEWPID;
    }
    let forks = joins(NamespaceKind::Pid) || child & (CLONE_NEWPID | CLONE_NEWTIME) != 0;
    Making { birth: made & !child, child, forks }
}

/// Refuses namespaces that the kernel does not have.
///
/// # Errors
///
/// The first of them.
pub(super) fn check(spec: &Spec, draft: &Draft<'_>) -> Result<(), Invalid> {
    let time = spec.namespaces.iter().position(|one| one.kind == NamespaceKind::Time);
    match time {
        Some(i) if draft.lacks(Feature::TimeNamespace) => {
            Err(invalid(format!("/linux/namespaces/{i}/type"), Reason::Unsupported))
        }
        Some(_) | None => Ok(()),
    }
}

/// Joins and makes the namespaces of a new container.
pub(super) fn enter(draft: &mut Draft<'_>, spec: &Spec) {
    let making = making(spec);
    let joined: Vec<_> = spec.namespaces.iter().filter(|n| n.path.is_some()).collect();
    let user = joined.iter().any(|namespace| namespace.kind == NamespaceKind::User);
    draft.user_namespace = spec.namespace(NamespaceKind::User).is_some();
    if !joined.is_empty() {
        join(draft, &joined);
    }
    if user {
        become_root(draft);
    }
    if making.child != 0 {
        draft.about("make namespaces");
        draft.b.call(Call::Unshare { kinds: making.child });
    }
    if making.child & CLONE_NEWTIME != 0 {
        set_clocks(draft, &spec.time_offsets);
    }
    if making.forks {
        fork(draft);
    }
}

/// Joins all namespaces of a process by its pidfd.
pub(super) fn enter_all(draft: &mut Draft<'_>, kinds: &[NamespaceKind]) {
    let set = flags(kinds);
    if set == 0 {
        return;
    }
    draft.user_namespace = kinds.contains(&NamespaceKind::User);
    draft.about("join the container's namespaces");
    not_dumpable(draft);
    let fd = draft.given(Given::Init);
    draft.b.call(Call::Setns { fd, kinds: set });
    if draft.user_namespace {
        become_root(draft);
    }
    if forks_into(kinds) {
        fork(draft);
    }
}

/// Whether a process that joins those goes on as another one.
pub(super) fn forks_into(kinds: &[NamespaceKind]) -> bool {
    kinds.contains(&NamespaceKind::Pid)
}

fn flags(kinds: &[NamespaceKind]) -> u64 {
    kinds.iter().fold(0, |set, kind| set | flag(*kind))
}

/// Brings up the loopback interface of a new network namespace.
pub(super) fn loopback(draft: &mut Draft<'_>) {
    // `struct ifreq`: a name of 16 bytes, then a union of 24, here the flags: IFF_UP.
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16] = 1;
    draft.about("bring up the loopback interface");
    let kind = SOCK_STREAM | SOCK_CLOEXEC;
    // Every family takes this request; this one is there without IP too.
    let socket = draft.b.open(Call::Socket { domain: AF_UNIX, kind, protocol: 0 });
    let block = draft.b.block(&request);
    draft.b.call(Call::IoctlIn { fd: handle(socket), request: SIOCSIFFLAGS, block });
    draft.done(socket);
}

fn join(draft: &mut Draft<'_>, joined: &[&Namespace]) {
    draft.about("join namespaces");
    not_dumpable(draft);
    let mut open: Vec<(NamespaceKind, Slot)> = Vec::new();
    for namespace in joined {
        let path = namespace.path.as_deref().unwrap_or_default();
        draft.about(format!("open the {} namespace {path}", namespace.kind));
        let path = draft.text(path);
        let flags = O_RDONLY | crate::sys::flags::O_CLOEXEC;
        // `/proc/PID/ns/KIND` is a magic link: this walk is in the host's own paths.
        let call = Call::Openat2 { dir: Handle::CWD, path, flags, mode: 0, resolve: 0 };
        open.push((namespace.kind, draft.b.open(call)));
    }
    let privileged = draft.situation.host.user == 0;
    // Whoever has rights over a user namespace has them over those below, so joins it last;
    // anybody else gains his rights only by joining it.
    open.sort_by_key(|(kind, _)| match (kind, privileged) {
        (NamespaceKind::User, true) => 2,
        (NamespaceKind::User, false) => 0,
        (_, _) => 1,
    });
    for (kind, slot) in open {
        draft.about(format!("join the {kind} namespace"));
        draft.b.call(Call::Setns { fd: handle(slot), kinds: flag(kind) });
        draft.b.close(slot);
    }
}

/// Nobody within reaches what this process still holds (CVE-2016-9962).
fn not_dumpable(draft: &mut Draft<'_>) {
    draft.b.call(Call::Prctl { option: PR_SET_DUMPABLE, a: 0, b: 0, c: 0, d: 0 });
}

fn become_root(draft: &mut Draft<'_>) {
    draft.about("become root of the user namespace");
    draft.b.call(Call::Setresgid { gid: 0 });
    draft.b.call(Call::Setresuid { uid: 0 });
}

fn set_clocks(draft: &mut Draft<'_>, offsets: &TimeOffsets) {
    let mut lines = String::new();
    for (name, offset) in [("monotonic", offsets.monotonic), ("boottime", offsets.boottime)] {
        if offset != TimeOffset::default() {
            lines += &format!("{name} {} {}\n", offset.secs, offset.nanosecs);
        }
    }
    if !lines.is_empty() {
        draft.about("set the clocks of the time namespace");
        limits::write_file(draft, "/proc/self/timens_offsets", lines.as_bytes());
    }
}

/// Goes on as a sibling, of whose number the maker is told.
fn fork(draft: &mut Draft<'_>) {
    draft.about("go on in the new namespaces");
    let pid = draft.b.take();
    let elder = draft.b.fork(CLONE_PARENT, pid);
    let younger = draft.b.jump();
    draft.b.land(elder);
    let fd = draft.given(Given::Sync);
    draft.b.push(Act::Tell { fd, slot: pid }, OnError::Fail, Slot::NONE);
    draft.b.push(Act::End, OnError::Fail, Slot::NONE);
    draft.b.land(younger);
    draft.b.leave(pid);
}

const fn flag(kind: NamespaceKind) -> u64 {
    match kind {
        NamespaceKind::Cgroup => CLONE_NEWCGROUP,
        NamespaceKind::Ipc => CLONE_NEWIPC,
        NamespaceKind::Mount => CLONE_NEWNS,
        NamespaceKind::Network => CLONE_NEWNET,
        NamespaceKind::Pid => CLONE_NEWPID,
        NamespaceKind::Time => CLONE_NEWTIME,
        NamespaceKind::User => CLONE_NEWUSER,
        NamespaceKind::Uts => CLONE_NEWUTS,
    }
}
