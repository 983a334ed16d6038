//! What a client hands over by path or by number: sockets, pid files, descriptors.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use crate::backend::linux::{Linux, block_broken_pipes};
use crate::run;
use crate::spec::Process;
use crate::sys::{CWD, Call, Kernel, RawFd, Syscalls, flags};

use super::PROGRAM;
use super::args::Parsed;
use super::problem::{Problem, regardless, text};
use super::terminal;

/// Makes good what whoever started this command has left in a state that it cannot work in.
///
/// A stream that is closed is `/dev/null` from here on: else the next file to be opened, say a
/// descriptor of init's, would have its number, and be the container's.
pub(super) fn prepare() -> Result<(), Problem> {
    // A peer that has gone is an error to be told, not a signal to die of.
    block_broken_pipes();
    let streams = Linux.poll([(0, 0), (1, 0), (2, 0)], 0)?;
    for (fd, events) in (0..).zip(streams) {
        if events & POLLNVAL != 0 {
            let null = Linux.open(CWD, c"/dev/null", flags::O_RDWR);
            let null = null.map_err(|errno| Problem::of("open /dev/null", errno))?.into_raw();
            // open(2) gives the lowest number that is free.
            assert_eq!(null, fd, "the number of a closed stream");
            Linux.call(Call::Fcntl { fd, command: flags::F_SETFD, argument: 0 })?;
        }
    }
    Ok(())
}

/// What poll(2) says of a descriptor that is not open.
const POLLNVAL: u32 = 0x20;

/// Whether the command outlives what it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It ends as soon as that runs.
    Detached,
    /// It waits for it, and relays its terminal.
    Foreground,
}

/// What a process is attached to.
#[derive(Debug)]
pub(super) struct Attached {
    /// Where its terminal's master goes.
    pub(super) console: run::Console,
    /// How many descriptors it keeps beside its streams.
    pub(super) preserve_fds: u32,
    /// The socket that `console` names.
    _socket: Option<UnixStream>,
}

/// Attaches a process to what the flags and the environment say; tells it about its descriptors.
pub(super) fn attach(
    parsed: &Parsed,
    mut process: Option<&mut Process>,
    mode: Mode,
) -> Result<Attached, Problem> {
    let terminal = process.as_ref().is_some_and(|process| process.terminal);
    let listening = listening();
    let preserve_fds = preserved(parsed, listening)?;
    if let (Some(process), 1..) = (&mut process, listening) {
        let ours =
            |entry: &String| entry.starts_with("LISTEN_FDS=") || entry.starts_with("LISTEN_PID=");
        process.env.retain(|entry| !ours(entry));
        process.env.extend([format!("LISTEN_FDS={listening}"), "LISTEN_PID=1".to_owned()]);
    }
    let (console, socket) = match (terminal, mode, parsed.value("console-socket")) {
        (true, Mode::Detached, Some(path)) => {
            let socket = connect(path)?;
            (run::Console::Socket(socket.as_raw_fd()), Some(socket))
        }
        (true, Mode::Foreground, None) => {
            terminal::require()?;
            // The program may ask before the relay is there.
            if let Some(process) = process {
                process.console_size = process.console_size.or_else(terminal::size);
            }
            (run::Console::Relay, None)
        }
        (true, Mode::Detached, None) => {
            return Err(Problem::new(format!(
                "cannot allocate tty if {PROGRAM} will detach without setting console socket"
            )));
        }
        (false, _, Some(_)) | (true, Mode::Foreground, Some(_)) => {
            return Err(Problem::new(format!(
                "cannot use console socket if {PROGRAM} will not detach or allocate tty"
            )));
        }
        (false, _, None) => (run::Console::None, None),
    };
    Ok(Attached { console, preserve_fds, _socket: socket })
}

/// How many sockets a service manager has handed to this very process (sd_listen_fds(3)).
fn listening() -> u32 {
    let number = |name| env::var(name).ok()?.parse::<u32>().ok();
    match (number("LISTEN_FDS"), number("LISTEN_PID")) {
        (Some(count), Some(pid)) if pid == std::process::id() => count,
        _ => 0,
    }
}

/// How many descriptors from 3 up are handed on, all of which must be there.
fn preserved(parsed: &Parsed, listening: u32) -> Result<u32, Problem> {
    let wanted = match parsed.value("preserve-fds") {
        None => 0,
        Some(value) => value
            .parse::<u16>()
            .map_err(|_| Problem::new(format!("invalid value {value:?} for --preserve-fds")))?,
    };
    let count = listening.saturating_add(u32::from(wanted));
    for (i, fd) in (3..).take(usize::try_from(count).unwrap_or(usize::MAX)).enumerate() {
        let asked = Linux.call(Call::Fcntl { fd, command: flags::F_GETFD, argument: 0 });
        asked.map_err(|errno| Problem::of(format!("preserved-fd {i}, descriptor {fd}"), errno))?;
    }
    Ok(count)
}

/// Tells whoever asked by flags which process was made.
pub(super) fn announce(parsed: &Parsed, pid: u32, pidfd: RawFd) -> Result<(), Problem> {
    if let Some(path) = parsed.value("pidfd-socket") {
        let socket = connect(path)?;
        let sent = Call::SendFd { socket: socket.as_raw_fd(), bytes: &b"pidfd"[..], fd: pidfd };
        Linux.call(sent).map_err(|errno| Problem::of(format!("send a pidfd to {path}"), errno))?;
    }
    parsed.value("pid-file").map_or(Ok(()), |path| write_pid(path, pid))
}

/// Writes a pid file: whoever sees it sees it whole.
fn write_pid(path: &str, pid: u32) -> Result<(), Problem> {
    let (dir, name) = path.rsplit_once('/').map_or(("", path), |(dir, name)| (dir, name));
    let slash = if path.contains('/') { "/" } else { "" };
    let hidden = format!("{dir}{slash}.{name}.{pid}");
    let mut new = OpenOptions::new();
    let new = new.write(true).create_new(true).open(&hidden);
    // No newline: go-runc and others read the whole content as a number.
    let written = new.and_then(|mut file| file.write_all(pid.to_string().as_bytes()));
    let moved = written.and_then(|()| fs::rename(&hidden, path));
    moved.map_err(|error| {
        // The failure that led here is the one to tell.
        regardless(fs::remove_file(&hidden));
        Problem::of(format!("write pid file {path}"), text(&error))
    })
}

fn connect(path: &str) -> Result<UnixStream, Problem> {
    UnixStream::connect(path)
        .map_err(|error| Problem::of(format!("connect to {path}"), text(&error)))
}
