//! A process of a container, as the one who made it holds it.

use std::cell::Cell;

use crate::sys::{Call, Errno, Fd, Kernel, Syscalls, flags};

use super::error::{Doing, Failure};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Returns the status as shells spell it: 128 and the number of the signal.
    #[must_use]
    pub const fn status(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// A process of a container.
///
/// It is named by its descriptor, so it cannot be mistaken for another that has its number later.
#[derive(Debug)]
pub struct Process<'k, K: Kernel> {
    pub(super) kernel: &'k K,
    pub(super) pid: u32,
    pub(super) pidfd: Fd<'k, K>,
    pub(super) terminal: Option<Fd<'k, K>>,
}

impl<'k, K: Kernel> Process<'k, K> {
    /// Returns its number, as the caller's pid namespace counts.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns its descriptor, to be polled: readable once the process is over (pidfd_open(2)).
    #[must_use]
    pub const fn pidfd(&self) -> &Fd<'k, K> {
        &self.pidfd
    }

    /// Takes the master of its terminal, where one was asked for with
    /// [`Console::Relay`](super::Console::Relay).
    pub const fn take_terminal(&mut self) -> Option<Fd<'k, K>> {
        self.terminal.take()
    }

    /// Signals it.
    ///
    /// # Errors
    ///
    /// `ESRCH` once it was waited for.
    pub fn signal(&self, signal: u32) -> Result<(), Errno> {
        self.kernel.call(Call::PidfdSendSignal { fd: self.pidfd.raw(), signal }).map(drop)
    }

    /// Waits until it is over, and says how it ended.
    ///
    /// # Errors
    ///
    /// `ECHILD` where it is no child of the caller's, or was waited for already.
    pub fn wait(&self) -> Result<Exit, Errno> {
        wait(self.kernel, &self.pidfd)
    }
}

/// Waits for a child by its descriptor.
pub(super) fn wait<K: Kernel>(kernel: &K, pidfd: &Fd<'_, K>) -> Result<Exit, Errno> {
    let info = ask(kernel, pidfd, flags::WEXITED)?;
    // siginfo_t: si_code at 8, si_status at 24 (sigaction(2)).
    let word = |at: usize| {
        info.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_le_bytes)
    };
    Ok(match word(8).cast_unsigned() {
        flags::CLD_EXITED => Exit::Code(word(24)),
        _ => Exit::Signal(word(24)),
    })
}

