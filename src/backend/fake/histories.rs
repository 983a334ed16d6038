//! Clients as the answers that they have had: a suspended operation is a number.
//!
//! An operation is a deterministic function of its answers, so those are all there is to a
//! suspended one: no thread and no future holds it. Histories share their beginnings:
//!
//! ```text
//! body ── mkdirat ──Ok──▶ openat2 ──Ok──▶ flock ──Ok───▶ ..
//!            │                               └──EAGAIN──▶ "it is being deleted"
//!            └──EEXIST──▶ ..
//! ```
//!
//! A body is run, on the answers so far, when a history is reached for the first time; its next
//! call is kept, and from then on it is performed without the body.
//!
//! **Invariant:** two clients have the same number if and only if they do the same from here on
//! for the same reasons: the same body and the same answers to the same calls.

use std::fmt::{self, Display, Formatter};

use super::fds::FIRST;
use super::kept::Kept;
use super::replay::{Past, Replay};
use super::{Answer, Pid, World, parts};
use crate::sys::{Call, Errno, Live};

/// What a client does: anything over a kernel, and in the end what came of it in words.
pub type Body<'b> = Box<dyn Fn(&Replay<'_>) -> String + 'b>;

/// A body and the answers that it has had, by a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct History(u32);

/// All histories that were reached so far.
#[derive(Default)]
pub struct Histories<'b> {
    bodies: Vec<Body<'b>>,
    nodes: Vec<Node>,
    /// Where the kernel writes.
    room: Vec<u8>,
}

/// The end of a history.
struct Node {
    body: usize,
    came: Came,
    next: Next,
    /// What has come of the next call.
    after: Vec<History>,
}

/// How a history came to its end.
struct Came {
    /// The one before its last call; the first one's is itself.
    before: History,
    value: Answer,
    /// What the kernel wrote, room after room.
    rooms: Box<[u8]>,
}

/// What comes after a history.
enum Next {
    Ask(Kept),
    Told(String),
}

/// What advancing a client came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// At least one call was performed.
    Asked(History),
    /// The next call cannot be performed now; at most, it is now known to wait at a fifo.
    Blocked,
    /// The client's process does not run any more.
    Killed,
}

/// Whether a call with a timeout that nothing has ended yet may run into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// It does.
    Passes,
    /// It waits: others are faster than any timeout.
    Stands,
}

/// A call of a history, with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The call's name.
    pub name: &'static str,
    /// The call with its operands, in words.
    pub call: String,
    /// What it names first, a path or bytes, in quotes; empty: it names nothing.
    pub names: String,
    /// What it was answered.
    pub value: Result<u64, Errno>,
}

/// Shows the call as one reads it: `openat2 "/run/a" = #0`, descriptors counted from 0.
impl Display for Asked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, names, value, .. } = self;
        let gap = if names.is_empty() { "" } else { " " };
        write!(f, "{name}{gap}{names} = ")?;
        let first = u64::from(FIRST.cast_unsigned());
        match *value {
            // With the length of what came beside it in the lower half.
            Ok(value) if value >> 32 >= first => write!(f, "#{}", (value >> 32) - first),
            Ok(value) if value >= first => write!(f, "#{}", value - first),
            Ok(value) => write!(f, "{value}"),
            Err(errno) => write!(f, "{errno:?}"),
        }
    }
}

/// How far a client goes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gait {
    /// Over exactly one call.
    Step,
    /// Over one call that concerns others, and all around it that do not.
    Stride,
}

/// What is left of a client's way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Over one call, or with private ones around it.
    Ahead(Gait, Time),
    /// Over private calls only.
    Trail,
}

impl Way {
    /// Returns whether the next call is performed, and the way from there; `None` ends it.
    fn over(self, world: &World, pid: Pid, call: &Call<Live<'_>>) -> Option<Option<Self>> {
        if !world.enabled(pid, call) {
            return None;
        }
        match self {
            Self::Ahead(_, Time::Stands) if world.would_rather_wait(pid, call) => None,
            Self::Ahead(Gait::Step, _) => Some(None),
            Self::Ahead(Gait::Stride, _) if world.is_private(pid, call) => Some(Some(self)),
            Self::Ahead(Gait::Stride, _) => Some(Some(Self::Trail)),
            Self::Trail => world.is_private(pid, call).then_some(Some(self)),
        }
    }
}

impl<'b> Histories<'b> {
    /// Adds a body; returns its history without an answer.
    pub fn add(&mut self, body: Body<'b>) -> History {
        self.bodies.push(body);
        let first = History(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let came = Came { before: first, value: Ok(0), rooms: Box::default() };
        self.find_out(self.bodies.len() - 1, came)
    }

    /// Returns how many histories there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns what the operation came to, if this is its end.
    #[must_use]
    pub fn told(&self, history: History) -> Option<&str> {
        match &self.node(history).next {
            Next::Ask(_) => None,
            Next::Told(told) => Some(told),
        }
    }

    /// Returns the calls of a history that an earlier one has not, oldest first.
    #[must_use]
    pub fn since(&self, history: History, earlier: History) -> Vec<Asked> {
        let new = self.back(history).take_while(|(at, _)| *at != earlier);
        let mut calls: Vec<Asked> = new.map(|(_, past)| past.told()).collect();
        calls.reverse();
        calls
    }

    /// Returns the names and answers of those calls alone, latest first.
    pub fn answers(
        &self,
        history: History,
        earlier: History,
    ) -> impl Iterator<Item = (&'static str, Result<u64, Errno>)> {
        let new = self.back(history).take_while(move |(at, _)| *at != earlier);
        new.map(|(_, past)| (past.asked.name(), past.value))
    }

    /// Returns the last call of a history, and the history before it.
    #[must_use]
    pub fn last(&self, history: History) -> Option<(Asked, History)> {
        let (_, past) = self.back(history).next()?;
        Some((past.told(), self.node(history).came.before))
    }

    /// Returns the name of the call that is asked next, unless this is the end.
    #[must_use]
    pub fn next(&self, history: History) -> Option<&'static str> {
        match &self.node(history).next {
            Next::Ask(kept) => Some(kept.name()),
            Next::Told(_) => None,
        }
    }

