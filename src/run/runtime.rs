//! What an embedder calls: a runtime, and the containers in its state directory.

use std::sync::{Mutex, OnceLock};

use crate::plan::{Host, Joined, Plan, Start};
use crate::spec::{Process as ProcessSpec, Seccomp};
use crate::state::{
    CgroupDir, DELETE, Facts, Freezer, Gate, Liveness, NOTHING, Record, Refusal, Request, STARTED,
    Status, Step, Why, decide, status,
};
use crate::sys::{Errno, Fd, Kernel};

use super::compile::{self, Kept};
use super::error::{Doing, Error, Failure};
use super::observe::observe;
use super::operation::{Child, Operation, Task};
use super::process::{Exit, Process};
use super::request::{Create, Exec};
use super::store::{self, Home, Loaded};
use super::{cgroup, identity, probe, sweep};

/// A container runtime over a kernel.
///
/// Everything that it keeps is in its state directory, so several runtimes, in one process or in
/// many, may share one.
#[derive(Debug)]
pub struct Runtime<K: Kernel> {
    kernel: K,
    root: String,
    boot: u64,
    environment: Vec<String>,
    host: OnceLock<Host>,
}

/// What `state` says of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its name.
    pub id: String,
    /// Where it is in its life.
    pub status: Status,
    /// The number of its init, while that lives.
    pub pid: Option<u32>,
    /// The directory that it was made from.
    pub bundle: String,
    /// Its root file system.
    pub rootfs: String,
    /// When it was made, in RFC 3339.
    pub created: String,
    /// The version of the format of its description.
    pub version: String,
    /// Free text of its description's.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// Its cgroup directories, the one that is frozen and counted first.
    pub cgroups: Vec<CgroupDir>,
}

impl<K: Kernel> Runtime<K> {
    /// Returns a runtime whose containers are kept in the directory `root`, an absolute path.
    ///
    /// The directory is made when the first container is.
    ///
    /// # Errors
    ///
    /// Fails where `/proc` does not say which boot this is.
    pub fn new(kernel: K, root: impl Into<String>) -> Result<Self, Error> {
        let boot = identity::boot(&kernel)?;
        let root = root.into().trim_end_matches('/').to_owned();
        Ok(Self { kernel, root, boot, environment: Vec::new(), host: OnceLock::new() })
    }

    /// Gives an environment to hooks outside of the container that name none: else they have
    /// none.
    #[must_use]
    pub fn with_environment(self, environment: Vec<String>) -> Self {
        Self { environment, ..self }
    }

    /// Returns the environment of hooks that name none.
    pub(super) fn environment(&self) -> &[String] {
        &self.environment
    }

    /// Returns the kernel.
    pub const fn kernel(&self) -> &K {
        &self.kernel
    }

    /// Returns the state directory.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Returns which boot this is.
    pub(super) const fn boot(&self) -> u64 {
        self.boot
    }

    /// Returns what was found out of the host, once.
    ///
    /// # Errors
    ///
    /// Fails where `/proc` does not say.
    pub fn host(&self) -> Result<&Host, Failure> {
        if let Some(host) = self.host.get() {
            return Ok(host);
        }
        let host = probe::host(&self.kernel)?;
        Ok(self.host.get_or_init(|| host))
    }

