//! A container, as an embedder holds it: by name, and asked anew each time.

use std::sync::Mutex;

use crate::plan::Joined;
use crate::spec::{Process as ProcessSpec, Seccomp};
use crate::state::{
    Facts, Freezer, Gate, Liveness, Owner, Record, Refusal, Request, Stage, Status, Why, decide,
    status,
};
use crate::sys::{Errno, Fd, Kernel};

use super::cgroup;
use super::compile::{self, Kept};
use super::error::{Doing, Error, Failure};
use super::observe::observe;
use super::operation::{Child, Operation, Task};
use super::process::{Exit, Process};
use super::request::Exec;
use super::runtime::{Runtime, State};
use super::stats::{self, Stats};
use super::store::{Home, Loaded};

/// A container, by name.
///
/// Every method looks at the disk and asks the kernel anew: what this value was yesterday does not
/// matter.
#[derive(Debug)]
pub struct Container<'r, K: Kernel> {
    pub(super) runtime: &'r Runtime<K>,
    id: String,
    pub(super) init: Option<Process<'r, K>>,
    pub(super) made: Mutex<Option<Made<'r, K>>>,
}

/// A container that this very value has run: while its home is the same, its record can say
/// nothing else that matters to its removal.
#[derive(Debug)]
pub(super) struct Made<'r, K: Kernel> {
    /// The open directory, not locked.
    pub(super) home: Fd<'r, K>,
    pub(super) record: Record,
}

/// A container as it was found: its record, and who its init is.
struct Held<'r, K: Kernel> {
    record: Record,
    facts: Facts,
    init: Option<Fd<'r, K>>,
}

impl<'r, K: Kernel> Container<'r, K> {
    /// Returns the container of a valid name.
    pub(super) fn named(runtime: &'r Runtime<K>, id: &str) -> Self {
        Self { runtime, id: id.to_owned(), init: None, made: Mutex::new(None) }
    }

