//! A record that is not what was written harms nobody, and goes with `delete --force`.
//!
//! | the file is | `delete --force` |
//! |---|---|
//! | without a whole line | removes it |
//! | a record of processes and cgroups that are the container's or nobody's | removes all |
//! | a record that names what is somebody else's | is not judged: it is all that is known |
//! | anything else | refuses it, and leaves everything as it is |
//!
//! Nothing panics whatever the file is, every request ends, and in the first two cases nobody else
//! is touched.

use std::cell::RefCell;

use arbitrary::Arbitrary;
use cofferdam::backend::fake::{Action, Payload, Pid, World};
use cofferdam::state::Record;
use cofferdam::sys::{Errno, Kernel};
use cofferdam::testing::lifecycle::{ID, ROOT, fit, machine, smallest};
use cofferdam::testing::oracles;
use cofferdam::{Create, Error, Exec, Runtime};
use serde_json::Value;

use crate::edit::Edit;
use crate::hurt::Hurt;
use crate::made::{Choice, Kernel as Named, whole};

/// Another container, which is to stay.
const OTHER: &str = "b";

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    kernel: Named,
    before: Choice,
    /// Whether it has no pid namespace of its own.
    open: bool,
    requests: [Choice; 2],
    damages: Vec<Damage<'a>>,
}

/// What becomes of the file.
#[derive(Debug, Arbitrary)]
enum Damage<'a> {
    Byte(u16, u8),
    Cut(u16),
    Edit(u16, Edit),
    Line(&'a [u8]),
    /// Its init has another number.
    Pid(u8),
    Text(&'a [u8]),
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Create,
    Delete,
    Exec,
    Force,
    Kill,
    List,
    Pause,
    Processes,
    Resume,
    Run,
    Start,
    State,
    Stats,
}

const REQUESTS: [Request; 13] = [
    Request::State,
    Request::Kill,
    Request::Delete,
    Request::Start,
    Request::Exec,
    Request::Pause,
    Request::Resume,
    Request::Create,
    Request::Run,
    Request::List,
    Request::Processes,
    Request::Stats,
    Request::Force,
];

/// What a reader makes of a file.
#[derive(Debug, PartialEq)]
enum Kind {
    Damaged,
    Foreign,
    Ours,
    /// A record of what is somebody else's, or of no one kind.
    Unknown,
}

/// A machine with two containers and somebody who is in none.
struct Stage {
    world: World,
    stranger: Pid,
    other: Pid,
}

/// Performs a case.
pub fn record(data: &[u8]) {
    let Some(case) = whole::<Case<'_>>(data) else { return };
    let Some(mut stage) = Stage::new(&case) else { return };
    let path = format!("{ROOT}/{ID}/record.json");
    let Some(whole) = stage.world.read_file(&path) else { return };
    let text = case.damages.iter().take(8).fold(whole.clone(), |text, one| one.perform(text));
    let kind = stage.kind(&whole, &text);
    stage.world.write_file(&path, &text);
    let create = fit(create(case.open), &case.kernel.profile());
    let about = || format!("{kind:?}\n{}", String::from_utf8_lossy(&text));
    for choice in case.requests {
        let request = choice.of(&REQUESTS);
        let (_, end) = asked(&stage.world, request, &create);
        if let Err(what) = stage.untouched(&end, &kind) {
            panic!("{request:?}: {what}: {}", about());
        }
    }
    let (told, end) = asked(&stage.world, Request::Force, &create);
    let judged = stage.removed(&end, told, &kind).and_then(|()| stage.untouched(&end, &kind));
    if let Err(what) = judged {
        panic!("{what}: {}", about());
    }
}

fn create(open: bool) -> Create {
    let mut create = smallest();
    if open {
        create.spec.namespaces.clear();
    }
    if let (true, Some(process)) = (open, &mut create.spec.process) {
        process.args = vec!["/bundle/rootfs/bin/sleep".to_owned()];
    }
    create
}

impl Stage {
    fn new(case: &Case<'_>) -> Option<Self> {
        let mut world = machine(case.kernel.profile());
        let stranger = world.stranger(Payload::from([Action::Sleep]));
        let client = world.client();
        let world = RefCell::new(world);
        {
            let kernel = World::process(&world, client);
            let runtime = Runtime::new(&kernel as &dyn Kernel, ROOT).ok()?;
            let create = fit(create(case.open), &case.kernel.profile());
            drop(runtime.run(OTHER, &create).ok()?);
            // A process of the container's is one that has begun then.
            world.borrow_mut().pass_ms(1000);
            match case.before.of(&[0, 1, 2, 3]) {
                0 => drop(runtime.create(ID, &create).ok()?),
                1 => drop(runtime.run(ID, &create).ok()?),
                2 => runtime.run(ID, &create).ok()?.kill(9).ok()?,
                _ => runtime.run(ID, &create).ok()?.pause().ok()?,
            }
        }
        world.borrow_mut().end_client(client);
        World::settle(&world);
        let world = world.into_inner();
        let theirs =
            world.pids().into_iter().find(|pid| *pid != stranger && world.is_payload(*pid));
        Some(Self { other: theirs?, stranger, world })
    }

    /// What the file is, as one reads it who knows what is on the machine.
    fn kind(&self, whole: &[u8], text: &[u8]) -> Kind {
        let before: Record = match last(whole) {
            Ok(Some(record)) => record,
            Ok(None) | Err(()) => return Kind::Unknown,
        };
        let record = match last(text) {
            Err(()) => return Kind::Foreign,
            Ok(None) => return Kind::Damaged,
            Ok(Some(record)) => record,
        };
        let mine = |path: &str| before.manifest.cgroups.iter().any(|dir| dir.path == path);
        let known = record.manifest.cgroups.iter().all(|dir| {
            let same = before.manifest.cgroups.iter().any(|other| other == dir);
            same || !mine(&dir.path) && !self.world.exists(&dir.path) && dir.path.starts_with('/')
        });
        let complete =
            before.manifest.cgroups.iter().all(|dir| record.manifest.cgroups.contains(dir));
        let first = record.manifest.cgroups.first() == before.manifest.cgroups.first();
        let namespace = record.manifest.own_pid_namespace == before.manifest.own_pid_namespace;
        let hooks = record.manifest.poststop == before.manifest.poststop;
        let boot = record.manifest.boot == before.manifest.boot;
        let init = match (before.init, record.init) {
            (Some(before), Some(record)) => before == record,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if known && complete && first && namespace && hooks && boot && init {
            Kind::Ours
        } else {
            Kind::Unknown
        }
    }

    /// Whoever is not the container's is as before.
    fn untouched(&self, end: &World, kind: &Kind) -> Result<(), String> {
        if *kind == Kind::Unknown {
            return Ok(());
        }
        oracles::authority(end)?;
        for pid in [self.stranger, self.other] {
            if !end.is_payload(pid) {
                return Err(format!("process {pid} is gone, which is somebody else"));
            }
        }
        let path = format!("{ROOT}/{OTHER}/record.json");
        if end.read_file(&path) == self.world.read_file(&path) {
            Ok(())
        } else {
            Err("the other container's record has changed".to_owned())
        }
    }

    fn removed(
        &self,
        end: &World,
        told: Option<Result<(), Error>>,
        kind: &Kind,
    ) -> Result<(), String> {
        let there = end.exists(&format!("{ROOT}/{ID}"));
        match (kind, told) {
            (Kind::Unknown, _) => Ok(()),
            (Kind::Foreign, Some(Err(error))) if error.errno() == Some(Errno::EPROTO) => {
                let changed = end.residue(&self.world);
                if changed.is_empty() { Ok(()) } else { Err(format!("foreign: {changed:?}")) }
            }
            (Kind::Damaged | Kind::Ours, Some(Ok(()))) if !there => Ok(()),
            (_, told) => Err(format!("delete --force: {told:?}, still there: {there}")),
        }
    }
}

/// Returns the last line that is a record: a line that is cut off is none, one that is something
/// else is an error.
fn last(text: &[u8]) -> Result<Option<Record>, ()> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    for line in text.rsplit(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(record) => return Ok(Some(record)),
            // Bytes that never came to the disk are zeros.
            Err(error) if error.is_eof() || line.contains(&0) => (),
            Err(_) => return Err(()),
        }
    }
    Ok(None)
}

