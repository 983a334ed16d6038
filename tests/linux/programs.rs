//! What a program does to its own process, asked of the kernel afterwards.

use std::fs;
use std::os::fd::AsRawFd;

use cofferdam::backend::linux::Linux;
use cofferdam::sys::{
    Act, Builder, CWD, Call, Errno, Handle, OnError, Room, Slot, Syscalls, flags,
};

use super::{Born, End, How, SOCKET, exec, output, pause, program};

#[test]
fn capset_sets_each_set_across_both_words() {
    let [effective, permitted, inheritable] =
        [1 | 1 << 33, 1 | 1 << 5 | 1 << 33 | 1 << 40, 1 << 5 | 1 << 40];
    let program = program(|b| {
        b.call(Call::Capset { effective, permitted, inheritable });
        pause(b);
    });
    let born = Born::of(&program, How::default());
    assert_eq!(born.hear(), b"?");
    for (set, value) in [("CapEff", effective), ("CapPrm", permitted), ("CapInh", inheritable)] {
        assert_eq!(born.status(set), format!("{value:016x}"), "{set}");
    }
}

fn forking(status: i32) -> cofferdam::sys::Program {
    program(|b| {
        let pid = b.take();
        let child = b.fork(0, pid);
        b.call(Call::Exit { status });
        b.land(child);
        b.call(Call::Wait4 { pid, status: Room { len: 4 }, options: 0 });
        b.push(Act::Check, OnError::Fail, Slot::NONE);
    })
}

#[test]
fn a_program_waits_for_its_own_child() {
    assert_eq!(Born::of(&forking(0), How::default()).end(), End::Exited(0));
}

#[test]
fn a_program_sees_its_own_child_fail() {
    let born = Born::of(&forking(3), How::default());
    assert_eq!(born.hear(), [b'E', 0, 3, 0, 0, 3]);
    assert_eq!(born.end(), End::Exited(1));
}

