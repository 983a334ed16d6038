//! The command is killed at each of its system calls; what it leaves, one `delete --force` removes.
//!
//! It is traced (ptrace(2)) and killed as it enters its n-th call, for n from 1 until it succeeds.
//! This process is the subreaper of everything that it leaves (prctl(2)), so that whoever outlives
//! the removal is a child here; it is the only test of its binary, for it waits for any child.
//!
//! `COFFERDAM_DEATHS=F/N` kills at each N-th call from the F-th on, where all would take too long.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
#![expect(clippy::zombie_processes, reason = "who is traced is waited for by his number")]

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{self, Child, Command};

use cofferdam::backend::linux::Linux;
use cofferdam::spec::Spec;
use cofferdam::spec::oci::{Example, example};
use cofferdam::sys::{Call, Syscalls, flags};
use cofferdam::{Create, Runtime, Stdio};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};

use common::{Place, cgroups_named, sample};

const ID: &str = "death";
const COMMAND: &str = env!("CARGO_BIN_EXE_cofferdam");

/// Where the container is before the command comes.
#[derive(Clone, Copy, Debug)]
enum Before {
    Absent,
    Created,
    Paused,
    Running,
    Stopped,
}

const OPERATIONS: [(Before, &str); 11] = [
    (Before::Absent, "create death"),
    (Before::Absent, "run --detach death"),
    (Before::Created, "start death"),
    (Before::Running, "exec --detach death true"),
    (Before::Running, "pause death"),
    (Before::Paused, "resume death"),
    (Before::Running, "update --pids-limit 64 death"),
    (Before::Running, "kill death KILL"),
    (Before::Created, "delete death"),
    (Before::Stopped, "delete death"),
    (Before::Running, "delete --force death"),
];

/// A bundle whose container sleeps.
fn place() -> Place {
    let place = Place::new();
    let mut config: Value = serde_json::from_str(&example(Example::default())).unwrap();
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["sleep", "1000"]);
    fs::write(place.path().join("config.json"), config.to_string()).unwrap();
    place
}

/// Brings a container there by the library's methods.
fn set(place: &Place, before: Before) {
    let runtime = Runtime::new(Linux, place.state()).unwrap();
    let spec = Spec::usual(&place.rootfs(), ["sleep", "1000"]);
    // Whoever is left by a failure must not hold the harness's output open.
    let null = fs::File::options().read(true).write(true).open("/dev/null").unwrap();
    let stdio = [Stdio::Fd(null.as_raw_fd()); 3];
    let create = Create { bundle: place.bundle(), spec, stdio, ..Create::default() };
    match before {
        Before::Absent => (),
        Before::Created => drop(runtime.create(ID, &create).unwrap()),
        Before::Paused => runtime.run(ID, &create).unwrap().pause().unwrap(),
        Before::Running => drop(runtime.run(ID, &create).unwrap()),
        Before::Stopped => {
            let container = runtime.run(ID, &create).unwrap();
            container.kill(9).unwrap();
            container.wait().unwrap();
        }
    }
}

/// The command, which a shell becomes once it reads a line.
fn spawn(place: &Place, line: &str) -> Child {
    let mut command = Command::new("/bin/busybox");
    command.args(["sh", "-c", "read -r line && exec \"$@\" </dev/null", "sh"]);
    command.args([COMMAND, "--root", &place.state()]);
    // Without the paths of cargo, which the loader would look for libraries in.
    command.args(line.split(' ')).current_dir(place.path()).env_clear();
    command
        .stdin(process::Stdio::piped())
        .stdout(process::Stdio::null())
        .stderr(process::Stdio::null());
    command.spawn().unwrap()
}

