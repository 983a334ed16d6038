//! The decision table, every cell of it, and every plan under every pair of failures.
//!
//! | axis    | values                                                            | number |
//! |---------|-------------------------------------------------------------------|--------|
//! | record  | none, and each stage without and with an init                     |      9 |
//! | facts   | owner 2 × init 6 × gate 2 × cgroup 3 × freezer 3                  |    216 |
//! | request | all                                                               |     12 |
//!
//! **Invariant:** no cell is skipped, and the numbers are pinned: who changes an axis edits a pin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cofferdam::state::{
    DELETE, Facts, Freezer, Gate, Liveness, Machine, Manifest, NOTHING, Next, Occupancy, Outcome,
    Owner, PLANS, ProcessId, Record, Refusal, Request, Stage, Status, Step, Verdict, decide,
    diagram, status,
};

/// One cell of the table.
struct Cell {
    record: Option<Record>,
    facts: Facts,
    request: Request,
    status: Status,
    answer: Result<&'static [Step], Refusal>,
}

impl Cell {
    fn stage(&self) -> Option<Stage> {
        self.record.as_ref().map(|record| record.stage)
    }

    /// Whether the init that the record names is alive.
    fn alive(&self) -> bool {
        let named = self.record.as_ref().is_some_and(|record| record.init.is_some());
        named && self.facts.init.is_alive()
    }

    fn name(&self) -> String {
        let init = self.record.as_ref().and_then(|record| record.init);
        format!("{} of {:?}, init {init:?}, {:?}", self.request, self.stage(), self.facts)
    }
}

fn records() -> Vec<Option<Record>> {
    let process = ProcessId { pid: 1, started: 1, boot: 1 };
    let mut records = vec![None];
    for stage in Stage::ALL {
        for init in [None, Some(process)] {
            let record = Record::new(Manifest::default());
            records.push(Some(Record { stage, init, ..record }));
        }
    }
    records
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for record in records() {
        for facts in Facts::all() {
            for request in Request::ALL {
                let status = status(record.as_ref(), &facts);
                let answer = decide(record.as_ref(), &facts, request);
                cells.push(Cell { record: record.clone(), facts, request, status, answer });
            }
        }
    }
    cells
}

/// Names a plan; one that is not among the plans has no name, and fails.
fn name(plan: &[Step]) -> &'static str {
    let found = PLANS.iter().find(|(_, known)| *known == plan);
    found.unwrap_or_else(|| panic!("{plan:?} is not among the plans")).0
}

#[test]
fn the_table_has_these_many_cells_and_plans() {
    let cells = cells();
    let legal: Vec<_> = cells.iter().filter_map(|cell| cell.answer.ok()).collect();
    let plans: BTreeSet<_> = legal.iter().map(|plan| name(plan)).collect();
    let distinct: BTreeSet<_> = cells.iter().map(|cell| (cell.status, cell.answer)).collect();
    println!(
        "figure: decision table | {} cells, {} legal, {} plans, {} answers by status",
        cells.len(),
        legal.len(),
        plans.len(),
        distinct.len()
    );
    assert_eq!(cells.len(), 25_272);
    assert_eq!(legal.len(), 6_594);
    assert_eq!(plans.len(), PLANS.len());
    assert_eq!(distinct.len(), 117);
}

#[test]
fn the_table_collapsed_by_status_is_this() {
    let mut table: BTreeMap<_, BTreeMap<String, usize>> = BTreeMap::new();
    for cell in cells() {
        let answer = match cell.answer {
            Ok(plan) => name(plan).to_string(),
            Err(refusal) => format!("no: {refusal}"),
        };
        *table.entry((cell.status, cell.request)).or_default().entry(answer).or_default() += 1;
    }
    let mut text = String::new();
    for ((status, request), answers) in table {
        for (answer, cells) in answers {
            text.push_str(&format!("{status:<13} {request:<15} {cells:>5}  {answer}\n"));
        }
    }
    insta::assert_snapshot!("table", text);
}

#[test]
fn the_diagram_is_this() {
    insta::assert_snapshot!("diagram", diagram());
}

