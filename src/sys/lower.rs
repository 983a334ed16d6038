//! How a call reaches a real kernel: its number and six words.
//!
//! The stub and the Linux backend lower calls by this one function; the numbers are those of the
//! machine that the crate is compiled for.
//!
//! **Invariant:** a call lowers to plain words; the words point into the operands and into the
//! [`Scratch`] that the caller keeps alive across the call.

use core::cell::Cell;
use core::ffi::CStr;

use super::calls::Call;
use super::form::{Live, RawFd};

/// Room for the structures that some calls take by address.
#[derive(Debug, Default)]
#[repr(C, align(8))]
pub struct Scratch {
    words: [Cell<usize>; 12],
    control: [Cell<u32>; 6],
}

/// A call as the kernel's door takes it.
#[derive(Clone, Copy, Debug)]
pub struct Lowered {
    /// Which call.
    pub number: usize,
    /// Its words.
    pub words: [usize; 6],
}

/// The numbers of the calls on this machine.
#[cfg(target_arch = "x86_64")]
#[expect(missing_docs, reason = "each is the call of that name")]
pub mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const LSEEK: usize = 8;
    pub const MMAP: usize = 9;
    pub const MPROTECT: usize = 10;
    pub const MUNMAP: usize = 11;
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const IOCTL: usize = 16;
    pub const WRITEV: usize = 20;
    pub const GETPID: usize = 39;
    pub const SOCKET: usize = 41;
    pub const CONNECT: usize = 42;
    pub const SENDTO: usize = 44;
    pub const SENDMSG: usize = 46;
    pub const RECVMSG: usize = 47;
    pub const SOCKETPAIR: usize = 53;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const FCNTL: usize = 72;
    pub const FLOCK: usize = 73;
    pub const FTRUNCATE: usize = 77;
    pub const CHDIR: usize = 80;
    pub const FCHDIR: usize = 81;
    pub const FCHMOD: usize = 91;
    pub const UMASK: usize = 95;
    pub const GETEUID: usize = 107;
    pub const SETSID: usize = 112;
    pub const SETGROUPS: usize = 116;
    pub const SETRESUID: usize = 117;
    pub const SETRESGID: usize = 119;
    pub const CAPSET: usize = 126;
    pub const FSTATFS: usize = 138;
    pub const PIVOT_ROOT: usize = 155;
    pub const PRCTL: usize = 157;
    pub const CHROOT: usize = 161;
    pub const MOUNT: usize = 165;
    pub const UMOUNT2: usize = 166;
    pub const SETHOSTNAME: usize = 170;
    pub const SETDOMAINNAME: usize = 171;
    pub const GETDENTS64: usize = 217;
    pub const CLOCK_GETTIME: usize = 228;
    pub const EXIT_GROUP: usize = 231;
    pub const WAITID: usize = 247;
    pub const MKDIRAT: usize = 258;
    pub const MKNODAT: usize = 259;
    pub const FCHOWNAT: usize = 260;
    pub const UNLINKAT: usize = 263;
    pub const SYMLINKAT: usize = 266;
    pub const READLINKAT: usize = 267;
    pub const FCHMODAT: usize = 268;
    pub const PPOLL: usize = 271;
    pub const UNSHARE: usize = 272;
    pub const ACCEPT4: usize = 288;
    pub const DUP3: usize = 292;
    pub const PIPE2: usize = 293;
    pub const PRLIMIT64: usize = 302;
    pub const SETNS: usize = 308;
    pub const RENAMEAT2: usize = 316;
    pub const SECCOMP: usize = 317;
    pub const MEMFD_CREATE: usize = 319;
    pub const BPF: usize = 321;
    pub const EXECVEAT: usize = 322;
    pub const STATX: usize = 332;
    pub const PIDFD_SEND_SIGNAL: usize = 424;
    pub const OPEN_TREE: usize = 428;
    pub const MOVE_MOUNT: usize = 429;
    pub const PIDFD_OPEN: usize = 434;
    pub const CLONE3: usize = 435;
    pub const CLOSE_RANGE: usize = 436;
    pub const OPENAT2: usize = 437;
    pub const FACCESSAT2: usize = 439;
    pub const MOUNT_SETATTR: usize = 442;
}

/// The numbers of the calls on this machine.
#[cfg(not(target_arch = "x86_64"))]
compile_error!("the numbers of system calls are known for x86_64 only, so far");

