//! A terminal of a container, relayed to the one that this command was started at.
//!
//! ```text
//! standard input ──► held ──► master ──► container
//! standard output ◄───────── master ◄── container
//! ```
//!
//! **Invariant:** the host's terminal is as it was once the relay is dropped, however that comes.
//!
//! **Invariant:** writing to the master never blocks: a program that writes and does not read
//! would otherwise wait for this command, and this command for it.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, RawFd};

use nix::sys::termios::{self, SetArg, Termios};

use crate::backend::linux::{Linux, window_size};
use crate::spec::ConsoleSize;
use crate::sys::{CWD, Call, Errno, Fd, Kernel, Syscalls, flags};

use super::problem::{Problem, regardless};

/// A master, and the host's terminal.
#[derive(Debug)]
pub(super) struct Relay<'k> {
    master: Fd<'k, Linux>,
    host: Option<Host>,
    /// What was read and not yet taken by the container.
    held: Vec<u8>,
    input: Input,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Ended,
    Open,
}

/// The host's terminal, and how it was.
#[derive(Debug)]
struct Host {
    stream: Stream,
    before: Termios,
}

#[derive(Clone, Copy, Debug)]
enum Stream {
    Error,
    Input,
    Output,
}

/// Refuses to relay a terminal to nobody: neither a stream nor the session has one.
pub(super) fn require() -> Result<(), Problem> {
    if Stream::of_terminal().is_some() {
        return Ok(());
    }
    let tty = Linux.open(CWD, c"/dev/tty", flags::O_RDONLY);
    tty.map(drop).map_err(|errno| Problem::of("open /dev/tty", errno))
}

/// Returns the size of the host's terminal, if there is one.
pub(super) fn size() -> Option<ConsoleSize> {
    let [a, b, c, d, ..] = Stream::of_terminal()?.with(window_size).ok()?;
    Some(ConsoleSize { rows: u16::from_le_bytes([a, b]), columns: u16::from_le_bytes([c, d]) })
}

impl Stream {
    /// Finds a terminal among the standard streams.
    fn of_terminal() -> Option<Self> {
        if io::stdin().is_terminal() {
            Some(Self::Input)
        } else if io::stdout().is_terminal() {
            Some(Self::Output)
        } else if io::stderr().is_terminal() {
            Some(Self::Error)
        } else {
            None
        }
    }

    fn with<T>(self, ask: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
        match self {
            Self::Error => ask(io::stderr().as_fd()),
            Self::Input => ask(io::stdin().as_fd()),
            Self::Output => ask(io::stdout().as_fd()),
        }
    }
}

impl<'k> Relay<'k> {
    /// Makes the host's terminal raw, and the container's as large.
    pub(super) fn new(master: Fd<'k, Linux>) -> Result<Self, Problem> {
        let flags = Call::Fcntl { fd: master.raw(), command: flags::F_GETFL, argument: 0 };
        let argument = Linux.call(flags)? | flags::O_NONBLOCK;
        Linux.call(Call::Fcntl { fd: master.raw(), command: flags::F_SETFL, argument })?;
        let host = Host::find().map_err(|e| Problem::of("set the host's terminal", e.desc()))?;
        let relay = Self { master, host, held: Vec::new(), input: Input::Open };
        relay.resize()?;
        Ok(relay)
    }

    /// Gives the container's terminal the size of the host's.
    pub(super) fn resize(&self) -> Result<(), Problem> {
        let Some(host) = &self.host else { return Ok(()) };
        let block = host.stream.with(window_size)?;
        let request = flags::TIOCSWINSZ;
        Linux.call(Call::IoctlIn { fd: self.master.raw(), request, block: &block })?;
        Ok(())
    }

    /// Waits for bytes, which it moves, or for `signals`, of which it returns whether they came.
    pub(super) fn turn(&mut self, signals: RawFd) -> Result<bool, Problem> {
        let master = self.master.raw();
        let (input, out) = match (self.held.is_empty(), self.input) {
            (true, Input::Open) => (0, 0),
            (true, Input::Ended) => (-1, 0),
            (false, _) => (-1, flags::POLLOUT),
        };
        let wanted =
            [(signals, flags::POLLIN), (input, flags::POLLIN), (master, flags::POLLIN | out)];
        let [signalled, typed, ready] = match Linux.poll(wanted, -1) {
            Err(Errno::EINTR) => return Ok(false),
            polled => polled?,
        };
        if typed != 0 {
            self.read_input();
        }
        if !self.held.is_empty() {
            self.write_held()?;
        }
        if ready & flags::POLLIN != 0 {
            self.show()?;
        } else if ready & flags::POLLHUP != 0 && signalled == 0 {
            // Nobody has the terminal open: what is left to wait for is a signal.
            Linux.poll([(signals, flags::POLLIN)], HANGUP_PAUSE_MS)?;
        }
        Ok(signalled != 0)
    }

    /// Shows what the container has written before it ended.
    pub(super) fn drain(&mut self) -> Result<(), Problem> {
        loop {
            let [ready] = Linux.poll([(self.master.raw(), flags::POLLIN)], 0)?;
            if ready & flags::POLLIN == 0 || self.show()? == 0 {
                return Ok(());
            }
        }
    }

    fn read_input(&mut self) {
        let mut block = [0; 4096];
        match Linux.read(0, &mut block) {
            Err(Errno::EAGAIN | Errno::EINTR) => (),
            // EIO: the terminal has hung up, or this command is in the background.
            Ok([]) | Err(_) => self.input = Input::Ended,
            Ok(bytes) => self.held.extend_from_slice(bytes),
        }
    }

    fn write_held(&mut self) -> Result<(), Problem> {
        match Linux.write(self.master.raw(), &self.held) {
            Ok(count) => drop(self.held.drain(..count)),
            Err(Errno::EAGAIN | Errno::EINTR) => (),
            // EIO: nobody will read it.
            Err(Errno::EIO) => self.held.clear(),
            Err(errno) => return Err(Problem::of("write to the container's terminal", errno)),
        }
        Ok(())
    }

    /// Moves what the container has written on, and returns how much that was.
    fn show(&self) -> Result<usize, Problem> {
        let mut block = [0; 16 * 1024];
        match Linux.read(self.master.raw(), &mut block) {
            // EIO: everybody has closed the container's end.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::EIO) => Ok(0),
            Err(errno) => Err(Problem::of("read from the container's terminal", errno)),
            Ok(bytes) => {
                let written = Linux.write_all(1, bytes);
                written.map_err(|errno| Problem::of("write to standard output", errno))?;
                Ok(bytes.len())
            }
        }
    }
}

/// How long to wait between looks at a terminal that nobody has open, in milliseconds.
const HANGUP_PAUSE_MS: i32 = 50;

impl Host {
    /// Finds the terminal among the standard streams, and makes it raw.
    fn find() -> nix::Result<Option<Self>> {
        let Some(stream) = Stream::of_terminal() else { return Ok(None) };
        let before = stream.with(|fd| termios::tcgetattr(fd))?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        stream.with(|fd| termios::tcsetattr(fd, SetArg::TCSANOW, &raw))?;
        Ok(Some(Self { stream, before }))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring, and there is nobody to tell otherwise.
        regardless(self.stream.with(|fd| termios::tcsetattr(fd, SetArg::TCSADRAIN, &self.before)));
    }
}