#[test]
fn the_architecture_page_shows_the_diagram() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    if !page.exists() {
        return;
    }
    let text = std::fs::read_to_string(page).unwrap();
    let (_, rest) = text.split_once("<!-- diagram -->").expect("the page has the first marker");
    let (shown, _) = rest.split_once("<!-- /diagram -->").expect("the page has the last marker");
    assert_eq!(shown.trim(), diagram().trim(), "put state::diagram() between the markers");
}

#[test]
fn every_status_is_in_the_table() {
    let seen: BTreeSet<_> = cells().iter().map(|cell| cell.status).collect();
    assert_eq!(seen, BTreeSet::from(Status::ALL));
}

#[test]
fn absent_means_that_there_is_no_record() {
    for cell in cells() {
        assert_eq!(cell.status == Status::Absent, cell.record.is_none(), "{}", cell.name());
    }
}

#[test]
fn without_a_record_the_facts_are_not_looked_at() {
    for cell in cells().iter().filter(|cell| cell.record.is_none()) {
        assert_eq!(cell.answer, decide(None, &Facts::NONE, cell.request), "{}", cell.name());
    }
}

#[test]
fn only_a_living_init_makes_a_container_live() {
    for cell in cells() {
        let made = cell.stage().is_some_and(|stage| stage != Stage::Creating);
        let live = match cell.status {
            Status::Created | Status::Running | Status::Pausing | Status::Paused => true,
            Status::Creating => made,
            Status::Absent | Status::Checkpointed | Status::Stopped => false,
        };
        assert_eq!(live, made && cell.alive(), "{}", cell.name());
    }
}

#[test]
fn only_the_frozen_are_paused() {
    for cell in cells().iter().filter(|cell| cell.status == Status::Paused) {
        assert!(cell.alive() && cell.facts.freezer == Freezer::Frozen, "{}", cell.name());
    }
}

#[test]
fn nothing_is_creating_without_a_maker_or_an_init_that_goes_on_alone() {
    let alone =
        |cell: &&Cell| cell.facts.owner == Owner::Gone && cell.facts.init != Liveness::Nascent;
    for cell in cells().iter().filter(alone) {
        assert_ne!(cell.status, Status::Creating, "{}", cell.name());
    }
}

/// CVE-2016-9962 and its kin: whoever joins a container must not find what is the host's in it.
#[test]
fn nobody_joins_who_is_not_its_program_and_waits_at_no_gate() {
    let nascent =
        |cell: &&Cell| cell.facts.init == Liveness::Nascent && cell.facts.gate == Gate::Free;
    for cell in cells().iter().filter(nascent) {
        assert!(cell.request != Request::Exec || cell.answer.is_err(), "{}", cell.name());
    }
}

#[test]
fn a_stranger_is_never_signalled() {
    for cell in cells().iter().filter(|cell| !cell.alive()) {
        if let Ok(plan) = cell.answer {
            assert!(!plan.contains(&Step::Signal), "{}", cell.name());
        }
    }
}

#[test]
fn a_stranger_is_taken_for_a_gone_init() {
    for cell in cells().iter().filter(|cell| cell.facts.init == Liveness::Stranger) {
        let gone = Facts { init: Liveness::Gone, ..cell.facts };
        let record = cell.record.as_ref();
        assert_eq!(cell.answer, decide(record, &gone, cell.request), "{}", cell.name());
    }
}

#[test]
fn residue_is_made_only_under_a_record() {
    for cell in cells() {
        let Ok(plan) = cell.answer else { continue };
        let residue = plan.iter().any(|step| step.residue());
        let manifest = plan.first() == Some(&Step::Manifest);
        assert!(!residue || manifest || cell.record.is_some(), "{}", cell.name());
        assert!(!manifest || cell.record.is_none(), "{} makes a second record", cell.name());
    }
}

#[test]
fn a_second_tree_is_never_put_beside_a_first() {
    for cell in cells().iter().filter(|cell| cell.record.is_some()) {
        let Ok(plan) = cell.answer else { continue };
        let tree = plan.contains(&Step::Spawn) || plan.contains(&Step::RestoreTree);
        let empty = !cell.alive() && cell.facts.cgroup != Occupancy::Populated;
        assert!(!tree || empty, "{}", cell.name());
    }
}

