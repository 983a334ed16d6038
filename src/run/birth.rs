//! The steps of create: from the record to an init that waits at the gate.
//!
//! ```text
//! runtime                             child
//! ───────                             ─────
//! Manifest   record, gate
//! Cgroup     directories, limits
//! Spawn      clone3 ───────────────▶  (waits for its id maps, if it has its own)
//! IdMap      uid_map, gid_map ─────▶  becomes the stub, makes mounts …
//! RuntimeHooks     ◀───────────── H   (waits, if there are hooks)
//!            run them ─────────────▶  leaves the old root, drops powers …
//! Prepare          ◀───────────── R   (waits)
//! CommitCreated
//! Release    ──────────────────────▶  waits at the gate, and outlives us from here on
//! ```
//!
//! Without a gate, the record says created before the child is ready, and the child, which is told
//! so at once, does not stop:
//!
//! ```text
//! CommitCreated                       makes mounts, leaves the old root …
//! Launch     ──────────────────────▶
//!                  ◀───────────── R
//!                  ◀───────────────   becomes its program, which closes the socket
//! ```

use crate::plan::{self, Given, Plan, Stream};
use crate::state::{Record, Stage};
use crate::sys::{self, Call, Errno, Fd, Kernel, RawFd, Syscalls, flags};

use super::cgroup::Unmade;
use super::error::{Doing, Failure, regardless};
use super::operation::{Child, Operation, Task};
use super::process::{Message, is_child, is_over, receive, wait};
use super::request::{Console, Create, Stdio};
use super::sweep::unlock;
use super::{cgroup, hooks, identity, maps, records, streams};

/// What a record says whose cgroups were seen to be the container's own.
pub(super) const CLAIMED: &str = "claimed";

/// The record and the home come into being together, before anything they name.
pub(super) fn manifest<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    match op.home.begin(op.kernel, &op.record)? {
        Some(made) => {
            op.lock = Some(made.lock);
            op.file = Some(made.file);
            op.gate = made.gate;
            Ok(())
        }
        None => Err(Failure::new(format!("create {}", op.record.manifest.id), Errno::EEXIST)),
    }
}

pub(super) fn cgroup<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let (create, _) = task(op)?;
    let host = op.runtime.host()?;
    match cgroup::make(op.kernel, host, &op.record.manifest.cgroups, &create.spec.cgroup) {
        Ok(()) if create.spec.hooks.create_container.is_empty() => Ok(()),
        Ok(()) => claim(op),
        Err(Unmade::Failed(failure)) => Err(failure),
        Err(Unmade::Foreign(failure)) => {
            op.foreign = true;
            Err(failure)
        }
    }
}

/// Says that whoever is in the cgroup is the container's, where others than its init will be before
/// that is recorded: hooks that the child runs.
fn claim<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    op.record.manifest.extra.insert(CLAIMED.to_owned(), String::new());
    records::write(op.kernel, op.file()?, &op.record)
}

/// Makes the child; it is in its cgroup, and bound to the socket, from its first moment.
pub(super) fn spawn<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let (create, plan) = task(op)?;
    let gate = op.gate.take();
    let handed = Handed {
        console: create.console,
        gate: gate.as_ref().map(Fd::raw),
        record: op.file.as_ref().map(Fd::raw),
        preserve_fds: create.preserve_fds,
        stdio: create.stdio,
        owner: create
            .spec
            .process
            .as_ref()
            .and_then(|process| streams::outside(process.user.uid, &create.spec.uid_maps)),
    };
    make(op, plan, &handed)
}

/// What a request hands to its child.
pub(super) struct Handed {
    pub(super) console: Console,
    pub(super) gate: Option<RawFd>,
    /// The record, locked until the child is its program.
    pub(super) record: Option<RawFd>,
    pub(super) preserve_fds: u32,
    pub(super) stdio: [Stdio; 3],
    /// The user of the process, as the caller numbers users.
    pub(super) owner: Option<u32>,
}