fn fd(fd: RawFd) -> usize {
    isize::try_from(fd).unwrap_or(-1).cast_unsigned()
}

fn text(text: &CStr) -> usize {
    text.as_ptr().expose_provenance()
}

fn bytes(bytes: &[u8]) -> usize {
    bytes.as_ptr().expose_provenance()
}

fn room(room: &[Cell<u8>]) -> usize {
    room.as_ptr().expose_provenance()
}

const fn short(value: u32) -> usize {
    value as usize
}

#[expect(clippy::cast_possible_truncation, reason = "only 64-bit machines get this far")]
const fn long(value: u64) -> usize {
    value as usize
}

impl Scratch {
    /// Returns scratch space.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: [const { Cell::new(0) }; 12], control: [const { Cell::new(0) }; 6] }
    }

    /// Writes words from the beginning and returns the address of the first.
    fn put(&self, words: &[usize]) -> usize {
        for (cell, word) in self.words.iter().zip(words) {
            cell.set(*word);
        }
        self.words.as_ptr().expose_provenance()
    }

    /// Writes a message header over one run of bytes and room for one descriptor.
    fn message(&self, at: usize, len: usize, control: usize) -> usize {
        let control_at = self.control.as_ptr().expose_provenance();
        let base = self.words.as_ptr().expose_provenance();
        let iovec = base + 7 * size_of::<usize>();
        self.put(&[0, 0, iovec, 1, control_at, control, 0, at, len])
    }

    /// Returns the descriptor that a message brought, if it brought one.
    #[must_use]
    pub fn received(&self) -> Option<RawFd> {
        const FOUND: [u32; 4] = [CONTROL_ONE, 0, SOL_SOCKET, SCM_RIGHTS];
        let control: [u32; 6] = core::array::from_fn(|i| self.control.get(i).map_or(0, Cell::get));
        (self.words.get(5).is_some_and(|len| len.get() >= short(CONTROL_ONE))
            && control.get(..4) == Some(&FOUND))
        .then(|| control[4].cast_signed())
    }
}

/// `CMSG_LEN` of one descriptor.
const CONTROL_ONE: u32 = 20;
/// `CMSG_SPACE` of one descriptor.
const CONTROL_SPACE: usize = 24;
const SOL_SOCKET: u32 = 1;
const SCM_RIGHTS: u32 = 1;
const MSG_NOSIGNAL: usize = 0x4000;
const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
const PR_SET_SECCOMP_FILTER: usize = 1;
const P_PIDFD: usize = 3;
const CAPABILITY_VERSION_3: usize = 0x2008_0522;
const SIGCHLD: usize = 17;
const BPF_PROG_LOAD: usize = 5;
const BPF_PROG_ATTACH: usize = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: usize = 15;
const BPF_CGROUP_DEVICE: usize = 6;
const BPF_F_ALLOW_MULTI: usize = 2;

/// Returns how the kernel's door takes `call`, or `None` for the two calls that each backend does
/// in its own way: `Spawn` and `Execve`.
#[must_use]
pub fn lower(call: &Call<Live<'_>>, scratch: &Scratch) -> Option<Lowered> {
    let (number, words): (usize, [usize; 6]) = files(call)
        .or_else(|| tree(call, scratch))
        .or_else(|| process(call, scratch))
        .or_else(|| talk(call, scratch))?;
    Some(Lowered { number, words })
}

type Door = Option<(usize, [usize; 6])>;

