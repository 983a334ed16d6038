//! The engine: carries a plan out, step by step, and undoes what has failed.
//!
//! | who | does |
//! |---|---|
//! | `state` | says which step is next, and which undo follows a failure |
//! | this module | performs that step, and keeps the first failure |
//!
//! **Invariant:** undoing a failed create, recovering from a death and `delete` perform the same
//! steps by the same code.

use crate::plan::Plan;
use crate::spec::Resources;
use crate::state::{Machine, Next, Outcome, Record, Step, Verdict};
use crate::sys::{Errno, Fd, Kernel};

use super::error::{Error, Failure};
use super::request::{Create, Exec};
use super::runtime::Runtime;
use super::store::Home;
use super::{birth, cgroup, end, gate, hooks, join, update};

/// One request on its way: what its steps share.
pub(super) struct Operation<'k, 't, K: Kernel> {
    pub(super) kernel: &'k K,
    pub(super) runtime: &'k Runtime<K>,
    pub(super) home: Home,
    pub(super) record: Record,
    /// The record that is made and not written yet.
    pub(super) next: Option<Record>,
    /// The file that it will be the next line of.
    pub(super) file: Option<Fd<'k, K>>,
    /// The lock of the container's home.
    pub(super) lock: Option<Fd<'k, K>>,
    /// The fifo that init will wait at, while the container is made.
    pub(super) gate: Option<Fd<'k, K>>,
    /// The socket to a child that is on its way.
    pub(super) sync: Option<Fd<'k, K>>,
    /// The files of hooks within the container.
    pub(super) hooks: Option<hooks::Files<'k, K>>,
    /// The process that the request is about: init, or the one that is added.
    pub(super) child: Option<Child<'k, K>>,
    /// Whether the child is not the first, which has forked it and ended.
    pub(super) forked: bool,
    /// Whether the child has said that it is ready.
    pub(super) ready: bool,
    /// The init that a further process joins.
    pub(super) init: Option<Fd<'k, K>>,
    /// The master of a terminal that the child has sent.
    pub(super) terminal: Option<Fd<'k, K>>,
    /// Cgroups that were found in use by others: they are not the container's to remove.
    pub(super) foreign: bool,
    /// Whether the container was frozen when it was looked at.
    pub(super) frozen: bool,
    /// Whether its init waited at the gate when it was looked at.
    pub(super) waiting: bool,
    /// Failures of hooks that are told and change nothing.
    pub(super) warnings: Vec<String>,
    pub(super) task: Task<'t>,
}

/// A process by number and descriptor.
#[derive(Debug)]
pub(super) struct Child<'k, K: Kernel> {
    pub(super) pid: u32,
    pub(super) pidfd: Fd<'k, K>,
}

/// What the request asks for beside its plan.
#[derive(Clone, Copy)]
pub(super) enum Task<'t> {
    /// A container.
    Create(&'t Create, &'t Plan),
    /// A further process.
    Exec(&'t Exec, &'t Plan),
    /// Other limits.
    Limit(&'t Resources),
    /// Nothing more.
    Plain,
    /// A signal.
    Signal(u32),
}

impl<'k, 't, K: Kernel> Operation<'k, 't, K> {
    /// Returns an operation that holds nothing yet.
    pub(super) fn new(runtime: &'k Runtime<K>, home: Home, record: Record, task: Task<'t>) -> Self {
        Self {
            kernel: runtime.kernel(),
            runtime,
            home,
            record,
            next: None,
            file: None,
            lock: None,
            gate: None,
            sync: None,
            hooks: None,
            child: None,
            forked: false,
            ready: false,
            init: None,
            terminal: None,
            foreign: false,
            frozen: false,
            waiting: false,
            warnings: Vec::new(),
            task,
        }
    }

    /// Carries a plan out.
    ///
    /// # Errors
    ///
    /// The first failure, with that of its undo where the undo failed too.
    pub(super) fn drive(&mut self, plan: &'static [Step]) -> Result<(), Error> {
        let mut machine = Machine::new(plan);
        let mut first: Option<Failure> = None;
        loop {
            let step = match machine.next() {
                Next::Do(step) | Next::Undo(step) => step,
                Next::Done(Verdict::Success) => return Ok(()),
                Next::Done(Verdict::Failed { .. } | Verdict::Stuck { .. }) => {
                    let nothing = || Failure::told("no step failed".to_owned(), Errno::EPROTO);
                    return Err(first.unwrap_or_else(nothing).into());
                }
            };
            match self.perform(step) {
                Ok(()) => machine.on(Outcome::Done),
                Err(failure) => {
                    let failure = Failure { step: Some(step), ..failure };
                    // Behind a failure there are only undos, and the first that fails ends it.
                    match &mut first {
                        Some(first) => first.undo = Some(Box::new(failure)),
                        None => first = Some(failure),
                    }
                    machine.on(Outcome::Failed);
                }
            }
        }
    }

