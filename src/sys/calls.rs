//! The table of calls: each with its operands and the errnos that its man page gives.
//!
//! | a new call is | and is demanded by |
//! |---|---|
//! | one row here | |
//! | one arm of `lower` (the real kernel) | a test of the Linux backend |
//! | one arm of the fake | the compiler |
//! | one law | tidy |
//!
//! **Invariant:** the errno column is the fault matrix; nobody lists errnos a second time.

use super::errno::Errno;
use super::form::{Bind, Binder, Compiled, Form, Live, Operand};

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The call's name as its man page has it.
    pub name: &'static str,
    /// The errors that the call can give.
    pub errnos: &'static [Errno],
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $text:literal { $($field:ident: $kind:ty),* $(,)? }
        fails [$($errno:ident),* $(,)?];)*) => {
        /// A system call with its operands.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[expect(missing_docs, reason = "operands are named as in the call's man page")]
        pub enum Call<F: Form> {
            $($(#[$doc])* $name { $($field: $kind),* },)*
        }

        /// Every call, in the order of [`Call`].
        pub const TABLE: &[Row] =
            &[$(Row { name: $text, errnos: &[$(Errno::$errno),*] }),*];

        impl<F: Form> Call<F> {
            /// Returns the call's row.
            #[must_use]
            pub const fn row(&self) -> Row {
                match self {
                    $(Self::$name { .. } => Row { name: $text, errnos: &[$(Errno::$errno),*] },)*
                }
            }
        }

        impl Call<Compiled> {
            /// Returns the call with its operands alive, or `None` where the program's bytes do
            /// not hold one of them.
            #[must_use]
            pub fn bind<'a>(&self, binder: &Binder<'a>) -> Option<Call<Live<'a>>> {
                match *self {
                    $(Self::$name { $($field),* } => {
                        Some(Call::$name { $($field: $field.bind(binder)?),* })
                    })*
                }
            }

            /// Shows each operand by name, for whoever prints or checks a program.
            pub fn operands(&self, see: &mut dyn FnMut(&'static str, Operand)) {
                match *self {
                    $(Self::$name { $($field),* } => {
                        $(see(stringify!($field), Operand::from($field));)*
                    })*
                }
            }
        }
    };
}

