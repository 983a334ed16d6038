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
    let pidfd = match record.init {
        Some(id) => identity::open(kernel, id, boot)?,
        None => None,
    };
    let ungated = record.manifest.ungated;
    // Before it is asked whether init lives: who dies lets go of what it holds first.
    let waits = match (&pidfd, ungated) {
        (Some(_), false) => is_waited_at(kernel, home)?,
        (Some(_), true) => record.stage == Stage::Created && home.is_nascent(kernel)?,
        (None, _) => false,
    };
    let life = match (record.init, &pidfd) {
        (Some(id), Some(_)) => identity::liveness(kernel, id)?,
        (Some(_), None) => Liveness::Gone,
        (None, _) => Liveness::Never,
    };
    let alive = life == Liveness::Alive;
    let (init, gate) = match (alive && waits, ungated) {
        (true, false) => (life, Gate::Held),
        (true, true) => (Liveness::Nascent, Gate::Free),
        (false, _) => (life, Gate::Free),
    };
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
    let facts = Facts { owner, init, gate, cgroup, freezer };
    let ours = matches!(life, Liveness::Alive | Liveness::Zombie);
    Ok(Seen { facts, init: pidfd.filter(|_| ours) })
}

/// Whether somebody waits behind the gate.
///
/// The fifo is opened for writing, which succeeds only while init has it open (fifo(7)); nothing
/// is written.
fn is_waited_at<K: Kernel>(kernel: &K, home: &Home) -> Result<bool, Failure> {
    match home.gate(kernel) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT | Errno::ENXIO) => Ok(false),
        Err(errno) => Err(Failure::new("ask who waits at the gate", errno)),
    }
}
