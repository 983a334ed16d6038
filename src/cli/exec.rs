//! The command `exec`: a further process in a container.

use std::fs;

use crate::backend::linux::Linux;
use crate::run::{Container, Exec, Process as Running};
use crate::spec::{CapSet, Capabilities, Capability, Process, oci};
use crate::sys::flags;

use super::args::Parsed;
use super::files::{Mode, announce, attach};
use super::filters;
use super::foreground::{Foreground, Orphans};
use super::problem::{Problem, regardless, text};
use super::session::{Session, container};
use super::terminal::Relay;

/// Runs a further process.
pub(super) fn exec(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    attempt(session, parsed).map_err(Problem::in_exec)
}

fn attempt(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    for flag in ["process-label", "cgroup"] {
        if parsed.value(flag).is_some_and(|value| !value.is_empty()) {
            return Err(Problem::new(format!("--{flag} is not supported")));
        }
    }
    let runtime = session.runtime()?;
    let container = container(&runtime, parsed)?;
    let (own, seccomp) = container.process()?;
    let mut process = match parsed.value("process") {
        Some(path) => completed(read(session, path, parsed)?, own),
        None => adapted(session, own, parsed)?,
    };
    let mode = if parsed.has("detach") { Mode::Detached } else { Mode::Foreground };
    let attached = attach(parsed, Some(&mut process), mode)?;
    let request = Exec {
        process,
        filter: filters::kept(session, seccomp.as_ref())?,
        console: attached.console,
        preserve_fds: attached.preserve_fds,
        ignore_paused: parsed.has("ignore-paused"),
        ..Exec::default()
    };
    match mode {
        Mode::Detached => {
            started(parsed, &container, &request)?;
            Ok(0)
        }
        Mode::Foreground => {
            let foreground = Foreground::enter(Orphans::Left)?;
            let mut running = started(parsed, &container, &request)?;
            let mut relay = running.take_terminal().map(Relay::new).transpose()?;
            foreground.wait(&running, relay.as_mut())
        }
    }
}

/// Starts the process, and tells of it.
fn started<'r>(
    parsed: &Parsed,
    container: &Container<'r, Linux>,
    request: &Exec,
) -> Result<Running<'r, Linux>, Problem> {
    let running = container.exec(request)?;
    match announce(parsed, running.pid(), running.pidfd().raw()) {
        Ok(()) => Ok(running),
        Err(problem) => {
            // Nobody would know of it. That it has ended already is as good.
            regardless(running.signal(flags::SIGKILL));
            Err(problem)
        }
    }
}

/// Reads a file that describes the process whole.
fn read(session: &Session<'_>, path: &str, parsed: &Parsed) -> Result<Process, Problem> {
    if 1 < parsed.rest.len() {
        session.log.warning("the command is ignored: --process has another");
    }
    let json = fs::read(path).map_err(|error| Problem::of(format!("open {path}"), text(&error)))?;
    let read = oci::read_process(&json).map_err(|invalid| Problem::of(path, invalid))?;
    for warning in &read.warnings {
        session.log.debug(|| format!("{path}: {warning}"));
    }
    Ok(read.value)
}

/// Gives a process what its description leaves to the container, as runc does.
fn completed(mut process: Process, own: Option<Process>) -> Process {
    let own = own.unwrap_or_default();
    process.capabilities = process.capabilities.or(own.capabilities);
    if process.rlimits.is_empty() {
        process.rlimits = own.rlimits;
    }
    process.apparmor_profile = process.apparmor_profile.or(own.apparmor_profile);
    process
}

