//! What a process is set to before it is anybody: signals, resource limits, the killer's score.

use super::draft::{Draft, handle};
use crate::spec::{Process, RlimitKind};
use crate::sys::flags::{O_CLOEXEC, O_WRONLY, RESOLVE_NO_MAGICLINKS};
use crate::sys::{Call, Errno, Handle};

/// How many signals there are.
const SIGNALS: u32 = 64;

/// Gives back to their defaults the signals that the maker ignores: execve(2) keeps those alone.
pub(super) fn signals(draft: &mut Draft<'_>) {
    let ignored = draft.situation.host.ignored_signals;
    for signal in (1..=SIGNALS).filter(|signal| ignored >> (signal - 1) & 1 == 1) {
        draft.about(format!("stop ignoring signal {signal}"));
        // EINVAL where the kernel has fewer signals.
        draft.b.call_or(Call::SignalDefault { signal }, &[Errno::EINVAL]);
    }
}

/// Sets how readily the process is killed when memory runs out; while `/proc/self` is the host's.
pub(super) fn oom_score(draft: &mut Draft<'_>, process: &Process) {
    if let Some(score) = process.oom_score_adj {
        draft.about(format!("set the oom score to {score}"));
        write_file(draft, "/proc/self/oom_score_adj", score.to_string().as_bytes());
    }
}

/// Sets the resource limits while the host's rights over them are there, if those are about to be
/// left for a joined user namespace.
pub(super) fn early_rlimits(draft: &mut Draft<'_>, process: &Process) {
    rlimits(draft, process);
    draft.limited = true;
}

/// Sets the resource limits.
pub(super) fn rlimits(draft: &mut Draft<'_>, process: &Process) {
    for limit in &process.rlimits {
        let (name, resource) = number(limit.kind);
        draft.about(format!("set RLIMIT_{name}"));
        let (soft, hard) = (limit.soft, limit.hard);
        draft.b.call(Call::Prlimit { pid: 0, resource, soft, hard });
    }
}

/// Writes a file of the host's `/proc` at once.
pub(super) fn write_file(draft: &mut Draft<'_>, path: &str, bytes: &[u8]) {
    let path = draft.text(path);
    let flags = O_WRONLY | O_CLOEXEC;
    let resolve = RESOLVE_NO_MAGICLINKS;
    let dir = Handle::CWD;
    let file = draft.b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve });
    draft.write(handle(file), bytes);
    draft.b.close(file);
}

/// Each limit's name and number (setrlimit(2)).
const fn number(kind: RlimitKind) -> (&'static str, u32) {
    match kind {
        RlimitKind::As => ("AS", 9),
        RlimitKind::Core => ("CORE", 4),
        RlimitKind::Cpu => ("CPU", 0),
        RlimitKind::Data => ("DATA", 2),
        RlimitKind::Fsize => ("FSIZE", 1),
        RlimitKind::Locks => ("LOCKS", 10),
        RlimitKind::Memlock => ("MEMLOCK", 8),
        RlimitKind::Msgqueue => ("MSGQUEUE", 12),
        RlimitKind::Nice => ("NICE", 13),
        RlimitKind::Nofile => ("NOFILE", 7),
        RlimitKind::Nproc => ("NPROC", 6),
        RlimitKind::Rss => ("RSS", 5),
        RlimitKind::Rtprio => ("RTPRIO", 14),
        RlimitKind::Rttime => ("RTTIME", 15),
        RlimitKind::Sigpending => ("SIGPENDING", 11),
        RlimitKind::Stack => ("STACK", 3),
    }
}
