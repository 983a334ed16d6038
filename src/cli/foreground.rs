//! Waiting for a process, with every signal that this command gets passed on to it.
//!
//! **Invariant:** signals are blocked from before the process is made, so none is lost, and none
//! ends this command before the container is removed and the terminal restored.

use std::cell::Cell;
use std::os::fd::AsRawFd;

use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::backend::linux::{Linux, wait_signal};
use crate::run::{Exit, Process};
use crate::sys::{Call, Errno, Kernel, Syscalls, flags};

use super::problem::Problem;
use super::terminal::Relay;

/// `SIGURG`, which tells runtimes of languages to look around, and is nobody's message.
const SIGURG: u32 = 23;
/// `SIGPIPE`, which this command's own writes may cause.
const SIGPIPE: u32 = 13;

/// Who becomes the parent of processes that the container leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orphans {
    /// Whoever did before.
    Left,
    /// This command, which reaps them.
    Taken,
}

/// A command that waits, with all signals blocked.
#[derive(Debug)]
pub(super) struct Foreground(());

impl Foreground {
    /// Blocks all signals and prepares to wait.
    pub(super) fn enter(orphans: Orphans) -> Result<Self, Problem> {
        if orphans == Orphans::Taken {
            let option = flags::PR_SET_CHILD_SUBREAPER;
            Linux.call(Call::Prctl { option, a: 1, b: 0, c: 0, d: 0 })?;
        }
        let blocked = SigSet::all().thread_block();
        blocked.map_err(|errno| Problem::of("take signals", errno.desc()))?;
        Ok(Self(()))
    }

    /// Waits until the process has ended, and returns the exit status that tells how.
    pub(super) fn wait(
        &self,
        process: &Process<'_, Linux>,
        mut relay: Option<&mut Relay<'_>>,
    ) -> Result<u8, Problem> {
        // Only beside a terminal are signals one of several things that are waited for.
        let file = relay
            .is_some()
            .then(|| SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_CLOEXEC))
            .transpose()
            .map_err(|errno| Problem::of("take signals", errno.desc()))?;
        loop {
            if let (Some(relay), Some(file)) = (&mut relay, &file)
                && !relay.turn(file.as_raw_fd())?
            {
                continue;
            }
            let ended = match next(file.as_ref())? {
                flags::SIGCHLD => reap(process.pid())?,
                flags::SIGWINCH => {
                    relay.as_ref().map_or(Ok(()), |relay| relay.resize())?;
                    None
                }
                SIGURG | SIGPIPE => None,
                signal => {
                    pass(process, signal)?;
                    None
                }
            };
            if let Some(exit) = ended {
                relay.map_or(Ok(()), Relay::drain)?;
                return Ok(status(exit));
            }
        }
    }
}

/// Takes the next signal: where from a file, `ssi_signo`, the first word of what signalfd(2) gives.
fn next(file: Option<&SignalFd>) -> Result<u32, Problem> {
    let mut info = [0; size_of::<nix::sys::signalfd::siginfo>()];
    loop {
        let taken = match file {
            None => wait_signal(),
            Some(file) => Linux.read(file.as_raw_fd(), &mut info).and_then(|info| match info {
                [a, b, c, d, ..] => Ok(u32::from_le_bytes([*a, *b, *c, *d])),
                _ => Err(Errno::EIO),
            }),
        };
        match taken {
            Err(Errno::EINTR) => (),
            taken => return taken.map_err(|errno| Problem::of("wait for a signal", errno)),
        }
    }
}

fn pass(process: &Process<'_, Linux>, signal: u32) -> Result<(), Problem> {
    match process.signal(signal) {
        // ESRCH: it has ended, and SIGCHLD is on its way.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(Problem::of(format!("pass signal {signal} on"), errno)),
    }
}

/// Reaps whoever has ended up to `pid`, and says how that has, if it was among them.
fn reap(pid: u32) -> Result<Option<Exit>, Problem> {
    loop {
        let mut status = [0; 4];
        let room = Cell::from_mut(&mut status[..]).as_slice_of_cells();
        // wait4(2): the pid -1 is any child.
        let call = Call::Wait4 { pid: u32::MAX, status: room, options: flags::WNOHANG };
        match Linux.call(call) {
            Ok(0) | Err(Errno::ECHILD) => return Ok(None),
            Ok(found) if found == u64::from(pid) => {
                return Ok(Some(exit(i32::from_le_bytes(status))));
            }
            Ok(_) | Err(Errno::EINTR) => (),
            Err(errno) => return Err(Problem::of("wait for the container", errno)),
        }
    }
}

/// Reads a wait status: the signal is in the low seven bits, the code in the next eight.
const fn exit(status: i32) -> Exit {
    match status & 0x7f {
        0 => Exit::Code(status >> 8 & 0xff),
        signal => Exit::Signal(signal),
    }
}

/// The exit status of this command for that end.
pub(super) fn status(exit: Exit) -> u8 {
    u8::try_from(exit.status()).unwrap_or(u8::MAX)
}
