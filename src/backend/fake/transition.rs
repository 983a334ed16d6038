//! What can happen next without any client, and the order in which simple mode lets it.

use std::fmt::{self, Display, Formatter};

use super::procs::{Life, Role};
use super::{Answer, Pid, World};
use crate::sys::{Call, Live};

/// Something that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transition {
    /// The next phase of the death of a process.
    Exit(Pid),
    /// A freezer comes to rest, by the number of its cgroup.
    Freeze(u32),
    /// A zombie is reaped by a parent that does so by itself.
    Reap(Pid),
    /// A program performs its next operation, or a script its next action in one of its ways.
    Step(Pid, u8),
    /// A cgroup forgets a process that is no more.
    Uncharge(u32),
}

impl Display for Transition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(pid) => write!(f, "process {pid} is dying"),
            Self::Freeze(cgroup) => write!(f, "cgroup {cgroup} comes to rest"),
            Self::Reap(pid) => write!(f, "process {pid} is reaped"),
            Self::Step(pid, 0) => write!(f, "process {pid} goes on"),
            Self::Step(pid, way) => write!(f, "process {pid} goes on, way {way}"),
            Self::Uncharge(cgroup) => write!(f, "cgroup {cgroup} forgets a process"),
        }
    }
}

impl World {
    /// Returns everything that can happen next without a client.
    #[must_use]
    pub fn transitions(&self) -> Vec<Transition> {
        let mut found = Vec::new();
        for (pid, task) in self.tasks.iter() {
            match task.life {
                Life::Running if self.is_halted(pid) => (),
                Life::Running => self.steps(pid, &mut found),
                Life::Dying(_) | Life::Exiting(_) => {
                    if self.can_fade(pid) {
                        found.push(Transition::Exit(pid));
                    }
                }
                Life::Zombie(_) => {
                    if self.is_reaped_by_itself(pid) {
                        found.push(Transition::Reap(pid));
                    }
                }
            }
        }
        self.cgroup_transitions(&mut found);
        found
    }

    fn steps(&self, pid: Pid, found: &mut Vec<Transition>) {
        match &self.task(pid).role {
            Role::Client | Role::Reaper => (),
            Role::Program(_) => {
                if self.can_turn(pid) {
                    found.push(Transition::Step(pid, 0));
                }
            }
            Role::Script { .. } => {
                found.extend((0..self.ways(pid)).map(|way| Transition::Step(pid, way)));
            }
        }
    }

    /// Lets something happen.
    ///
    /// # Panics
    ///
    /// Panics where it cannot happen: only what [`World::transitions`] returned can.
    pub fn apply(&mut self, transition: Transition) {
        match transition {
            Transition::Exit(pid) => self.fade(pid),
            Transition::Freeze(cgroup) => self.come_to_rest(cgroup),
            Transition::Reap(pid) => self.reap(pid),
            Transition::Step(pid, way) => match self.task(pid).role {
                Role::Program(_) => self.turn(pid),
                Role::Script { .. } => self.act(pid, way),
                Role::Client | Role::Reaper => panic!("process {pid} takes no steps by itself"),
            },
            Transition::Uncharge(cgroup) => self.uncharge(cgroup),
        }
    }

    /// Lets the first possible thing happen, and time pass only when nothing else can; returns
    /// whether there was one.
    fn advance(&mut self) -> bool {
        let all = self.transitions();
        let patient = |next: &&Transition| match next {
            Transition::Step(pid, _) => !self.is_turn_hasty(*pid),
            Transition::Exit(_)
            | Transition::Freeze(_)
            | Transition::Reap(_)
            | Transition::Uncharge(_) => true,
        };
        let next = all.iter().find(patient).or_else(|| all.first()).copied();
        if let Some(transition) = next {
            let before = self.clone();
            self.apply(transition);
            // Or everybody would wait for it for ever.
            assert!(*self != before, "{transition:?} changes nothing");
        }
        next.is_some()
    }

    /// Lets things happen until nothing can.
    pub(super) fn quiesce(&mut self) {
        while self.advance() {}
    }

    /// Performs a call, after letting everybody else advance until it can be performed.
    pub(super) fn call_in_turn(&mut self, pid: Pid, call: &Call<Live<'_>>) -> Answer {
        while !self.enabled(pid, call) || self.would_rather_wait(pid, call) {
            self.begin_wait(pid, call);
            if self.advance() {
                continue;
            }
            if self.enabled(pid, call) {
                break;
            }
            let what = super::parts::summary(call);
            panic!("deadlock: process {pid} waits in {what} and nothing can happen\n{self:#?}");
        }
        self.perform(pid, call)
    }

    /// Kills a client here and now: its descriptors close, its locks drop, its children are
    /// given away, and its number is free.
    pub fn kill_client(&mut self, pid: Pid) {
        self.die(pid, crate::sys::flags::SIGKILL);
        while self.tasks.get(pid).is_some_and(|task| task.life.is_charged()) {
            self.fade(pid);
        }
        self.reap(pid);
    }

    /// Ends a client whose work is done, as [`World::kill_client`] does but with status 0.
    pub fn end_client(&mut self, pid: Pid) {
        self.die(pid, 0);
        self.kill_client(pid);
    }
}
