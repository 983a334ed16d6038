//! Hooks that run inside the container, each a child of its init.
//!
//! They read the state from a file, and write to files, for the error that tells of them.
//!
//! **Invariant:** a hook gets its standard streams and whatever the program itself will get.

use super::HOOK_OUTPUT;
use super::draft::{Draft, handle};
use super::host::{Given, Stream};
use crate::spec::{Hook, Hooks};
use crate::sys::flags::{CLOSE_RANGE_CLOEXEC, POLLIN, SIGKILL};
use crate::sys::{Act, Call, Errno, Handle, OnError, Room, Slot};

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

/// The mask of hooks that run before the container's root is entered: what they make is nobody
/// else's to write, though the program's own mask is clear then.
pub(super) const MASK: u32 = 0o022;

/// What hooks of one kind have in common.
#[derive(Clone, Copy)]
pub(super) struct Kind<'s> {
    /// The kind's name.
    pub(super) name: &'static str,
    /// The environment of those that name none.
    pub(super) env: &'s [String],
    /// The file mode creation mask.
    pub(super) umask: u32,
}

impl<'s> Kind<'s> {
    /// Hooks that run before the container's root is entered.
    pub(super) const fn create(env: &'s [String]) -> Self {
        Self { name: "createContainer", env, umask: MASK }
    }

    /// Hooks that run as the program will.
    pub(super) const fn start(env: &'s [String], umask: u32) -> Self {
        Self { name: "startContainer", env, umask }
    }
}

/// Runs hooks one after the other; each must end well.
pub(super) fn run(draft: &mut Draft<'_>, kind: Kind<'_>, hooks: &[Hook]) {
    let Kind { name, env, umask } = kind;
    for (i, hook) in hooks.iter().enumerate() {
        draft.about(format!("error running {name} hook #{i}"));
        // What the hook before it has written was not asked for.
        for stream in HOOK_OUTPUT {
            let file = draft.given(Given::HookOutput(stream));
            draft.b.call(Call::Ftruncate { fd: file, length: 0 });
            draft.b.call(Call::Lseek { fd: file, offset: 0, whence: 0 });
        }
        let state = draft.given(Given::HookState);
        draft.b.call(Call::Lseek { fd: state, offset: 0, whence: 0 });
        let pid = draft.b.take();
        let child = draft.b.fork(0, pid);
        draft.about(format!("error running {name} hook #{i}: fork/exec {}", hook.path));
        become_hook(draft, hook, env, umask);
        draft.b.land(child);
        limit(draft, hook, &format!("error running {name} hook #{i}"), pid);
        draft.about(format!("error running {name} hook #{i}"));
        // This one: init is given whatever another hook has left behind.
        draft.b.call(Call::Wait4 { pid, status: Room { len: 4 }, options: 0 });
        draft.b.push(Act::Check, OnError::Fail, Slot::NONE);
        draft.b.leave(pid);
    }
}

/// Kills a hook that takes too long, and ends the program.
fn limit(draft: &mut Draft<'_>, hook: &Hook, about: &str, pid: Slot) {
    let timeout_ms = hook.timeout_ms();
    if timeout_ms < 0 {
        return;
    }
    draft.about(format!("{about}: {}", super::too_long(hook)));
    let pidfd = draft.b.open(Call::PidfdOpen { pid, flags: 0 });
    let fd = handle(pidfd);
    let call = Call::Await { fd, events: POLLIN, timeout_ms };
    let late = draft.b.open_or_skip(call, Slot::NONE, &[Errno::ETIMEDOUT]);
    let ended = draft.b.jump();
    draft.b.land(late);
    draft.b.call_or(Call::PidfdSendSignal { fd, signal: SIGKILL }, &[Errno::ESRCH]);
    draft.b.push(Act::Abort { errno: Errno::ETIMEDOUT }, OnError::Fail, Slot::NONE);
    draft.b.land(ended);
    draft.b.close(pidfd);
}

/// Becomes the hook's program, with the state on its standard input.
pub(super) fn become_hook(draft: &mut Draft<'_>, hook: &Hook, env: &[String], mask: u32) {
    let state = draft.given(Given::HookState);
    draft.b.call(Call::Dup3 { old: state, new: Handle(Stream::Stdin.fd()), flags: 0 });
    for stream in HOOK_OUTPUT {
        let old = draft.given(Given::HookOutput(stream));
        draft.b.call(Call::Dup3 { old, new: Handle(stream.fd()), flags: 0 });
    }
    draft.b.call(Call::Umask { mask });
    let path = draft.text(&hook.path);
    let argv = draft.list(hook.args.iter().map(String::as_str));
    let envp = draft.list(hook.env.as_deref().unwrap_or(env).iter().map(String::as_str));
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