/// Makes a child of this container that performs a plan.
pub(super) fn make<K: Kernel>(
    op: &mut Operation<'_, '_, K>,
    plan: &Plan,
    handed: &Handed,
) -> Result<(), Failure> {
    let what = || "make the container's first process";
    let kernel = op.kernel;
    if handed.console == Console::None {
        streams::give(kernel, &handed.stdio, handed.owner)?;
    }
    // Beside the gate, so that fewer gaps are to be closed between what the child keeps.
    let [theirs, ours] = kernel.socketpair().doing(what)?;
    let files = if plan.given.contains(&Given::HookState) {
        Some(hooks::Files::new(kernel).doing(|| "make the files of hooks")?)
    } else {
        None
    };
    let mut given = Vec::new();
    for wanted in &plan.given {
        given.push(match (wanted, handed.console) {
            (Given::Sync, _) => theirs.raw(),
            (Given::Gate, _) => handed.gate.ok_or(Errno::EBADF).doing(what)?,
            (Given::Record, _) => handed.record.ok_or(Errno::EBADF).doing(what)?,
            (Given::Console, Console::Socket(socket)) => socket,
            (Given::Console, Console::None | Console::Relay) => -1,
            (Given::Init, _) => op.init.as_ref().map_or(-1, Fd::raw),
            (Given::HookOutput(stream), _) => {
                files.as_ref().map_or(-1, |files| files.output(*stream))
            }
            (Given::HookState, _) => files.as_ref().map_or(-1, hooks::Files::state),
            (Given::Stream(stream), _) => stream_fd(&handed.stdio, *stream),
        });
    }
    given.extend((3..).take(usize::try_from(handed.preserve_fds).unwrap_or(usize::MAX)));
    let doors = op.doors()?;
    let tasks: Vec<_> = doors.tasks.iter().map(Fd::raw).collect();
    let child = sys::Child {
        namespaces: plan.namespaces,
        cgroup: doors.unified.as_ref().map(Fd::raw),
        tasks: &tasks,
        given: &given,
        mapped: plan.mapped,
        code: plan.program.code(),
    };
    let (pid, pidfd) = match (kernel.spawn(child), &op.record.init) {
        // Init has divided its cgroup, and an inner one takes no processes (cgroups(7); law
        // `a_birth_in_an_inner_cgroup_is_ebusy`): where init went is still the container's.
        (Err(Errno::EBUSY), Some(init)) => {
            let dirs = &op.record.manifest.cgroups;
            let door = cgroup::inner_door(kernel, op.runtime.host()?, dirs, init.pid)?;
            kernel.spawn(sys::Child { cgroup: Some(door.raw()), ..child })
        }
        (made, _) => made,
    }
    .doing(what)?;
    op.child = Some(Child { pid, pidfd });
    op.sync = Some(ours);
    op.hooks = files;
    Ok(())
}

fn stream_fd(stdio: &[Stdio; 3], stream: Stream) -> RawFd {
    let index = usize::try_from(stream.fd()).unwrap_or(0);
    match stdio.get(index) {
        Some(Stdio::Fd(fd)) => *fd,
        Some(Stdio::Inherit) | None => stream.fd(),
    }
}

/// Writes the maps of a new user namespace; the child waits for it.
pub(super) fn id_map<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let (create, plan) = task(op)?;
    if !plan.mapped {
        return Ok(());
    }
    maps::write(op, op.child()?.pid, [&create.spec.uid_maps, &create.spec.gid_maps])?;
    op.kernel.send(op.sync()?.raw(), b"M").doing(|| "tell the child that its ids are mapped")
}

pub(super) fn runtime_hooks<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let (create, plan) = task(op)?;
    if !plan.hooks_stop {
        return Ok(());
    }
    expect(op, plan, Wanted::Hooks)?;
    let hooks = &create.spec.hooks;
    hooks::tell(op, "creating")?;
    let pid = op.child.as_ref().map(|child| child.pid);
    let state = hooks::state(&op.record, "creating", pid);
    hooks::run_all(op, "prestart", &hooks.prestart, &state)?;
    hooks::run_all(op, "createRuntime", &hooks.create_runtime, &state)?;
    op.kernel.send(op.sync()?.raw(), b"H").doing(|| "tell the child that the hooks have run")
}

