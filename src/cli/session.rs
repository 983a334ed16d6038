//! The global flags, and the runtime that they describe.

use std::ffi::OsString;
use std::{env, fs};

use crate::backend::linux::Linux;
use crate::run::{Container, Error, Runtime};
use crate::spec::Cgroup;
use crate::sys::{Call, Kernel, flags};

use super::args::Parsed;
use super::log::Log;
use super::problem::{Problem, text};

/// Where containers are kept unless a flag says otherwise.
const ROOT: &str = "/run/cofferdam";

/// What every command has of the flags before its name.
#[derive(Debug)]
pub(super) struct Session<'a> {
    /// Where things are told.
    pub(super) log: &'a Log,
    /// The state directory: an absolute path.
    pub(super) root: String,
    /// Who chose it.
    pub(super) root_from: RootFrom,
    global: &'a Parsed,
}

/// Who chose the state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RootFrom {
    /// The flag `--root`.
    Flag,
    /// Nobody: it is the system's.
    System,
    /// Nobody: it is a user's own, below `XDG_RUNTIME_DIR`.
    User,
}

impl<'a> Session<'a> {
    /// The session of these flags.
    pub(super) fn new(log: &'a Log, global: &'a Parsed) -> Result<Self, Problem> {
        let (root, root_from) = match global.value("root") {
            Some(root) => (absolute(root)?, RootFrom::Flag),
            None => match user_root() {
                Some(root) => (root, RootFrom::User),
                None => (ROOT.to_owned(), RootFrom::System),
            },
        };
        let root = root.trim_end_matches('/').to_owned();
        if root.is_empty() || root == "/." {
            return Err(Problem::new("the state directory must not be /"));
        }
        Ok(Self { log, root, root_from, global })
    }

    /// The runtime, for everything but making a container.
    pub(super) fn runtime(&self) -> Result<Runtime<Linux>, Problem> {
        heed_children()?;
        self.opened()
    }

    fn opened(&self) -> Result<Runtime<Linux>, Problem> {
        // What is not UTF-8 is nothing that a hook could be given by name either.
        let text = |(name, value): (OsString, OsString)| {
            Some(format!("{}={}", name.to_str()?, value.to_str()?))
        };
        let environment = env::vars_os().filter_map(text).collect();
        Ok(Runtime::new(Linux, self.root.as_str())?.with_environment(environment))
    }

    /// The runtime, for making a container: what cannot be honoured then is refused here.
    pub(super) fn creating_runtime(&self) -> Result<Runtime<Linux>, Problem> {
        if self.global.has("systemd-cgroup") {
            return Err(Problem::new("--systemd-cgroup is not supported yet: use cgroupfs"));
        }
        match self.global.value("cgroup-manager") {
            None | Some("cgroupfs" | "disabled") => (),
            Some(other) => {
                return Err(Problem::new(format!("--cgroup-manager {other} is not supported yet")));
            }
        }
        self.check_rootless()?;
        if self.root_from == RootFrom::User {
            keep_private(&self.root)?;
        }
        let runtime = self.opened()?;
        let ignored = runtime.host().map_err(Error::from)?.ignored_signals;
        if ignored >> (flags::SIGCHLD - 1) & 1 == 1 {
            heed_children()?;
        }
        Ok(runtime)
    }

    /// Has a container do without cgroups, where the flags say so.
    pub(super) fn place(&self, cgroup: &mut Cgroup) -> Result<(), Problem> {
        cgroup.disabled = self.global.value("cgroup-manager") == Some("disabled");
        match &cgroup.path {
            Some(path) if cgroup.disabled => Err(Problem::new(format!(
                "--cgroup-manager disabled rules out the cgroup {path} of config.json"
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses what differs from `auto`: the kernel's own answers decide what is tolerated.
    fn check_rootless(&self) -> Result<(), Problem> {
        let value = match self.global.value("rootless") {
            None | Some("" | "auto") => return Ok(()),
            Some(value @ ("true" | "false")) => value,
            Some(other) => {
                return Err(Problem::new(format!("invalid value for --rootless: {other}")));
            }
        };
        let root = effective_user() == 0;
        if root != (value == "true") {
            return Ok(());
        }
        let who = if root { "root" } else { "this user" };
        Err(Problem::new(format!("--rootless {value} is not supported for {who}")))
    }
}

/// Stops ignoring SIGCHLD: else children leave nothing to wait for, and send no signal; wait4(2).
fn heed_children() -> Result<(), Problem> {
    Linux.call(Call::SignalDefault { signal: flags::SIGCHLD })?;
    Ok(())
}

/// The container of the command's first argument.
pub(super) fn container<'r>(
    runtime: &'r Runtime<Linux>,
    parsed: &Parsed,
) -> Result<Container<'r, Linux>, Problem> {
    Ok(runtime.container(parsed.argument(0))?)
}

/// The path, from `/` on.
///
/// Links and `..` are resolved only where the path has a `..`: without one, joining is enough.
pub(super) fn absolute(path: &str) -> Result<String, Problem> {
    let dots = |part: &str| part == "..";
    if path.split('/').any(dots) {
        let found = fs::canonicalize(path).map_err(|error| Problem::of(path, text(&error)))?;
        return found.into_os_string().into_string().map_err(|_| not_utf8(path));
    }
    if path.starts_with('/') {
        return Ok(path.to_owned());
    }
    let base = env::current_dir().map_err(|error| Problem::of("find .", text(&error)))?;
    let base = base.into_os_string().into_string().map_err(|_| not_utf8("."))?;
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    Ok(parts.fold(base.trim_end_matches('/').to_owned(), |base, part| format!("{base}/{part}")))
}

fn not_utf8(path: &str) -> Problem {
    Problem::new(format!("the absolute path of {path:?} is not UTF-8"))
}

/// The effective user.
pub(super) fn effective_user() -> u32 {
    let user = Linux.call(Call::Geteuid {});
    user.ok().and_then(|user| u32::try_from(user).ok()).unwrap_or(0)
}

/// The state directory of a user who is not the host's root.
fn user_root() -> Option<String> {
    let dir = env::var("XDG_RUNTIME_DIR").ok().filter(|dir| dir.starts_with('/'))?;
    let plain = || {
        let root = env::var("USER").is_ok_and(|user| user == "root");
        // user_namespaces(7): the first namespace maps every id to itself.
        let map = || fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        root || map().split_whitespace().eq(["0", "0", "4294967295"])
    };
    (effective_user() != 0 || !plain()).then(|| format!("{}/cofferdam", dir.trim_end_matches('/')))
}

/// Makes a user's state directory, and keeps it from being cleaned away (the XDG specification).
fn keep_private(root: &str) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt;
    const PRIVATE_AND_STICKY: u32 = 0o1700;
    let made = fs::create_dir_all(root)
        .and_then(|()| fs::set_permissions(root, fs::Permissions::from_mode(PRIVATE_AND_STICKY)));
    made.map_err(|error| Problem::of(format!("make {root}"), text(&error)))
}