    fn perform(&mut self, step: Step) -> Result<(), Failure> {
        match step {
            Step::Manifest => birth::manifest(self),
            Step::Cgroup => birth::cgroup(self),
            Step::Spawn => birth::spawn(self),
            Step::IdMap => birth::id_map(self),
            Step::RuntimeHooks => birth::runtime_hooks(self),
            Step::Prepare => birth::prepare(self),
            Step::CommitCreated => birth::commit_created(self),
            Step::Release => birth::release(self),
            Step::OpenGate => gate::open(self),
            Step::Launch => birth::launch(self),
            Step::PoststartHooks => hooks::poststart(self),
            Step::Signal => end::signal(self),
            Step::Freeze => end::freeze(self),
            Step::Thaw => end::thaw(self),
            Step::Limit => update::limit(self),
            Step::SpawnExec => join::spawn(self),
            Step::CommitDeleting => end::commit_deleting(self),
            Step::KillAll => end::kill_all(self),
            Step::Reap => end::reap(self),
            Step::RemoveCgroup => end::remove_cgroup(self),
            Step::PoststopHooks => hooks::poststop(self),
            Step::RemoveRecord => end::remove_record(self),
            Step::Dump | Step::CommitCheckpointed | Step::RestoreTree | Step::CommitRestored => {
                Err(Failure::told(format!("{step:?} is not supported yet"), Errno::ENOSYS))
            }
        }
    }

    /// Returns the process that the request is about, in a step that is behind its making.
    pub(super) fn child(&self) -> Result<&Child<'k, K>, Failure> {
        self.child.as_ref().ok_or_else(|| without("a process"))
    }

    /// Returns the file of the record, in a step between its making and its last line.
    pub(super) fn file(&self) -> Result<&Fd<'k, K>, Failure> {
        self.file.as_ref().ok_or_else(|| without("a record"))
    }

    /// Returns the socket to the child, in a step between its making and its release.
    pub(super) fn sync(&self) -> Result<&Fd<'k, K>, Failure> {
        self.sync.as_ref().ok_or_else(|| without("a socket"))
    }

    /// Opens what a child of this container joins its cgroups by.
    pub(super) fn doors(&self) -> Result<cgroup::Doors<'k, K>, Failure> {
        cgroup::doors(self.kernel, &self.record.manifest.cgroups)
    }
}

/// The failure of a step that a plan has in the wrong place.
pub(super) fn without(what: &str) -> Failure {
    Failure::new(format!("perform a step without {what}"), Errno::EPROTO)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::state::Manifest;
    use crate::sys::{Call, Live};

    /// Knows which boot it is, and lists what else it is asked.
    struct Silent(RefCell<Vec<&'static str>>);

    impl Kernel for Silent {
        fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
            const BOOT: &[u8] = b"01234567-89ab-cdef-0123-456789abcdef\n";
            self.0.borrow_mut().push(call.row().name);
            match call {
                Call::Read { buf, .. } => {
                    buf.iter().zip(BOOT).for_each(|(room, byte)| room.set(*byte));
                    Ok(BOOT.len() as u64)
                }
                _ => Ok(3),
            }
        }
    }

    #[test]
    fn a_step_that_lacks_what_it_is_about_fails_and_asks_nothing() {
        let runtime = Runtime::new(Silent(RefCell::default()), "/run/x").unwrap();
        let asked = || runtime.kernel().0.borrow().len();
        for (step, lacks) in [
            (Step::Cgroup, "create without a description"),
            (Step::Spawn, "create without a description"),
            (Step::IdMap, "create without a description"),
            (Step::RuntimeHooks, "create without a description"),
            (Step::Prepare, "create without a description"),
            (Step::CommitCreated, "create without a description"),
            (Step::Release, "perform a step without a socket"),
            (Step::Launch, "create without a description"),
            (Step::Signal, "perform a step without a signal"),
            (Step::Limit, "perform a step without limits"),
            (Step::SpawnExec, "perform a step without a process to add"),
            (Step::Dump, "Dump is not supported yet"),
        ] {
            let before = asked();
            let (home, record) = (Home::new("/run/x", "a"), Record::new(Manifest::default()));
            let failed = Operation::new(&runtime, home, record, Task::Plain).perform(step);
            assert!(failed.unwrap_err().message.starts_with(lacks), "{step:?}");
            assert_eq!(asked(), before, "{step:?}");
        }
        let (home, record) = (Home::new("/run/x", "a"), Record::new(Manifest::default()));
        let signal = Operation::new(&runtime, home, record, Task::Signal(9)).perform(Step::Signal);
        let lacks = "perform a step without a process";
        assert!(signal.unwrap_err().message.starts_with(lacks));
    }
}
