//! The steps of delete, which are those of create undone.
//!
//! **Invariant:** each is tolerant of absence and can be repeated: what is gone is done.
//!
//! **Invariant:** none does anything without the lock of the container's home, so the loser of two
//! creates undoes nothing of the winner's.

use std::slice;

use crate::state::{Freezer, Occupancy, Record, Stage};
use crate::sys::{Call, Errno, Kernel, flags};

use super::birth::CLAIMED;
use super::error::{Doing, Failure};
use super::operation::{Operation, Task, without};
use super::{cgroup, process};

/// How long a killed process may take to end, in milliseconds.
const PATIENCE_MS: i32 = 10_000;

/// Sends the request's signal to init.
///
/// SIGKILL in a container without a pid namespace of its own ends everybody in its cgroup, as
/// the end of init would with one; and it ends a frozen container, which is thawed to die.
pub(super) fn signal<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let Task::Signal(signal) = op.task else { return Err(without("a signal")) };
    let init = op.child()?;
    let what = || format!("send signal {signal} to process {}", init.pid);
    // The first process of a pid namespace feels no signal that it does not handle
    // (pid_namespaces(7)), and one that waits at the gate handles none: it is asked to end, so it
    // ends.
    let ending = [flags::SIGHUP, flags::SIGINT, flags::SIGQUIT, flags::SIGTERM];
    let signal = if op.waiting && ending.contains(&signal) { flags::SIGKILL } else { signal };
    let sent = op.kernel.call(Call::PidfdSendSignal { fd: init.pidfd.raw(), signal });
    sent.map(drop).doing(what)?;
    if signal != flags::SIGKILL {
        return Ok(());
    }
    let Some(dir) = op.record.manifest.cgroups.first() else { return Ok(()) };
    if !op.record.manifest.own_pid_namespace {
        cgroup::kill_all(op.kernel, dir)?;
    }
    // Only v1 keeps a killed process frozen (freezer-subsystem of the kernel's cgroup-v1 guide).
    match cgroup::freezer(op.kernel, dir)? {
        Freezer::Frozen | Freezer::Freezing if dir.version == 1 => {
            cgroup::set_frozen(op.kernel, dir, Freezer::Thawed)
        }
        Freezer::Frozen | Freezer::Freezing | Freezer::Thawed => Ok(()),
    }
}

/// Freezes the container, and waits until it is.
pub(super) fn freeze<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    await_freezer(op, Freezer::Frozen)
}

/// Thaws the container.
pub(super) fn thaw<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    await_freezer(op, Freezer::Thawed)
}

fn await_freezer<K: Kernel>(op: &Operation<'_, '_, K>, wanted: Freezer) -> Result<(), Failure> {
    const TRIES: u32 = 1000;
    let what = || format!("bring the container's freezer to {wanted:?}");
    let no_cgroup = || Failure::new(what(), Errno::EOPNOTSUPP);
    let dir = op.record.manifest.cgroups.first().ok_or_else(no_cgroup)?;
    for _ in 0..TRIES {
        // Written again each time: v1 retries a process that would not freeze.
        cgroup::set_frozen(op.kernel, dir, wanted)?;
        if cgroup::freezer(op.kernel, dir)? == wanted {
            return Ok(());
        }
        process::pause(op.kernel, 5).doing(what)?;
    }
    Err(Failure::new(what(), Errno::ETIMEDOUT))
}

/// The record says that the container is going, so that a death half-way is seen.
pub(super) fn commit_deleting<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let Some(lock) = &op.lock else { return Ok(()) };
    if op.child.is_none() && op.record.stage == Stage::Created {
        // Its init is dead: it has stopped whatever the record says, and can only be deleted.
        return Ok(());
    }
    op.record.stage = Stage::Deleting;
    match op.home.replace(op.kernel, lock, &op.record) {
        // A full disk must not keep a container: everything that follows frees, nothing writes.
        Err(Failure { errno: Errno::ENOSPC | Errno::EDQUOT, .. }) => Ok(()),
        committed => committed,
    }
}

