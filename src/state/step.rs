//! Steps, each beside what undoes it, and the plan of every request.
//!
//! | step             | leaves behind            | undone by                           |
//! |------------------|--------------------------|-------------------------------------|
//! | Manifest         | the record and its home  | PoststopHooks, RemoveRecord         |
//! | Cgroup           | the cgroups              | RemoveCgroup                        |
//! | Spawn            | processes                | KillAll, Reap                       |
//! | RestoreTree      | processes                | KillAll, Reap                       |
//! | CommitCreated    | a word in the record     | CommitDeleting                      |
//! | PoststartHooks   | a running container      | KillAll                             |
//! | Freeze           | frozen processes         | Thaw                                |
//! | every other      | nothing                  | nothing                             |
//!
//! **Invariant:** a step makes at most one residue, and the record names it beforehand.
//!
//! **Invariant:** undoing is idempotent and tolerates that there is nothing to undo, for a step
//! that failed may have happened by half, or not at all.
//!
//! **Invariant:** no step carries data. What is peculiar to a request (which signal, which limits)
//! is known to who performs it, so that plans are constants that can be enumerated.

/// One thing to do; the order is that of the plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Moves the home with its record into place, unless the id is taken.
    Manifest,
    /// Makes the cgroups that the manifest names, or takes those that are left of itself.
    Cgroup,
    /// Starts the first process, which dies with its maker until [`Step::Release`].
    Spawn,
    /// Writes the id maps of the user namespace.
    IdMap,
    /// Runs the hooks of the runtime's namespace: prestart and createRuntime.
    RuntimeHooks,
    /// Lets the first process prepare itself up to the gate: mounts, credentials, hooks inside.
    Prepare,
    /// Records the stage created, with the first process.
    CommitCreated,
    /// Tells the first process that it is recorded: from now on it outlives its maker.
    Release,
    /// Opens the gate, so that the first process executes the user's program.
    OpenGate,
    /// Tells the first process that it is recorded, and waits until it has executed the user's
    /// program: it prepares itself meanwhile, and stops at no gate.
    Launch,
    /// Runs the poststart hooks.
    PoststartHooks,
    /// Sends the signal.
    Signal,
    /// Freezes every process and waits until all have stopped.
    Freeze,
    /// Thaws every process.
    Thaw,
    /// Writes the limits that were asked for. A failure leaves those written before it.
    Limit,
    /// Starts one more process, which until its `execve` dies with the socket of who started it.
    ///
    /// So a failed exec has nothing to undo, and cannot touch what `create` made.
    SpawnExec,
    /// Writes the image. On failure it leaves processes and freezer as it found them.
    Dump,
    /// Records the stage checkpointed, provided that the first process is gone.
    CommitCheckpointed,
    /// Brings the processes of the image back, running.
    RestoreTree,
    /// Records the stage created, with the restored first process.
    CommitRestored,
    /// Records the stage deleting, so that nobody takes the rest for a whole container.
    ///
    /// A full disk is no obstacle: deleting is what empties it, so the mark is then done without.
    CommitDeleting,
    /// Kills whatever is in the cgroups, frozen or not, to the last process.
    KillAll,
    /// Waits until the killed are gone, and reaps those that are the caller's children.
    Reap,
    /// Removes the cgroups.
    RemoveCgroup,
    /// Runs the poststop hooks. Their failures are told, and stop nothing.
    PoststopHooks,
    /// Removes the home with the record, which makes the id free.
    RemoveRecord,
}

/// Asks nothing of the kernel: the answer was in the facts, or there is nothing to remove.
pub const NOTHING: &[Step] = &[];

/// Makes a container that waits to be started.
pub const CREATE: &[Step] = &[
    Step::Manifest,
    Step::Cgroup,
    Step::Spawn,
    Step::IdMap,
    Step::RuntimeHooks,
    Step::Prepare,
    Step::CommitCreated, // The record says created …
    Step::Release,       // … and only then is the child told so.
];

/// Starts a created container; failed poststart hooks stop it.
pub const START: &[Step] = &[Step::OpenGate, Step::PoststartHooks];

/// Makes a container whose program runs at once, without a gate.
pub const RUN: &[Step] = &[
    Step::Manifest,
    Step::Cgroup,
    Step::Spawn,
    Step::IdMap,
    Step::RuntimeHooks,
    Step::CommitCreated, // The record says created …
    Step::Launch,        // … and only then is the child told so.
];

/// What follows a [`RUN`]; failed poststart hooks stop the container, which is then deleted.
///
/// It is no request's plan: the container's lock is left before it, so that hooks may use it.
pub const STARTED: &[Step] = &[Step::PoststartHooks];

/// Runs one more process.
pub const EXEC: &[Step] = &[Step::SpawnExec];

/// Sends a signal.
pub const KILL: &[Step] = &[Step::Signal];

/// Freezes; a freeze that does not succeed is taken back.
pub const PAUSE: &[Step] = &[Step::Freeze];

/// Thaws.
pub const RESUME: &[Step] = &[Step::Thaw];

/// Changes the limits.
pub const UPDATE: &[Step] = &[Step::Limit];

/// Writes an image of a container.
pub const CHECKPOINT: &[Step] = &[Step::Dump, Step::CommitCheckpointed];

/// Makes a running container from an image.
pub const RESTORE: &[Step] =
    &[Step::Manifest, Step::Cgroup, Step::RestoreTree, Step::CommitRestored];

/// Brings a checkpointed container back under its own record, which a failure leaves as it was.
pub const REVIVE: &[Step] = &[Step::Cgroup, Step::RestoreTree, Step::CommitRestored];

