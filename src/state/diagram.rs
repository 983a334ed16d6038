//! The diagram of the lifecycle, drawn by playing every plan from every state that can be reached.
//!
//! | drawn                                    | played                                            |
//! |------------------------------------------|---------------------------------------------------|
//! | `A --> B: start`                         | each legal plan, to its end                       |
//! | `A --> B: start fails`                   | each legal plan, failing at each step, and undone |
//! | `A --> B: init exits`, `A --> B: maker dies` | each event, also in the midst of a plan       |
//!
//! A request that changes no status (exec, kill, update, state) draws nothing: a killed init exits.
//!
//! **Invariant:** no transition is written down here. What is written down is what one step, or one
//! event, changes of the disk and of the kernel; [`decide`] and [`Machine`] do the rest.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::{
    Facts, Freezer, Gate, Liveness, Machine, Manifest, Next, Occupancy, Outcome, Owner, ProcessId,
    Record, Request, Stage, Status, Step, decide, status,
};

/// Draws the lifecycle as a mermaid block: one line for each pair of statuses.
///
/// # Panics
///
/// Never: a string does not refuse to be written to.
#[must_use]
pub fn diagram() -> String {
    let mut text = String::from("```mermaid\nstateDiagram-v2\n");
    for ((from, to), labels) in Sketch::explore().edges {
        write!(text, "    {} --> {}: ", Node(from), Node(to)).expect("a string grows");
        for (at, label) in labels.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(text, "{comma}{label}").expect("a string grows");
        }
        text.push('\n');
    }
    text.push_str("```\n");
    text
}

/// A status as mermaid has it: what does not exist is both the beginning and the end.
struct Node(Status);

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Status::Absent => f.write_str("[*]"),
            Status::Creating
            | Status::Created
            | Status::Running
            | Status::Pausing
            | Status::Paused
            | Status::Checkpointed
            | Status::Stopped => fmt::Display::fmt(&self.0, f),
        }
    }
}

/// What made a status change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    /// A step of the plan of the request.
    Asked(Request),
    /// The failure of such a step, or its undo.
    Failed(Request),
    /// The end of the first process, of itself or by a signal.
    InitExits,
    /// The death of the runtime while it makes the container.
    MakerDies,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(request) => write!(f, "{request}"),
            Self::Failed(request) => write!(f, "{request} fails"),
            Self::InitExits => f.write_str("init exits"),
            Self::MakerDies => f.write_str("maker dies"),
        }
    }
}

/// One container, as disk and kernel have it.
#[derive(Clone, PartialEq)]
struct World {
    record: Option<Record>,
    facts: Facts,
    /// Whether a new first process stops at a gate.
    gated: bool,
}

/// The step that fails, and whether it took effect nevertheless.
#[derive(Clone, Copy)]
struct Fault {
    at: usize,
    happened: bool,
}

/// Every world that was reached, and every change of status that was seen.
#[derive(Default)]
struct Sketch {
    worlds: Vec<World>,
    edges: BTreeMap<(Status, Status), BTreeSet<Label>>,
}

impl Sketch {
    fn explore() -> Self {
        let mut sketch = Self::default();
        sketch.worlds.push(World::NONE);
        let mut explored = 0;
        while let Some(world) = sketch.worlds.get(explored).cloned() {
            explored += 1;
            for event in [Label::InitExits, Label::MakerDies] {
                let mut after = world.clone();
                after.suffer(event);
                sketch.saw(&world, &after, event);
            }
            for request in Request::ALL {
                let Ok(plan) = decide(world.record.as_ref(), &world.facts, request) else {
                    continue;
                };
                for at in 0..=plan.len() {
                    for happened in [false, true] {
                        sketch.play(&world, request, plan, Fault { at, happened });
                    }
                }
            }
        }
        sketch
    }

    /// Plays a plan with one fault; a fault past the end of the plan is none.
    fn play(&mut self, world: &World, request: Request, plan: &'static [Step], fault: Fault) {
        let mut world = world.clone();
        world.gated &= request != Request::Run;
        let mut machine = Machine::new(plan);
        let mut turn = 0;
        loop {
            let (step, label) = match machine.next() {
                Next::Do(step) => (step, Label::Asked(request)),
                Next::Undo(step) => (step, Label::Failed(request)),
                Next::Done(_) => return,
            };
            let fails = turn == fault.at;
            turn += 1;
            if !fails || fault.happened {
                self.perform(&mut world, step, label);
            }
            machine.on(if fails { Outcome::Failed } else { Outcome::Done });
        }
    }

    /// Performs a step to its end, which for a freeze takes more than one look.
    fn perform(&mut self, world: &mut World, step: Step, label: Label) {
        loop {
            let before = world.clone();
            world.perform(step);
            if *world == before {
                return;
            }
            self.saw(&before, world, label);
        }
    }

    fn saw(&mut self, before: &World, after: &World, label: Label) {
        let (from, to) = (before.status(), after.status());
        if from != to {
            self.edges.entry((from, to)).or_default().insert(label);
        }
        if !self.worlds.contains(after) {
            self.worlds.push(after.clone());
        }
    }
}

impl World {
    const NONE: Self = Self { record: None, facts: Facts::NONE, gated: true };