/// Calls on descriptors and names.
fn files(call: &Call<Live<'_>>) -> Door {
    Some(match *call {
        Call::Close { fd: f } => (number::CLOSE, [fd(f), 0, 0, 0, 0, 0]),
        Call::CloseRange { first, last, flags } => {
            (number::CLOSE_RANGE, [short(first), short(last), short(flags), 0, 0, 0])
        }
        Call::Dup3 { old, new, flags } => (number::DUP3, [fd(old), fd(new), short(flags), 0, 0, 0]),
        Call::Faccessat2 { dir, path, mode, flags } => {
            (number::FACCESSAT2, [fd(dir), text(path), short(mode), short(flags), 0, 0])
        }
        Call::Fchmod { fd: f, mode } => (number::FCHMOD, [fd(f), short(mode), 0, 0, 0, 0]),
        Call::Fchmodat { dir, path, mode } => {
            (number::FCHMODAT, [fd(dir), text(path), short(mode), 0, 0, 0])
        }
        Call::Fchownat { dir, path, uid, gid, flags } => {
            (number::FCHOWNAT, [fd(dir), text(path), short(uid), short(gid), short(flags), 0])
        }
        Call::Fcntl { fd: f, command, argument } => {
            (number::FCNTL, [fd(f), short(command), long(argument), 0, 0, 0])
        }
        Call::Flock { fd: f, operation } => (number::FLOCK, [fd(f), short(operation), 0, 0, 0, 0]),
        Call::Ftruncate { fd: f, length } => (number::FTRUNCATE, [fd(f), long(length), 0, 0, 0, 0]),
        Call::Getdents64 { fd: f, buf } => {
            (number::GETDENTS64, [fd(f), room(buf), buf.len(), 0, 0, 0])
        }
        Call::Ioctl { fd: f, request, argument } => {
            (number::IOCTL, [fd(f), short(request), long(argument), 0, 0, 0])
        }
        Call::IoctlIn { fd: f, request, block } => {
            (number::IOCTL, [fd(f), short(request), bytes(block), 0, 0, 0])
        }
        Call::Lseek { fd: f, offset, whence } => {
            (number::LSEEK, [fd(f), long(offset), short(whence), 0, 0, 0])
        }
        Call::MemfdCreate { name, flags } => {
            (number::MEMFD_CREATE, [text(name), short(flags), 0, 0, 0, 0])
        }
        Call::Pipe2 { ends, flags } => (number::PIPE2, [room(ends), short(flags), 0, 0, 0, 0]),
        Call::Read { fd: f, buf } => (number::READ, [fd(f), room(buf), buf.len(), 0, 0, 0]),
        Call::Readlinkat { dir, path, buf } => {
            (number::READLINKAT, [fd(dir), text(path), room(buf), buf.len(), 0, 0])
        }
        Call::Statx { dir, path, flags, mask, buf } => {
            (number::STATX, [fd(dir), text(path), short(flags), short(mask), room(buf), 0])
        }
        Call::Write { fd: f, bytes: b } => (number::WRITE, [fd(f), bytes(b), b.len(), 0, 0, 0]),
        _ => return None,
    })
}

/// Calls on the tree of names and mounts.
fn tree(call: &Call<Live<'_>>, scratch: &Scratch) -> Door {
    Some(match *call {
        Call::Chdir { path } => (number::CHDIR, [text(path), 0, 0, 0, 0, 0]),
        Call::Chroot { path } => (number::CHROOT, [text(path), 0, 0, 0, 0, 0]),
        Call::Fchdir { fd: f } => (number::FCHDIR, [fd(f), 0, 0, 0, 0, 0]),
        Call::Fstatfs { fd: f, buf } => (number::FSTATFS, [fd(f), room(buf), 0, 0, 0, 0]),
        Call::Mkdirat { dir, path, mode } => {
            (number::MKDIRAT, [fd(dir), text(path), short(mode), 0, 0, 0])
        }
        Call::Mknodat { dir, path, mode, device } => {
            (number::MKNODAT, [fd(dir), text(path), short(mode), long(device), 0, 0])
        }
        Call::Mount { source, target, kind, flags, data } => {
            (number::MOUNT, [text(source), text(target), text(kind), long(flags), text(data), 0])
        }
        Call::MountSetattr { dir, path, flags, set, clear, propagation } => {
            let attr = scratch.put(&[long(set), long(clear), long(propagation), 0]);
            (number::MOUNT_SETATTR, [fd(dir), text(path), short(flags), attr, 32, 0])
        }
        Call::MoveMount { from_dir, from_path, to_dir, to_path, flags } => (
            number::MOVE_MOUNT,
            [fd(from_dir), text(from_path), fd(to_dir), text(to_path), short(flags), 0],
        ),
        Call::OpenTree { dir, path, flags } => {
            (number::OPEN_TREE, [fd(dir), text(path), short(flags), 0, 0, 0])
        }
        Call::Openat2 { dir, path, flags, mode, resolve } => {
            let how = scratch.put(&[long(flags), long(mode), long(resolve)]);
            (number::OPENAT2, [fd(dir), text(path), how, 24, 0, 0])
        }
        Call::PivotRoot { new_root, put_old } => {
            (number::PIVOT_ROOT, [text(new_root), text(put_old), 0, 0, 0, 0])
        }
        Call::Renameat2 { from_dir, from, to_dir, to, flags } => {
            (number::RENAMEAT2, [fd(from_dir), text(from), fd(to_dir), text(to), short(flags), 0])
        }
        Call::Symlinkat { target, dir, path } => {
            (number::SYMLINKAT, [text(target), fd(dir), text(path), 0, 0, 0])
        }
        Call::Umask { mask } => (number::UMASK, [short(mask), 0, 0, 0, 0, 0]),
        Call::Umount2 { target, flags } => {
            (number::UMOUNT2, [text(target), short(flags), 0, 0, 0, 0])
        }
        Call::Unlinkat { dir, path, flags } => {
            (number::UNLINKAT, [fd(dir), text(path), short(flags), 0, 0, 0])
        }
        _ => return None,
    })
}