    /// Lets the client `pid` perform what it asks next.
    ///
    /// # Panics
    ///
    /// Panics where the body panics, and where it asks something else than it asked before.
    pub fn advance(
        &mut self,
        world: &mut World,
        (pid, from): (Pid, History),
        (gait, time): (Gait, Time),
    ) -> Progress {
        if world.is_alive(pid) {
            self.go(world, (pid, from), Way::Ahead(gait, time))
        } else {
            Progress::Killed
        }
    }

    /// Returns whether advancing would change anything.
    #[must_use]
    pub fn can_advance(
        &mut self,
        world: &World,
        (pid, history): (Pid, History),
        (gait, time): (Gait, Time),
    ) -> bool {
        if !world.is_alive(pid) {
            return true;
        }
        let Self { nodes, room, .. } = self;
        let Next::Ask(kept) = &nodes[history.0 as usize].next else { return false };
        kept.with(room, |call| {
            let way = Way::Ahead(gait, time);
            way.over(world, pid, call).is_some() || world.could_wait(pid, call)
        })
    }

    /// Returns the errors that the next call can give, by its row in the table.
    ///
    /// A descriptor is gone whatever close(2) says, so that has none here.
    #[must_use]
    pub fn errnos(&self, history: History) -> &'static [Errno] {
        match &self.node(history).next {
            Next::Ask(kept) => kept.errnos(),
            Next::Told(_) => &[],
        }
    }

    /// Returns the history whose next call has failed without having done anything.
    pub fn fail(&mut self, history: History, errno: Errno) -> History {
        self.after(history, Err(errno), Vec::new())
    }

    fn go(&mut self, world: &mut World, (pid, from): (Pid, History), way: Way) -> Progress {
        let (mut at, mut rest) = (from, Some(way));
        while let Some(way) = rest {
            let Self { nodes, room, .. } = self;
            let Next::Ask(kept) = &nodes[at.0 as usize].next else { break };
            let done = kept.with(room, |call| {
                let Some(then) = way.over(world, pid, call) else {
                    if at == from {
                        world.begin_wait(pid, call);
                    }
                    return None;
                };
                let value = world.perform(pid, call);
                Some((then, value, parts::rooms(call, value)))
            });
            let Some((then, value, rooms)) = done else { break };
            rest = then;
            at = self.after(at, value, rooms);
        }
        if at == from { Progress::Blocked } else { Progress::Asked(at) }
    }

    /// Returns the history that goes on with an answer.
    fn after(&mut self, before: History, value: Answer, rooms: Vec<u8>) -> History {
        let node = self.node(before);
        let known = node.after.iter().copied().find(|after| {
            let came = &self.node(*after).came;
            came.value == value && *came.rooms == *rooms
        });
        if let Some(known) = known {
            return known;
        }
        let body = node.body;
        let made = self.find_out(body, Came { before, value, rooms: rooms.into() });
        self.nodes[before.0 as usize].after.push(made);
        made
    }

    /// Adds a history, running its body to find out what comes next.
    fn find_out(&mut self, body: usize, came: Came) -> History {
        let made = History(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        assert!(made.0 < u32::MAX, "too many histories");
        let mut past: Vec<Past<'_>> = Vec::new();
        if came.before != made {
            past.extend(self.past(came.before, &came));
            past.extend(self.back(came.before).map(|(_, past)| past));
            past.reverse();
        }
        let next = match Replay::run(past.clone(), &self.bodies[body]) {
            Ok(told) => {
                if cfg!(debug_assertions) {
                    let again = Replay::run(past, &self.bodies[body]);
                    assert!(again.is_ok(), "not deterministic: another call after the last");
                }
                Next::Told(told)
            }
            Err(asked) => Next::Ask(asked),
        };
        self.nodes.push(Node { body, came, next, after: Vec::new() });
        made
    }

    /// Returns the calls of a history with the histories that they led to, latest first.
    fn back(&self, history: History) -> impl Iterator<Item = (History, Past<'_>)> {
        let mut at = history;
        std::iter::from_fn(move || {
            let (here, came) = (at, &self.node(at).came);
            at = came.before;
            (at != here).then(|| self.past(at, came)).flatten().map(|past| (here, past))
        })
    }

    /// Returns the call behind a history with what came of it.
    fn past<'h>(&'h self, before: History, came: &'h Came) -> Option<Past<'h>> {
        match &self.node(before).next {
            Next::Ask(asked) => Some(Past { asked, value: came.value, rooms: &came.rooms }),
            Next::Told(_) => None,
        }
    }

    fn node(&self, history: History) -> &Node {
        &self.nodes[history.0 as usize]
    }
}
