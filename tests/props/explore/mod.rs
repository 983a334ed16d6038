//! Walks every interleaving of some clients on the fake kernel, with deaths anywhere.
//!
//! A state is a world and, of each client, the answers that it has got so far. From each state
//! every next thing is tried: a client's next call, a client's death, a step of anybody else.
//! States that were seen are not walked again; what differs only in how it came about is one state.
//!
//! What makes the walk small enough to be whole:
//!
//! | reduction | why nothing is lost |
//! |---|---|
//! | private calls are performed at once | nobody sees them, and they see nobody |
//! | time passes last | others are faster than any timeout: a wait is as long as it has to be |
//! | a state is a hash of 64 bits | of a million states, two are one with a chance of 1 in 10⁷ |
//!
//! It goes breadth first, so the trace that a failure is told with is a shortest one.
//!
//! **Invariant:** what is walked is the code that ships: bodies call the library's own methods.

mod hash;

use std::collections::{HashSet, VecDeque};
use std::hash::{Hash, Hasher};

use cofferdam::backend::fake::{Client, Progress, Replay, Time, Transition, World};

use self::hash::{Digested, Fold};

/// What a client does: a request of the library's, and what came of it in words.
pub(crate) type Body = fn(&Replay<'_>) -> String;

/// A client on its way.
#[derive(Clone, Hash)]
pub(crate) struct Actor {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) end: Option<End>,
}

/// How a client ended.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// It was killed.
    Killed,
    /// Its request was answered.
    Told(String),
}

/// What can happen next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// The client of that place asks its next call.
    Ask(usize),
    /// The client of that place is killed.
    Kill(usize),
    /// The timeout of the client of that place is over.
    Time(usize),
    /// Somebody else moves.
    World(Transition),
}

/// A state of everything.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) actors: Vec<Actor>,
    pub(crate) deaths: u8,
}

/// What a walk has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) ends: usize,
    pub(crate) states: usize,
    pub(crate) transitions: usize,
}

/// Who takes part, and how often somebody is killed.
pub(crate) struct Scene {
    pub(crate) bodies: Vec<(&'static str, Body)>,
    pub(crate) deaths: u8,
    pub(crate) world: World,
}

/// How a state was reached first.
#[derive(Clone, Copy)]
struct Step {
    before: usize,
    event: Event,
}

impl Scene {
    /// Walks everything, asking `oracle` at each end.
    pub(crate) fn walk(&self, oracle: &mut dyn FnMut(&State) -> Result<(), String>) -> Count {
        let first = self.first();
        let mut count = Count { states: 1, ..Count::default() };
        let mut seen: HashSet<u64, Digested> = HashSet::default();
        seen.insert(fingerprint(&first));
        let mut steps: Vec<Step> = Vec::new();
        // A state's number is that of the step to it; the first has none.
        let mut waiting = VecDeque::from([(usize::MAX, first)]);
        while let Some((number, state)) = waiting.pop_front() {
            let behind = self.behind(&state);
            let over = !behind.iter().any(|(event, _)| !matches!(event, Event::Kill(_)));
            let judged = if over {
                count.ends += 1;
                settled(&state).and_then(|()| oracle(&state))
            } else {
                sound(&state)
            };
            if let Err(what) = judged {
                panic!("{what}\n\n{}", self.tell(&steps, number));
            }
            for (event, next) in behind {
                count.transitions += 1;
                if seen.insert(fingerprint(&next)) {
                    count.states += 1;
                    steps.push(Step { before: number, event });
                    waiting.push_back((steps.len() - 1, next));
                }
            }
        }
        count
    }

    fn first(&self) -> State {
        let mut world = self.world.clone();
        let actors = self.bodies.iter().map(|(name, _)| {
            let client = Client::new(world.client());
            Actor { name, client, end: None }
        });
        let actors = actors.collect();
        State { world, actors, deaths: 0 }
    }

