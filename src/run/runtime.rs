//! What an embedder calls: a runtime, and the containers in its state directory.

use std::sync::{Mutex, OnceLock};

use crate::plan::{Host, Plan, Start};
use crate::state::{
    CgroupDir, DELETE, Facts, NOTHING, Record, Refusal, Request, STARTED, Status, Step, Why, decide,
};
use crate::sys::{Errno, Kernel};

use super::compile;
use super::container::{Container, Made};
use super::error::{Doing, Error, Failure};
use super::operation::{Operation, Task};
use super::process::Process;
use super::request::Create;
use super::store::{self, Home};
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
        Ok(Container::named(self, id))
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
            // One that cannot be unlocked is closed, and with it the lock goes.
            && sweep::unlock(&home).is_ok()
        {
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
        let dirs = cgroup::dirs(self.host()?, &create.spec, container.id());
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