/// Makes a process like the container's own, but for what the flags say.
fn adapted(
    session: &Session<'_>,
    own: Option<Process>,
    parsed: &Parsed,
) -> Result<Process, Problem> {
    let mut process = own.unwrap_or_default();
    process.args = parsed.rest.iter().skip(1).cloned().collect();
    if process.args.is_empty() {
        return Err(Problem::new("process args cannot be empty"));
    }
    process.terminal = parsed.has("tty");
    if let Some(cwd) = parsed.value("cwd").filter(|cwd| !cwd.is_empty()) {
        if !cwd.starts_with('/') {
            return Err(Problem::new(format!("--cwd {cwd:?} is not an absolute path")));
        }
        cwd.clone_into(&mut process.cwd);
    } else if process.cwd.is_empty() {
        "/".clone_into(&mut process.cwd);
    }
    for variable in parsed.values("env") {
        set(&mut process.env, variable)?;
    }
    if let Some(user) = parsed.value("user") {
        let (uid, gid) = user.split_once(':').map_or((user, None), |(u, g)| (u, Some(g)));
        process.user.uid = id("user", uid)?;
        if let Some(gid) = gid {
            process.user.gid = id("user", gid)?;
        }
    }
    for group in parsed.values("additional-gids") {
        process.user.groups.push(id("additional-gids", group)?);
    }
    process.no_new_privs |= parsed.has("no-new-privs");
    if let Some(profile) = parsed.value("apparmor").filter(|profile| !profile.is_empty()) {
        process.apparmor_profile = Some(profile.to_owned());
    }
    let (caps, unknown) = capabilities(parsed.values("cap"));
    if !unknown.is_empty() {
        let names = unknown.join(" ");
        session.log.warning(&format!("ignoring unknown or unavailable capabilities: [{names}]"));
    }
    if !caps.is_empty() {
        process.capabilities = Some(grant(process.capabilities.unwrap_or_default(), caps));
    }
    Ok(process)
}

/// Sets a variable in an environment, whether it has it or not.
pub(super) fn set(env: &mut Vec<String>, variable: &str) -> Result<(), Problem> {
    let Some((name, _)) = variable.split_once('=').filter(|(name, _)| !name.is_empty()) else {
        return Err(Problem::new(format!("--env {variable:?} is not NAME=VALUE")));
    };
    env.retain(|entry| entry.split_once('=').is_none_or(|(known, _)| known != name));
    env.push(variable.to_owned());
    Ok(())
}

fn id(flag: &str, text: &str) -> Result<u32, Problem> {
    // The largest number means no id (setresuid(2)).
    let id = text.parse().ok().filter(|id| *id != u32::MAX);
    id.ok_or_else(|| Problem::new(format!("invalid id {text:?} for --{flag}")))
}

/// Returns the capabilities of those names, and the names that are none's.
fn capabilities<'a>(names: impl Iterator<Item = &'a str>) -> (CapSet, Vec<&'a str>) {
    let (mut caps, mut unknown) = (CapSet::default(), Vec::new());
    for name in names {
        let whole = name.to_ascii_uppercase();
        let whole = if whole.starts_with("CAP_") { whole } else { format!("CAP_{whole}") };
        match Capability::from_name(&whole) {
            Some(capability) => caps.insert(capability),
            None => unknown.push(name),
        }
    }
    (caps, unknown)
}

/// Adds capabilities to those in force. They are inherited only where others are: what a file
/// hands on grows with the inheritable set (CVE-2022-29162).
fn grant(own: Capabilities, more: CapSet) -> Capabilities {
    let ambient = more.intersection(own.inheritable);
    Capabilities {
        bounding: own.bounding.union(more),
        effective: own.effective.union(more),
        permitted: own.permitted.union(more),
        inheritable: own.inheritable,
        ambient: own.ambient.union(ambient),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_set_once() {
        let mut env = vec!["A=1".to_owned(), "AB=2".to_owned()];
        set(&mut env, "A=3=4").expect("a variable");
        assert_eq!(env, ["AB=2", "A=3=4"]);
        assert!(set(&mut env, "=x").is_err() && set(&mut env, "x").is_err());
    }

    #[test]
    fn a_capability_is_granted_and_never_inherited_anew() {
        let set = |bits| CapSet::from_bits(bits);
        let own = Capabilities { bounding: set(1), inheritable: set(2), ..Default::default() };
        let granted = grant(own, set(6));
        assert_eq!(granted.inheritable, set(2));
        assert_eq!((granted.bounding, granted.permitted), (set(7), set(6)));
        assert_eq!((granted.effective, granted.ambient), (set(6), set(2)));
    }
}