    /// Everything that can happen in a state, and the state behind it.
    fn behind(&self, state: &State) -> Vec<(Event, State)> {
        let mut events: Vec<_> = state.world.transitions().into_iter().map(Event::World).collect();
        let alive = state.actors.iter().enumerate().filter(|(_, actor)| actor.end.is_none());
        let alive: Vec<usize> = alive.map(|(place, _)| place).collect();
        events.extend(alive.iter().copied().map(Event::Ask));
        let mut found: Vec<_> = events
            .into_iter()
            .filter_map(|event| Some((event, self.after(state, event)?)))
            .collect();
        if found.is_empty() {
            let timeouts = alive.iter().copied().map(Event::Time);
            found.extend(timeouts.filter_map(|event| Some((event, self.after(state, event)?))));
        }
        if state.deaths < self.deaths {
            let kills = alive.iter().copied().map(Event::Kill);
            found.extend(kills.filter_map(|event| Some((event, self.after(state, event)?))));
        }
        found
    }

    /// The state behind an event, if it can happen.
    fn after(&self, state: &State, event: Event) -> Option<State> {
        let mut next = state.clone();
        match event {
            Event::World(transition) => next.world.apply(transition),
            Event::Kill(place) => {
                let actor = &mut next.actors[place];
                next.world.kill_client(actor.client.pid);
                actor.end = Some(End::Killed);
                next.deaths += 1;
            }
            Event::Ask(place) | Event::Time(place) => {
                let time = if matches!(event, Event::Ask(_)) { Time::Stands } else { Time::Passes };
                let body = self.bodies[place].1;
                let actor = &mut next.actors[place];
                match actor.client.stride(&mut next.world, &body, time) {
                    Progress::Asked => (),
                    // It may have begun to wait at a fifo, which others can see.
                    Progress::Blocked if next.world == state.world => return None,
                    Progress::Blocked => (),
                    Progress::Done(told) => {
                        next.world.end_client(actor.client.pid);
                        actor.end = Some(End::Told(told));
                    }
                    Progress::Killed => panic!("{} was killed by somebody else", actor.name),
                }
            }
        }
        next.world.hurry();
        Some(next)
    }

    /// Tells the way to a state, an event a line.
    fn tell(&self, steps: &[Step], mut number: usize) -> String {
        let mut path = Vec::new();
        while let Some(step) = steps.get(number) {
            path.push(step.event);
            number = step.before;
        }
        let mut state = self.first();
        let mut lines = Vec::new();
        for event in path.into_iter().rev() {
            let Some(next) = self.after(&state, event) else {
                lines.push(format!("{event:?} cannot happen again"));
                break;
            };
            lines.push(describe(&state, event, &next));
            state = next;
        }
        lines.join("\n")
    }
}

/// Tells an event in one line.
fn describe(before: &State, event: Event, after: &State) -> String {
    match event {
        Event::World(transition) => format!("    {transition:?}"),
        Event::Kill(place) => format!("{} is killed", before.actors[place].name),
        Event::Ask(place) | Event::Time(place) => {
            let actor = &after.actors[place];
            let late = if matches!(event, Event::Time(_)) { " (time passes)" } else { "" };
            let asked = actor.client.since(&before.actors[place].client).join(", ");
            match &actor.end {
                Some(End::Told(told)) => format!("{}: {asked}{late}, then: {told}", actor.name),
                Some(End::Killed) | None => format!("{}: {asked}{late}", actor.name),
            }
        }
    }
}

/// What holds in every state.
fn sound(state: &State) -> Result<(), String> {
    match state.world.violations() {
        [] => Ok(()),
        [first, ..] => Err(format!("violation: {first}")),
    }
}

/// What holds where nothing more can happen: everybody has ended.
fn settled(state: &State) -> Result<(), String> {
    sound(state)?;
    let waiting = state.actors.iter().find(|actor| actor.end.is_none());
    waiting.map_or(Ok(()), |actor| Err(format!("deadlock: {} waits for ever", actor.name)))
}

/// Returns a number that equal worlds share, and others hardly.
pub(crate) fn digest(value: impl Hash) -> u64 {
    let mut hasher = Fold::default();
    value.hash(&mut hasher);
    hasher.finish()
}

fn fingerprint(state: &State) -> u64 {
    digest((&state.world, &state.actors, state.deaths))
}
