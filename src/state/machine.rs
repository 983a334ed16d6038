//! A plan under execution: a cursor that says what to do next, and what to undo after a failure.
//!
//! ```text
//!            done                     done: the undos of every step up to the failed, backwards
//!          ┌──────┐                 ┌──────┐
//!          ▼      │                 ▼      │
//!   new ─▶ Do(step) ── failed ──▶ Undo(step) ── failed ──▶ Done(Stuck)
//!          └─ no step left ─▶ Done(Success)  └─ no undo left ─▶ Done(Failed)
//! ```
//!
//! **Invariant:** the failed step is undone too, for it may have happened by half.
//!
//! **Invariant:** the first undo that fails ends everything, and what was to be undone after it
//! stays: the record is the last to go, so a later delete finds the rest.
//!
//! **Invariant:** a machine holds no heap and no answer, only a place in a plan.

use super::Step;

/// A plan and the place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    plan: &'static [Step],
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// Before the step of this number.
    Doing(usize),
    /// Before the undo of number `undone` of the step of number `step`.
    Undoing { failed: Step, step: usize, undone: usize },
    /// At the end.
    Over(Verdict),
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// The step is to be performed, on the way forward.
    Do(Step),
    /// The step is to be performed, on the way back.
    Undo(Step),
    /// Nothing: it is over.
    Done(Verdict),
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It happened.
    Done,
    /// It did not happen, or by half.
    Failed,
}

/// What came of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Every step happened.
    Success,
    /// A step failed, and everything was undone.
    Failed {
        /// The step that failed.
        at: Step,
    },
    /// A step failed, and then an undo failed: the rest is still there, and so is the record.
    Stuck {
        /// The undo that failed.
        at: Step,
    },
}

impl Machine {
    /// Stands before the first step of a plan.
    #[must_use]
    pub const fn new(plan: &'static [Step]) -> Self {
        Self { plan, place: Place::Doing(0) }
    }

    /// Says what is to be done next; asking changes nothing.
    #[must_use]
    pub fn next(&self) -> Next {
        match self.place {
            Place::Doing(step) => match self.plan.get(step) {
                Some(&step) => Next::Do(step),
                None => Next::Done(Verdict::Success),
            },
            Place::Undoing { step, undone, .. } => Next::Undo(self.plan[step].undo()[undone]),
            Place::Over(verdict) => Next::Done(verdict),
        }
    }

    /// Takes the outcome of what [`Machine::next`] said.
    ///
    /// # Panics
    ///
    /// It was over: nothing was to be done that could have had an outcome.
    pub fn on(&mut self, outcome: Outcome) {
        self.place = match (self.place, outcome) {
            (Place::Doing(step), Outcome::Done) => {
                assert!(step < self.plan.len(), "an outcome after the end of the plan");
                Place::Doing(step + 1)
            }
            (Place::Doing(step), Outcome::Failed) => {
                assert!(step < self.plan.len(), "an outcome after the end of the plan");
                self.undoing(self.plan[step], step, 0)
            }
            (Place::Undoing { failed, step, undone }, Outcome::Done) => {
                self.undoing(failed, step, undone + 1)
            }
            (Place::Undoing { step, undone, .. }, Outcome::Failed) => {
                Place::Over(Verdict::Stuck { at: self.plan[step].undo()[undone] })
            }
            (Place::Over(verdict), Outcome::Done | Outcome::Failed) => {
                panic!("an outcome after {verdict:?}")
            }
        };
    }

    /// Finds the first undo that is left, from number `undone` of the step `step` backwards.
    fn undoing(&self, failed: Step, step: usize, undone: usize) -> Place {
        if undone < self.plan[step].undo().len() {
            return Place::Undoing { failed, step, undone };
        }
        match self.plan[..step].iter().rposition(|step| !step.undo().is_empty()) {
            Some(step) => Place::Undoing { failed, step, undone: 0 },
            None => Place::Over(Verdict::Failed { at: failed }),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::{CREATE, DELETE, PLANS, START};
    use super::*;

    /// Runs a plan in which the turns of these numbers fail.
    fn run(plan: &'static [Step], failing: &[usize]) -> (Vec<Next>, Verdict) {
        let (mut machine, mut turns) = (Machine::new(plan), Vec::new());
        loop {
            match machine.next() {
                Next::Done(verdict) => return (turns, verdict),
                next @ (Next::Do(_) | Next::Undo(_)) => {
                    let fails = failing.contains(&turns.len());
                    turns.push(next);
                    machine.on(if fails { Outcome::Failed } else { Outcome::Done });
                }
            }
        }
    }

    fn undone(turns: &[Next]) -> Vec<Step> {
        let undo = |next: &Next| match *next {
            Next::Undo(step) => Some(step),
            Next::Do(_) | Next::Done(_) => None,
        };
        turns.iter().filter_map(undo).collect()
    }

    #[test]
    fn a_plan_without_failure_is_done_in_order() {
        for (name, plan) in PLANS {
            let expected: Vec<_> = plan.iter().copied().map(Next::Do).collect();
            assert_eq!(run(plan, &[]), (expected, Verdict::Success), "{name}");
        }
    }

    #[test]
    fn law_2_a_create_that_fails_at_its_end_undoes_what_delete_does() {
        let (turns, verdict) = run(CREATE, &[CREATE.len() - 1]);
        assert_eq!(undone(&turns), DELETE);
        assert_eq!(verdict, Verdict::Failed { at: Step::Release });
    }

    #[test]
    fn law_3_the_failed_step_is_undone_too() {
        for (name, plan) in PLANS {
            for at in 0..plan.len() {
                let (turns, verdict) = run(plan, &[at]);
                let steps = plan[..=at].iter().rev();
                let expected: Vec<_> = steps.flat_map(|step| step.undo()).copied().collect();
                assert_eq!(undone(&turns), expected, "{name} failing at {at}");
                assert_eq!(verdict, Verdict::Failed { at: plan[at] }, "{name}");
            }
        }
    }

    #[test]
    fn law_4_undo_stops_at_its_first_failure_and_keeps_the_record() {
        for at in 0..CREATE.len() {
            for second in at + 1..at + 1 + undone(&run(CREATE, &[at]).0).len() {
                let (turns, verdict) = run(CREATE, &[at, second]);
                let stuck = *undone(&turns).last().expect("an undo failed");
                assert_eq!(verdict, Verdict::Stuck { at: stuck });
                assert_eq!(turns.len(), second + 1);
                let undone = undone(&turns);
                let kept = undone.split_last().map(|(_, undone)| undone).unwrap_or_default();
                assert!(!kept.contains(&Step::RemoveRecord), "{at} {second}");
            }
        }
    }

    #[test]
    fn a_failed_delete_is_failed_and_nothing_is_undone() {
        for (number, &at) in DELETE.iter().enumerate() {
            let (turns, verdict) = run(DELETE, &[number]);
            assert_eq!(turns.len(), number + 1);
            assert_eq!(verdict, Verdict::Failed { at });
        }
    }

    #[test]
    fn a_failed_poststart_hook_stops_the_container() {
        assert_eq!(undone(&run(START, &[1]).0), [Step::KillAll]);
        assert_eq!(undone(&run(START, &[0]).0), []);
    }
}