    fn status(&self) -> Status {
        status(self.record.as_ref(), &self.facts)
    }

    /// Changes what a step changes; once more than needed changes nothing.
    fn perform(&mut self, step: Step) {
        let facts = &mut self.facts;
        match step {
            Step::Manifest => {
                self.record.get_or_insert_with(|| Record::new(Manifest::default()));
                facts.owner = Owner::Alive;
            }
            Step::Cgroup => facts.cgroup = facts.cgroup.max(Occupancy::Empty),
            Step::Spawn | Step::RestoreTree => {
                facts.cgroup = Occupancy::Populated;
                let held = step == Step::Spawn && self.gated;
                facts.gate = if held { Gate::Held } else { Gate::Free };
            }
            Step::CommitCreated | Step::CommitRestored => self.commit(Stage::Created),
            Step::CommitCheckpointed => self.commit(Stage::Checkpointed),
            Step::CommitDeleting => self.commit(Stage::Deleting),
            Step::OpenGate | Step::Launch => facts.gate = Gate::Free,
            Step::Freeze => {
                facts.freezer = match facts.freezer {
                    Freezer::Thawed => Freezer::Freezing,
                    Freezer::Freezing | Freezer::Frozen => Freezer::Frozen,
                }
            }
            Step::Thaw => facts.freezer = Freezer::Thawed,
            Step::Dump | Step::KillAll => self.end(),
            Step::RemoveCgroup => facts.cgroup = Occupancy::Absent,
            Step::RemoveRecord => *self = Self::NONE,
            Step::IdMap
            | Step::RuntimeHooks
            | Step::Prepare
            | Step::Release
            | Step::PoststartHooks
            | Step::Signal
            | Step::Limit
            | Step::SpawnExec
            | Step::Reap
            | Step::PoststopHooks => (),
        }
    }

    /// Changes what an event changes; where it cannot occur, nothing.
    fn suffer(&mut self, event: Label) {
        match event {
            Label::Asked(_) | Label::Failed(_) => (),
            Label::InitExits => self.end(),
            Label::MakerDies => {
                self.facts.owner = Owner::Gone;
                let unborn = |record: &Record| record.stage == Stage::Creating;
                if self.record.as_ref().is_some_and(unborn) {
                    self.end();
                }
            }
        }
    }

    /// Writes the record with a new stage and, once there is one, with the first process.
    fn commit(&mut self, stage: Stage) {
        let mut init = self.record.as_ref().and_then(|record| record.init);
        if stage == Stage::Created {
            init = Some(ProcessId { pid: 1, started: 1, boot: 1 });
            self.facts.init = Liveness::Alive;
        }
        self.record = self.record.take().map(|record| Record { stage, init, ..record });
    }

    /// Lets every process end.
    fn end(&mut self) {
        if self.facts.init == Liveness::Alive {
            self.facts.init = Liveness::Gone;
        }
        self.facts.cgroup = self.facts.cgroup.min(Occupancy::Empty);
        self.facts.gate = Gate::Free;
        self.facts.freezer = Freezer::Thawed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_reached_and_every_one_can_be_left() {
        let edges = Sketch::explore().edges;
        for status in Status::ALL {
            assert!(edges.keys().any(|(from, _)| *from == status), "{status} is never left");
            assert!(edges.keys().any(|(_, to)| *to == status), "{status} is never reached");
        }
    }

    #[test]
    fn a_forced_delete_leads_from_every_world_to_nothing() {
        let sketch = Sketch::explore();
        for mut world in sketch.worlds {
            let request = Request::ForceDelete;
            let plan = decide(world.record.as_ref(), &world.facts, request).expect("always legal");
            plan.iter().for_each(|step| world.perform(*step));
            assert!(world == World::NONE);
        }
    }

    #[test]
    fn a_create_or_restore_that_fails_leaves_nothing() {
        for request in [Request::Create, Request::Run, Request::Restore] {
            let plan = decide(None, &Facts::NONE, request).expect("legal where nothing is");
            for at in 0..plan.len() {
                let (mut world, mut machine) = (World::NONE, Machine::new(plan));
                let mut turn = 0;
                while let Next::Do(step) | Next::Undo(step) = machine.next() {
                    world.perform(step);
                    machine.on(if turn == at { Outcome::Failed } else { Outcome::Done });
                    turn += 1;
                }
                assert!(world == World::NONE, "{request} failed at {:?}", plan[at]);
            }
        }
    }

    #[test]
    fn a_revival_that_fails_leaves_the_container_checkpointed() {
        let sketch = Sketch::explore();
        let checkpointed = |world: &&World| world.status() == Status::Checkpointed;
        for before in sketch.worlds.iter().filter(checkpointed) {
            let request = Request::Restore;
            let Ok(plan) = decide(before.record.as_ref(), &before.facts, request) else {
                continue;
            };
            for at in 0..plan.len() - 1 {
                let mut world = before.clone();
                plan[..=at].iter().for_each(|step| world.perform(*step));
                let undos = plan[..=at].iter().rev().flat_map(|step| step.undo());
                undos.for_each(|step| world.perform(*step));
                assert_eq!(world.status(), Status::Checkpointed, "failed at {:?}", plan[at]);
            }
        }
    }
}
