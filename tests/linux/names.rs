//! The numbers of the calls equal the platform's.

use cofferdam::sys::number;

macro_rules! numbers {
    ($($ours:ident = $theirs:ident;)*) => {
        const NUMBERS: &[(&str, usize, i64)] =
            &[$((stringify!($ours), number::$ours, libc::$theirs)),*];
    };
}

numbers! {
    READ = SYS_read;
    WRITE = SYS_write;
    CLOSE = SYS_close;
    LSEEK = SYS_lseek;
    MMAP = SYS_mmap;
    MPROTECT = SYS_mprotect;
    MUNMAP = SYS_munmap;
    RT_SIGACTION = SYS_rt_sigaction;
    RT_SIGPROCMASK = SYS_rt_sigprocmask;
    RT_SIGTIMEDWAIT = SYS_rt_sigtimedwait;
    IOCTL = SYS_ioctl;
    WRITEV = SYS_writev;
    GETPID = SYS_getpid;
    SOCKET = SYS_socket;
    CONNECT = SYS_connect;
    SENDTO = SYS_sendto;
    SENDMSG = SYS_sendmsg;
    RECVMSG = SYS_recvmsg;
    SOCKETPAIR = SYS_socketpair;
    CLONE = SYS_clone;
    EXECVE = SYS_execve;
    WAIT4 = SYS_wait4;
    KILL = SYS_kill;
    FCNTL = SYS_fcntl;
    FLOCK = SYS_flock;
    FTRUNCATE = SYS_ftruncate;
    CHDIR = SYS_chdir;
    FCHDIR = SYS_fchdir;
    FCHMOD = SYS_fchmod;
    UMASK = SYS_umask;
    GETEUID = SYS_geteuid;
    SETSID = SYS_setsid;
    SETGROUPS = SYS_setgroups;
    SETRESUID = SYS_setresuid;
    SETRESGID = SYS_setresgid;
    CAPSET = SYS_capset;
    FSTATFS = SYS_fstatfs;
    PIVOT_ROOT = SYS_pivot_root;
    PRCTL = SYS_prctl;
    CHROOT = SYS_chroot;
    MOUNT = SYS_mount;
    UMOUNT2 = SYS_umount2;
    SETHOSTNAME = SYS_sethostname;
    SETDOMAINNAME = SYS_setdomainname;
    GETDENTS64 = SYS_getdents64;
    CLOCK_GETTIME = SYS_clock_gettime;
    EXIT_GROUP = SYS_exit_group;
    WAITID = SYS_waitid;
    MKDIRAT = SYS_mkdirat;
    MKNODAT = SYS_mknodat;
    FCHOWNAT = SYS_fchownat;
    UNLINKAT = SYS_unlinkat;
    SYMLINKAT = SYS_symlinkat;
    READLINKAT = SYS_readlinkat;
    FCHMODAT = SYS_fchmodat;
    PPOLL = SYS_ppoll;
    UNSHARE = SYS_unshare;
    ACCEPT4 = SYS_accept4;
    DUP3 = SYS_dup3;
    PIPE2 = SYS_pipe2;
    PRLIMIT64 = SYS_prlimit64;
    SETNS = SYS_setns;
    RENAMEAT2 = SYS_renameat2;
    SECCOMP = SYS_seccomp;
    MEMFD_CREATE = SYS_memfd_create;
    BPF = SYS_bpf;
    EXECVEAT = SYS_execveat;
    STATX = SYS_statx;
    PIDFD_SEND_SIGNAL = SYS_pidfd_send_signal;
    OPEN_TREE = SYS_open_tree;
    MOVE_MOUNT = SYS_move_mount;
    PIDFD_OPEN = SYS_pidfd_open;
    CLONE3 = SYS_clone3;
    CLOSE_RANGE = SYS_close_range;
    OPENAT2 = SYS_openat2;
    FACCESSAT2 = SYS_faccessat2;
    MOUNT_SETATTR = SYS_mount_setattr;
}

#[test]
fn every_call_has_the_number_of_the_platform() {
    for (name, ours, theirs) in NUMBERS {
        assert_eq!(i64::try_from(*ours), Ok(*theirs), "{name}");
    }
}

#[test]
fn no_number_is_left_out() {
    let source = include_str!("../../src/sys/lower.rs");
    let names = source.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("pub const ")?.split_once(": usize = ")?;
        value.trim_end_matches(';').parse::<usize>().ok().map(|_| name)
    });
    assert!(names.eq(NUMBERS.iter().map(|(name, ..)| *name)));
}