/// Removes a container, however much of it there is: [`CREATE`], undone.
pub const DELETE: &[Step] = &[
    Step::CommitDeleting,
    Step::KillAll,
    Step::Reap,
    Step::RemoveCgroup,
    Step::PoststopHooks,
    Step::RemoveRecord, // Last: as long as anything is left, its name is left too.
];

/// Every plan of a request, by name.
pub const PLANS: [(&str, &[Step]); 13] = [
    ("NOTHING", NOTHING),
    ("CREATE", CREATE),
    ("START", START),
    ("RUN", RUN),
    ("EXEC", EXEC),
    ("KILL", KILL),
    ("PAUSE", PAUSE),
    ("RESUME", RESUME),
    ("UPDATE", UPDATE),
    ("CHECKPOINT", CHECKPOINT),
    ("RESTORE", RESTORE),
    ("REVIVE", REVIVE),
    ("DELETE", DELETE),
];

impl Step {
    /// What undoes the step, also after it happened by half.
    #[must_use]
    pub const fn undo(self) -> &'static [Self] {
        match self {
            Self::Manifest => &[Self::PoststopHooks, Self::RemoveRecord],
            Self::Cgroup => &[Self::RemoveCgroup],
            Self::Spawn | Self::RestoreTree => &[Self::KillAll, Self::Reap],
            Self::CommitCreated => &[Self::CommitDeleting],
            Self::PoststartHooks => &[Self::KillAll],
            Self::Freeze => &[Self::Thaw],
            Self::IdMap
            | Self::RuntimeHooks
            | Self::Prepare
            | Self::Release
            | Self::OpenGate
            | Self::Launch
            | Self::Signal
            | Self::Thaw
            | Self::Limit
            | Self::SpawnExec
            | Self::Dump
            | Self::CommitCheckpointed
            | Self::CommitRestored
            | Self::CommitDeleting
            | Self::KillAll
            | Self::Reap
            | Self::RemoveCgroup
            | Self::PoststopHooks
            | Self::RemoveRecord => &[],
        }
    }

    /// Whether something that the host would not have otherwise exists after the step.
    #[must_use]
    pub const fn residue(self) -> bool {
        match self {
            Self::Manifest | Self::Cgroup | Self::Spawn | Self::RestoreTree => true,
            Self::IdMap
            | Self::RuntimeHooks
            | Self::Prepare
            | Self::CommitCreated
            | Self::Release
            | Self::OpenGate
            | Self::Launch
            | Self::PoststartHooks
            | Self::Signal
            | Self::Freeze
            | Self::Thaw
            | Self::Limit
            | Self::SpawnExec
            | Self::Dump
            | Self::CommitCheckpointed
            | Self::CommitRestored
            | Self::CommitDeleting
            | Self::KillAll
            | Self::Reap
            | Self::RemoveCgroup
            | Self::PoststopHooks
            | Self::RemoveRecord => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn law_1_the_manifest_precedes_every_residue_and_the_record_goes_last() {
        for (name, plan) in PLANS {
            let manifest = plan.iter().position(|step| *step == Step::Manifest);
            assert!(matches!(manifest, None | Some(0)), "{name}");
            if let Some(removal) = plan.iter().position(|step| *step == Step::RemoveRecord) {
                assert_eq!(removal + 1, plan.len(), "{name}");
            }
            let undone: Vec<_> = plan.iter().rev().flat_map(|step| step.undo()).collect();
            if let Some(removal) = undone.iter().position(|step| **step == Step::RemoveRecord) {
                assert_eq!(manifest, Some(0), "{name} undoes a record that it did not make");
                assert_eq!(removal + 1, undone.len(), "{name}");
            }
        }
    }

    #[test]
    fn law_2_delete_is_create_undone() {
        for plan in [CREATE, RUN] {
            let undone: Vec<_> = plan.iter().rev().flat_map(|step| step.undo()).copied().collect();
            assert_eq!(undone, DELETE);
        }
    }

    #[test]
    fn law_5_an_unborn_is_let_go_only_after_it_is_recorded() {
        for (plan, last) in [(CREATE, Step::Release), (RUN, Step::Launch)] {
            let at = |wanted| plan.iter().position(|step| *step == wanted);
            assert_eq!(at(last), Some(plan.len() - 1));
            assert_eq!(at(Step::CommitCreated), Some(plan.len() - 2));
            assert!(at(Step::Cgroup) < at(Step::Spawn), "a child is born where it can be found");
        }
    }

    #[test]
    fn every_residue_has_an_undo() {
        for (name, plan) in PLANS {
            for step in plan.iter().filter(|step| step.residue()) {
                assert!(!step.undo().is_empty(), "{step:?} of {name}");
            }
        }
    }

    #[test]
    fn an_undo_has_no_undo() {
        for (_, plan) in PLANS {
            for undo in plan.iter().flat_map(|step| step.undo()) {
                assert!(undo.undo().is_empty(), "{undo:?}");
                assert!(!undo.residue(), "{undo:?}");
            }
        }
    }

    #[test]
    fn no_plan_undoes_the_same_thing_twice() {
        for (name, plan) in PLANS {
            let mut undone: Vec<_> = plan.iter().flat_map(|step| step.undo()).collect();
            let all = undone.len();
            undone.sort_unstable();
            undone.dedup();
            assert_eq!(undone.len(), all, "{name}");
        }
    }

    #[test]
    fn an_exec_touches_nothing_that_create_made() {
        assert!(EXEC.iter().all(|step| step.undo().is_empty()));
    }
}