/// Kills init, and everybody in the cgroup where that is not the same.
pub(super) fn kill_all<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    // A child that is on its way also ends when this socket closes.
    op.sync = None;
    if let Some(child) = &op.child {
        let signal = flags::SIGKILL;
        match op.kernel.call(Call::PidfdSendSignal { fd: child.pidfd.raw(), signal }) {
            Ok(_) | Err(Errno::ESRCH) => (),
            Err(errno) => return Err(Failure::new(format!("kill {}", child.pid), errno)),
        }
    }
    if let (true, Some(dir)) = (op.frozen, op.record.manifest.cgroups.first())
        && dir.version == 1
    {
        // Only v1 keeps a killed process frozen.
        cgroup::set_frozen(op.kernel, dir, Freezer::Thawed)?;
    }
    match op.record.manifest.cgroups.first() {
        Some(dir) if scattered(op) => cgroup::kill_all(op.kernel, dir),
        Some(_) | None => Ok(()),
    }
}

/// Whether processes may be left that the end of init does not end.
///
/// The kernel kills a pid namespace with its init (pid_namespaces(7)); whoever is in the cgroup
/// without being in the namespace is found when the cgroup cannot be removed.
fn scattered<K: Kernel>(op: &Operation<'_, '_, K>) -> bool {
    let one = op.record.manifest.own_pid_namespace && op.record.init.is_some();
    op.lock.is_some() && !op.foreign && !one && !is_unborn(op)
}

/// Whether a container has no process but a child that was never told to live: who lives is
/// recorded first. It ends with its maker, so whoever stays in the cgroup is a stranger: the maker
/// may have died before it saw that the cgroup was there already.
fn is_unborn<K: Kernel>(op: &Operation<'_, '_, K>) -> bool {
    let Record { init, manifest, .. } = &op.record;
    let made_here = matches!(op.task, Task::Create(..));
    init.is_none() && !made_here && !manifest.extra.contains_key(CLAIMED)
}

/// Waits until everybody who was killed is gone.
pub(super) fn reap<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    if let Some(child) = op.child.take() {
        process::reap(op.kernel, &child.pidfd, PATIENCE_MS)?;
    }
    match op.record.manifest.cgroups.first() {
        Some(dir) if scattered(op) => cgroup::wait_empty(op.kernel, dir),
        Some(_) | None => Ok(()),
    }
}

pub(super) fn remove_cgroup<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    if op.lock.is_none() || op.foreign {
        return Ok(());
    }
    let dirs = &op.record.manifest.cgroups;
    if is_unborn(op) {
        return remove_unborn(op);
    }
    match (cgroup::remove(op.kernel, dirs), dirs.first()) {
        (Err(Failure { errno: Errno::EBUSY, .. }), Some(home)) => {
            cgroup::kill_all(op.kernel, home)?;
            cgroup::wait_empty(op.kernel, home)?;
            cgroup::remove(op.kernel, dirs)
        }
        (removed, _) => removed,
    }
}

/// Removes the cgroups of a container that never lived, but those in which others are.
fn remove_unborn<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let dirs = &op.record.manifest.cgroups;
    if let Some(home) = dirs.first() {
        match cgroup::wait_empty(op.kernel, home) {
            Err(Failure { errno: Errno::ETIMEDOUT, .. }) => (),
            waited => waited?,
        }
    }
    for dir in dirs.iter().rev() {
        match cgroup::remove(op.kernel, slice::from_ref(dir)) {
            Err(Failure { errno: Errno::EBUSY, .. })
                if cgroup::occupancy(op.kernel, dir)? == Occupancy::Populated =>
            {
                op.warnings.push(format!("cgroup {} is left: others are in it", dir.path));
            }
            removed => removed?,
        }
    }
    Ok(())
}

/// Last of all: as long as anything is left, its name is left too.
pub(super) fn remove_record<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let Some(lock) = &op.lock else { return Ok(()) };
    op.home.remove(op.kernel, lock, !op.record.manifest.ungated)
}