/// Waits until the child has done all that can fail before the start.
///
/// Meanwhile the next record is made, so that only its line is left to be written.
pub(super) fn prepare<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let (_, plan) = task(op)?;
    if !plan.forks {
        op.next = Some(created(op)?);
    }
    expect(op, plan, Wanted::Ready)?;
    if plan.forks {
        op.next = Some(created(op)?);
    }
    Ok(())
}

/// Makes the record of a container whose init is there.
fn created<K: Kernel>(op: &Operation<'_, '_, K>) -> Result<Record, Failure> {
    let init = Some(identity::identify(op.kernel, op.child()?.pid, op.runtime.boot())?);
    let mut created = Record { init, stage: Stage::Created, ..op.record.clone() };
    if let Some(files) = op.hooks.as_ref().filter(|_| !op.record.manifest.ungated) {
        let numbers = format!("{:?}", files.numbers());
        created.manifest.extra.insert(hooks::OUTPUT.to_owned(), numbers);
    }
    Ok(created)
}

/// Says what the child is awaited to say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The child waits for the hooks of the runtime.
    Hooks,
    /// The child that goes on is known.
    Pid,
    /// It has become its program.
    Program,
    /// It waits to be let go.
    Ready,
}

/// Listens to the child until it says what is awaited.
pub(super) fn expect<K: Kernel>(
    op: &mut Operation<'_, '_, K>,
    plan: &Plan,
    wanted: Wanted,
) -> Result<(), Failure> {
    while wanted != Wanted::Pid || !op.forked {
        let message = receive(op.kernel, op.sync()?)?;
        let spoken = !matches!(message, Message::Over | Message::Pid(_) | Message::Terminal(_));
        if spoken && plan.forks && !op.forked {
            hear_elder(op)?;
        }
        match message {
            Message::Ended { op: at, status } => return Err(ended(op, plan, at, status)),
            Message::Failed { op: at, errno } => {
                return Err(Failure::told(plan.explain(at, errno), errno));
            }
            Message::Hooks | Message::Ready if plan.forks && !op.forked => return Err(killed()),
            Message::Hooks if wanted == Wanted::Hooks => return Ok(()),
            Message::Ready if wanted == Wanted::Ready => return Ok(()),
            Message::Ready if wanted != Wanted::Hooks => op.ready = true,
            Message::Over if op.ready => return Ok(()),
            Message::Over => return Err(killed()),
            Message::Pid(pid) if plan.forks && !op.forked => succeed(op, pid)?,
            Message::Terminal(master) if awaits_terminal(op) => op.terminal = Some(master),
            Message::Hooks | Message::Pid(_) | Message::Ready | Message::Terminal(_) => {
                return Err(Failure::new("hear from the child in order", Errno::EPROTO));
            }
        }
    }
    Ok(())
}

/// Whether the child is to send the master of its terminal, and has not.
fn awaits_terminal<K: Kernel>(op: &Operation<'_, '_, K>) -> bool {
    let console = match op.task {
        Task::Create(create, _) => create.console,
        Task::Exec(exec, _) => exec.console,
        Task::Limit(_) | Task::Plain | Task::Signal(_) => Console::None,
    };
    console == Console::Relay && op.terminal.is_none()
}

fn killed() -> Failure {
    let what = "the container's first process was killed before it was ready";
    Failure::told(what.to_owned(), Errno::EPIPE)
}

/// Lets the child that has forked say who goes on, which it may do later than that one speaks.
///
/// It is over as soon as it has said so; one that was killed, or has failed before it forked, has
/// nothing to say.
fn hear_elder<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let what = || "wait for the child that forks";
    is_over(op.kernel, &op.child()?.pidfd, -1).doing(what)?;
    if op.kernel.poll([(op.sync()?.raw(), flags::POLLIN)], 0).doing(what)? == [0] {
        return Ok(());
    }
    match receive(op.kernel, op.sync()?)? {
        Message::Pid(pid) => succeed(op, pid),
        Message::Ended { .. }
        | Message::Failed { .. }
        | Message::Hooks
        | Message::Over
        | Message::Ready
        | Message::Terminal(_) => Ok(()),
    }
}

