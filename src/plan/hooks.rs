//! Hooks that run inside the container, each a child of its init.
//!
//! | hook | reads the state | writes |
//! |---|---|---|
//! | of the runtime, `createContainer` | from a file | to files, for the error that tells of it |
//! | `startContainer` | from a file | to the container's own streams |
//!
//! **Invariant:** a hook gets its standard streams and whatever the program itself will get.

use super::draft::{Draft, invalid};
use super::host::{Given, Stream};
use crate::spec::{Hook, Hooks, Invalid, Reason};
use crate::sys::flags::CLOSE_RANGE_CLOEXEC;
use crate::sys::{Act, Call, Handle, OnError, Room, Slot};

/// Refuses hooks that cannot be had.
///
/// # Errors
///
/// The first hook within the container that has a time limit: nobody is there to keep it.
pub(super) fn check(hooks: &Hooks) -> Result<(), Invalid> {
    let lists =
        [("createContainer", &hooks.create_container), ("startContainer", &hooks.start_container)];
    for (name, list) in lists {
        if let Some(i) = list.iter().position(|hook| hook.timeout_secs.is_some()) {
            return Err(invalid(format!("/hooks/{name}/{i}/timeout"), Reason::Unsupported));
        }
    }
    Ok(())
}

/// Whether some hooks run inside the container.
pub(super) fn any_within(hooks: &Hooks) -> bool {
    !hooks.create_container.is_empty() || !hooks.start_container.is_empty()
}

/// Stops for the hooks of the runtime, and for the state that hooks within read, if there are any.
pub(super) fn stop(draft: &mut Draft<'_>, hooks: &Hooks) {
    if stops(hooks) {
        draft.about("wait for the runtime's hooks");
        let sync = draft.given(Given::Sync);
        draft.write(sync, b"H");
        draft.await_byte(sync);
    }
}

/// Whether the runtime has something to do before the container's root is entered: hooks to run,
/// or the state to write that hooks within the container read, for only it knows init's pid.
pub(super) fn stops(hooks: &Hooks) -> bool {
    !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() || any_within(hooks)
}

/// Runs hooks one after the other; each must end well.
pub(super) fn run(draft: &mut Draft<'_>, name: &str, hooks: &[Hook], output: &[Stream]) {
    for (i, hook) in hooks.iter().enumerate() {
        draft.about(format!("error running {name} hook #{i}"));
        // What the hook before it has written was not asked for.
        for stream in output {
            let file = draft.given(Given::HookOutput(*stream));
            draft.b.call(Call::Ftruncate { fd: file, length: 0 });
            draft.b.call(Call::Lseek { fd: file, offset: 0, whence: 0 });
        }
        let state = draft.given(Given::HookState);
        draft.b.call(Call::Lseek { fd: state, offset: 0, whence: 0 });
        let pid = draft.b.take();
        let child = draft.b.fork(0, pid);
        draft.about(format!("error running {name} hook #{i}: fork/exec {}", hook.path));
        become_hook(draft, hook, output);
        draft.b.land(child);
        draft.about(format!("error running {name} hook #{i}"));
        draft.b.leave(pid);
        // Any child: init has no other yet, and what a hook leaves behind comes after it.
        let status = Room { len: 4 };
        draft.b.call(Call::Wait4 { pid: u32::MAX, status, options: 0 });
        draft.b.push(Act::Check, OnError::Fail, Slot::NONE);
    }
}

/// Becomes the hook's program, with the state on its standard input.
pub(super) fn become_hook(draft: &mut Draft<'_>, hook: &Hook, output: &[Stream]) {
    let state = draft.given(Given::HookState);
    draft.b.call(Call::Dup3 { old: state, new: Handle(Stream::Stdin.fd()), flags: 0 });
    for stream in output {
        let old = draft.given(Given::HookOutput(*stream));
        draft.b.call(Call::Dup3 { old, new: Handle(stream.fd()), flags: 0 });
    }
    // The program's own mask is clear, and what a hook makes is nobody else's to write.
    draft.b.call(Call::Umask { mask: 0o022 });
    let path = draft.text(&hook.path);
    let argv = draft.list(hook.args.iter().map(String::as_str));
    let envp = draft.list(hook.env.iter().map(String::as_str));
    draft.b.call(Call::Execve { path, argv, envp });
}

/// Says how a child ended, by its status as wait4(2) writes it.
pub(super) fn ending(status: u16) -> String {
    let [signal, code] = status.to_le_bytes();
    match signal & 0x7f {
        0 => format!("exit status {code}"),
        6 => "signal: aborted".to_owned(),
        9 => "signal: killed".to_owned(),
        11 => "signal: segmentation fault".to_owned(),
        15 => "signal: terminated".to_owned(),
        other => format!("signal: signal {other}"),
    }
}

/// Marks close-on-exec whatever the program is not to keep.
///
/// CVE-2024-21626: all that is opened here is close-on-exec by itself; what was given is marked
/// here, and so would be whatever slipped through.
pub(super) fn close_on_exec(draft: &mut Draft<'_>) {
    use super::host::Feature;
    use crate::sys::flags::{F_SETFD, FD_CLOEXEC};
    draft.about("mark descriptors close-on-exec");
    if draft.lacks(Feature::CloseRange) {
        for fd in draft.all_given() {
            draft.b.call(Call::Fcntl { fd, command: F_SETFD, argument: FD_CLOEXEC });
        }
    } else {
        let first = 3u32.saturating_add(draft.situation.preserve_fds);
        let (last, flags) = (u32::MAX, CLOSE_RANGE_CLOEXEC);
        draft.b.call(Call::CloseRange { first, last, flags });
    }
}