    /// Returns the container of that name, whether there is one or not.
    ///
    /// # Errors
    ///
    /// [`Error::BadId`] for a name that no container can have.
    pub fn container(&self, id: &str) -> Result<Container<'_, K>, Error> {
        if !store::valid(id) {
            return Err(Error::BadId(id.to_owned()));
        }
        Ok(Container { runtime: self, id: id.to_owned(), init: None, made: Mutex::new(None) })
    }

    /// Creates a container: everything is there but its program, which waits for
    /// [`Container::start`].
    ///
    /// # Errors
    ///
    /// Whatever failed, after everything that was made is removed again.
    pub fn create(&self, id: &str, create: &Create) -> Result<Container<'_, K>, Error> {
        self.make(id, create, Start::AtTheGate)
    }

    /// Creates a container and starts it, in one go and under one lock: it stops at no gate.
    ///
    /// # Errors
    ///
    /// Those of both; a container that could not be started is removed again.
    pub fn run(&self, id: &str, create: &Create) -> Result<Container<'_, K>, Error> {
        self.make(id, create, Start::AtOnce)
    }

    fn make(&self, id: &str, create: &Create, start: Start) -> Result<Container<'_, K>, Error> {
        let mut container = self.container(id)?;
        let home = Home::new(&self.root, id);
        // Whether there is one of that name is found out by the first step, which makes none then.
        let (request, then) = match start {
            Start::AtOnce => (Request::Run, STARTED),
            Start::AtTheGate => (Request::Create, NOTHING),
        };
        let steps = decide(None, &Facts::NONE, request)?;
        let dirs = cgroup::dirs(self.host()?, &create.spec, id);
        let plan = compile::create(self, create, &dirs, start)?;
        let manifest = compile::manifest(self, id, create, &plan, dirs, start)?;
        let record = Record::new(manifest);
        let mut operation = Operation::new(self, home, record, Task::Create(create, &plan));
        match operation.drive(steps) {
            Err(Error::Failed(Failure { step: Some(Step::Manifest), errno, .. }))
                if errno == Errno::EEXIST =>
            {
                return Err(exists(request).into());
            }
            done => done?,
        }
        if let Err(Error::Failed(failure)) = operation.drive(then) {
            if operation.lock.is_none() {
                // It was left for the hooks behind the start.
                operation.lock = operation.home.lock(&self.kernel)?;
            }
            let undone = operation.drive(DELETE).err();
            let undo = match undone {
                Some(Error::Failed(undo)) => Some(Box::new(undo)),
                Some(Error::BadId(_) | Error::Invalid(_) | Error::Refused(_)) | None => None,
            };
            return Err(Failure { undo, ..failure }.into());
        }
        if start == Start::AtOnce
            && let Some(home) = operation.lock.take()
        {
            sweep::unlock(&home)?;
            container.made = Mutex::new(Some(Made { home, record: operation.record.clone() }));
        }
        container.init = operation.child.take().map(|child| Process {
            kernel: &self.kernel,
            pid: child.pid,
            pidfd: child.pidfd,
            terminal: operation.terminal.take(),
        });
        Ok(container)
    }

    /// Compiles what the first process of a container that is run would do, and makes nothing.
    ///
    /// # Errors
    ///
    /// Whatever [`Runtime::run`] would refuse before it makes anything, but for a name that is
    /// taken.
    pub fn compile(&self, id: &str, create: &Create) -> Result<Plan, Error> {
        let container = self.container(id)?;
        let dirs = cgroup::dirs(self.host()?, &create.spec, &container.id);
        compile::create(self, create, &dirs, Start::AtOnce)
    }

    /// Lists the containers in the order of their names, with what cannot be read among them.
    ///
    /// # Errors
    ///
    /// Fails where the state directory cannot be listed; `ENOENT` where there is none.
    #[expect(clippy::type_complexity, reason = "a list of names, each with its answer")]
    pub fn list(&self) -> Result<Vec<(String, Result<State, Error>)>, Error> {
        let ids = store::list(&self.kernel, &self.root);
        let ids = ids.doing(|| format!("list {}", self.root))?;
        let state = |id: String| {
            let state = self.container(&id).and_then(|container| container.state());
            (id, state)
        };
        let mut all: Vec<_> = ids.into_iter().map(state).collect();
        // One that went between the two looks was never there.
        all.retain(|(_, state)| !matches!(state, Err(error) if error.is_not_found()));
        Ok(all)
    }
}

const fn exists(request: Request) -> Refusal {
    Refusal { request, status: Status::Stopped, why: Why::Exists }
}

/// A container, by name.
///
/// Every method looks at the disk and asks the kernel anew: what this value was yesterday does not
/// matter.
#[derive(Debug)]
pub struct Container<'r, K: Kernel> {
    pub(super) runtime: &'r Runtime<K>,
    id: String,
    init: Option<Process<'r, K>>,
    made: Mutex<Option<Made<'r, K>>>,
}

/// A container that this very value has run: while its home is the same, its record can say
/// nothing else that matters to its removal.
#[derive(Debug)]
struct Made<'r, K: Kernel> {
    /// The open directory, not locked.
    home: Fd<'r, K>,
    record: Record,
}

/// A container as it was found: its record, and who its init is.
struct Held<'r, K: Kernel> {
    record: Record,
    facts: Facts,
    init: Option<Fd<'r, K>>,
}

impl<'r, K: Kernel> Container<'r, K> {
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
        let alive = held.facts.init == Liveness::Alive;
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
            return self.change(Request::Delete, Task::Plain);
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
        let home = self.home();
        match home.load(self.runtime.kernel())? {
            // Only a power cut leaves a home without a record, and nothing else of the container.
            Loaded::Damaged(_) => {
                if let Some(lock) = home.lock(self.runtime.kernel())? {
                    home.remove(self.runtime.kernel(), &lock, true)?;
                }
                return Ok(Vec::new());
            }
            Loaded::Foreign(what) => return Err(Failure::told(what, Errno::EPROTO).into()),
            Loaded::Absent => {
                home.sweep(self.runtime.kernel())?;
                return Ok(Vec::new());
            }
            Loaded::Record(_) => (),
        }
        let told = match self.change(Request::ForceDelete, Task::Plain) {
            Err(error) if error.is_not_found() => Vec::new(),
            done => done?,
        };
        home.sweep(self.runtime.kernel())?;
        Ok(told)
    }

    /// Adds a process to the container, and returns once it runs.
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
        let (kernel, home) = (self.runtime.kernel(), self.home());
        match home.load(kernel)? {
            Loaded::Absent => Err(decide(None, &Facts::NONE, request).err().map_or_else(
                || Refusal { request, status: Status::Absent, why: Why::DoesNotExist }.into(),
                Error::Refused,
            )),
            Loaded::Damaged(what) | Loaded::Foreign(what) => {
                Err(Failure::told(what, Errno::EPROTO).into())
            }
            Loaded::Record(record) => self.observed(*record, locked),
        }
    }

    fn observed(&self, record: Record, locked: bool) -> Result<Held<'r, K>, Error> {
        let (kernel, boot) = (self.runtime.kernel(), self.runtime.boot);
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
        operation.waiting = held.facts.gate == Gate::Held;
        operation
    }
}
