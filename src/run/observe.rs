//! The facts: what the kernel says of a container, asked now.
//!
//! **Invariant:** asking changes nothing, and what the kernel will not say is an error, not a
//! guess.

use crate::state::{Facts, Freezer, Gate, Liveness, Occupancy, Owner, Record, Stage};
use crate::sys::{Errno, Fd, Kernel};

use super::cgroup;
use super::error::Failure;
use super::identity;
use super::store::Home;

/// The facts, and init itself while it is there.
#[derive(Debug)]
pub(super) struct Seen<'k, K: Kernel> {
    /// What the state machine decides by.
    pub(super) facts: Facts,
    /// Init's descriptor.
    pub(super) init: Option<Fd<'k, K>>,
}

/// Asks the kernel about the container of a record, whose lock the caller has or has not.
///
/// # Errors
///
/// Fails where the kernel will not say.
pub(super) fn observe<'k, K: Kernel>(
    kernel: &'k K,
    home: &Home,
    record: &Record,
    boot: u64,
    locked: bool,
) -> Result<Seen<'k, K>, Failure> {
    let owner = match record.stage {
        Stage::Creating if !locked && home.is_locked(kernel)? => Owner::Alive,
        Stage::Creating | Stage::Checkpointed | Stage::Created | Stage::Deleting => Owner::Gone,
    };
    let mut found = identity::find(kernel, record.init, boot)?;
    let mut alive = found.liveness == Liveness::Alive;
    let mut gate = match (alive, record.manifest.ungated) {
        (true, false) => gate(kernel, home)?,
        (true, true) if record.stage == Stage::Created && home.is_nascent(kernel)? => {
            found.liveness = Liveness::Nascent;
            Gate::Free
        }
        (_, _) => Gate::Free,
    };
    // Who dies lets go of what it holds, and `start` holds the gate for a moment too.
    if let (true, Some(init)) = (alive, record.init)
        && !identity::is_whole(kernel, init)?
    {
        found.liveness = Liveness::Zombie;
        gate = Gate::Free;
        alive = false;
    }
    let cgroup = match (record.manifest.cgroups.first(), record.stage) {
        (Some(dir), Stage::Checkpointed) => cgroup::occupancy(kernel, dir)?,
        // Nothing is decided by it at another stage: the steps of delete look for themselves.
        (Some(_), Stage::Created | Stage::Creating | Stage::Deleting) => Occupancy::Empty,
        (None, _) => Occupancy::Absent,
    };
    let freezer = match record.manifest.cgroups.first() {
        Some(dir) if alive => cgroup::freezer(kernel, dir)?,
        Some(_) | None => Freezer::Thawed,
    };
    let facts = Facts { owner, init: found.liveness, gate, cgroup, freezer };
    Ok(Seen { facts, init: found.pidfd })
}

/// Whether somebody waits behind the gate.
///
/// The fifo is opened for writing, which succeeds only while init has it open (fifo(7)); nothing
/// is written.
fn gate<K: Kernel>(kernel: &K, home: &Home) -> Result<Gate, Failure> {
    match home.gate(kernel) {
        Ok(_) => Ok(Gate::Held),
        Err(Errno::ENOENT | Errno::ENXIO) => Ok(Gate::Free),
        Err(errno) => Err(Failure::new("ask who waits at the gate", errno)),
    }
}
