//! Who a process is in the end, and what it may do.
//!
//! The order is what makes it possible: the bounding set while `CAP_SETPCAP` is there, the ids
//! while `CAP_SETUID` is, the filter while `CAP_SYS_ADMIN` is; then everything else goes.
//!
//! **Invariant:** a capability that the host does not give is not asked for, and so not refused.

use super::draft::Draft;
use super::host::Filter;
use crate::spec::{CapSet, Capability, Process};
use crate::sys::flags::{
    PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, PR_CAP_AMBIENT_RAISE, PR_CAPBSET_DROP,
    PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS,
};
use crate::sys::{Call, Errno};

/// `CAP_SYS_ADMIN`.
const SYS_ADMIN: u64 = 1 << 21;

/// What a process may do on this host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Powers {
    bounding: u64,
    effective: u64,
    permitted: u64,
    inheritable: u64,
    ambient: u64,
}

/// Returns what the process may have of what it asks for.
pub(super) fn powers(draft: &Draft<'_>, process: &Process) -> Powers {
    // A user namespace begins with everything.
    let all = Capability::all().collect::<CapSet>().bits();
    let host = if draft.user_namespace { all } else { draft.situation.host.bounding };
    let wanted = process.capabilities.unwrap_or_default();
    let permitted = wanted.permitted.bits() & host;
    let inheritable = wanted.inheritable.bits() & host;
    Powers {
        bounding: wanted.bounding.bits() & host,
        effective: wanted.effective.bits() & permitted,
        permitted,
        inheritable,
        ambient: wanted.ambient.bits() & permitted & inheritable,
    }
}

/// Becomes the user, keeping capabilities until [`drop_powers`].
pub(super) fn become_user(draft: &mut Draft<'_>, process: &Process, powers: Powers) {
    bound(draft, powers);
    let user = &process.user;
    if user.uid != 0 {
        draft.about("keep capabilities across the change of user");
        prctl(draft, PR_SET_KEEPCAPS, 1, 0);
    }
    draft.about("set the groups");
    let groups: Vec<u8> = user.groups.iter().flat_map(|group| group.to_le_bytes()).collect();
    let groups = draft.b.block(&groups);
    let host = draft.situation.host;
    let nested = draft.user_namespace || host.user_namespace || host.user != 0;
    if nested && user.groups.is_empty() {
        // EPERM where setgroups is denied: user_namespaces(7).
        draft.b.call_or(Call::Setgroups { groups }, &[Errno::EPERM]);
    } else {
        draft.b.call(Call::Setgroups { groups });
    }
    draft.about(format!("become user {} and group {}", user.uid, user.gid));
    if user.gid != 0 || !draft.user_namespace {
        draft.b.call(Call::Setresgid { gid: user.gid });
    }
    if user.uid != 0 || (host.user != 0 && !draft.user_namespace) {
        draft.b.call(Call::Setresuid { uid: user.uid });
    }
}

fn bound(draft: &mut Draft<'_>, powers: Powers) {
    draft.about("drop capabilities from the bounding set");
    let host = draft.situation.host.bounding;
    for capability in Capability::all() {
        let bit = 1 << capability.number();
        if powers.bounding & bit != 0 {
            continue;
        }
        let a = u64::from(capability.number());
        let call = Call::Prctl { option: PR_CAPBSET_DROP, a, b: 0, c: 0, d: 0 };
        if host & bit != 0 {
            draft.b.call(call);
        } else if draft.user_namespace {
            // EINVAL: the kernel does not know it.
            draft.b.call_or(call, &[Errno::EINVAL]);
        }
    }
}

/// Takes `CAP_SYS_ADMIN` into force again, which a filter without no_new_privs needs.
pub(super) fn arm(draft: &mut Draft<'_>, process: &Process, powers: Powers) {
    if process.user.uid != 0 {
        draft.about("keep CAP_SYS_ADMIN for the filter");
        let set = powers.permitted | SYS_ADMIN;
        let inheritable = powers.inheritable;
        draft.b.call(Call::Capset { effective: set, permitted: set, inheritable });
    }
}

/// Gives up every capability that the process is not to have.
pub(super) fn drop_powers(draft: &mut Draft<'_>, powers: Powers) {
    draft.about("set the capabilities");
    let Powers { effective, permitted, inheritable, ambient, .. } = powers;
    draft.b.call(Call::Capset { effective, permitted, inheritable });
    if ambient != 0 {
        draft.about("set the ambient capabilities");
        prctl(draft, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0);
    }
    for capability in CapSet::from_bits(ambient).iter() {
        prctl(draft, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, u64::from(capability.number()));
    }
}

/// Gives up gaining powers by executing files.
pub(super) fn no_new_privs(draft: &mut Draft<'_>, process: &Process) {
    if process.no_new_privs {
        draft.about("set no_new_privs");
        prctl(draft, PR_SET_NO_NEW_PRIVS, 1, 0);
    }
}

/// Installs the system call filter.
pub(super) fn filter(draft: &mut Draft<'_>, filter: Filter<'_>) {
    draft.about("install the system call filter");
    let code = draft.b.block(filter.code);
    draft.b.call(Call::Seccomp { flags: filter.flags, filter: code });
}

fn prctl(draft: &mut Draft<'_>, option: u32, a: u64, b: u64) {
    draft.b.call(Call::Prctl { option, a, b, c: 0, d: 0 });
}
