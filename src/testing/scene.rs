//! The walk: who takes part, what can happen next, and what was seen.

use std::collections::{HashSet, VecDeque};
use std::iter::Sum;

use super::coverage::Tally;
use super::story::Counterexample;
use crate::backend::fake::{
    Digested, Gait, Histories, History, Pid, Progress, Replay, Time, Transition, World, digest,
};
use crate::sys::Errno;

/// Who takes part, on which machine, and what befalls them.
pub struct Scene<'b> {
    pub(super) histories: Histories<'b>,
    pub(super) tally: Tally,
    bounds: Bounds,
    /// Which calls can fail, and with what; every call, if nobody has chosen.
    chosen: Option<HashSet<(&'static str, Errno)>>,
    clients: Vec<Client>,
    deaths: u8,
    /// What is to be known of every moment of a client's, if anything.
    during: Option<Box<Facts<'b>>>,
    faults: u8,
    world: World,
}

/// What is so on a machine, in bits.
type Facts<'b> = dyn Fn(&World) -> u8 + 'b;

/// How far a walk goes.
#[derive(Clone, Copy)]
struct Bounds {
    depth: u32,
    states: usize,
}

/// A client before it has begun.
struct Client {
    name: String,
    first: History,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client of that place asks its next call.
    Ask(usize),
    /// The next call of the client of that place fails.
    Fail(usize, Errno),
    /// The client of that place is killed.
    Kill(usize),
    /// The timeout of the client of that place is over.
    Time(usize),
    /// Somebody else moves.
    World(Transition),
}

/// How a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'s> {
    /// It was killed.
    Killed,
    /// Its body has returned that.
    Told(&'s str),
}

impl End<'_> {
    /// Returns whether the client has told that.
    #[must_use]
    pub fn is(self, told: &str) -> bool {
        matches!(self, Self::Told(text) if text == told)
    }
}

/// What a walk has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// States behind which nobody has looked, since that was too far.
    pub cut: usize,
    /// States in which nothing more can happen.
    pub ends: usize,
    /// Different states.
    pub states: usize,
    /// Ways from one state to the next.
    pub transitions: usize,
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |a, b| Self {
            cut: a.cut + b.cut,
            ends: a.ends + b.ends,
            states: a.states + b.states,
            transitions: a.transitions + b.transitions,
        })
    }
}

/// A state as an oracle sees it.
#[derive(Clone, Copy)]
pub struct Moment<'s, 'b> {
    pub(super) scene: &'s Scene<'b>,
    pub(super) state: &'s State,
    over: bool,
    count: Count,
    waiting: usize,
}

/// A client on its way.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Actor {
    pid: Pid,
    pub(super) at: History,
    /// What was so at some moment since its first call.
    during: u8,
    /// Who has killed it, if anybody has.
    pub(super) killed: Option<Killer>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Killer {
    /// The walk, as one of its deaths.
    Death,
    /// Another process of the world.
    Signal,
}

/// A state of everything.
#[derive(Clone)]
pub(super) struct State {
    pub(super) world: World,
    pub(super) actors: Box<[Actor]>,
    deaths: u8,
    faults: u8,
}

/// How a state was reached first: from which one, and by which of what could happen there.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) before: u32,
    pub(super) choice: u16,
}

/// The number of the first state; others have that of the step to them.
const FIRST: u32 = u32::MAX;

impl<'b> Scene<'b> {
    /// Returns a scene on that machine, without a client, a death and a fault.
    #[must_use]
    pub fn new(world: World) -> Self {
        Self {
            histories: Histories::default(),
            tally: Tally::default(),
            bounds: Bounds { depth: u32::MAX, states: usize::MAX },
            chosen: None,
            clients: Vec::new(),
            deaths: 0,
            during: None,
            faults: 0,
            world,
        }
    }

