//! What a failure is told with: the way to it, who did what and what came of it.

use std::fmt::{self, Display, Formatter};

use super::scene::{Event, Scene, State, Step};

/// A shortest way to where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// What is wrong there.
    pub what: String,
    /// What happened, in this order.
    pub events: Vec<Event>,
    /// The same in words, a line each: who, which calls, what they were answered.
    pub trace: Vec<String>,
    /// What [`Scene::replay`] takes to come there again.
    pub choices: String,
}

impl Display for Counterexample {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.what)?;
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        write!(f, "\nreplay: {}", self.choices)
    }
}

impl std::error::Error for Counterexample {}

impl Scene<'_> {
    /// Tells the way to the state of that number.
    pub(super) fn tell(&mut self, what: String, steps: &[Step], number: u32) -> Counterexample {
        let mut choices = Vec::new();
        let mut at = number;
        while let Some(step) = usize::try_from(at).ok().and_then(|at| steps.get(at)) {
            choices.push(step.choice);
            at = step.before;
        }
        choices.reverse();
        let (events, trace) = self.follow(&choices);
        let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
        Counterexample { what, events, trace, choices: choices.join(" ") }
    }

    /// Goes a way again, as [`Counterexample::choices`] writes it, and tells it a line each.
    #[must_use]
    pub fn replay(&mut self, choices: &str) -> Vec<String> {
        let choices: Vec<u16> =
            choices.split_whitespace().filter_map(|choice| choice.parse().ok()).collect();
        self.follow(&choices).1
    }

    fn follow(&mut self, choices: &[u16]) -> (Vec<Event>, Vec<String>) {
        let mut state = self.first();
        let (mut events, mut lines) = (Vec::new(), Vec::new());
        for choice in choices {
            let Some((event, next)) = self.behind(&state).into_iter().nth(usize::from(*choice))
            else {
                lines.push(format!("no choice {choice} here: this is another scene"));
                break;
            };
            lines.push(self.describe(&state, event, &next));
            events.push(event);
            state = next;
        }
        (events, lines)
    }

    /// Tells an event in one line.
    fn describe(&self, before: &State, event: Event, after: &State) -> String {
        match event {
            Event::World(transition) => format!("    {transition:?}"),
            Event::Kill(place) => format!("{} is killed", self.name(place)),
            Event::Ask(place) | Event::Fail(place, _) | Event::Time(place) => {
                let (from, to) = (before.actors[place].at, after.actors[place].at);
                let tell = |asked: &crate::backend::fake::Asked| match asked.value {
                    Ok(value) => format!("{} = {value}", asked.name),
                    Err(errno) => format!("{} = {errno:?}", asked.name),
                };
                let asked: Vec<String> = self.histories.since(to, from).iter().map(tell).collect();
                let late = match event {
                    Event::Fail(..) => " (a fault)",
                    Event::Time(_) => " (time passes)",
                    Event::Ask(_) | Event::Kill(_) | Event::World(_) => "",
                };
                let told = self.histories.told(to).map(|told| format!(", then: {told}"));
                let told = told.unwrap_or_default();
                format!("{}: {}{late}{told}", self.name(place), asked.join(", "))
            }
        }
    }
}