#[test]
fn identity_and_limits_reach_the_payload() {
    let program = program(|b| {
        let groups = b.block(&[7u32.to_le_bytes(), 8u32.to_le_bytes()].concat());
        b.call(Call::Prlimit { pid: 0, resource: 7, soft: 111, hard: 222 });
        b.call(Call::Umask { mask: 0o27 });
        b.call(Call::Setsid {});
        let (option, a) = (flags::PR_SET_NO_NEW_PRIVS, 1);
        b.call(Call::Prctl { option, a, b: 0, c: 0, d: 0 });
        b.call(Call::Setgroups { groups });
        b.call(Call::Setresgid { gid: 1001 });
        b.call(Call::Setresuid { uid: 1000 });
        pause(b);
    });
    let born = Born::of(&program, How::default());
    assert_eq!(born.hear(), b"?");
    assert_eq!(born.status("Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(born.status("Gid"), "1001\t1001\t1001\t1001");
    assert_eq!(born.status("Groups"), "7 8");
    assert_eq!(born.status("Umask"), "0027");
    assert_eq!(born.status("NoNewPrivs"), "1");
    assert_eq!(born.status("NSsid"), born.pid.to_string());
    let limits = fs::read_to_string(format!("/proc/{}/limits", born.pid)).expect("limits");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    assert_eq!(files.split_whitespace().collect::<Vec<_>>()[3..5], ["111", "222"]);
}

#[test]
fn a_signal_is_given_its_default_disposition() {
    let program = program(|b| {
        b.call(Call::SignalDefault { signal: 13 });
        pause(b);
    });
    // The Rust runtime ignores SIGPIPE, and what is ignored stays so across execve.
    let born = Born::of(&program, How::default());
    assert_eq!(born.hear(), b"?");
    let ignored = u64::from_str_radix(&born.status("SigIgn"), 16).expect("a set");
    assert_eq!(ignored & 1 << 12, 0);
}

#[test]
fn names_belong_to_the_namespace() {
    let namespaces = flags::CLONE_NEWUTS;
    let [read, write] = Linux.pipe().expect("a pipe");
    let program = super::program_given(2, |b| {
        let name = b.block(b"vault");
        b.call(Call::Sethostname { name });
        let name = b.block(b"example");
        b.call(Call::Setdomainname { name });
        b.call(Call::Dup3 { old: Handle::slot(1), new: Handle(1), flags: 0 });
        b.close(Slot(1));
        exec(b, &["/bin/cat", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname"]);
    });
    let more = &[write.raw()];
    let born = Born::of(&program, How { namespaces, more, ..How::default() });
    drop(write);
    assert_eq!(Linux.read_all(read.raw()).expect("output"), b"vault\nexample\n");
    assert_eq!(born.end(), End::Exited(0));
}

#[test]
fn a_filter_says_no() {
    let program = program(|b| {
        let filter: Vec<u8> = [
            // Loads the number; setsid (112) is EPERM, all others are allowed.
            [0x20, 0, 0, 0, 0, 0, 0, 0],
            [0x15, 0, 0, 1, 112, 0, 0, 0],
            [0x06, 0, 0, 0, 1, 0, 5, 0],
            [0x06, 0, 0, 0, 0, 0, 0xff, 0x7f],
        ]
        .concat();
        let filter = b.block(&filter);
        b.call(Call::Seccomp { flags: 0, filter });
        b.call(Call::Getpid {});
        b.call(Call::Setsid {});
    });
    assert_eq!(Born::of(&program, How::default()).hear(), [b'F', 0, 2, 0, 1, 0]);
}

/// Mounts a tmpfs at `at` and opens it into a slot.
fn mount_tmpfs(b: &mut Builder, at: cofferdam::sys::Text) {
    let [none, root, tmpfs] = ["none", "/", "tmpfs"].map(|text| b.text(text));
    let private = flags::MS_REC | flags::MS_PRIVATE;
    let empty = b.text("");
    b.call(Call::Mount { source: none, target: root, kind: empty, flags: private, data: empty });
    let (flags, data) = (flags::MS_NODEV, b.text("size=1m,mode=700"));
    b.call(Call::Mount { source: none, target: at, kind: tmpfs, flags, data });
}

#[test]
fn mounts_are_made_copied_moved_changed_and_left() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().to_str().expect("text");
    let program = program(|b| {
        let at = b.text(path);
        mount_tmpfs(b, at);
        let [a, file, dot, empty] = ["a", "a/file", ".", ""].map(|text| b.text(text));
        b.call(Call::Chdir { path: at });
        let cwd = Handle::CWD;
        b.call(Call::Mkdirat { dir: cwd, path: a, mode: 0o700 });
        let (clone, recursive) = (flags::OPEN_TREE_CLONE, flags::AT_RECURSIVE);
        let tree = b.open(Call::OpenTree { dir: cwd, path: dot, flags: clone | recursive });
        let from_dir = Handle::slot(tree.0);
        let set = flags::MOUNT_ATTR_RDONLY;
        let (dir, flags) = (from_dir, flags::AT_EMPTY_PATH | recursive);
        b.call(Call::MountSetattr { dir, path: empty, flags, set, clear: 0, propagation: 0 });
        let flags = flags::MOVE_MOUNT_F_EMPTY_PATH;
        b.call(Call::MoveMount { from_dir, from_path: empty, to_dir: cwd, to_path: a, flags });
        let flags = flags::O_CREAT | flags::O_WRONLY;
        let refused = Call::Openat2 { dir: cwd, path: file, flags, mode: 0o600, resolve: 0 };
        let slot = b.take();
        let skip = b.open_or_skip(refused, slot, &[Errno::EROFS]);
        b.push(Act::Abort { errno: Errno::EEXIST }, OnError::Fail, Slot::NONE);
        b.land(skip);
        b.call(Call::PivotRoot { new_root: dot, put_old: dot });
        b.call(Call::Umount2 { target: dot, flags: flags::MNT_DETACH });
        let b_inside = b.text("/a/a");
        b.call(Call::Chroot { path: b_inside });
        pause(b);
    });
    let namespaces = flags::CLONE_NEWNS;
    let born = Born::of(&program, How { namespaces, ..How::default() });
    assert_eq!(born.hear(), b"?", "no failure");
    let root = fs::read_link(format!("/proc/{}/root", born.pid)).expect("a link");
    assert_eq!(root.to_str(), Some("/a/a"));
    born.say();
    assert_eq!(born.end(), End::Exited(0));
}

#[test]
fn a_program_makes_and_enters_namespaces() {
    let first =
        Born::of(&program(pause), How { namespaces: flags::CLONE_NEWUTS, ..How::default() });
    let uts =
        |born: &Born| fs::read_link(format!("/proc/{}/ns/uts", born.pid)).expect("a namespace");
    let path = super::name(format!("/proc/{}/ns/uts", first.pid));
    let fd = Linux.open(CWD, &path, flags::O_RDONLY).expect("a namespace");
    let program = super::program_given(2, |b| {
        b.call(Call::Unshare { kinds: flags::CLONE_NEWUTS });
        pause(b);
        b.call(Call::Setns { fd: Handle::slot(1), kinds: flags::CLONE_NEWUTS });
        pause(b);
    });
    let born = Born::of(&program, How { more: &[fd.raw()], ..How::default() });
    assert_eq!(born.hear(), b"?");
    let own = uts(&born);
    assert_ne!(own, uts(&first));
    born.say();
    assert_eq!(born.hear(), b"?");
    assert_eq!(uts(&born), uts(&first));
}

#[test]
fn a_descriptor_is_passed_out() {
    let program = program(|b| {
        let path = b.text("/proc/self/stat");
        let (flags, mode, resolve) = (flags::O_RDONLY, 0, 0);
        let file = b.open(Call::Openat2 { dir: Handle::CWD, path, flags, mode, resolve });
        let bytes = b.block(b"file");
        b.call(Call::SendFd { socket: SOCKET, bytes, fd: Handle::slot(file.0) });
    });
    let born = Born::of(&program, How::default());
    let (bytes, fd) = super::calls::receive(born.socket.raw());
    assert_eq!(bytes, b"file");
    let fd = fd.expect("a descriptor");
    let stat = Linux.read_all(fd.raw()).expect("a line");
    assert!(stat.starts_with(format!("{} (cofferdam)", born.pid).as_bytes()));
}

#[test]
fn a_child_has_the_working_directory_of_its_maker() {
    let here = std::env::current_dir().expect("a directory");
    let (end, text) = output(&["/bin/pwd"], How::default());
    assert_eq!((end, text.trim_end()), (End::Exited(0), here.to_str().expect("text")));
    assert!(fs::File::open(here).expect("a directory").as_raw_fd() > 2);
}

/// Asks for calls behind a filter that names some, none newer than statx(2).
#[cfg(feature = "seccomp")]
#[test]
fn calls_newer_than_a_filter_are_missing_and_older_ones_denied() {
    use cofferdam::backend::linux::filter;
    use cofferdam::spec::{Action, Architecture, FilterFlags, Rule, Seccomp};
    let names = ["read", "write", "close", "exit_group", "statx"].map(str::to_owned).to_vec();
    let filter = filter::compile(&Seccomp {
        default_action: Action::Errno(Errno::EPERM.0),
        architectures: vec![Architecture::X86_64, Architecture::X86, Architecture::X32],
        flags: FilterFlags::default(),
        rules: vec![Rule { names, action: Action::Allow, conditions: Vec::new() }],
    });
    let filter = filter.expect("compiles");
    let program = program(|b| {
        let (code, root) = (b.block(&filter.code), b.text("/"));
        b.call(Call::Seccomp { flags: filter.flags, filter: code });
        let (dir, mode, flags) = (Handle::CWD, 0, 0);
        b.call_or(Call::Faccessat2 { dir, path: root, mode, flags }, &[Errno::ENOSYS]);
        b.call_or(Call::PidfdSendSignal { fd: SOCKET, signal: 0 }, &[Errno::ENOSYS]);
        b.call_or(Call::Chdir { path: root }, &[Errno::EPERM]);
        b.call(Call::Chdir { path: root });
    });
    assert_eq!(Born::of(&program, How::default()).hear(), [b'F', 0, 4, 0, 1, 0]);
}
