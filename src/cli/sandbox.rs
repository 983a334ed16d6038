//! The command `sandbox`: a throw-away container over the host's own files.
//!
//! | the command finds | which is |
//! |---|---|
//! | `/` | the host's, and what it writes there is in memory and ends with it |
//! | `/dev`, `/proc`, `/sys`, `/run` | its own |
//! | other file systems of the host's | the host's, read-only |
//! | processes, mounts, IPC, host name | its own |
//! | the network | none, or the host's for `--net host` |
//!
//! **Invariant:** nothing of it is on the host's disk but its record, like that of any container.

use std::io::{self, IsTerminal};
use std::{env, fs, process};

use crate::run::{Console, Create};
use crate::spec::{
    AttrFlags, CapSet, Capabilities, Capability, Mount, MountKind, NamespaceKind, Process, Spec,
};

use super::args::Parsed;
use super::create::whole_life;
use super::exec::set;
use super::files::Mode;
use super::problem::{Problem, text};
use super::session::{Session, effective_user};

/// Where the host has file systems that a container has of its own, or must not reach: a socket
/// can be spoken to through a read-only mount.
const OWN: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];

/// What the root of a sandbox may do: whatever changes files, and nothing that changes the host.
const CAPABILITIES: [&str; 11] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Runs a command in a sandbox.
pub(super) fn sandbox(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    if effective_user() != 0 {
        return Err(Problem::new("sandbox is not supported yet for users other than root"));
    }
    let spec = spec(session, parsed)?;
    let terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
    let console = if terminal { Console::Relay } else { Console::None };
    let create = Create { bundle: "/".to_owned(), spec, console, ..Create::default() };
    // The root is mounted over the state directory, which must be there for that.
    let made = fs::create_dir_all(&session.root);
    made.map_err(|error| Problem::of(format!("make {}", session.root), text(&error)))?;
    let named = Parsed::argument_only(format!("sandbox-{}", process::id()));
    whole_life(session, &named, &create, Mode::Foreground).map_err(as_a_shell)
}

/// Gives a command that cannot be run the exit status that shells give it.
fn as_a_shell(problem: Problem) -> Problem {
    let says = |text: &str| problem.message.contains(text);
    let missing = says("executable file not found") || says("no such file or directory");
    let status = match (missing, says("permission denied")) {
        (true, _) => 127,
        (false, true) => 126,
        (false, false) => problem.status,
    };
    Problem { status, ..problem }
}

fn spec(session: &Session<'_>, parsed: &Parsed) -> Result<Spec, Problem> {
    let mut spec = Spec::usual(&session.root, parsed.rest.iter().map(String::as_str));
    spec.rootfs.overlaid = Some("/".to_owned());
    spec.rootfs.readonly = false;
    session.place(&mut spec.cgroup)?;
    spec.hostname = Some("sandbox".to_owned());
    match parsed.value("net") {
        None | Some("none") => (),
        Some("host") => spec.namespaces.retain(|one| one.kind != NamespaceKind::Network),
        Some(other) => return Err(Problem::new(format!("invalid value for --net: {other}"))),
    }
    spec.mounts.push(Mount::new(MountKind::Filesystem("tmpfs".to_owned()), "/run"));
    let mounts = fs::read_to_string("/proc/self/mountinfo");
    let mounts = mounts.map_err(|error| Problem::of("read mountinfo", text(&error)))?;
    spec.mounts.extend(outermost(&mounts).into_iter().map(readonly));
    let process = spec.process.get_or_insert_default();
    adapt(process, parsed)?;
    Ok(spec)
}

/// Gives the process the caller's directory, terminal and some of his environment.
fn adapt(process: &mut Process, parsed: &Parsed) -> Result<(), Problem> {
    let here = env::current_dir().ok().and_then(|dir| dir.into_os_string().into_string().ok());
    process.cwd = here.filter(|dir| !is_own(dir)).unwrap_or_else(|| "/".to_owned());
    process.terminal = io::stdin().is_terminal();
    for name in ["HOME", "LANG", "PATH", "TERM"] {
        if let Ok(value) = env::var(name) {
            set(&mut process.env, &format!("{name}={value}"))?;
        }
    }
    for variable in parsed.values("env") {
        set(&mut process.env, variable)?;
    }
    process.rlimits.clear();
    let all: CapSet = CAPABILITIES.into_iter().filter_map(Capability::from_name).collect();
    process.capabilities = Some(Capabilities {
        bounding: all,
        effective: all,
        permitted: all,
        ..Capabilities::default()
    });
    Ok(())
}

/// Whether a path lies where the sandbox has something of its own.
fn is_own(path: &str) -> bool {
    OWN.iter().any(|own| is_below(path, own))
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The mount points of the host that are not below another one of these.
fn outermost(mountinfo: &str) -> Vec<String> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    // An escaped name has a character that no name of a mount should have; it is left out.
    let shown = |point: &&str| *point != "/" && !point.contains('\\') && !is_own(point);
    let mut points: Vec<_> = points.filter(shown).collect();
    points.sort_unstable();
    let mut outer: Vec<&str> = Vec::new();
    for point in points {
        if !outer.iter().any(|above| is_below(point, above)) {
            outer.push(point);
        }
    }
    outer.into_iter().map(str::to_owned).collect()
}

/// A file system of the host's with all that is mounted in it, to be read.
fn readonly(point: String) -> Mount {
    let mut mount = Mount::new(MountKind::Bind { recursive: true }, point.as_str());
    mount.source = Some(point);
    mount.set_tree = AttrFlags::RDONLY;
    mount
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_others_come_with_those() {
        let mountinfo = "1 0 8:1 / / rw - ext4 a rw\n2 1 0:2 / /proc rw - proc b rw\n\
                         3 1 8:2 / /media rw - ext4 c rw\n4 3 8:3 / /media/x rw - ext4 d rw\n\
                         5 1 8:4 / /medialy rw - ext4 e rw\n6 1 0:3 / /run/user/0 rw - tmpfs f rw\n\
                         7 1 0:3 / /a\\040b rw - tmpfs g rw\n";
        assert_eq!(outermost(mountinfo), ["/media", "/medialy"]);
    }
}