/// Puts the process that goes on in the place of the one that has forked it.
fn succeed<K: Kernel>(op: &mut Operation<'_, '_, K>, pid: u32) -> Result<(), Failure> {
    let first = op.child.replace(adopt(op.kernel, pid)?);
    op.forked = true;
    match first {
        Some(first) => {
            wait(op.kernel, &first.pidfd).doing(|| "wait for the child that has forked").map(drop)
        }
        None => Ok(()),
    }
}

/// Says which hook within the container has ended badly, and how.
fn ended<K: Kernel>(op: &Operation<'_, '_, K>, plan: &Plan, at: u16, status: u16) -> Failure {
    let about = plan.program.about(at);
    let said = op.hooks.as_ref().map(|files| files.said(op.kernel, status));
    let said = said.unwrap_or_else(|| Ok(plan::ending(status)));
    match said {
        Ok(said) => Failure::told(format!("{about}: {said}"), Errno::EPROTO),
        Err(errno) => Failure::new(about, errno),
    }
}

/// Takes hold of the process that goes on: it is a child of the caller's, not waited for yet, so
/// its number is its own.
///
/// Whoever is said to go on and is nobody's child here is not taken: what is adopted is signalled.
fn adopt<K: Kernel>(kernel: &K, pid: u32) -> Result<Child<'_, K>, Failure> {
    let what = || format!("adopt process {pid}");
    let pidfd = kernel.give(Call::PidfdOpen { pid, flags: 0 }).doing(what)?;
    if is_child(kernel, &pidfd).doing(what)? {
        Ok(Child { pid, pidfd })
    } else {
        Err(Failure::new(what(), Errno::ECHILD))
    }
}

/// The record says created …
pub(super) fn commit_created<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let next = match op.next.take() {
        Some(next) => next,
        None => {
            let (_, plan) = task(op)?;
            if plan.forks {
                expect(op, plan, Wanted::Pid)?;
            }
            created(op)?
        }
    };
    records::write(op.kernel, op.file()?, &next)?;
    op.record = next;
    Ok(())
}

/// … and only then is the child told so.
pub(super) fn release<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    hooks::tell(op, "created")?;
    op.file = None;
    let sent = op.kernel.send(op.sync()?.raw(), b"G").doing(|| "let the container go");
    op.sync = None;
    sent
}

/// … or told at once, and watched until it has become its program.
pub(super) fn launch<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let (_, plan) = task(op)?;
    if op.hooks.is_some() {
        // Those before the start have run when it is ready, and those at the start read created.
        expect(op, plan, Wanted::Ready)?;
        op.ready = true;
        hooks::tell(op, "created")?;
    }
    match op.kernel.send(op.sync()?.raw(), b"G") {
        // It is gone already, perhaps with something unread (ECONNRESET), and has said why.
        Ok(()) | Err(Errno::EPIPE | Errno::ECONNRESET) => expect(op, plan, Wanted::Program)?,
        Err(errno) => return Err(Failure::new("let the container go", errno)),
    }
    op.sync = None;
    // execve(2) closes the socket and the record one after the other: whoever is told that the
    // program runs must not find it nascent. What fails here, it does in a moment.
    regardless(unlock(op.file()?));
    op.file = None;
    Ok(())
}

fn task<'t, K: Kernel>(op: &Operation<'_, 't, K>) -> Result<(&'t Create, &'t Plan), Failure> {
    match op.task {
        Task::Create(create, plan) => Ok((create, plan)),
        Task::Exec(..) | Task::Limit(_) | Task::Plain | Task::Signal(_) => {
            Err(Failure::new("create without a description", Errno::EINVAL))
        }
    }
}