impl Damage<'_> {
    fn perform(&self, mut text: Vec<u8>) -> Vec<u8> {
        let within = |at: u16, len: usize| usize::from(at).checked_rem(len).unwrap_or(0);
        match self {
            Self::Byte(at, byte) => {
                let at = within(*at, text.len());
                if let Some(there) = text.get_mut(at) {
                    *there = *byte;
                }
            }
            Self::Cut(at) => text.truncate(within(*at, text.len())),
            Self::Edit(at, edit) => return edited(text, |value| edit.perform((*at).into(), value)),
            Self::Line(line) => text.extend(line.iter().chain(b"\n")),
            Self::Pid(pid) => {
                return edited(text, |value| {
                    if let Some(there) = value.pointer_mut("/init/pid") {
                        *there = Value::from(*pid);
                    }
                });
            }
            Self::Text(whole) => text = whole.to_vec(),
        }
        text
    }
}

/// Changes the last line, if it is JSON.
fn edited(text: Vec<u8>, edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let line = text.strip_suffix(b"\n").unwrap_or(&text);
    let line = line.rsplit(|byte| *byte == b'\n').next().unwrap_or(line);
    match serde_json::from_slice(line) {
        Ok(mut value) => {
            edit(&mut value);
            format!("{value}\n").into_bytes()
        }
        Err(_) => text,
    }
}

/// Performs a request on a copy of a machine; returns the copy at rest, and what was told if the
/// client has not killed itself.
fn asked(world: &World, request: Request, create: &Create) -> (Option<Result<(), Error>>, World) {
    let world = RefCell::new(world.clone());
    let pid = world.borrow_mut().client();
    let kernel = Hurt::new(&world, pid, &[], None);
    let told = kernel.run(|kernel| told(request, kernel, create));
    world.borrow_mut().end_client(pid);
    World::settle(&world);
    (told, world.into_inner())
}

fn told(request: Request, kernel: &dyn Kernel, create: &Create) -> Result<(), Error> {
    let runtime = Runtime::new(kernel, ROOT)?;
    let container = runtime.container(ID)?;
    match request {
        Request::Create => runtime.create(ID, create).map(drop),
        Request::Delete => container.delete().map(drop),
        Request::Exec => {
            let (process, _) = container.process()?;
            let exec = Exec { process: process.unwrap_or_default(), ..Exec::default() };
            container.exec(&exec).map(drop)
        }
        Request::Force => container.force_delete().map(drop),
        Request::Kill => container.kill(9),
        Request::List => runtime.list().map(drop),
        Request::Pause => container.pause(),
        Request::Processes => container.processes().map(drop),
        Request::Resume => container.resume(),
        Request::Run => runtime.run(ID, create).map(drop),
        Request::Start => container.start(),
        Request::State => container.state().map(drop),
        Request::Stats => container.stats().map(drop),
    }
}
