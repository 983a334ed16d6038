//! Commands of a container's life: `create`, `start`, `run`, `delete`, `pause`, `resume`.

use crate::backend::linux::Linux;
use crate::run::{Container, Create};
use crate::spec::NamespaceKind;
use crate::sys::Errno;

use super::args::Parsed;
use super::bundle::{load, request};
use super::files::{Mode, announce};
use super::foreground::{Foreground, Orphans};
use super::problem::Problem;
use super::session::{Session, container};
use super::terminal::Relay;

/// Makes a container that waits to be started.
pub(super) fn create(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let make = || {
        let bundle = load(session, parsed)?;
        let runtime = session.creating_runtime()?;
        let (create, _attached) = request(session, parsed, bundle, Mode::Detached)?;
        let container = runtime.create(parsed.argument(0), &create)?;
        let told = tell(parsed, &container);
        told.map_err(|problem| undone(&container, problem))
    };
    make().map(|()| 0).map_err(|problem: Problem| problem.in_creating("create"))
}

/// Lets the program of a created container run.
pub(super) fn start(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let runtime = session.runtime()?;
    container(&runtime, parsed)?.start()?;
    Ok(0)
}

/// Makes a container, starts it, and unless told otherwise waits for it and removes it.
pub(super) fn run(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let mode = if parsed.has("detach") { Mode::Detached } else { Mode::Foreground };
    let make = || {
        let bundle = load(session, parsed)?;
        let (create, _attached) = request(session, parsed, bundle, mode)?;
        whole_life(session, parsed, &create, mode)
    };
    make().map_err(|problem: Problem| problem.in_creating("run"))
}

/// Runs, and in the foreground waits and removes.
pub(super) fn whole_life(
    session: &Session<'_>,
    parsed: &Parsed,
    create: &Create,
    mode: Mode,
) -> Result<u8, Problem> {
    // Out of a pid namespace no orphan comes: its first process takes them (pid_namespaces(7)).
    let kept = parsed.has("no-subreaper") || create.spec.makes(NamespaceKind::Pid);
    let orphans = if kept { Orphans::Left } else { Orphans::Taken };
    // Before there is a container, so that no signal meant for it is missed.
    let foreground = match mode {
        Mode::Foreground => Some(Foreground::enter(orphans)?),
        Mode::Detached => None,
    };
    let runtime = session.creating_runtime()?;
    let mut container = runtime.run(parsed.argument(0), create)?;
    let mut relay = match container.take_terminal().map(Relay::new).transpose() {
        Ok(relay) => relay,
        Err(problem) => return Err(undone(&container, problem)),
    };
    let started = tell(parsed, &container);
    let ended = started.and_then(|()| match (&foreground, container.init()) {
        (Some(foreground), Some(init)) => foreground.wait(init, relay.as_mut()),
        (Some(_), None) => Err(Errno::ECHILD.into()),
        (None, _) => Ok(0),
    });
    // The terminal is itself again before anything is said on it.
    drop(relay);
    match (ended, mode) {
        (Err(problem), _) => Err(undone(&container, problem)),
        (Ok(status), Mode::Foreground) if !parsed.has("keep") => {
            remove(session, &container)?;
            Ok(status)
        }
        (Ok(status), Mode::Foreground | Mode::Detached) => Ok(status),
    }
}

/// Removes a container that has stopped; or any, by force.
pub(super) fn delete(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let runtime = session.runtime()?;
    let container = container(&runtime, parsed)?;
    let deleted = if parsed.has("force") { container.force_delete() } else { container.delete() };
    let complaints = deleted.map_err(|error| Problem::in_deleting(error, parsed.argument(0)))?;
    complaints.iter().for_each(|complaint| session.log.warning(complaint));
    Ok(0)
}

/// Freezes every process of a container.
pub(super) fn pause(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let runtime = session.runtime()?;
    container(&runtime, parsed)?.pause()?;
    Ok(0)
}

/// Thaws every process of a container.
pub(super) fn resume(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let runtime = session.runtime()?;
    container(&runtime, parsed)?.resume()?;
    Ok(0)
}

/// Writes the pid file, and whatever else a client wants to be told by.
fn tell(parsed: &Parsed, container: &Container<'_, Linux>) -> Result<(), Problem> {
    let init = container.init().ok_or(Errno::ECHILD)?;
    announce(parsed, init.pid(), init.pidfd().raw())
}

/// Removes a container that was run to its end; somebody else may have done so.
fn remove(session: &Session<'_>, container: &Container<'_, Linux>) -> Result<(), Problem> {
    match container.delete() {
        Ok(complaints) => {
            complaints.iter().for_each(|complaint| session.log.warning(complaint));
            Ok(())
        }
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes a container that came to nothing, and says why it did.
fn undone(container: &Container<'_, Linux>, problem: Problem) -> Problem {
    match container.force_delete() {
        Ok(_) => problem,
        Err(error) => Problem::of(problem.message, format!("then, removing it: {error}")),
    }
}