    /// Returns its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns its init, where this value has created it: a child of the caller's, to be waited
    /// for.
    #[must_use]
    pub const fn init(&self) -> Option<&Process<'r, K>> {
        self.init.as_ref()
    }

    /// Takes the master of its terminal, where [`Console::Relay`](super::Console::Relay) asked for
    /// one.
    pub const fn take_terminal(&mut self) -> Option<Fd<'r, K>> {
        match &mut self.init {
            Some(init) => init.take_terminal(),
            None => None,
        }
    }

    /// Says where the container is in its life.
    ///
    /// # Errors
    ///
    /// Fails where there is no such container, or the kernel will not say.
    pub fn state(&self) -> Result<State, Error> {
        let held = self.held(Request::State, false)?;
        decide(Some(&held.record), &held.facts, Request::State)?;
        let status = status(Some(&held.record), &held.facts);
        let manifest = held.record.manifest;
        let alive = held.facts.init.is_alive();
        Ok(State {
            id: manifest.id,
            status,
            pid: held.record.init.filter(|_| alive).map(|init| init.pid),
            bundle: manifest.bundle,
            rootfs: manifest.rootfs,
            created: manifest.created,
            version: manifest.version,
            annotations: manifest.annotations,
            cgroups: manifest.cgroups,
        })
    }

    /// Starts the program of a created container, and returns once it runs.
    ///
    /// # Errors
    ///
    /// Fails where it cannot be run; the container is stopped then.
    pub fn start(&self) -> Result<(), Error> {
        self.change(Request::Start, Task::Plain).map(drop)
    }

    /// Signals its init.
    ///
    /// # Errors
    ///
    /// Fails where the container does not run.
    pub fn kill(&self, signal: u32) -> Result<(), Error> {
        let held = self.held(Request::Kill, false)?;
        let steps = decide(Some(&held.record), &held.facts, Request::Kill)?;
        self.operation(held, Task::Signal(signal)).drive(steps)
    }

    /// Freezes all its processes.
    ///
    /// # Errors
    ///
    /// Fails where the container does not run, or has no freezer.
    pub fn pause(&self) -> Result<(), Error> {
        self.change(Request::Pause, Task::Plain).map(drop)
    }

    /// Thaws all its processes.
    ///
    /// # Errors
    ///
    /// Fails where the container is not frozen.
    pub fn resume(&self) -> Result<(), Error> {
        self.change(Request::Resume, Task::Plain).map(drop)
    }

    /// Removes a container that has stopped, or one that was never started; returns what its hooks
    /// had to complain of.
    ///
    /// # Errors
    ///
    /// Fails where it runs.
    pub fn delete(&self) -> Result<Vec<String>, Error> {
        let made = self.made.lock().map_or(None, |mut made| made.take());
        let Some(Made { home, record }) = made else {
            return self.change(Request::Delete, Task::Plain);
        };
        let kernel = self.runtime.kernel();
        if !self.home().lock_again(kernel, &home)? {
            // Removed meanwhile; who has its name now is another.
            return Err(exists_not(Request::Delete));
        }
        let held = self.observed(record, true)?;
        self.carry_out(held, Request::Delete, Task::Plain, Some(home))
    }

    /// Kills and removes a container, whatever it is doing; none of that name is success.
    ///
    /// # Errors
    ///
    /// Fails where the kernel keeps something of it; doing it again resumes.
    pub fn force_delete(&self) -> Result<Vec<String>, Error> {
        let (home, kernel) = (self.home(), self.runtime.kernel());
        let told = match home.load(kernel)? {
            Loaded::Damaged(_) if self.discard()? => Vec::new(),
            Loaded::Foreign(what) => return Err(Failure::told(what, Errno::EPROTO).into()),
            Loaded::Absent => Vec::new(),
            Loaded::Damaged(_) | Loaded::Record(_) => {
                match self.change(Request::ForceDelete, Task::Plain) {
                    Err(error) if error.is_not_found() => Vec::new(),
                    done => done?,
                }
            }
        };
        home.sweep(kernel)?;
        Ok(told)
    }

    /// Removes a home whose record cannot be read; returns false where it can, once nobody changes
    /// it.
    ///
    /// Only a power cut leaves such a home, and nothing else of the container.
    fn discard(&self) -> Result<bool, Error> {
        let (home, kernel) = (self.home(), self.runtime.kernel());
        let Some(lock) = home.lock(kernel)? else { return Ok(true) };
        // Another container may have come by this name before it was locked.
        if !matches!(home.load(kernel)?, Loaded::Damaged(_)) {
            return Ok(false);
        }
        home.remove(kernel, &lock, true)?;
        Ok(true)
    }

    /// Adds a process to the container, and returns once it runs.
    ///
    /// It is a child of the caller's, to be [waited for](Process::wait): one that has ended and was
    /// not keeps a place in the container, and [`Self::force_delete`] waits ten seconds for it.
    ///
    /// # Errors
    ///
    /// Fails where the container is stopped or frozen, or the program cannot be run.
    pub fn exec(&self, exec: &Exec) -> Result<Process<'r, K>, Error> {
        let mut held = self.held(Request::Exec, false)?;
        if exec.ignore_paused {
            held.facts.freezer = Freezer::Thawed;
        }
        let steps = decide(Some(&held.record), &held.facts, Request::Exec)?;
        let joined = Joined { namespaces: Kept::of(&held.record)?.namespaces };
        let plan = compile::exec(self.runtime, exec, &joined, &held.record)?;
        let mut operation = self.operation(held, Task::Exec(exec, &plan));
        // The process that is added takes the place of init as the one the request is about.
        operation.init = operation.child.take().map(|init| init.pidfd);
        let done = operation.drive(steps);
        let child = operation.child.take();
        match (done, child) {
            (Ok(()), Some(child)) => Ok(Process {
                kernel: self.runtime.kernel(),
                pid: child.pid,
                pidfd: child.pidfd,
                terminal: operation.terminal.take(),
            }),
            (Ok(()), None) => {
                let what = "make a process without a number";
                Err(Failure::new(what, Errno::EPROTO).into())
            }
            (Err(error), child) => {
                operation.child = child;
                super::join::abandon(&mut operation);
                Err(error)
            }
        }
    }

    /// Returns what the description of the container says of its program and its filter, for
    /// another process like it.
    ///
    /// # Errors
    ///
    /// Fails where there is no such container.
    pub fn process(&self) -> Result<(Option<ProcessSpec>, Option<Seccomp>), Error> {
        let held = self.held(Request::Exec, false)?;
        let kept = Kept::of(&held.record)?;
        Ok((kept.process, kept.seccomp))
    }

    /// Returns the processes of the container, as the caller numbers them.
    ///
    /// # Errors
    ///
    /// Fails where there is no such container, or the kernel will not say.
    pub fn processes(&self) -> Result<Vec<u32>, Error> {
        let held = self.held(Request::State, false)?;
        match held.record.manifest.cgroups.first() {
            Some(dir) => Ok(cgroup::processes(self.runtime.kernel(), dir)?),
            None => Ok(held.init.and(held.record.init).map(|init| init.pid).into_iter().collect()),
        }
    }

    /// Returns what it uses.
    ///
    /// # Errors
    ///
    /// Fails where there is no such container, or the kernel will not say.
    pub fn stats(&self) -> Result<Stats, Error> {
        let held = self.held(Request::State, false)?;
        Ok(stats::read(self.runtime.kernel(), &held.record.manifest.cgroups)?)
    }

    /// Waits until its init is over, and says how it ended.
    ///
    /// # Errors
    ///
    /// `ECHILD` where this value has not created it, or it was waited for already.
    pub fn wait(&self) -> Result<Exit, Error> {
        let init = self.init.as_ref().ok_or(Errno::ECHILD);
        Ok(init.and_then(Process::wait).doing(|| format!("wait for container {}", self.id))?)
    }

    fn home(&self) -> Home {
        Home::new(self.runtime.root(), &self.id)
    }

    /// Reads the record and asks the kernel; `locked` where this caller has the lock.
    fn held(&self, request: Request, locked: bool) -> Result<Held<'r, K>, Error> {
        let mut held = self.observed(self.record(request)?, locked)?;
        // A maker may have finished between the two: what it has written last is asked for again.
        while held.record.stage == Stage::Creating && held.facts.owner == Owner::Gone && !locked {
            let record = self.record(request)?;
            if record == held.record {
                break;
            }
            held = self.observed(record, locked)?;
        }
        Ok(held)
    }

    fn record(&self, request: Request) -> Result<Record, Error> {
        match self.home().load(self.runtime.kernel())? {
            Loaded::Absent => Err(exists_not(request)),
            Loaded::Damaged(what) | Loaded::Foreign(what) => {
                Err(Failure::told(what, Errno::EPROTO).into())
            }
            Loaded::Record(record) => Ok(record.in_boot(self.runtime.boot())),
        }
    }

    fn observed(&self, record: Record, locked: bool) -> Result<Held<'r, K>, Error> {
        let (kernel, boot) = (self.runtime.kernel(), self.runtime.boot());
        let seen = observe(kernel, &self.home(), &record, boot, locked)?;
        Ok(Held { record, facts: seen.facts, init: seen.init })
    }

    /// Carries a request out under the lock; returns what hooks had to complain of.
    pub(super) fn change(&self, request: Request, task: Task<'_>) -> Result<Vec<String>, Error> {
        let lock = self.home().lock(self.runtime.kernel())?;
        let held = self.held(request, lock.is_some())?;
        self.carry_out(held, request, task, lock)
    }

    fn carry_out(
        &self,
        held: Held<'r, K>,
        request: Request,
        task: Task<'_>,
        lock: Option<Fd<'r, K>>,
    ) -> Result<Vec<String>, Error> {
        let steps = decide(Some(&held.record), &held.facts, request)?;
        let mut operation = self.operation(held, task);
        operation.lock = lock;
        operation.drive(steps)?;
        Ok(operation.warnings)
    }

    fn operation<'t>(&self, held: Held<'r, K>, task: Task<'t>) -> Operation<'r, 't, K> {
        let pid = held.record.init.map_or(0, |init| init.pid);
        let mut operation = Operation::new(self.runtime, self.home(), held.record, task);
        operation.child = held.init.map(|pidfd| Child { pid, pidfd });
        operation.frozen = held.facts.freezer != Freezer::Thawed;
        operation.waiting = held.facts.gate == Gate::Held || held.facts.init == Liveness::Nascent;
        operation
    }
}

/// What is said of a container that there is not.
fn exists_not(request: Request) -> Error {
    let refused = decide(None, &Facts::NONE, request).err();
    let refusal = Refusal { request, status: Status::Absent, why: Why::DoesNotExist };
    Error::Refused(refused.unwrap_or(refusal))
}
