//! The step of exec: a further process, made inside.
//!
//! It leaves no residue of its own: it is in the container's cgroup and namespaces, and ends with
//! them; until it has become its program it ends with the socket to its maker.

use crate::sys::{Call, Kernel, Syscalls, flags};

use super::birth::{Handed, Wanted, expect, make};
use super::compile::Kept;
use super::error::{Doing, Failure, regardless};
use super::operation::{Operation, Task, without};
use super::process::{Message, receive, wait};
use super::streams;

/// Makes the process and waits until it has become its program.
pub(super) fn spawn<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let Task::Exec(exec, plan) = op.task else { return Err(without("a process to add")) };
    let kept = Kept::of(&op.record)?;
    let handed = Handed {
        console: exec.console,
        gate: None,
        record: None,
        preserve_fds: exec.preserve_fds,
        stdio: exec.stdio,
        owner: streams::outside(exec.process.user.uid, &kept.uid_maps),
    };
    make(op, plan, &handed)?;
    expect(op, plan, Wanted::Ready)?;
    op.kernel.send(op.sync()?.raw(), b"G").doing(|| "let the process go")?;
    let heard = receive(op.kernel, op.sync()?);
    op.sync = None;
    match heard? {
        Message::Failed { op: at, errno } => Err(Failure::told(plan.explain(at, errno), errno)),
        // The socket closed with execve(2), or with a death that its waiter will see.
        Message::Ended { .. }
        | Message::Over
        | Message::Hooks
        | Message::Pid(_)
        | Message::Ready
        | Message::Terminal(_) => Ok(()),
    }
}

/// Ends a process that has not become its program, and waits for it.
pub(super) fn abandon<K: Kernel>(op: &mut Operation<'_, '_, K>) {
    op.sync = None;
    let Some(child) = op.child.take() else { return };
    let signal = flags::SIGKILL;
    // It is the caller's own child, and the failure that led here is what the caller is told.
    regardless(op.kernel.call(Call::PidfdSendSignal { fd: child.pidfd.raw(), signal }));
    regardless(wait(op.kernel, &child.pidfd));
}
