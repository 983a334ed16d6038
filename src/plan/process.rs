//! The last stretch: from a finished container to the process's own program.
//!
//! **Invariant:** behind the system call filter there is nothing but what every filter of a
//! program that runs at all allows, and with no_new_privs nothing but execve(2).

use super::creds;
use super::draft::{Draft, Leaf, handle, normal};
use super::hooks;
use super::host::{Given, Start};
use super::limits;
use crate::spec::{Hook, Process};
use crate::sys::flags::{AT_EACCESS, O_CLOEXEC, O_DIRECTORY, O_PATH, RESOLVE_NO_MAGICLINKS, X_OK};
use crate::sys::{Act, Call, Errno, Handle, OnError, Slot};

/// The mask of a process that asks for none.
const UMASK: u32 = 0o022;

/// What may be wrong with one of several places where a program may be.
const NOT_THERE: [Errno; 4] = [Errno::ENOENT, Errno::EACCES, Errno::ENOTDIR, Errno::ELOOP];

/// Whether a missing working directory is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is.
    Made,
    /// It is an error.
    Refused,
}

/// Enters the working directory, by a descriptor that no magic link led to (CVE-2024-21626).
pub(super) fn directory(draft: &mut Draft<'_>, process: &Process, missing: Missing) {
    draft.about(format!("enter the working directory {}", process.cwd));
    let slot = match missing {
        // Where entering the root has led.
        Missing::Made if process.cwd == "/" => return,
        Missing::Refused if process.cwd == "/" => {
            let path = draft.text("/");
            return draft.b.call(Call::Chdir { path });
        }
        Missing::Made => draft.target(&normal(&process.cwd), Leaf::Anywhere),
        Missing::Refused => {
            let path = draft.text(&process.cwd);
            let flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
            let (dir, resolve) = (Handle::CWD, RESOLVE_NO_MAGICLINKS);
            draft.b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve })
        }
    };
    draft.b.call(Call::Fchdir { fd: handle(slot) });
    draft.done(slot);
}

/// Becomes who the process is, reports that it is ready, departs and becomes its program.
pub(super) fn depart(draft: &mut Draft<'_>, process: &Process, start: Start, hooks: &[Hook]) {
    if !draft.limited {
        limits::rlimits(draft, process);
    }
    creds::no_new_privs(draft, process);
    let powers = creds::powers(draft, process);
    creds::become_user(draft, process, powers);
    draft.about("set the file mode creation mask");
    let umask = process.user.umask.unwrap_or(UMASK);
    draft.b.call(Call::Umask { mask: umask });
    let candidates = candidates(process);
    probe(draft, process, &candidates);
    hooks::close_on_exec(draft);
    let filter = draft.situation.filter;
    if let Some(filter) = filter.filter(|_| !process.no_new_privs) {
        creds::arm(draft, process, powers);
        creds::filter(draft, filter);
    }
    creds::drop_powers(draft, powers);
    draft.about("report that all is ready");
    let sync = draft.given(Given::Sync);
    draft.write(sync, b"R");
    draft.await_byte(sync);
    if start == Start::AtTheGate {
        draft.about("wait for the start");
        let gate = draft.given(Given::Gate);
        // From here on failures are reported at the gate.
        let flags = u32::try_from(O_CLOEXEC).unwrap_or(0);
        draft.b.call(Call::Dup3 { old: gate, new: sync, flags });
        draft.await_byte(gate);
    }
    let env = environment(draft, process);
    hooks::run(draft, hooks::Kind::start(&env, umask), hooks);
    if let Some(filter) = filter.filter(|_| process.no_new_privs) {
        creds::filter(draft, filter);
    }
    execute(draft, process, &candidates, &env);
}

/// Returns where the program may be, in the order in which it is looked for.
fn candidates(process: &Process) -> Vec<String> {
    let name = process.args.first().map_or("", String::as_str);
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let path = process.env.iter().rev().find_map(|entry| entry.strip_prefix("PATH="));
    let directories = path.unwrap_or_default().split(':').filter(|dir| dir.starts_with('/'));
    let directories = directories.map(|dir| dir.trim_end_matches('/'));
    let mut found: Vec<String> = Vec::new();
    for candidate in directories.map(|dir| format!("{dir}/{name}")) {
        if !name.is_empty() && !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    found
}

/// Looks for the program, as the user who will execute it.
///
/// A directory passes the first question; only a path through it, with a slash, fails for a file.
fn probe(draft: &mut Draft<'_>, process: &Process, candidates: &[String]) {
    draft.about(about(process));
    let slashed = process.args.first().is_some_and(|name| name.contains('/'));
    let dir = Handle::CWD;
    let mut found = Vec::new();
    for candidate in candidates {
        let path = draft.text(candidate);
        let call = Call::Faccessat2 { dir, path, mode: X_OK, flags: AT_EACCESS };
        let missing = if slashed {
            draft.b.call(call);
            None
        } else {
            Some(draft.b.open_or_skip(call, Slot::NONE, &NOT_THERE))
        };
        let path = draft.text(&format!("{candidate}/"));
        let call = Call::Faccessat2 { dir, path, mode: 0, flags: AT_EACCESS };
        found.push(draft.b.open_or_skip(call, Slot::NONE, &[Errno::ENOTDIR]));
        if let Some(missing) = missing {
            draft.b.land(missing);
        }
    }
    let errno = if slashed { Errno::EACCES } else { Errno::ENOENT };
    draft.b.push(Act::Abort { errno }, OnError::Fail, Slot::NONE);
    for found in found {
        draft.b.land(found);
    }
}

fn execute(draft: &mut Draft<'_>, process: &Process, candidates: &[String], env: &[String]) {
    // The program is there: what fails is to execute it, say for want of its interpreter.
    draft.about(format!("exec {}", process.args.first().map_or("", String::as_str)));
    let argv = draft.list(process.args.iter().map(String::as_str));
    let envp = draft.list(env.iter().map(String::as_str));
    let (last, earlier) = match candidates.split_last() {
        Some((last, earlier)) => (last.as_str(), earlier),
        None => ("", [].as_slice()),
    };
    for candidate in earlier {
        let path = draft.text(candidate);
        draft.b.call_or(Call::Execve { path, argv, envp }, &NOT_THERE);
    }
    let path = draft.text(last);
    draft.b.call(Call::Execve { path, argv, envp });
}

/// Returns the environment of the program: it always has a home.
fn environment(draft: &Draft<'_>, process: &Process) -> Vec<String> {
    let home = draft.situation.home.filter(|_| !has_home(process));
    let home = home.map(|home| format!("HOME={home}"));
    let given = process.env.iter().filter(|entry| home.is_none() || *entry != "HOME=");
    given.chain(&home).cloned().collect()
}

fn has_home(process: &Process) -> bool {
    process.env.iter().any(|entry| entry.strip_prefix("HOME=").is_some_and(|home| !home.is_empty()))
}

/// What the operations around the program are about; [`Plan::explain`](super::Plan::explain)
/// spells their failures.
fn about(process: &Process) -> String {
    format!("exec: {:?}", process.args.first().map_or("", String::as_str))
}