calls! {
    /// Takes a connection.
    Accept = "accept4" { fd: F::Fd, flags: u32 }
        fails [EAGAIN, EBADF, ECONNRESET, EINTR, EINVAL, EMFILE, ENFILE, ENOMEM];
    /// Waits until a descriptor is ready for one of `events`, or `timeout_ms` has passed: the
    /// answer is 0 then, and for a program `ETIMEDOUT`.
    Await = "ppoll" { fd: F::Fd, events: u32, timeout_ms: i32 } fails [EINTR, EINVAL, ENOMEM];
    /// Puts a program at a cgroup v2 directory, beside those that are there.
    BpfAttach = "bpf" { cgroup: F::Fd, program: F::Fd } fails [EBADF, EINVAL, ENOSYS, EPERM];
    /// Loads a program that is asked for each access to a device.
    BpfLoad = "bpf" { program: F::In } fails [E2BIG, EACCES, EINVAL, EMFILE, ENOMEM, ENOSYS, EPERM];
    /// Sets the effective, permitted and inheritable capabilities of the caller.
    Capset = "capset" { effective: u64, permitted: u64, inheritable: u64 } fails [EINVAL, EPERM];
    /// Changes the working directory.
    Chdir = "chdir" { path: F::Text }
        fails [EACCES, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR];
    /// Changes the root directory.
    Chroot = "chroot" { path: F::Text }
        fails [EACCES, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EPERM];
    /// Reads a clock into sixteen bytes: seconds and nanoseconds.
    ClockGettime = "clock_gettime" { clock: u32, time: F::Out } fails [EINVAL];
    /// Closes a descriptor.
    Close = "close" { fd: F::Fd } fails [EBADF, EINTR, EIO];
    /// Closes, or marks close-on-exec, the descriptors from `first` to `last`.
    CloseRange = "close_range" { first: u32, last: u32, flags: u32 }
        fails [EINVAL, EMFILE, ENOMEM, ENOSYS];
    /// Connects to a socket in the file system; `address` is a `sockaddr_un`.
    Connect = "connect" { fd: F::Fd, address: F::In }
        fails [EACCES, EAGAIN, EBADF, ECONNREFUSED, EINTR, ENOENT, ENOTSOCK, EPERM, EPROTO];
    /// Makes `new` a copy of `old`.
    Dup3 = "dup3" { old: F::Fd, new: F::Fd, flags: u32 }
        fails [EBADF, EBUSY, EINTR, EINVAL, EMFILE];
    /// Becomes another program.
    Execve = "execve" { path: F::Text, argv: F::List, envp: F::List }
        fails [E2BIG, EACCES, EINVAL, EIO, EISDIR, ELIBBAD, ELOOP, EMFILE, ENAMETOOLONG, ENFILE,
            ENOENT, ENOEXEC, ENOMEM, ENOTDIR, EPERM, ETXTBSY];
    /// Ends the process.
    Exit = "exit_group" { status: i32 } fails [];
    /// Checks the caller's permissions for a file.
    Faccessat2 = "faccessat2" { dir: F::Fd, path: F::Text, mode: u32, flags: u32 }
        fails [EACCES, EBADF, EINVAL, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOSYS, ENOTDIR, EPERM,
            EROFS];
    /// Changes the working directory to an open one.
    Fchdir = "fchdir" { fd: F::Fd } fails [EACCES, EBADF, ENOTDIR];
    /// Changes the mode of an open file.
    Fchmod = "fchmod" { fd: F::Fd, mode: u32 } fails [EBADF, EIO, EPERM, EROFS];
    /// Changes the mode of a file.
    Fchmodat = "fchmodat" { dir: F::Fd, path: F::Text, mode: u32 }
        fails [EACCES, EBADF, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, EROFS];
    /// Changes the owner of a file.
    Fchownat = "fchownat" { dir: F::Fd, path: F::Text, uid: u32, gid: u32, flags: u32 }
        fails [EACCES, EBADF, EINVAL, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, EROFS];
    /// Asks or sets something about a descriptor.
    Fcntl = "fcntl" { fd: F::Fd, command: u32, argument: u64 }
        fails [EAGAIN, EBADF, EBUSY, EINVAL, EMFILE, EPERM];
    /// Takes or leaves a lock on an open file.
    Flock = "flock" { fd: F::Fd, operation: u32 } fails [EAGAIN, EBADF, EINTR, EINVAL, ENOLCK];
    /// Makes a copy of this process; the copy is answered 0.
    Fork = "clone" { flags: u64 } fails [EAGAIN, ENOMEM, ENOSPC, EPERM];
    /// Tells of the file system of an open file: a `struct statfs` of 120 bytes, whose first eight
    /// are its type.
    Fstatfs = "fstatfs" { fd: F::Fd, buf: F::Out }
        fails [EBADF, EINTR, EIO, ENOMEM, ENOSYS, EOVERFLOW];
    /// Gives an open file a length.
    Ftruncate = "ftruncate" { fd: F::Fd, length: u64 }
        fails [EBADF, EFBIG, EINTR, EINVAL, EIO, EOPNOTSUPP, EPERM, EROFS, ETXTBSY];
    /// Reads entries of an open directory, as `linux_dirent64` lays them out.
    Getdents64 = "getdents64" { fd: F::Fd, buf: F::Out }
        fails [EBADF, EFAULT, EINVAL, ENOENT, ENOTDIR];
    /// Returns the effective user id.
    Geteuid = "geteuid" {} fails [];
    /// Returns the process id.
    Getpid = "getpid" {} fails [];
    /// Asks a device something that takes a number.
    Ioctl = "ioctl" { fd: F::Fd, request: u32, argument: u64 }
        fails [EBADF, EINVAL, EIO, ENOTTY, EPERM];
    /// Asks a device something that takes a block of bytes.
    IoctlIn = "ioctl" { fd: F::Fd, request: u32, block: F::In }
        fails [EBADF, EFAULT, EINVAL, EIO, ENOTTY, EPERM];
    /// Signals a process by number. Only for numbers that cannot be reused meanwhile.
    Kill = "kill" { pid: i32, signal: u32 } fails [EINVAL, EPERM, ESRCH];
    /// Moves the offset of an open file.
    Lseek = "lseek" { fd: F::Fd, offset: u64, whence: u32 } fails [EBADF, EINVAL, ESPIPE];
    /// Makes a file that lives in memory.
    MemfdCreate = "memfd_create" { name: F::Text, flags: u32 }
        fails [EACCES, EINVAL, EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM];
    /// Creates a directory.
    Mkdirat = "mkdirat" { dir: F::Fd, path: F::Text, mode: u32 }
        fails [EACCES, EBADF, EDQUOT, EEXIST, EINVAL, ELOOP, EMLINK, ENAMETOOLONG, ENOENT, ENOMEM,
            ENOSPC, ENOTDIR, EPERM, EROFS];
    /// Creates a file, a fifo or a device.
    Mknodat = "mknodat" { dir: F::Fd, path: F::Text, mode: u32, device: u64 }
        fails [EACCES, EBADF, EDQUOT, EEXIST, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC,
            ENOTDIR, EPERM, EROFS];
    /// Mounts a file system, or changes a mount.
    Mount = "mount" { source: F::Text, target: F::Text, kind: F::Text, flags: u64, data: F::Text }
        fails [EACCES, EBUSY, EINVAL, ELOOP, EMFILE, ENAMETOOLONG, ENODEV, ENOENT, ENOMEM, ENOTBLK,
            ENOTDIR, ENXIO, EPERM, EROFS];
    /// Changes the flags of a mount.
    MountSetattr = "mount_setattr" { dir: F::Fd, path: F::Text, flags: u32, set: u64, clear: u64,
        propagation: u64 }
        fails [EBADF, EBUSY, EINVAL, ENOENT, ENOMEM, ENOSPC, ENOSYS, EPERM];
    /// Moves a mount, or attaches a detached one.
    MoveMount = "move_mount" { from_dir: F::Fd, from_path: F::Text, to_dir: F::Fd,
        to_path: F::Text, flags: u32 }
        fails [EACCES, EBADF, EBUSY, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EPERM];
    /// Opens a mount, or a detached copy of one.
    OpenTree = "open_tree" { dir: F::Fd, path: F::Text, flags: u32 }
        fails [EACCES, EBADF, EINVAL, ELOOP, EMFILE, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EPERM];
    /// Opens a file, with the walk restricted by `resolve`.
    Openat2 = "openat2" { dir: F::Fd, path: F::Text, flags: u64, mode: u64, resolve: u64 }
        fails [EACCES, EAGAIN, EBADF, EBUSY, EDQUOT, EEXIST, EINTR, EINVAL, EISDIR, ELOOP, EMFILE,
            ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOSYS, ENOTDIR, ENXIO, EPERM,
            EROFS, ETXTBSY, EXDEV];
    /// Opens a descriptor of a process.
    PidfdOpen = "pidfd_open" { pid: F::Pid, flags: u32 }
        fails [EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM, ENOSYS, ESRCH];
    /// Signals the process of a descriptor.
    PidfdSendSignal = "pidfd_send_signal" { fd: F::Fd, signal: u32 }
        fails [EBADF, EINVAL, ENOSYS, EPERM, ESRCH];
    /// Makes a pipe; the two descriptors are written to `ends`.
    Pipe2 = "pipe2" { ends: F::Out, flags: u32 } fails [EINVAL, EMFILE, ENFILE];
    /// Changes the root mount of the namespace.
    PivotRoot = "pivot_root" { new_root: F::Text, put_old: F::Text }
        fails [EBUSY, EINVAL, ENOTDIR, EPERM];
    /// Waits until a descriptor of `fds`, an array of `struct pollfd`, is ready; a negative
    /// `timeout_ms` waits for ever.
    Poll = "ppoll" { fds: F::Out, timeout_ms: i32 } fails [EINTR, EINVAL, ENOMEM];
    /// Asks or sets something about the process.
    Prctl = "prctl" { option: u32, a: u64, b: u64, c: u64, d: u64 }
        fails [EACCES, EBADF, EBUSY, EINVAL, EPERM];
    /// Sets a resource limit of a process; 0 is the caller.
    Prlimit = "prlimit64" { pid: u32, resource: u32, soft: u64, hard: u64 }
        fails [EINVAL, EPERM, ESRCH];
    /// Reads once.
    Read = "read" { fd: F::Fd, buf: F::Out }
        fails [EAGAIN, EBADF, ECONNRESET, EINTR, EINVAL, EIO, EISDIR, ENODEV, ESRCH];
    /// Reads the target of a symbolic link.
    Readlinkat = "readlinkat" { dir: F::Fd, path: F::Text, buf: F::Out }
        fails [EACCES, EBADF, EINVAL, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR];
    /// Receives bytes and at most one descriptor, answered in the upper half; its lower half is
    /// the number of bytes, and no descriptor is the upper half `0xffff_ffff`.
    RecvFd = "recvmsg" { socket: F::Fd, buf: F::Out }
        fails [EAGAIN, EBADF, ECONNRESET, EINTR, EINVAL, EMFILE, ENOMEM, ENOTCONN, ENOTSOCK];
    /// Renames a file.
    Renameat2 = "renameat2" { from_dir: F::Fd, from: F::Text, to_dir: F::Fd, to: F::Text,
        flags: u32 }
        fails [EACCES, EBADF, EBUSY, EDQUOT, EEXIST, EINVAL, EISDIR, ELOOP, EMLINK, ENAMETOOLONG,
            ENOENT, ENOMEM, ENOSPC, ENOTDIR, ENOTEMPTY, EPERM, EROFS, EXDEV];
    /// Sets a filter of system calls: an array of `struct sock_filter`.
    Seccomp = "seccomp" { flags: u32, filter: F::In }
        fails [EACCES, EBUSY, EFAULT, EINVAL, ENOMEM, ENOSYS, ESRCH];
    /// Sends bytes; a peer that has gone is an error and no signal.
    Send = "sendto" { socket: F::Fd, bytes: F::In }
        fails [EACCES, EAGAIN, EBADF, ECONNRESET, EINTR, EINVAL, EMSGSIZE, ENOBUFS, ENOMEM,
            ENOTCONN, ENOTSOCK, EPIPE];
    /// Sends bytes with one descriptor.
    SendFd = "sendmsg" { socket: F::Fd, bytes: F::In, fd: F::Fd }
        fails [EACCES, EAGAIN, EBADF, ECONNRESET, EINTR, EINVAL, EMSGSIZE, ENOBUFS, ENOMEM,
            ENOTCONN, ENOTSOCK, EPIPE];
    /// Sets the NIS domain name.
    Setdomainname = "setdomainname" { name: F::In } fails [EFAULT, EINVAL, EPERM];
    /// Sets the supplementary groups: an array of `u32`.
    Setgroups = "setgroups" { groups: F::In } fails [EFAULT, EINVAL, ENOMEM, EPERM];
    /// Sets the host name.
    Sethostname = "sethostname" { name: F::In } fails [EFAULT, EINVAL, EPERM];
    /// Enters a namespace.
    Setns = "setns" { fd: F::Fd, kinds: u64 } fails [EBADF, EINVAL, ENOMEM, EPERM, ESRCH, EUSERS];
    /// Sets all three group ids.
    Setresgid = "setresgid" { gid: u32 } fails [EAGAIN, EINVAL, EPERM];
    /// Sets all three user ids.
    Setresuid = "setresuid" { uid: u32 } fails [EAGAIN, EINVAL, EPERM];
    /// Becomes the leader of a new session.
    Setsid = "setsid" {} fails [EPERM];
    /// Gives a signal its default disposition.
    SignalDefault = "rt_sigaction" { signal: u32 } fails [EINVAL];
    /// Makes a socket.
    Socket = "socket" { domain: u32, kind: u32, protocol: u32 }
        fails [EACCES, EAFNOSUPPORT, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTONOSUPPORT];
    /// Makes two connected sockets; the descriptors are written to `ends`.
    Socketpair = "socketpair" { domain: u32, kind: u32, ends: F::Out }
        fails [EAFNOSUPPORT, EMFILE, ENFILE, EOPNOTSUPP, EPROTONOSUPPORT];
    /// Makes a child that performs a program; its pidfd is written to `pidfd`, four bytes.
    Spawn = "clone3" { child: F::Child, pidfd: F::Out }
        fails [EACCES, EAGAIN, EBUSY, EINVAL, EMFILE, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOSYS,
            EOPNOTSUPP, EPERM, EUSERS];
    /// Describes a file, as `struct statx` lays it out.
    Statx = "statx" { dir: F::Fd, path: F::Text, flags: u32, mask: u32, buf: F::Out }
        fails [EACCES, EBADF, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR];
    /// Makes a symbolic link.
    Symlinkat = "symlinkat" { target: F::Text, dir: F::Fd, path: F::Text }
        fails [EACCES, EBADF, EDQUOT, EEXIST, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC,
            ENOTDIR, EPERM, EROFS];
    /// Sets the file mode creation mask and returns the one before.
    Umask = "umask" { mask: u32 } fails [];
    /// Detaches a mount.
    Umount2 = "umount2" { target: F::Text, flags: u32 }
        fails [EACCES, EAGAIN, EBUSY, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, EPERM];
    /// Removes a name, or an empty directory.
    Unlinkat = "unlinkat" { dir: F::Fd, path: F::Text, flags: u32 }
        fails [EACCES, EBADF, EBUSY, EINVAL, EIO, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM,
            ENOTDIR, ENOTEMPTY, EPERM, EROFS];
    /// Leaves namespaces for new ones.
    Unshare = "unshare" { kinds: u64 } fails [EINVAL, ENOMEM, ENOSPC, EPERM, EUSERS];
    /// Waits for a child by number; its status is written to `status`, four bytes.
    Wait4 = "wait4" { pid: F::Pid, status: F::Out, options: u32 } fails [ECHILD, EINTR, EINVAL];
    /// Waits for the child of a descriptor, as `siginfo_t` lays it out (128 bytes).
    Waitid = "waitid" { fd: F::Fd, info: F::Out, options: u32 }
        fails [EAGAIN, EBADF, ECHILD, EINTR, EINVAL];
    /// Writes once.
    Write = "write" { fd: F::Fd, bytes: F::In }
        fails [EACCES, EAGAIN, EBADF, EBUSY, ECONNRESET, EDQUOT, EFBIG, EINTR, EINVAL, EIO, ENODEV,
            ENOENT, ENOSPC, EOPNOTSUPP, EPERM, EPIPE, ERANGE, ESRCH];
}
