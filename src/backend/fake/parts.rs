//! The operands of a live call, one by one: for whoever hashes, prints or records a call.

use std::cell::Cell;
use std::ffi::CStr;
use std::fmt::Write as _;

use super::Answer;
use crate::sys::{Call, Child, Live, Strings};

/// An operand of a live call.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    Child(Child<'a>),
    In(&'a [u8]),
    List(Strings<'a>),
    Number(u64),
    Out(&'a [Cell<u8>]),
    Text(&'a CStr),
}

macro_rules! parts {
    ($($kind:ty => $variant:ident;)*) => {$(
        impl<'a> From<$kind> for Part<'a> {
            fn from(operand: $kind) -> Self {
                Self::$variant(operand.into())
            }
        }
    )*};
}

parts! {
    Child<'a> => Child;
    &'a [u8] => In;
    Strings<'a> => List;
    u32 => Number;
    u64 => Number;
    &'a [Cell<u8>] => Out;
    &'a CStr => Text;
}

impl From<i32> for Part<'_> {
    fn from(number: i32) -> Self {
        Self::Number(u64::from(number.cast_unsigned()))
    }
}

/// Hands a macro the operands of every call, behind what it is told beside.
#[rustfmt::skip]
macro_rules! each_call {
    ($then:ident $beside:tt) => { $then! { $beside
        Accept { fd, flags } Await { fd, events, timeout_ms } BpfAttach { cgroup, program }
        BpfLoad { program }
        Capset { effective, permitted, inheritable } Chdir { path } Chroot { path }
        ClockGettime { clock, time } Close { fd }
        CloseRange { first, last, flags } Connect { fd, address } Dup3 { old, new, flags }
        Execve { path, argv, envp } Exit { status } Faccessat2 { dir, path, mode, flags }
        Fchdir { fd } Fchmod { fd, mode } Fchmodat { dir, path, mode }
        Fchownat { dir, path, uid, gid, flags } Fcntl { fd, command, argument }
        Flock { fd, operation } Fork { flags } Fstatfs { fd, buf } Ftruncate { fd, length }
        Getdents64 { fd, buf } Geteuid {} Getpid {}
        Ioctl { fd, request, argument } IoctlIn { fd, request, block } Kill { pid, signal }
        Lseek { fd, offset, whence } MemfdCreate { name, flags } Mkdirat { dir, path, mode }
        Mknodat { dir, path, mode, device } Mount { source, target, kind, flags, data }
        MountSetattr { dir, path, flags, set, clear, propagation }
        MoveMount { from_dir, from_path, to_dir, to_path, flags } OpenTree { dir, path, flags }
        Openat2 { dir, path, flags, mode, resolve } PidfdOpen { pid, flags }
        PidfdSendSignal { fd, signal } Pipe2 { ends, flags } PivotRoot { new_root, put_old }
        Poll { fds, timeout_ms } Prctl { option, a, b, c, d }
        Prlimit { pid, resource, soft, hard } Read { fd, buf } Readlinkat { dir, path, buf }
        RecvFd { socket, buf } Renameat2 { from_dir, from, to_dir, to, flags }
        Seccomp { flags, filter } Send { socket, bytes } SendFd { socket, bytes, fd }
        Setdomainname { name } Setgroups { groups } Sethostname { name } Setns { fd, kinds }
        Setresgid { gid } Setresuid { uid } Setsid {} SignalDefault { signal }
        Socket { domain, kind, protocol } Socketpair { domain, kind, ends } Spawn { child, pidfd }
        Statx { dir, path, flags, mask, buf } Symlinkat { target, dir, path } Umask { mask }
        Umount2 { target, flags } Unlinkat { dir, path, flags } Unshare { kinds }
        Wait4 { pid, status, options } Waitid { fd, info, options } Write { fd, bytes }
    } };
}
pub(super) use each_call;

macro_rules! visit {
    (($call:ident, $see:ident) $($name:ident { $($field:ident),* })*) => {
        match *$call {
            $(Call::$name { $($field),* } => { $($see(Part::from($field));)* })*
        }
    };
}

/// Shows each operand of a call.
pub(super) fn visit<'a>(call: &Call<Live<'a>>, see: &mut dyn FnMut(Part<'a>)) {
    each_call! { visit(call, see) }
}

/// Returns a call in one line.
pub(super) fn summary(call: &Call<Live<'_>>) -> String {
    let mut text = String::from(call.row().name);
    let mut next = "(";
    visit(call, &mut |part| {
        text.push_str(next);
        next = ", ";
        let written = match part {
            Part::Child(child) => write!(text, "a program of {} operations", child.code.ops.len()),
            Part::In(bytes) => {
                let start = bytes.get(..64).unwrap_or(bytes);
                write!(text, "{:?}", String::from_utf8_lossy(start))
            }
            Part::List(list) => write!(text, "{:?}", String::from_utf8_lossy(list.0)),
            Part::Number(number) => write!(text, "{number:#x}"),
            Part::Out(room) => write!(text, "room for {}", room.len()),
            Part::Text(path) => write!(text, "{path:?}"),
        };
        debug_assert!(written.is_ok(), "a string takes everything");
    });
    if next == "(" {
        text.push('(');
    }
    text.push(')');
    text
}

/// Returns what a call names first, a path or the beginning of some bytes, in quotes.
pub(super) fn names(call: &Call<Live<'_>>) -> String {
    const SHOWN: usize = 24;
    let mut named = String::new();
    visit(call, &mut |part| {
        if !named.is_empty() {
            return;
        }
        named = match part {
            Part::In(bytes) => {
                format!("{:?}", String::from_utf8_lossy(bytes.get(..SHOWN).unwrap_or(bytes)))
            }
            Part::Text(path) => format!("{path:?}"),
            Part::Child(_) | Part::List(_) | Part::Number(_) | Part::Out(_) => return,
        };
    });
    named
}

/// Ends a run that asks for what nobody taught the fake.
pub(super) fn unmodelled(name: &str, what: &str) -> ! {
    panic!("Unmodelled: {name}({what})")
}

/// Returns whether a call leaves a room as a whole, whatever it is answered.
pub(super) const fn fills_rooms(call: &Call<Live<'_>>) -> bool {
    !matches!(
        call,
        Call::Getdents64 { .. } | Call::Read { .. } | Call::Readlinkat { .. } | Call::RecvFd { .. }
    )
}

/// Returns how much of a room of that length a call has written.
fn written(call: &Call<Live<'_>>, value: Answer, len: usize) -> usize {
    match (call, value) {
        (_, Err(_)) => 0,
        (Call::RecvFd { .. }, Ok(value)) => {
            usize::try_from(value & 0xffff_ffff).unwrap_or(len).min(len)
        }
        (_, Ok(_)) if fills_rooms(call) => len,
        (_, Ok(value)) => usize::try_from(value).unwrap_or(len).min(len),
    }
}

/// Returns what the kernel wrote, room after room.
pub(super) fn rooms(call: &Call<Live<'_>>, value: Answer) -> Vec<u8> {
    let mut rooms = Vec::new();
    visit(call, &mut |part| {
        if let Part::Out(room) = part {
            let len = written(call, value, room.len());
            rooms.extend(room.iter().take(len).map(Cell::get));
        }
    });
    rooms
}

/// Writes again what the kernel wrote.
pub(super) fn feed(call: &Call<Live<'_>>, value: Answer, mut rest: &[u8]) {
    visit(call, &mut |part| {
        if let Part::Out(room) = part {
            let len = written(call, value, room.len());
            let (bytes, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            fill(room, bytes);
            rest = after;
        }
    });
}

/// Writes bytes into a room, as many as both have.
pub(super) fn fill(room: &[Cell<u8>], bytes: &[u8]) {
    for (cell, byte) in room.iter().zip(bytes) {
        cell.set(*byte);
    }
}

/// Returns two descriptor numbers as pipe2(2) writes them.
pub(super) fn pair(a: u64, b: u64) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&a.to_le_bytes()[..4]);
    bytes[4..].copy_from_slice(&b.to_le_bytes()[..4]);
    bytes
}
