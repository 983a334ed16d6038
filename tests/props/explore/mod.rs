//! Walks every interleaving of some clients on the fake kernel, with deaths anywhere.
//!
//! A state is a world and, of each client, the answers that it has got so far. From each state
//! every next thing is tried: a client's next call, a client's death, a step of anybody else.
//! States that were seen are not walked again; what differs only in how it came about is one state.
//!
//! **Invariant:** what is walked is the code that ships: bodies call the library's own methods.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use cofferdam::backend::fake::{Client, Pid, Progress, Replay, Transition, World};

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
#[derive(Debug, Default)]
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

impl Scene {
    /// Walks everything, asking `oracle` at each end.
    pub(crate) fn walk(&self, oracle: &dyn Fn(&State) -> Result<(), String>) -> Count {
        let mut world = self.world.clone();
        let actors = self.bodies.iter().map(|(name, _)| {
            let client = Client::new(world.client());
            Actor { name, client, end: None }
        });
        let actors = actors.collect();
        let first = State { world, actors, deaths: 0 };
        let mut count = Count::default();
        let mut seen = HashSet::from([fingerprint(&first)]);
        // A path is kept as events, so that a failure can be told from the beginning.
        let mut path: Vec<Event> = Vec::new();
        let mut stack = vec![(first.clone(), self.events(&first))];
        while let Some((state, events)) = stack.last_mut() {
            let Some(event) = events.pop() else {
                stack.pop();
                path.pop();
                continue;
            };
            let next = self.after(state, event);
            path.push(event);
            count.transitions += 1;
            if !seen.insert(fingerprint(&next)) {
                path.pop();
                continue;
            }
            let events = self.events(&next);
            let judged = if events.is_empty() {
                count.ends += 1;
                settled(&next).and_then(|()| oracle(&next))
            } else {
                sound(&next)
            };
            if let Err(what) = judged {
                panic!("{what}\n\n{}", self.tell(&first, &path));
            }
            stack.push((next, events));
        }
        count.states = seen.len();
        count
    }

    /// Everything that can happen in a state.
    fn events(&self, state: &State) -> Vec<Event> {
        let mut events: Vec<_> = state.world.transitions().into_iter().map(Event::World).collect();
        for (place, actor) in state.actors.iter().enumerate() {
            if actor.end.is_some() {
                continue;
            }
            if state.deaths < self.deaths {
                events.push(Event::Kill(place));
            }
            let mut trial = state.clone();
            let body = self.bodies[place].1;
            match trial.actors[place].client.advance(&mut trial.world, &body) {
                Progress::Blocked | Progress::Killed => (),
                Progress::Asked | Progress::Done(_) => events.push(Event::Ask(place)),
            }
        }
        events
    }

    /// The state behind an event.
    fn after(&self, state: &State, event: Event) -> State {
        let mut next = state.clone();
        match event {
            Event::World(transition) => next.world.apply(transition),
            Event::Kill(place) => {
                let actor = &mut next.actors[place];
                next.world.kill_client(actor.client.pid);
                actor.end = Some(End::Killed);
                next.deaths += 1;
            }
            Event::Ask(place) => {
                let body = self.bodies[place].1;
                let actor = &mut next.actors[place];
                if let Progress::Done(told) = actor.client.advance(&mut next.world, &body) {
                    next.world.end_client(actor.client.pid);
                    actor.end = Some(End::Told(told));
                }
            }
        }
        next
    }

    /// Tells a path, an event a line.
    fn tell(&self, first: &State, path: &[Event]) -> String {
        let mut state = first.clone();
        let mut lines = Vec::new();
        for event in path {
            let before = state.clone();
            state = self.after(&state, *event);
            lines.push(match event {
                Event::World(transition) => format!("    {transition:?}"),
                Event::Kill(place) => format!("{} is killed", before.actors[*place].name),
                Event::Ask(place) => {
                    let actor = &state.actors[*place];
                    let asked = before.actors[*place].client.next().map_or("…", |next| next.name);
                    match &actor.end {
                        Some(End::Told(told)) => format!("{}: {asked}, then: {told}", actor.name),
                        Some(End::Killed) | None => format!("{}: {asked}", actor.name),
                    }
                }
            });
        }
        lines.join("\n")
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

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&state.world, &state.actors, state.deaths).hash(&mut hasher);
    hasher.finish()
}

/// Says which process an oracle is about.
pub(crate) fn pid(actor: &Actor) -> Pid {
    actor.client.pid
}