#[test]
fn a_forced_delete_is_always_legal_and_removes_the_record() {
    for cell in cells().iter().filter(|cell| cell.request == Request::ForceDelete) {
        let expected = if cell.record.is_some() { DELETE } else { NOTHING };
        assert_eq!(cell.answer, Ok(expected), "{}", cell.name());
    }
    assert_eq!(DELETE.last(), Some(&Step::RemoveRecord));
}

#[test]
fn whatever_may_be_deleted_is_deleted_whole() {
    for cell in cells() {
        let Ok(plan) = cell.answer else { continue };
        assert!(!plan.contains(&Step::RemoveRecord) || plan == DELETE, "{}", cell.name());
    }
}

#[test]
fn what_is_half_removed_can_only_be_seen_killed_and_removed() {
    for cell in cells().iter().filter(|cell| cell.stage() == Some(Stage::Deleting)) {
        let legal = match cell.request {
            Request::Delete | Request::ForceDelete | Request::State => true,
            Request::Kill => cell.alive(),
            Request::Create
            | Request::Run
            | Request::Start
            | Request::Exec
            | Request::Pause
            | Request::Resume
            | Request::Update
            | Request::Checkpoint
            | Request::Restore => false,
        };
        assert_eq!(cell.answer.is_ok(), legal, "{}", cell.name());
    }
}

#[test]
fn state_is_answered_wherever_there_is_a_record() {
    for cell in cells().iter().filter(|cell| cell.request == Request::State) {
        let expected = cell.record.as_ref().map(|_| NOTHING);
        assert_eq!(cell.answer.ok(), expected, "{}", cell.name());
    }
}

#[test]
fn a_refusal_says_what_was_asked_of_what() {
    for cell in cells() {
        let Err(refusal) = cell.answer else { continue };
        assert_eq!((refusal.request, refusal.status), (cell.request, cell.status));
        let text = refusal.to_string();
        assert!(text.starts_with(char::is_lowercase) && !text.ends_with('.'), "{text}");
    }
}

/// Runs a plan in which the turns of these two numbers fail, and returns how many it took.
fn run(plan: &'static [Step], failing: [usize; 2]) -> usize {
    let mut machine = Machine::new(plan);
    let mut undone = BTreeSet::new();
    for turn in 0.. {
        assert!(turn <= TURNS, "{plan:?} does not end");
        let step = match machine.next() {
            Next::Do(step) => {
                assert!(undone.is_empty(), "{step:?} is done after an undo");
                step
            }
            Next::Undo(step) => {
                assert!(undone.insert(step), "{step:?} is undone twice");
                step
            }
            Next::Done(verdict) => {
                let removed = undone.contains(&Step::RemoveRecord);
                match verdict {
                    Verdict::Success => assert!(failing[0] >= turn),
                    Verdict::Failed { at } => assert!(plan.contains(&at)),
                    Verdict::Stuck { at } => {
                        assert!(undone.contains(&at));
                        assert_eq!(removed, at == Step::RemoveRecord, "the record is kept");
                    }
                }
                return turn;
            }
        };
        assert_eq!(machine.next(), machine.next(), "asking changes {step:?}");
        let fails = failing.contains(&turn);
        machine.on(if fails { Outcome::Failed } else { Outcome::Done });
    }
    unreachable!("the loop has no end of its own")
}

/// No plan takes more turns than this: every step and every undo, once.
const TURNS: usize = 8 + 6;

#[test]
fn every_plan_ends_under_every_pair_of_failures() {
    let mut runs = 0;
    for (_, plan) in PLANS {
        for first in 0..=TURNS {
            for second in first..=TURNS {
                assert!(run(plan, [first, second]) <= TURNS);
                runs += 1;
            }
        }
    }
    println!("figure: machine, every plan by every pair of failing steps | {runs} runs");
    assert_eq!(runs, 1_560);
}
