//! Programs of others, run on the way, with the container's state on their standard input.
//!
//! | hook | when | a failure |
//! |---|---|---|
//! | `prestart`, `createRuntime` | the namespaces are there, the old root too | undoes the create |
//! | `poststart` | the program runs | stops the container |
//! | `poststop` | everything but the record is removed | is told, and the rest goes on |
//!
//! `createContainer` and `startContainer` are part of init's program.

use crate::plan;
use crate::spec::Hook;
use crate::state::Record;
use crate::sys::{self, Call, Errno, Fd, Kernel, Syscalls, flags};

use super::error::{Doing, Failure};
use super::operation::Operation;
use super::process::{Exit, wait};

/// The container's state as hooks read it and `state` prints it.
pub(super) fn state(record: &Record, status: &str, pid: u32) -> String {
    let manifest = &record.manifest;
    let state = serde_json::json!({
        "ociVersion": manifest.version,
        "id": manifest.id,
        "status": status,
        "pid": pid,
        "bundle": manifest.bundle,
        "annotations": manifest.annotations,
    });
    state.to_string()
}

/// Makes an empty file that hooks read the state from.
pub(super) fn blank<K: Kernel>(kernel: &K) -> Result<Fd<'_, K>, Errno> {
    kernel.give(Call::MemfdCreate { name: c"state", flags: flags::MFD_CLOEXEC })
}

/// Runs hooks in order; the first failure ends it.
pub(super) fn run_all<K: Kernel>(
    op: &Operation<'_, '_, K>,
    kind: &str,
    hooks: &[Hook],
    state: &str,
) -> Result<(), Failure> {
    for (index, hook) in hooks.iter().enumerate() {
        run(op, hook, state).map_err(|failure| {
            let message = format!("{kind} hook {index} ({}): {failure}", hook.path);
            Failure::told(message, failure.errno)
        })?;
    }
    Ok(())
}

fn run<K: Kernel>(op: &Operation<'_, '_, K>, hook: &Hook, state: &str) -> Result<(), Failure> {
    let kernel = op.kernel;
    let what = || "run it";
    // A file, not a pipe: a hook that never reads cannot stop or signal us.
    let input = blank(kernel).doing(what)?;
    kernel.write_all(input.raw(), state.as_bytes()).doing(what)?;
    kernel.call(Call::Lseek { fd: input.raw(), offset: 0, whence: 0 }).doing(what)?;
    let [ours, theirs] = kernel.socketpair().doing(what)?;
    let plan = plan::hook(hook, op.runtime.host()?);
    let plan = plan.map_err(|invalid| Failure::told(invalid.to_string(), Errno::EINVAL))?;
    let given = [theirs.raw(), input.raw()];
    let child = sys::Child {
        namespaces: 0,
        cgroup: None,
        tasks: &[],
        given: &given,
        mapped: false,
        code: plan.program.code(),
    };
    let (_, pidfd) = kernel.spawn(child).doing(what)?;
    drop((theirs, input));
    let limit = hook.timeout_secs.and_then(|secs| i32::try_from(secs).ok()?.checked_mul(1000));
    let ended = kernel.poll([(pidfd.raw(), flags::POLLIN)], limit.unwrap_or(-1));
    if ended.doing(what)? == [0] {
        let signal = flags::SIGKILL;
        kernel.call(Call::PidfdSendSignal { fd: pidfd.raw(), signal }).doing(what)?;
        wait(kernel, &pidfd).doing(what)?;
        return Err(Failure::new("it took too long and was killed", Errno::ETIMEDOUT));
    }
    judge(kernel, &plan, &ours, wait(kernel, &pidfd).doing(what)?)
}

/// Tells a hook that failed from one that could not be run.
fn judge<'k, K: Kernel>(
    kernel: &'k K,
    plan: &plan::Plan,
    sync: &Fd<'k, K>,
    exit: Exit,
) -> Result<(), Failure> {
    use super::process::{Message, receive};
    if exit == Exit::Code(0) {
        return Ok(());
    }
    Err(match (receive(kernel, sync)?, exit) {
        (Message::Failed { op, errno }, _) => Failure::told(plan.explain(op, errno), errno),
        (_, Exit::Code(code)) => Failure::told(format!("exit status {code}"), Errno::EPROTO),
        (_, Exit::Signal(signal)) => Failure::told(format!("signal {signal}"), Errno::EPROTO),
    })
}

/// Runs the hooks behind a start; the lock is left first, so that a hook may use the runtime.
pub(super) fn poststart<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let hooks = kept(&op.record.manifest.poststart)?;
    if hooks.is_empty() {
        return Ok(());
    }
    op.lock = None;
    let pid = op.record.init.map_or(0, |init| init.pid);
    let state = state(&op.record, "running", pid);
    run_all(op, "poststart", &hooks, &state)
}

/// Runs the hooks behind a delete; their failures are told and change nothing.
pub(super) fn poststop<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    if op.lock.is_none() {
        return Ok(());
    }
    let hooks = kept(&op.record.manifest.poststop)?;
    let state = state(&op.record, "stopped", 0);
    for (index, hook) in hooks.iter().enumerate() {
        if let Err(failure) = run(op, hook, &state) {
            op.warnings.push(format!("poststop hook {index} ({}): {failure}", hook.path));
        }
    }
    Ok(())
}

/// Reads hooks as the record keeps them.
fn kept(json: &str) -> Result<Vec<Hook>, Failure> {
    if json.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(json)
        .map_err(|error| Failure::told(format!("the record's hooks: {error}"), Errno::EINVAL))
}
