//! The command `kill`, and the names of signals.

use crate::backend::linux::Linux;
use crate::run::{Container, Error};
use crate::state::{Refusal, Why};
use crate::sys::{Call, Errno, Kernel, Syscalls, flags};

use super::args::Parsed;
use super::problem::Problem;
use super::session::{Session, container};

/// The names of signals less `SIG`, each at its number less one.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Other names of some.
const ALIASES: [(&str, u32); 4] = [("CLD", 17), ("IOT", 6), ("POLL", 29), ("UNUSED", 31)];

/// The first real-time signal that is not the C library's own.
const REAL_TIME_MIN: u32 = 34;

/// The last signal.
const MAX: u32 = 64;

/// Signals the first process of a container, or all.
pub(super) fn kill(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let signal = match parsed.argument(1) {
        "" => 15,
        word => signal(word).ok_or_else(|| Problem::new(format!("unknown signal {word:?}")))?,
    };
    let runtime = session.runtime()?;
    let container = container(&runtime, parsed)?;
    if parsed.has("all") {
        all(&container, signal)?
    } else {
        first(&container, signal)?
    }
    Ok(0)
}

/// Signals the first process. Where that has ended and others have not, as can be without a pid
/// namespace of their own, SIGKILL is for those, as with runc.
fn first(container: &Container<'_, Linux>, signal: u32) -> Result<(), Problem> {
    match container.kill(signal) {
        Err(Error::Refused(Refusal { why: Why::NotRunning, .. }))
            if signal == flags::SIGKILL && !container.processes()?.is_empty() =>
        {
            all(container, signal)
        }
        done => Ok(done?),
    }
}

/// Signals every process; that the first one has ended, or all have, is success.
fn all(container: &Container<'_, Linux>, signal: u32) -> Result<(), Problem> {
    // The others first: with the first one a pid namespace would end, and the list with it.
    let mut seen = Vec::new();
    for pid in container.processes()? {
        match Linux.give(Call::PidfdOpen { pid, flags: 0 }) {
            Ok(process) => seen.push((pid, process)),
            // ESRCH, EINVAL: it has ended meanwhile.
            Err(Errno::ESRCH | Errno::EINVAL) => (),
            Err(errno) => return Err(Problem::of(format!("signal process {pid}"), errno)),
        }
    }
    // Looked at again, so that a number which somebody else has by now is left alone.
    let still = container.processes()?;
    let init = container.state()?.pid;
    for (pid, process) in seen {
        if init != Some(pid) && still.contains(&pid) {
            match Linux.call(Call::PidfdSendSignal { fd: process.raw(), signal }) {
                Ok(_) | Err(Errno::ESRCH) => (),
                Err(errno) => return Err(Problem::of(format!("signal process {pid}"), errno)),
            }
        }
    }
    match container.kill(signal) {
        Err(Error::Refused(Refusal { why: Why::NotRunning, .. })) => Ok(()),
        done => Ok(done?),
    }
}

/// Reads a signal: a number, or a name in any case, with or without `SIG`.
fn signal(word: &str) -> Option<u32> {
    if let Ok(number) = word.parse::<u32>() {
        return (number <= MAX).then_some(number);
    }
    let name = word.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let at = NAMES.iter().position(|known| *known == name);
    let known = at.and_then(|at| u32::try_from(at + 1).ok());
    let alias = || ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, number)| *number);
    known.or_else(alias).or_else(|| real_time(name))
}

/// Reads `RTMIN`, `RTMIN+n`, `RTMAX` and `RTMAX-n`.
fn real_time(name: &str) -> Option<u32> {
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        let more = if rest.is_empty() { 0 } else { rest.strip_prefix('+')?.parse().ok()? };
        REAL_TIME_MIN.checked_add(more)?
    } else {
        let rest = name.strip_prefix("RTMAX")?;
        let less = if rest.is_empty() { 0 } else { rest.strip_prefix('-')?.parse().ok()? };
        MAX.checked_sub(less)?
    };
    (REAL_TIME_MIN..=MAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_numbers_or_names_in_any_case() {
        let expected = [
            ("0", Some(0)),
            ("9", Some(9)),
            ("64", Some(64)),
            ("65", None),
            ("-9", None),
            ("KILL", Some(flags::SIGKILL)),
            ("sigkill", Some(flags::SIGKILL)),
            ("SigWinch", Some(flags::SIGWINCH)),
            ("sys", Some(31)),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("rtmax", Some(64)),
            ("RTMIN+31", None),
            ("RTMAX-31", None),
            ("RTMIN3", None),
            ("", None),
            ("SIG", None),
            ("FOO", None),
        ];
        for (word, number) in expected {
            assert_eq!(signal(word), number, "{word}");
        }
    }
}