/// Calls on processes and what they are allowed.
fn process(call: &Call<Live<'_>>, scratch: &Scratch) -> Door {
    Some(match *call {
        Call::ClockGettime { clock, time } => {
            (number::CLOCK_GETTIME, [short(clock), room(time), 0, 0, 0, 0])
        }
        Call::Exit { status } => (number::EXIT_GROUP, [fd(status), 0, 0, 0, 0, 0]),
        Call::Fork { flags } => (number::CLONE, [long(flags) | SIGCHLD, 0, 0, 0, 0, 0]),
        Call::Geteuid {} => (number::GETEUID, [0; 6]),
        Call::Getpid {} => (number::GETPID, [0; 6]),
        Call::Kill { pid, signal } => (number::KILL, [fd(pid), short(signal), 0, 0, 0, 0]),
        Call::PidfdOpen { pid, flags } => {
            (number::PIDFD_OPEN, [short(pid), short(flags), 0, 0, 0, 0])
        }
        Call::PidfdSendSignal { fd: f, signal } => {
            (number::PIDFD_SEND_SIGNAL, [fd(f), short(signal), 0, 0, 0, 0])
        }
        Call::Prctl { option, a, b, c, d } => {
            (number::PRCTL, [short(option), long(a), long(b), long(c), long(d), 0])
        }
        Call::Prlimit { pid, resource, soft, hard } => {
            let limit = scratch.put(&[long(soft), long(hard)]);
            (number::PRLIMIT64, [short(pid), short(resource), limit, 0, 0, 0])
        }
        Call::Seccomp { flags, filter } => {
            let program = scratch.put(&[filter.len() / 8, bytes(filter)]);
            (number::SECCOMP, [PR_SET_SECCOMP_FILTER, short(flags), program, 0, 0, 0])
        }
        _ => return powers(call, scratch),
    })
}

