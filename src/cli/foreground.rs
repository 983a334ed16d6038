//! Waiting for a process, with every signal that this command gets passed on to it.
//!
//! **Invariant:** signals are blocked from before the process is made, so none is lost, and none
//! ends this command before the container is removed and the terminal restored.

use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::cell::Cell;
use std::os::fd::{AsRawFd, RawFd};

use crate::backend::linux::Linux;
use crate::run::{Exit, Process};
use crate::sys::{Call, Errno, Kernel, Syscalls, flags};

use super::problem::Problem;
use super::terminal::Relay;

/// `SIGURG`, which tells runtimes of languages to look around, and is nobody's message.
const SIGURG: u32 = 23;

/// Who becomes the parent of processes that the container leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orphans {
    /// Whoever did before.
    Left,
    /// This command, which reaps them.
    Taken,
}

/// A command that waits.
#[derive(Debug)]
pub(super) struct Foreground {
    signals: SignalFd,
}

impl Foreground {
    /// Blocks all signals and prepares to wait.
    pub(super) fn enter(orphans: Orphans) -> Result<Self, Problem> {
        if orphans == Orphans::Taken {
            let option = flags::PR_SET_CHILD_SUBREAPER;
            Linux.call(Call::Prctl { option, a: 1, b: 0, c: 0, d: 0 })?;
        }
        let all = SigSet::all();
        let signals = all
            .thread_block()
            .and_then(|()| SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC))
            .map_err(|errno| Problem::of("take signals", errno.desc()))?;
        Ok(Self { signals })
    }

    /// Waits until the process has ended, and returns the exit status that tells how.
    pub(super) fn wait(
        &self,
        process: &Process<'_, Linux>,
        mut relay: Option<&mut Relay<'_>>,
    ) -> Result<u8, Problem> {
        let signals = self.signals.as_raw_fd();
        loop {
            if let Some(relay) = &mut relay
                && !relay.turn(signals)?
            {
                continue;
            }
            let ended = match next(signals)? {
                flags::SIGCHLD => reap(process.pid())?,
                flags::SIGWINCH => {
                    relay.as_ref().map_or(Ok(()), |relay| relay.resize())?;
                    None
                }
                SIGURG => None,
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

/// Takes the next signal: `ssi_signo`, the first word of what signalfd(2) gives.
fn next(signals: RawFd) -> Result<u32, Problem> {
    let mut info = [0; size_of::<nix::sys::signalfd::siginfo>()];
    loop {
        match Linux.read(signals, &mut info) {
            Ok([a, b, c, d, ..]) => return Ok(u32::from_le_bytes([*a, *b, *c, *d])),
            Ok(_) => return Err(Errno::EIO.into()),
            Err(Errno::EINTR) => (),
            Err(errno) => return Err(Problem::of("wait for a signal", errno)),
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