    /// Adds a client: a process of the runtime's, its body, and what came of it in words.
    ///
    /// The body is run again and again, so it must ask the same whenever it is answered the same:
    /// no clock, no chance and no state but the kernel's.
    #[must_use]
    pub fn client(
        mut self,
        name: impl Into<String>,
        body: impl Fn(&Replay<'_>) -> String + 'b,
    ) -> Self {
        let first = self.histories.add(Box::new(body));
        self.clients.push(Client { name: name.into(), first });
        self
    }

    /// Lets so many clients be killed, each anywhere.
    #[must_use]
    pub const fn deaths(mut self, deaths: u8) -> Self {
        self.deaths = deaths;
        self
    }

    /// Lets so many calls of clients fail, each anywhere and with every error of its row in
    /// [`TABLE`](crate::sys::TABLE). That is a large walk.
    #[must_use]
    pub const fn faults(mut self, faults: u8) -> Self {
        self.faults = faults;
        self
    }

    /// Lets only these calls fail, by their names in [`TABLE`](crate::sys::TABLE), and only with
    /// these errors: it takes [`Scene::faults`] too.
    #[must_use]
    pub fn faults_among(mut self, calls: impl IntoIterator<Item = (&'static str, Errno)>) -> Self {
        self.chosen = Some(calls.into_iter().collect());
        self
    }

    /// Keeps for each client what was so at some moment from its first call to its end, in bits
    /// that are `facts` of the machine: what a reader may tell. States that differ in it are two.
    #[must_use]
    pub fn during(mut self, facts: impl Fn(&World) -> u8 + 'b) -> Self {
        self.during = Some(Box::new(facts));
        self
    }

    /// Looks no further than so many steps from the first state.
    #[must_use]
    pub const fn depth(mut self, steps: u32) -> Self {
        self.bounds.depth = steps;
        self
    }

    /// Looks no further once so many states are known.
    #[must_use]
    pub const fn states(mut self, states: usize) -> Self {
        self.bounds.states = states;
        self
    }

    /// Walks everything, asking `oracle` in each state, and returns what there was.
    ///
    /// # Errors
    ///
    /// A shortest way to a state in which a process did what no correct process does, a client was
    /// killed by another process, nobody can go on and somebody has not ended, or the oracle says
    /// what is wrong.
    pub fn walk(
        &mut self,
        oracle: &mut dyn FnMut(&Moment<'_, 'b>) -> Result<(), String>,
    ) -> Result<Count, Box<Counterexample>> {
        self.tally = Tally::default();
        let mut walk = Walk::new(self.first());
        while let Some((number, depth, state)) = walk.waiting.pop_front() {
            let behind = self.behind(&state);
            let over = is_over(&behind);
            if over {
                walk.count.ends += 1;
                self.tally.end(&state);
            }
            let (count, waiting) = (walk.count, walk.waiting.len());
            let moment = Moment { count, waiting, ..Moment::new(self, &state, over) };
            if let Err(what) = self.judge(&moment, oracle) {
                let story = self.tell(&walk.steps, number);
                return Err(Box::new(Counterexample { what, story }));
            }
            if self.bounds.depth <= depth || self.bounds.states <= walk.count.states {
                walk.count.cut += usize::from(!behind.is_empty());
                continue;
            }
            for (choice, (event, next)) in (0..).zip(behind) {
                self.tally.step(event, &state, &next);
                walk.reach(Step { before: number, choice }, depth + 1, next);
            }
        }
        Ok(walk.count)
    }

    pub(super) fn judge(
        &self,
        moment: &Moment<'_, 'b>,
        oracle: &mut dyn FnMut(&Moment<'_, 'b>) -> Result<(), String>,
    ) -> Result<(), String> {
        let Moment { state, over, .. } = *moment;
        if let [first, ..] = state.world.violations() {
            return Err(format!("violation: {first}"));
        }
        for (client, actor) in self.clients.iter().zip(&state.actors) {
            if actor.killed == Some(Killer::Signal) {
                return Err(format!("authority: {} was killed by somebody else", client.name));
            }
            if over && self.is_going(actor) {
                return Err(format!("deadlock: {} waits for ever", client.name));
            }
        }
        oracle(moment)
    }

    pub(super) fn first(&self) -> State {
        let mut world = self.world.clone();
        let mut actor = |first| Actor { pid: world.client(), at: first, during: 0, killed: None };
        let actors = self.clients.iter().map(|client| actor(client.first)).collect();
        State { world, actors, deaths: 0, faults: 0 }
    }

    fn is_going(&self, actor: &Actor) -> bool {
        actor.killed.is_none() && self.histories.told(actor.at).is_none()
    }

    pub(super) fn name(&self, place: usize) -> &str {
        self.clients.get(place).map_or("nobody", |client| &client.name)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.clients.iter().map(|client| client.name.clone()).collect()
    }

    /// Returns with what the next call of a history can fail.
    fn errnos(&self, at: History) -> impl Iterator<Item = Errno> + use<> {
        let chosen = |errno: &Errno| match (&self.chosen, self.histories.next(at)) {
            (Some(chosen), Some(name)) => chosen.contains(&(name, *errno)),
            (None, _) | (_, None) => true,
        };
        let errnos = self.histories.errnos(at).iter().copied().filter(chosen);
        errnos.collect::<Vec<_>>().into_iter()
    }

    /// Everything that can happen in a state, and the state behind it.
    pub(super) fn behind(&mut self, state: &State) -> Vec<(Event, State)> {
        let going: Vec<usize> =
            (0..state.actors.len()).filter(|at| self.is_going(&state.actors[*at])).collect();
        let mut found = Vec::new();
        for transition in state.world.transitions() {
            self.add(&mut found, state, Event::World(transition));
        }
        for place in &going {
            self.add(&mut found, state, Event::Ask(*place));
        }
        if found.is_empty() {
            for place in &going {
                self.add(&mut found, state, Event::Time(*place));
            }
        }
        for place in &going {
            if state.deaths < self.deaths {
                self.add(&mut found, state, Event::Kill(*place));
            }
            if state.faults < self.faults {
                for errno in self.errnos(state.actors[*place].at) {
                    self.add(&mut found, state, Event::Fail(*place, errno));
                }
            }
        }
        found
    }

    /// Adds an event with the state behind it, if it can happen.
    fn add(&mut self, found: &mut Vec<(Event, State)>, state: &State, event: Event) {
        let mut next = match event {
            Event::Ask(place) => self.advance(state, place, Time::Stands),
            Event::Time(place) => self.advance(state, place, Time::Passes),
            Event::Fail(place, errno) => {
                let mut next = state.clone();
                let after = self.histories.fail(next.actors[place].at, errno);
                self.reach(&mut next, place, after);
                next.faults += 1;
                Some(next)
            }
            Event::Kill(place) => {
                let mut next = state.clone();
                let actor = &mut next.actors[place];
                next.world.kill_client(actor.pid);
                actor.killed = Some(Killer::Death);
                next.deaths += 1;
                Some(next)
            }
            Event::World(transition) => {
                let mut next = state.clone();
                next.world.apply(transition);
                Some(next)
            }
        };
        if let Some(next) = &mut next {
            next.world.hurry();
            self.keep(state, next);
        }
        found.extend(next.map(|next| (event, next)));
    }

    /// The state behind a client's next call that concerns others, if it can be performed.
    fn advance(&mut self, state: &State, place: usize, time: Time) -> Option<State> {
        let Actor { pid, at, .. } = state.actors[place];
        // While there can be a fault, every call is one at which it can be.
        let gait = if state.faults < self.faults { Gait::Step } else { Gait::Stride };
        if !self.histories.can_advance(&state.world, (pid, at), (gait, time)) {
            return None;
        }
        let mut next = state.clone();
        match self.histories.advance(&mut next.world, (pid, at), (gait, time)) {
            Progress::Asked(after) => self.reach(&mut next, place, after),
            // It has begun to wait at a fifo, which others can see.
            Progress::Blocked => (),
            Progress::Killed => next.actors[place].killed = Some(Killer::Signal),
        }
        Some(next)
    }

    /// Adds what is so now to what was so while a client asks.
    fn keep(&self, state: &State, next: &mut State) {
        let Some(facts) = &self.during else { return };
        let (before, after) = (facts(&state.world), facts(&next.world));
        for ((client, was), is) in self.clients.iter().zip(&state.actors).zip(&mut next.actors) {
            if is.at != client.first && self.is_going(was) {
                is.during |= before | after;
            }
        }
    }

    /// Brings a client somewhere, and ends its process at the end of its body.
    fn reach(&self, state: &mut State, place: usize, at: History) {
        let actor = &mut state.actors[place];
        actor.at = at;
        if self.histories.told(at).is_some() {
            state.world.end_client(actor.pid);
        }
    }
}

/// What a walk knows.
struct Walk {
    count: Count,
    seen: HashSet<u64, Digested>,
    steps: Vec<Step>,
    /// The states to be looked at: their numbers, how far they are, and what they are.
    waiting: VecDeque<(u32, u32, State)>,
}

impl Walk {
    fn new(first: State) -> Self {
        let mut seen: HashSet<u64, Digested> = HashSet::default();
        seen.insert(first.digest());
        let count = Count { states: 1, ..Count::default() };
        Self { count, seen, steps: Vec::new(), waiting: VecDeque::from([(FIRST, 0, first)]) }
    }

    /// Comes to a state, a new one maybe.
    fn reach(&mut self, step: Step, depth: u32, state: State) {
        self.count.transitions += 1;
        if self.seen.insert(state.digest()) {
            self.count.states += 1;
            let reached = u32::try_from(self.steps.len()).unwrap_or(FIRST);
            assert!(reached < FIRST, "a walk of four billion states");
            self.steps.push(step);
            self.waiting.push_back((reached, depth, state));
        }
    }
}

/// Returns whether nothing more can happen by itself.
pub(super) fn is_over(behind: &[(Event, State)]) -> bool {
    behind.iter().all(|(event, _)| matches!(event, Event::Fail(..) | Event::Kill(_)))
}

impl State {
    fn digest(&self) -> u64 {
        digest((&self.world, &self.actors, self.deaths, self.faults))
    }
}

impl<'s, 'b> Moment<'s, 'b> {
    pub(super) fn new(scene: &'s Scene<'b>, state: &'s State, over: bool) -> Self {
        Self { scene, state, over, count: Count::default(), waiting: 0 }
    }

    /// Returns what the walk has seen so far.
    #[must_use]
    pub const fn count(&self) -> Count {
        self.count
    }

    /// Returns how many states are known at which nobody has looked yet.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Returns the machine.
    #[must_use]
    pub const fn world(&self) -> &'s World {
        &self.state.world
    }

    /// Returns whether nothing more can happen.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Returns for each client what was so while it asked, where [`Scene::during`] keeps it.
    pub fn during(&self) -> impl Iterator<Item = u8> + use<'s, 'b> {
        self.state.actors.iter().map(|actor| actor.during)
    }

    /// Returns each client by its name, with its end if it has one.
    pub fn clients(&self) -> impl Iterator<Item = (&'s str, Option<End<'s>>)> + use<'s, 'b> {
        let (scene, actors) = (self.scene, &self.state.actors);
        scene.clients.iter().zip(actors).map(move |(client, actor)| {
            let end = match actor.killed {
                Some(_) => Some(End::Killed),
                None => scene.histories.told(actor.at).map(End::Told),
            };
            (client.name.as_str(), end)
        })
    }
}
