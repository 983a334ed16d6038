//! Flags and constants of the calls, by their names in the man pages.
//!
//! A test of the Linux backend asserts that each equals the one of `libc`.

macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident: $kind:ty = $value:expr;)*) => {
        $($(#[$doc])* #[expect(missing_docs, reason = "documented by the man page of that name")]
        pub const $name: $kind = $value;)*

        /// Every constant here by name, for the test that compares them with the platform's.
        pub const ALL: &[(&str, u64)] =
            &[$((stringify!($name), $name as u64)),*];
    };
}

constants! {
    O_RDONLY: u64 = 0;
    O_WRONLY: u64 = 1;
    O_RDWR: u64 = 2;
    O_CREAT: u64 = 0o100;
    O_EXCL: u64 = 0o200;
    O_NOCTTY: u64 = 0o400;
    O_TRUNC: u64 = 0o1000;
    O_APPEND: u64 = 0o2000;
    O_NONBLOCK: u64 = 0o4000;
    O_DIRECTORY: u64 = 0o200_000;
    O_NOFOLLOW: u64 = 0o400_000;
    O_CLOEXEC: u64 = 0o2_000_000;
    O_PATH: u64 = 0o10_000_000;

    RESOLVE_NO_XDEV: u64 = 1;
    RESOLVE_NO_MAGICLINKS: u64 = 2;
    RESOLVE_NO_SYMLINKS: u64 = 4;
    RESOLVE_BENEATH: u64 = 8;
    RESOLVE_IN_ROOT: u64 = 16;

    AT_SYMLINK_NOFOLLOW: u32 = 0x100;
    AT_EACCESS: u32 = 0x200;
    AT_REMOVEDIR: u32 = 0x200;
    AT_EMPTY_PATH: u32 = 0x1000;
    AT_RECURSIVE: u32 = 0x8000;
    X_OK: u32 = 1;

    S_IFMT: u32 = 0o170_000;
    S_IFSOCK: u32 = 0o140_000;
    S_IFLNK: u32 = 0o120_000;
    S_IFREG: u32 = 0o100_000;
    S_IFBLK: u32 = 0o060_000;
    S_IFDIR: u32 = 0o040_000;
    S_IFCHR: u32 = 0o020_000;
    S_IFIFO: u32 = 0o010_000;

    STATX_BASIC_STATS: u32 = 0x7ff;

    F_DUPFD: u32 = 0;
    F_GETFD: u32 = 1;
    F_SETFD: u32 = 2;
    F_GETFL: u32 = 3;
    F_SETFL: u32 = 4;
    F_ADD_SEALS: u32 = 1033;
    FD_CLOEXEC: u64 = 1;
    F_SEAL_SEAL: u64 = 1;
    F_SEAL_SHRINK: u64 = 2;
    F_SEAL_GROW: u64 = 4;
    F_SEAL_WRITE: u64 = 8;
    MFD_CLOEXEC: u32 = 1;
    MFD_ALLOW_SEALING: u32 = 2;

    LOCK_SH: u32 = 1;
    LOCK_EX: u32 = 2;
    LOCK_NB: u32 = 4;
    LOCK_UN: u32 = 8;

    RENAME_NOREPLACE: u32 = 1;
    RENAME_EXCHANGE: u32 = 2;
    CLOSE_RANGE_CLOEXEC: u32 = 4;

    CLONE_NEWTIME: u64 = 0x80;
    CLONE_VM: u64 = 0x100;
    CLONE_PIDFD: u64 = 0x1000;
    CLONE_VFORK: u64 = 0x4000;
    CLONE_PARENT: u64 = 0x8000;
    CLONE_NEWNS: u64 = 0x2_0000;
    CLONE_NEWCGROUP: u64 = 0x200_0000;
    CLONE_NEWUTS: u64 = 0x400_0000;
    CLONE_NEWIPC: u64 = 0x800_0000;
    CLONE_NEWUSER: u64 = 0x1000_0000;
    CLONE_NEWPID: u64 = 0x2000_0000;
    CLONE_NEWNET: u64 = 0x4000_0000;
    CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

    MS_RDONLY: u64 = 1;
    MS_NOSUID: u64 = 2;
    MS_NODEV: u64 = 4;
    MS_NOEXEC: u64 = 8;
    MS_SYNCHRONOUS: u64 = 16;
    MS_REMOUNT: u64 = 32;
    MS_MANDLOCK: u64 = 64;
    MS_DIRSYNC: u64 = 128;
    MS_NOSYMFOLLOW: u64 = 256;
    MS_NOATIME: u64 = 1024;
    MS_NODIRATIME: u64 = 2048;
    MS_BIND: u64 = 4096;
    MS_MOVE: u64 = 8192;
    MS_REC: u64 = 16384;
    MS_SILENT: u64 = 32768;
    MS_UNBINDABLE: u64 = 1 << 17;
    MS_PRIVATE: u64 = 1 << 18;
    MS_SLAVE: u64 = 1 << 19;
    MS_SHARED: u64 = 1 << 20;
    MS_RELATIME: u64 = 1 << 21;
    MS_STRICTATIME: u64 = 1 << 24;
    MS_LAZYTIME: u64 = 1 << 25;

    MOUNT_ATTR_RDONLY: u64 = 1;
    MOUNT_ATTR_NOSUID: u64 = 2;
    MOUNT_ATTR_NODEV: u64 = 4;
    MOUNT_ATTR_NOEXEC: u64 = 8;
    MOUNT_ATTR_ATIME: u64 = 0x70;
    MOUNT_ATTR_NOATIME: u64 = 0x10;
    MOUNT_ATTR_STRICTATIME: u64 = 0x20;
    MOUNT_ATTR_NODIRATIME: u64 = 0x80;
    MOUNT_ATTR_NOSYMFOLLOW: u64 = 0x20_0000;

    OPEN_TREE_CLONE: u32 = 1;
    OPEN_TREE_CLOEXEC: u32 = 0o2_000_000;
    MOVE_MOUNT_F_SYMLINKS: u32 = 1;
    MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
    MOVE_MOUNT_T_SYMLINKS: u32 = 0x10;
    MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
    MNT_DETACH: u32 = 2;
    UMOUNT_NOFOLLOW: u32 = 8;

    PR_SET_PDEATHSIG: u32 = 1;
    PR_SET_DUMPABLE: u32 = 4;
    PR_SET_KEEPCAPS: u32 = 8;
    PR_CAPBSET_DROP: u32 = 24;
    PR_SET_CHILD_SUBREAPER: u32 = 36;
    PR_SET_NO_NEW_PRIVS: u32 = 38;
    PR_CAP_AMBIENT: u32 = 47;
    PR_CAP_AMBIENT_RAISE: u64 = 2;
    PR_CAP_AMBIENT_CLEAR_ALL: u64 = 4;

    SECCOMP_FILTER_FLAG_TSYNC: u32 = 1;
    SECCOMP_FILTER_FLAG_LOG: u32 = 2;
    SECCOMP_FILTER_FLAG_SPEC_ALLOW: u32 = 4;

    AF_UNIX: u32 = 1;
    AF_NETLINK: u32 = 16;
    SOCK_STREAM: u32 = 1;
    SOCK_RAW: u32 = 3;
    SOCK_SEQPACKET: u32 = 5;
    SOCK_CLOEXEC: u32 = 0o2_000_000;

    POLLIN: u32 = 1;
    POLLOUT: u32 = 4;
    POLLERR: u32 = 8;
    POLLHUP: u32 = 16;

    WNOHANG: u32 = 1;
    WEXITED: u32 = 4;
    WNOWAIT: u32 = 0x0100_0000;
    CLD_EXITED: u32 = 1;

    PROC_SUPER_MAGIC: u32 = 0x9fa0;
    TMPFS_MAGIC: u32 = 0x0102_1994;

    CLOCK_REALTIME: u32 = 0;
    CLOCK_MONOTONIC: u32 = 1;
    CLOCK_PROCESS_CPUTIME_ID: u32 = 2;

    SIGHUP: u32 = 1;
    SIGINT: u32 = 2;
    SIGQUIT: u32 = 3;
    SIGKILL: u32 = 9;
    SIGTERM: u32 = 15;
    SIGCHLD: u32 = 17;
    SIGCONT: u32 = 18;
    SIGSTOP: u32 = 19;
    SIGWINCH: u32 = 28;

    TIOCSCTTY: u32 = 0x540e;
    TIOCSWINSZ: u32 = 0x5414;
    TIOCGPTPEER: u32 = 0x5441;
    TIOCSPTLCK: u32 = 0x4004_5431;
    SIOCSIFFLAGS: u32 = 0x8914;
}
