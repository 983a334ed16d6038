//! What has to hold of a machine on which containers were made, whoever made them.
//!
//! | oracle | says |
//! |---|---|
//! | [`authority`] | nobody was signalled whom no client had made |
//! | [`truth`] | the status that is told is the kernel's |
//! | [`reading`] | the status that was told was the kernel's at a moment of the reading |
//! | [`progress`] | one `delete --force` removes the container |
//! | [`residue`] | what is left is what was there before |
//!
//! Each takes a world and leaves it as it is: what it has to do, it does on a copy.

use std::cell::RefCell;

use crate::backend::fake::World;
use crate::sys::Kernel;
use crate::{Error, Runtime, Status};

/// Fails if a process was signalled that no client had made.
///
/// # Errors
///
/// The signal.
pub fn authority(world: &World) -> Result<(), String> {
    match world.signals().iter().find(|signal| signal.maker == 0) {
        Some(signal) => Err(format!("authority: a stranger was signalled: {signal:?}")),
        None => Ok(()),
    }
}

/// Fails if a container is told to run and no payload is there, or the other way round. One that is
/// told to be paused has a payload, or an init that waits to be started.
///
/// It is for machines with no container but that one, at rest.
///
/// # Errors
///
/// What was told.
pub fn truth(world: &World, root: &str, id: &str) -> Result<(), String> {
    let runs = world.pids().into_iter().any(|pid| world.is_payload(pid));
    let (told, _) = on_a_copy(world, root, |runtime| runtime.container(id)?.state());
    match told {
        Ok(told) => {
            let waits = || told.pid.is_some_and(|pid| world.is_alive(pid));
            let true_of_it = match told.status {
                Status::Running => runs,
                Status::Paused => runs || waits(),
                Status::Absent
                | Status::Checkpointed
                | Status::Created
                | Status::Creating
                | Status::Pausing
                | Status::Stopped => !runs,
            };
            let what = || format!("truth: told {}, a payload runs: {runs}", told.status);
            if true_of_it { Ok(()) } else { Err(what()) }
        }
        Err(error) if !error.is_not_found() => Err(format!("truth: {error}")),
        Err(_) if runs => Err("truth: the payload of no container runs".to_owned()),
        Err(_) => Ok(()),
    }
}

/// What the kernel would say of a container if it could be asked everything at once.
pub mod facts {
    /// There is no record of it.
    pub const ABSENT: u8 = 1;
    /// Its record is there, and of its processes none lives.
    pub const DEAD: u8 = 2;
    /// Its program runs, or is frozen.
    pub const RUNS: u8 = 4;
    /// A process of its own lives and is not its program yet, or is not told to be.
    pub const WAITS: u8 = 8;
    /// Its record says that it is being made.
    pub const UNBORN: u8 = 16;
}

/// Returns which of the [`facts`] hold of a container, on a machine with no other.
#[must_use]
pub fn holding(world: &World, root: &str, id: &str) -> u8 {
    let record = world.read_file(&format!("{root}/{id}/record.json")).unwrap_or_default();
    let record = String::from_utf8_lossy(&record);
    let (recorded, born) = (record.contains('\n'), record.contains(r#""stage":"created""#));
    let there: Vec<_> = world.pids().into_iter().filter(|pid| world.has_body(*pid)).collect();
    let runs = there.iter().any(|pid| world.is_script(*pid));
    let stubs = || there.iter().filter(|pid| world.is_stub(**pid));
    // Whoever starts it may not have let go yet of what it waited for.
    let held = |name: &str| world.is_taken(&format!("{root}/{id}/{name}"));
    let waits = stubs().next().is_some() || runs && (held("gate") || held("record.json"));
    // Who has lost its maker before it was told to live will not.
    let forsaken = !born && stubs().all(|pid| world.is_orphan(*pid));
    let all = [
        (!recorded, facts::ABSENT),
        (recorded && !runs && (!waits || forsaken), facts::DEAD),
        (runs, facts::RUNS),
        (waits, facts::WAITS),
        (recorded && !born, facts::UNBORN),
    ];
    all.iter().fold(0, |held, (holds, fact)| if *holds { held | fact } else { held })
}

/// Fails if what `state` has told held at no moment of its reading, of which `held` are the facts:
/// what [`Scene::during`](super::Scene::during) keeps of [`holding`].
///
/// # Errors
///
/// What was told, and what held.
pub fn reading(told: &str, held: u8) -> Result<(), String> {
    let can = match told {
        "creating" => facts::UNBORN | facts::WAITS,
        "created" => facts::WAITS,
        "running" => facts::RUNS,
        "paused" => facts::RUNS | facts::WAITS,
        "stopped" => facts::DEAD,
        "container does not exist" => facts::ABSENT,
        _ => 0,
    };
    if held & can == 0 { Err(format!("reading: told {told}, held: {held:#b}")) } else { Ok(()) }
}

/// Removes a container by force, and returns the machine without it.
///
/// # Errors
///
/// Why it is still there.
pub fn progress(world: &World, root: &str, id: &str) -> Result<World, String> {
    let (removed, end) = on_a_copy(world, root, |runtime| {
        let container = runtime.container(id)?;
        container.force_delete()?;
        Ok(container.state())
    });
    match removed {
        Ok(Err(error)) if error.is_not_found() => Ok(end),
        Ok(left) => Err(format!("progress: it is still there: {left:?}")),
        Err(error) => Err(format!("progress: {error}")),
    }
}

/// Fails if something is on a machine that was not there `before`, or the other way round.
///
/// The directory `root` may be left: who makes the first container makes it.
///
/// # Errors
///
/// What is left or lost.
pub fn residue(world: &World, before: &World, root: &str) -> Result<(), String> {
    let left = left(world, before, root);
    if left.is_empty() { Ok(()) } else { Err(format!("residue: {left:?}")) }
}

/// Returns what is left and what is lost but for the state directory, a line each.
pub(super) fn left(world: &World, before: &World, root: &str) -> Vec<String> {
    let expected = format!("left: {root}: directory");
    let mut left = world.residue(before);
    left.retain(|line| !line.starts_with(&expected));
    left
}

/// Returns what a request comes to on a copy of a machine, and the copy, at rest.
fn on_a_copy<R>(
    world: &World,
    root: &str,
    request: impl FnOnce(&Runtime<&dyn Kernel>) -> Result<R, Error>,
) -> (Result<R, Error>, World) {
    let world = RefCell::new(world.clone());
    let pid = world.borrow_mut().client();
    let kernel = World::process(&world, pid);
    // Bodies of clients ask the same way, so the requests are compiled once for both.
    let runtime = Runtime::new(&kernel as &dyn Kernel, root);
    let answer = runtime.and_then(|runtime| request(&runtime));
    world.borrow_mut().end_client(pid);
    World::settle(&world);
    (answer, world.into_inner())
}
