//! What the clients of a walk have done, counted by states.

use std::collections::{BTreeMap, HashMap};

use super::scene::{Event, Scene, State};
use crate::backend::fake::History;
use crate::sys::Errno;

/// What one client has done in a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The client.
    pub client: String,
    /// By call and error, or none: in how many different states it was answered so.
    pub calls: BTreeMap<(&'static str, Option<Errno>), usize>,
    /// In how many states the walk has killed it.
    pub deaths: usize,
    /// How it ended, and in how many of the states in which nothing more can happen.
    pub ends: BTreeMap<String, usize>,
    /// In how many states the walk has failed a call of its.
    pub faults: usize,
}

/// The same while the walk goes on, by histories.
#[derive(Default)]
pub(super) struct Tally {
    /// By where a client was and where it came to.
    ways: HashMap<(History, History), Way>,
    /// By place.
    deaths: HashMap<usize, usize>,
    /// By place, and where a client has ended; nowhere: it was killed.
    ends: HashMap<(usize, Option<History>), usize>,
}

#[derive(Default)]
struct Way {
    place: usize,
    states: usize,
    faults: usize,
}

impl Tally {
    /// Counts what leads from one state to the next.
    pub(super) fn step(&mut self, event: Event, before: &State, after: &State) {
        let (place, fault) = match event {
            Event::World(_) => return,
            Event::Kill(place) => {
                *self.deaths.entry(place).or_default() += 1;
                return;
            }
            Event::Ask(place) | Event::Time(place) => (place, false),
            Event::Fail(place, _) => (place, true),
        };
        let at = |state: &State| state.actors[place].at;
        let way = self.ways.entry((at(before), at(after))).or_default();
        way.place = place;
        way.states += 1;
        way.faults += usize::from(fault);
    }

    /// Counts how the clients have ended.
    pub(super) fn end(&mut self, state: &State) {
        for (place, actor) in state.actors.iter().enumerate() {
            let at = actor.killed.is_none().then_some(actor.at);
            *self.ends.entry((place, at)).or_default() += 1;
        }
    }
}

impl Scene<'_> {
    /// Returns what each client has done in the last walk, one that has failed too.
    #[must_use]
    pub fn coverage(&self) -> Vec<Coverage> {
        let named = |client| Coverage { client, ..Coverage::default() };
        let mut all: Vec<Coverage> = self.names().into_iter().map(named).collect();
        for ((from, to), way) in &self.tally.ways {
            let one = &mut all[way.place];
            one.faults += way.faults;
            for (name, value) in self.histories.answers(*to, *from) {
                *one.calls.entry((name, value.err())).or_default() += way.states;
            }
        }
        for (place, count) in &self.tally.deaths {
            all[*place].deaths = *count;
        }
        for ((place, at), count) in &self.tally.ends {
            let told =
                at.map_or("killed", |at| self.histories.told(at).unwrap_or("waits for ever"));
            *all[*place].ends.entry(told.to_owned()).or_default() += count;
        }
        all
    }
}