/// Calls on who a process is and what it may do.
fn powers(call: &Call<Live<'_>>, scratch: &Scratch) -> Door {
    Some(match *call {
        Call::Capset { effective, permitted, inheritable } => {
            let [low, high] = [0, 32].map(|shift| {
                let word = |set: u64| long((set >> shift) & 0xffff_ffff);
                [word(effective) | word(permitted) << 32, word(inheritable)]
            });
            // Two blocks of three 32-bit words follow the header: pack them back to back.
            let second = low[1] | (high[0] & 0xffff_ffff) << 32;
            let third = (high[0] >> 32) | high[1] << 32;
            let base = scratch.put(&[CAPABILITY_VERSION_3, low[0], second, third]);
            (number::CAPSET, [base, base + 8, 0, 0, 0, 0])
        }
        Call::BpfAttach { cgroup, program } => {
            let fds = fd(cgroup) & 0xffff_ffff | fd(program) << 32;
            let attr = scratch.put(&[fds, BPF_CGROUP_DEVICE | BPF_F_ALLOW_MULTI << 32]);
            (number::BPF, [BPF_PROG_ATTACH, attr, 16, 0, 0, 0])
        }
        Call::BpfLoad { program } => {
            let first = BPF_PROG_TYPE_CGROUP_DEVICE | (program.len() / 8) << 32;
            let attr = scratch.put(&[first, bytes(program), text(c"GPL"), 0, 0, 0]);
            (number::BPF, [BPF_PROG_LOAD, attr, 48, 0, 0, 0])
        }
        Call::Setdomainname { name } => {
            (number::SETDOMAINNAME, [bytes(name), name.len(), 0, 0, 0, 0])
        }
        Call::Setgroups { groups } => {
            (number::SETGROUPS, [groups.len() / 4, bytes(groups), 0, 0, 0, 0])
        }
        Call::Sethostname { name } => (number::SETHOSTNAME, [bytes(name), name.len(), 0, 0, 0, 0]),
        Call::Setns { fd: f, kinds } => (number::SETNS, [fd(f), long(kinds), 0, 0, 0, 0]),
        Call::Setresgid { gid } => {
            (number::SETRESGID, [short(gid), short(gid), short(gid), 0, 0, 0])
        }
        Call::Setresuid { uid } => {
            (number::SETRESUID, [short(uid), short(uid), short(uid), 0, 0, 0])
        }
        Call::Setsid {} => (number::SETSID, [0; 6]),
        Call::SignalDefault { signal } => {
            let action = scratch.put(&[0, 0, 0, 0]);
            (number::RT_SIGACTION, [short(signal), action, 0, 8, 0, 0])
        }
        Call::Unshare { kinds } => (number::UNSHARE, [long(kinds), 0, 0, 0, 0, 0]),
        Call::Wait4 { pid, status, options } => {
            (number::WAIT4, [short(pid), room(status), short(options), 0, 0, 0])
        }
        Call::Waitid { fd: f, info, options } => {
            (number::WAITID, [P_PIDFD, fd(f), room(info), short(options), 0, 0])
        }
        _ => return None,
    })
}

/// Calls between processes.
fn talk(call: &Call<Live<'_>>, scratch: &Scratch) -> Door {
    Some(match *call {
        Call::Accept { fd: f, flags } => (number::ACCEPT4, [fd(f), 0, 0, short(flags), 0, 0]),
        Call::Await { fd: f, events, timeout_ms } => {
            let asked = fd(f) & 0xffff_ffff | short(events & 0xffff) << 32;
            let wait = usize::try_from(timeout_ms).ok();
            let [seconds, rest] = wait.map_or([0; 2], |ms| [ms / 1000, ms % 1000 * 1_000_000]);
            let at = scratch.put(&[asked, seconds, rest]);
            let time = wait.map_or(0, |_| at + size_of::<usize>());
            (number::PPOLL, [at, 1, time, 0, 8, 0])
        }
        Call::Connect { fd: f, address } => {
            (number::CONNECT, [fd(f), bytes(address), address.len(), 0, 0, 0])
        }
        Call::Poll { fds, timeout_ms } => {
            let wait = usize::try_from(timeout_ms).ok();
            let time = wait.map(|ms| scratch.put(&[ms / 1000, ms % 1000 * 1_000_000]));
            (number::PPOLL, [room(fds), fds.len() / 8, time.unwrap_or(0), 0, 8, 0])
        }
        Call::RecvFd { socket, buf } => {
            // Space, which is rounded up, would let a second descriptor in, and nobody closes it.
            let message = scratch.message(room(buf), buf.len(), short(CONTROL_ONE));
            (number::RECVMSG, [fd(socket), message, MSG_CMSG_CLOEXEC, 0, 0, 0])
        }
        Call::Send { socket, bytes: b } => {
            (number::SENDTO, [fd(socket), bytes(b), b.len(), MSG_NOSIGNAL, 0, 0])
        }
        Call::SendFd { socket, bytes: b, fd: passed } => {
            let control = [CONTROL_ONE, 0, SOL_SOCKET, SCM_RIGHTS, passed.cast_unsigned(), 0];
            for (cell, word) in scratch.control.iter().zip(control) {
                cell.set(word);
            }
            let message = scratch.message(bytes(b), b.len(), CONTROL_SPACE);
            (number::SENDMSG, [fd(socket), message, MSG_NOSIGNAL, 0, 0, 0])
        }
        Call::Socket { domain, kind, protocol } => {
            (number::SOCKET, [short(domain), short(kind), short(protocol), 0, 0, 0])
        }
        Call::Socketpair { domain, kind, ends } => {
            (number::SOCKETPAIR, [short(domain), short(kind), 0, room(ends), 0, 0])
        }
        _ => return None,
    })
}
