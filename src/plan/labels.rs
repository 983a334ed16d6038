//! The label under which a program is, for Linux's security modules.
//!
//! It is chosen beforehand and taken on at execve(2), by the programs of startContainer hooks too.
//!
//! **Invariant:** what is written goes to the host's own `/proc`, held since before any namespace
//! was entered: the container's may be anything (CVE-2019-16884, CVE-2023-28642).

use super::draft::{Draft, handle};
use crate::spec::Process;
use crate::sys::flags::{
    O_CLOEXEC, O_DIRECTORY, O_PATH, O_WRONLY, RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS,
};
use crate::sys::{Call, Errno, Slot};

/// The profile of a process under none, which needs no AppArmor.
const UNCONFINED: &str = "unconfined";
/// What choosing a profile is about.
pub(super) const APPLY: &str = "unable to apply apparmor profile";
/// Where the choice is written, below `/proc`.
const CHOICE: &str = "self/attr/apparmor/exec";

/// Holds the host's `/proc`, if there is a label to choose.
pub(super) fn hold(draft: &mut Draft<'_>, process: &Process) -> Option<Slot> {
    process.apparmor_profile.as_ref()?;
    draft.about("hold the host's /proc");
    Some(draft.open_host("/proc", O_PATH | O_DIRECTORY))
}

/// Chooses the label of the program, and lets go of the host's `/proc`.
///
/// The kernel compares the writer with the opener, so this is where the program runs in the end,
/// behind every fork; and a profile can be chosen freely only while there is no no_new_privs.
pub(super) fn choose(draft: &mut Draft<'_>, process: &Process, proc: Option<Slot>) {
    let (Some(profile), Some(proc)) = (&process.apparmor_profile, proc) else { return };
    draft.about(format!("{APPLY} {profile}: open /proc/{CHOICE}"));
    let path = draft.text(CHOICE);
    let (flags, resolve) = (O_WRONLY | O_CLOEXEC, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    let call = Call::Openat2 { dir: handle(proc), path, flags, mode: 0, resolve };
    let bytes = draft.block(&format!("exec {profile}"));
    let writing = |file: Slot| Call::Write { fd: handle(file), bytes };
    if profile == UNCONFINED {
        let file = draft.b.take();
        // ENOENT: the kernel was built without AppArmor; EINVAL: it is not in use.
        let absent = draft.b.open_or_skip(call, file, &[Errno::ENOENT]);
        draft.about(format!("{APPLY} {profile}"));
        draft.b.call_or(writing(file), &[Errno::EINVAL]);
        draft.b.call(Call::Close { fd: handle(file) });
        draft.b.land(absent);
        draft.b.leave(file);
    } else {
        let file = draft.b.open(call);
        draft.about(format!("{APPLY} {profile}"));
        draft.b.call(writing(file));
        draft.b.close(file);
    }
    draft.b.close(proc);
}

/// Says why a profile cannot be chosen, and what is to be done where that is known.
pub(super) fn explain(about: &str, errno: Errno) -> String {
    match errno {
        Errno::ENOENT if !about.ends_with(CHOICE) => format!("{about}: it is not loaded: {errno}"),
        Errno::ENOENT | Errno::EINVAL => format!("{about}: AppArmor is not in use: {errno}"),
        _ => format!("{about}: {errno}"),
    }
}