/// Runs the command and kills it as it enters its n-th system call; returns whether it has come
/// that far.
fn strike(place: &Place, line: &str, nth: usize) -> bool {
    let mut command = spawn(place, line);
    let pid = pid(&command);
    let options = ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_TRACEEXEC;
    ptrace::seize(pid, options).unwrap();
    command.stdin.take().unwrap().write_all(b"\n").unwrap();
    let exe = format!("/proc/{pid}/exe");
    loop {
        assert!(matches!(waitpid(pid, None).unwrap(), WaitStatus::PtraceEvent(..)), "{line}");
        if fs::read_link(&exe).unwrap() == Path::new(COMMAND) {
            break;
        }
        // The shell's own execve(2) was not quite over.
        ptrace::cont(pid, None).unwrap();
    }
    let (mut entered, mut inside, mut signal) = (0, true, None);
    loop {
        ptrace::syscall(pid, signal.take()).unwrap();
        match waitpid(pid, None).unwrap() {
            WaitStatus::PtraceSyscall(_) if inside => inside = false,
            WaitStatus::PtraceSyscall(_) => {
                (entered, inside) = (entered + 1, true);
                if entered == nth {
                    command.kill().unwrap();
                    assert_eq!(command.wait().unwrap().code(), None, "{line} is killed");
                    return true;
                }
            }
            WaitStatus::Stopped(_, delivered) => signal = Some(delivered),
            end => {
                assert_eq!(end, WaitStatus::Exited(pid, 0), "{line} succeeds");
                return false;
            }
        }
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Removes the container; returns what there is of it then.
fn removed(place: &Place) -> Vec<String> {
    let mut command = spawn(place, &format!("delete --force {ID}"));
    command.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut left = Vec::new();
    // Orphans are waited for meanwhile, as the init of a machine does: a pid namespace ends when
    // all its zombies have (pid_namespaces(7)).
    loop {
        match waitpid(None, None).unwrap() {
            WaitStatus::Exited(ended, 0) if ended == pid(&command) => break,
            end if end.pid() == Some(pid(&command)) => {
                left.push(format!("delete --force: {end:?}"));
                break;
            }
            _ => (),
        }
    }
    left.extend(immortals());
    let homes = fs::read_dir(place.state()).into_iter().flatten();
    left.extend(homes.map(|home| format!("left: {home:?}")));
    left.extend(cgroups_named(ID).into_iter().map(|path| format!("left: {path}")));
    left
}

/// The children of this process that do not end.
fn immortals() -> Vec<String> {
    let mut left = Vec::new();
    for task in fs::read_dir("/proc/self/task").unwrap() {
        // A thread of the harness may end between the two looks.
        let children = fs::read_to_string(task.unwrap().path().join("children"));
        for child in children.unwrap_or_default().split_whitespace() {
            let pid = child.parse().unwrap();
            let process = Linux.give(Call::PidfdOpen { pid, flags: 0 }).unwrap();
            match Linux.poll([(process.raw(), flags::POLLIN)], 60_000) {
                Ok([flags::POLLIN]) => {
                    waitpid(Pid::from_raw(pid.cast_signed()), None).unwrap();
                }
                _ => left.push(format!("left: process {pid}")),
            }
        }
    }
    left
}

#[test]
fn whatever_a_killed_command_leaves_is_removed_by_force() {
    set_child_subreaper(true).unwrap();
    let place = place();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let (first, step) = sample("COFFERDAM_DEATHS");
    let (mut points, mut residue) = (0, Vec::new());
    for (before, line) in OPERATIONS {
        for nth in (first..).step_by(step) {
            set(&place, before);
            let struck = strike(&place, line, nth);
            let left = removed(&place);
            if !left.is_empty() {
                residue.push(format!("{before:?}, {line}, call {nth}: {left:?}"));
            }
            if !struck || !residue.is_empty() {
                println!("{before:?}, {line}: over before call {nth}");
                break;
            }
            points += 1;
        }
    }
    let calls = match (first, step) {
        (1, 1) => "every call".to_owned(),
        _ => format!("each {step}th call, from call {first} on"),
    };
    let residues = residue.len();
    println!(
        "figure: kill -9 at {calls}, then delete --force | {points} points, {residues} residue"
    );
    assert!(residue.is_empty(), "{}", residue.join("\n"));
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
}
