//! How a state came about: who did what, in which order, and what came of it.

use std::fmt::{self, Display, Formatter};

use super::diagram::Diagram;
use super::scene::{Event, Moment, Scene, State, Step, is_over};
use crate::backend::fake::Asked;

/// What was done in one step of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// What happened.
    pub event: Event,
    /// The calls that a client asked, with their answers.
    pub asked: Vec<Asked>,
    /// What the client told in the end, if this was its end.
    pub told: Option<String>,
}

/// A way from the first state of a scene to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// The names of the clients, in the order of their places.
    pub clients: Vec<String>,
    /// What happened, in this order.
    pub steps: Vec<Happening>,
    /// What [`Scene::replay`] takes to go the same way again.
    pub choices: String,
}

/// A shortest way to where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// What is wrong there.
    pub what: String,
    /// The way.
    pub story: Story,
}

impl Story {
    /// Returns the story in words, a line each: who, which calls, what they were answered.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.steps.iter().map(|step| self.line(step)).collect()
    }

    /// Returns the story as a sequence diagram.
    #[must_use]
    pub fn diagram(&self) -> Diagram {
        Diagram::new(self)
    }

    fn line(&self, step: &Happening) -> String {
        let name = |place: usize| self.clients.get(place).map_or("nobody", String::as_str);
        let (place, late) = match step.event {
            Event::World(transition) => return format!("    {transition:?}"),
            Event::Kill(place) => return format!("{} is killed", name(place)),
            Event::Ask(place) => (place, ""),
            Event::Fail(place, _) => (place, " (a fault)"),
            Event::Time(place) => (place, " (time passes)"),
        };
        let tell = |asked: &Asked| match asked.value {
            Ok(value) => format!("{} = {value}", asked.name),
            Err(errno) => format!("{} = {errno:?}", asked.name),
        };
        let asked: Vec<String> = step.asked.iter().map(tell).collect();
        let told = step.told.as_ref().map(|told| format!(", then: {told}")).unwrap_or_default();
        format!("{}: {}{late}{told}", name(place), asked.join(", "))
    }
}

impl Display for Counterexample {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.what)?;
        for line in self.story.lines() {
            writeln!(f, "{line}")?;
        }
        write!(f, "\nreplay: {}", self.story.choices)
    }
}

impl std::error::Error for Counterexample {}

impl<'b> Scene<'b> {
    /// Tells the way to the state of that number.
    pub(super) fn tell(&mut self, steps: &[Step], number: u32) -> Story {
        let mut choices = Vec::new();
        let mut at = number;
        while let Some(step) = usize::try_from(at).ok().and_then(|at| steps.get(at)) {
            choices.push(step.choice);
            at = step.before;
        }
        let (mut state, mut story) = (self.first(), self.untold());
        for choice in choices.iter().rev() {
            let behind = self.behind(&state);
            state = self.follow(&state, (behind, *choice), &mut story).unwrap_or(state);
        }
        story
    }

    /// Goes a way again, as [`Story::choices`] writes it, asking `oracle` in each state.
    ///
    /// # Errors
    ///
    /// The first state of the way in which [`Scene::walk`] would fail, or which has no such choice.
    pub fn replay(
        &mut self,
        choices: &str,
        oracle: &mut dyn FnMut(&Moment<'_, 'b>) -> Result<(), String>,
    ) -> Result<Story, Box<Counterexample>> {
        let (mut state, mut story) = (self.first(), self.untold());
        let mut choices = choices.split_whitespace();
        loop {
            let behind = self.behind(&state);
            let moment = Moment::new(self, &state, is_over(&behind));
            if let Err(what) = self.judge(&moment, oracle) {
                return Err(Box::new(Counterexample { what, story }));
            }
            let Some(choice) = choices.next() else { return Ok(story) };
            let next = choice
                .parse()
                .ok()
                .and_then(|number| self.follow(&state, (behind, number), &mut story));
            state = next.ok_or_else(|| {
                let what = format!("no choice {choice} here: this is another scene");
                Box::new(Counterexample { what, story: story.clone() })
            })?;
        }
    }

    /// Goes one way to its end, asking `oracle` in each state: of so many things that can happen
    /// `choose` says which does, counted from 0 and taken modulo their number.
    ///
    /// That is for ways through walks too large to be whole: as a fuzzer goes them, or by chance.
    ///
    /// # Errors
    ///
    /// The first state of the way in which [`Scene::walk`] would fail. The way there is one of
    /// many, and no shortest one.
    pub fn wander(
        &mut self,
        choose: &mut dyn FnMut(usize) -> usize,
        oracle: &mut dyn FnMut(&Moment<'_, 'b>) -> Result<(), String>,
    ) -> Result<Story, Box<Counterexample>> {
        let (mut state, mut story) = (self.first(), self.untold());
        loop {
            let behind = self.behind(&state);
            let over = is_over(&behind);
            if let Err(what) = self.judge(&Moment::new(self, &state, over), oracle) {
                return Err(Box::new(Counterexample { what, story }));
            }
            if over {
                return Ok(story);
            }
            let choice = u16::try_from(choose(behind.len()) % behind.len()).unwrap_or(0);
            let next = self.follow(&state, (behind, choice), &mut story);
            state = next.unwrap_or(state);
        }
    }

    fn untold(&self) -> Story {
        Story { clients: self.names(), ..Story::default() }
    }

    /// Takes one choice, and writes down what happens.
    fn follow(
        &self,
        state: &State,
        (behind, choice): (Vec<(Event, State)>, u16),
        story: &mut Story,
    ) -> Option<State> {
        let (event, next) = behind.into_iter().nth(usize::from(choice))?;
        let gap = if story.choices.is_empty() { "" } else { " " };
        story.choices.push_str(&format!("{gap}{choice}"));
        story.steps.push(self.happening(state, event, &next));
        Some(next)
    }

    fn happening(&self, before: &State, event: Event, after: &State) -> Happening {
        match event {
            Event::Kill(_) | Event::World(_) => Happening { event, asked: Vec::new(), told: None },
            Event::Ask(place) | Event::Fail(place, _) | Event::Time(place) => {
                let (from, to) = (before.actors[place].at, after.actors[place].at);
                let told = self.histories.told(to).map(str::to_owned);
                Happening { event, asked: self.histories.since(to, from), told }
            }
        }
    }
}
