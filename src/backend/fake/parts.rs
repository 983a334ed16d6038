//! The operands of a live call, one by one: for whoever hashes, prints or records a call.

use std::cell::Cell;
use std::ffi::CStr;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

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

macro_rules! visit {
    ($call:ident, $see:ident; $($name:ident { $($field:ident),* })*) => {
        match *$call {
            $(Call::$name { $($field),* } => { $($see(Part::from($field));)* })*
        }
    };
}

/// Shows each operand of a call.
#[rustfmt::skip]
pub(super) fn visit<'a>(call: &Call<Live<'a>>, see: &mut dyn FnMut(Part<'a>)) {
    visit! { call, see;
        Accept { fd, flags } Await { fd, events, timeout_ms } BpfAttach { cgroup, program }
        BpfLoad { program }
        Capset { effective, permitted, inheritable } Chdir { path } Chroot { path }
        ClockGettime { clock, time } Close { fd }
        CloseRange { first, last, flags } Connect { fd, address } Dup3 { old, new, flags }
        Execve { path, argv, envp } Exit { status } Faccessat2 { dir, path, mode, flags }
        Fchdir { fd } Fchmod { fd, mode } Fchmodat { dir, path, mode }
        Fchownat { dir, path, uid, gid, flags } Fcntl { fd, command, argument }
        Flock { fd, operation } Fork { flags } Ftruncate { fd, length } Getdents64 { fd, buf }
        Geteuid {} Getpid {}
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
    }
}

/// Returns a number that equal calls share; of a room, only the length counts.
pub(super) fn digest(call: &Call<Live<'_>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    call.row().name.hash(&mut hasher);
    visit(call, &mut |part| match part {
        Part::Child(child) => {
            (child.namespaces, child.cgroup, child.tasks).hash(&mut hasher);
            (child.given, child.mapped, child.code).hash(&mut hasher);
        }
        Part::In(bytes) => bytes.hash(&mut hasher),
        Part::List(list) => list.hash(&mut hasher),
        Part::Number(number) => number.hash(&mut hasher),
        Part::Out(room) => {
            room.len().hash(&mut hasher);
            // Poll reads its room, so its content is part of what is asked.
            if matches!(call, Call::Poll { .. }) {
                room.iter().for_each(|cell| cell.get().hash(&mut hasher));
            }
        }
        Part::Text(text) => text.hash(&mut hasher),
    });
    hasher.finish()
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

/// Ends a run that asks for what nobody taught the fake.
pub(super) fn unmodelled(name: &str, what: &str) -> ! {
    panic!("Unmodelled: {name}({what})")
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