/// Returns whether a process is a child of the caller's that was not waited for: then its number is
/// its own until it is.
///
/// # Errors
///
/// Those of waitid(2) but `ECHILD`.
pub(super) fn is_child<K: Kernel>(kernel: &K, pidfd: &Fd<'_, K>) -> Result<bool, Errno> {
    match ask(kernel, pidfd, flags::WEXITED | flags::WNOHANG | flags::WNOWAIT) {
        Ok(_) => Ok(true),
        Err(Errno::ECHILD) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Asks waitid(2) about a process, whatever signals the caller gets meanwhile.
fn ask<K: Kernel>(kernel: &K, pidfd: &Fd<'_, K>, options: u32) -> Result<[u8; 128], Errno> {
    let mut info = [0_u8; 128];
    loop {
        let room = Cell::from_mut(&mut info[..]).as_slice_of_cells();
        match kernel.call(Call::Waitid { fd: pidfd.raw(), info: room, options }) {
            Ok(_) => return Ok(info),
            Err(Errno::EINTR) => (),
            Err(errno) => return Err(errno),
        }
    }
}

/// Waits until a process is over, whoever's child it is; the caller's own is reaped.
///
/// # Errors
///
/// `ETIMEDOUT` after `patience_ms`.
pub(super) fn reap<K: Kernel>(
    kernel: &K,
    pidfd: &Fd<'_, K>,
    patience_ms: i32,
) -> Result<(), Failure> {
    let what = || "wait for the container's init";
    if !is_over(kernel, pidfd, patience_ms).doing(what)? {
        return Err(Failure::new(what(), Errno::ETIMEDOUT));
    }
    match wait(kernel, pidfd) {
        Ok(_) | Err(Errno::ECHILD) => Ok(()),
        Err(errno) => Err(Failure::new(what(), errno)),
    }
}

/// Waits until a process is over, and returns whether it is by then; a negative patience does not
/// end.
///
/// # Errors
///
/// Those of poll(2); signals that the caller gets meanwhile are none.
pub(super) fn is_over<K: Kernel>(
    kernel: &K,
    pidfd: &Fd<'_, K>,
    patience_ms: i32,
) -> Result<bool, Errno> {
    let mut left_ms = patience_ms;
    let mut end = None;
    loop {
        match kernel.poll([(pidfd.raw(), flags::POLLIN)], left_ms) {
            Ok([events]) => return Ok(events != 0),
            // It counts from the first signal on: nobody asks for the time where there is none.
            Err(Errno::EINTR) if patience_ms > 0 => {
                let now = milliseconds(kernel)?;
                let end = *end.get_or_insert_with(|| now + i64::from(patience_ms));
                left_ms = i32::try_from((end - now).max(0)).unwrap_or(patience_ms);
            }
            Err(Errno::EINTR) => (),
            Err(errno) => return Err(errno),
        }
    }
}

fn milliseconds<K: Kernel>(kernel: &K) -> Result<i64, Errno> {
    let (seconds, nanoseconds) = kernel.clock(flags::CLOCK_MONOTONIC)?;
    let seconds = i64::try_from(seconds).map_err(|_| Errno::EOVERFLOW)?;
    Ok(seconds * 1000 + i64::from(nanoseconds / 1_000_000))
}

/// Lets a moment pass; one that a signal cuts short is as good.
pub(super) fn pause<K: Kernel>(kernel: &K, ms: i32) -> Result<(), Errno> {
    match kernel.poll([], ms) {
        Ok([]) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The master of a terminal and other messages, received from a child on its socket.
pub(super) fn receive<'k, K: Kernel>(
    kernel: &'k K,
    socket: &Fd<'k, K>,
) -> Result<Message<'k, K>, Failure> {
    let what = || "hear from the container's first process";
    let mut block = [0_u8; 64];
    let answer = loop {
        let buf = Cell::from_mut(&mut block[..]).as_slice_of_cells();
        match kernel.call(Call::RecvFd { socket: socket.raw(), buf }) {
            // ECONNRESET: it is gone without having read all, and has perhaps said why before.
            Err(Errno::EINTR | Errno::ECONNRESET) => (),
            answer => break answer.doing(what)?,
        }
    };
    let count = usize::try_from(answer & 0xffff_ffff).unwrap_or(0);
    let fd = u32::try_from(answer >> 32).unwrap_or(u32::MAX);
    let fd = (fd != u32::MAX).then(|| Fd::new(fd.cast_signed(), kernel));
    Ok(match (block.get(..count), fd) {
        (_, Some(fd)) => Message::Terminal(fd),
        (Some([]) | None, None) => Message::Over,
        (Some([b'H']), None) => Message::Hooks,
        (Some([b'R']), None) => Message::Ready,
        (Some([a, b, c, d]), None) => Message::Pid(u32::from_le_bytes([*a, *b, *c, *d])),
        (Some([b'E', _, a, b, c, d]), None) => Message::Ended {
            op: u16::from_le_bytes([*a, *b]),
            status: u16::from_le_bytes([*c, *d]),
        },
        (Some([b'F', _, a, b, c, d]), None) => Message::Failed {
            op: u16::from_le_bytes([*a, *b]),
            errno: Errno(u16::from_le_bytes([*c, *d])),
        },
        (Some(_), None) => return Err(Failure::new(what(), Errno::EPROTO)),
    })
}

/// What a child says on its socket.
#[derive(Debug)]
pub(super) enum Message<'k, K: Kernel> {
    /// A child of its own, a hook, ended badly.
    Ended {
        /// Which operation found out.
        op: u16,
        /// The hook's status, as wait4(2) writes it.
        status: u16,
    },
    /// An operation of its program failed.
    Failed {
        /// Which.
        op: u16,
        /// Why.
        errno: Errno,
    },
    /// It waits for the runtime's hooks.
    Hooks,
    /// The socket is closed: it is gone, or has become its program.
    Over,
    /// The number of the process that goes on in its place.
    Pid(u32),
    /// It is ready.
    Ready,
    /// The master of its terminal.
    Terminal(Fd<'k, K>),
}
