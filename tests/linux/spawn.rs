//! How children are born, and what they are born with.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsRawFd;

use cofferdam::backend::linux::Linux;
use cofferdam::sys::{Call, Errno, Handle, Kernel, Program, Room, Syscalls, flags};

use super::{Alone, Born, End, How, SOCKET, alone, exec, output, pause, program, program_given};

const FULL: &str = "000001ffffffffff";

fn waiting() -> Program {
    program(pause)
}

fn map_ids(born: &Born) {
    for file in ["uid_map", "gid_map"] {
        let path = format!("/proc/{}/{file}", born.pid);
        fs::write(path, "0 100000 65536\n").expect("a map");
    }
}

#[test]
fn a_child_writes_and_exits() {
    let program = program(|b| {
        let bytes = b.block(b"hello");
        b.call(Call::Write { fd: SOCKET, bytes });
    });
    let born = Born::of(&program, How::default());
    assert_eq!(born.hear(), b"hello");
    assert_eq!(born.hear(), b"");
    assert_eq!(born.end(), End::Exited(0));
}

#[test]
fn a_child_becomes_its_payload() {
    assert_eq!(output(&["/bin/true"], How::default()).0, End::Exited(0));
    assert_eq!(output(&["/bin/false"], How::default()).0, End::Exited(1));
}

#[test]
fn arguments_and_environment_reach_the_payload() {
    let script = r#"echo "$0|$1|$2|$#|$A|$B""#;
    let argv = ["/bin/sh", "-c", script, "zero", "", "two"];
    assert_eq!(output(&argv, How::default()), (End::Exited(0), "zero||two|2|1|\n".into()));
}

#[test]
fn a_payload_without_arguments_has_an_empty_environment_too() {
    let program = program(|b| {
        let path = b.text("/bin/true");
        let list = b.list([]);
        b.call(Call::Execve { path, argv: list, envp: list });
    });
    assert_eq!(Born::of(&program, How::default()).end(), End::Exited(0));
}

#[test]
fn a_failed_operation_is_reported_in_six_bytes() {
    let program = program(|b| {
        b.call(Call::Getpid {});
        let path = b.text("/nowhere/at/all");
        b.call(Call::Chdir { path });
    });
    let born = Born::of(&program, How::default());
    assert_eq!(born.hear(), [b'F', 0, 1, 0, 2, 0]);
    assert_eq!(born.hear(), b"");
    assert_eq!(born.end(), End::Exited(1));
}

#[test]
fn a_missing_payload_is_reported_at_its_operation() {
    let program = program(|b| exec(b, &["/no/such/payload"]));
    let born = Born::of(&program, How::default());
    assert_eq!(born.hear(), [b'F', 0, 1, 0, 2, 0]);
    assert_eq!(born.end(), End::Exited(1));
}

#[test]
fn an_operand_outside_of_the_program_is_efault() {
    let program = program(|b| b.call(Call::Chdir { path: cofferdam::sys::Text { at: 1 << 20 } }));
    let born = Born::of(&program, How::default());
    assert_eq!(born.hear(), [b'F', 0, 0, 0, 14, 0]);
}

#[test]
fn what_was_not_given_is_closed() {
    let file = fs::File::open("/proc/self/exe").expect("an open file");
    let fd = file.as_raw_fd();
    let copies = [40, 300, 1000].map(|argument| {
        let copy = Linux.call(Call::Fcntl { fd, command: flags::F_DUPFD, argument });
        i32::try_from(copy.expect("a copy")).expect("a descriptor")
    });
    let (end, listing) = output(&["/bin/ls", "/proc/self/fd"], How::default());
    for fd in copies {
        assert_eq!(Linux.call(Call::Close { fd }), Ok(0));
    }
    // The third is the directory that ls itself reads.
    assert_eq!((end, &*listing), (End::Exited(0), "0\n1\n2\n3\n"));
}

#[test]
fn the_given_descriptors_stay_however_many() {
    let file = fs::File::open("/proc/self/exe").expect("an open file");
    let copies: Vec<_> = (0..200)
        .map(|i| {
            let (fd, command) = (file.as_raw_fd(), flags::F_DUPFD);
            let copy = Linux.call(Call::Fcntl { fd, command, argument: 500 + i * 2 });
            i32::try_from(copy.expect("a copy")).expect("a descriptor")
        })
        .collect();
    let born = Born::of(&waiting(), How { more: &copies, ..How::default() });
    assert_eq!(born.hear(), b"?");
    let listing = fs::read_dir(format!("/proc/{}/fd", born.pid)).expect("a listing");
    let open: BTreeSet<i32> = listing
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().parse().expect("fd"))
        .collect();
    for fd in &copies {
        assert_eq!(Linux.call(Call::Close { fd: *fd }), Ok(0));
    }
    assert!(copies.iter().all(|fd| open.contains(fd)));
    assert_eq!(open.len(), copies.len() + 4, "three standard ones and the socket: {open:?}");
}

#[test]
fn the_makers_memory_and_name_are_not_in_the_child() {
    let born = Born::of(&waiting(), How::default());
    assert_eq!(born.hear(), b"?");
    let exe = fs::read_link(format!("/proc/{}/exe", born.pid)).expect("a link");
    assert_eq!(exe.to_str(), Some("/memfd:cofferdam-stub (deleted)"));
    assert_eq!(born.status("Name"), "cofferdam");
    let command = fs::read(format!("/proc/{}/environ", born.pid)).expect("an environment");
    assert_eq!(command, b"");
    let resident = born.status("VmRSS");
    let kilobytes: u32 = resident.trim_end_matches(" kB").parse().expect("a number");
    println!("resident: {resident}");
    assert!(kilobytes < 200, "{resident}");
}

#[test]
fn the_stub_cannot_be_changed_through_the_child() {
    let born = Born::of(&waiting(), How::default());
    assert_eq!(born.hear(), b"?");
    let exe = super::name(format!("/proc/{}/exe", born.pid));
    // ETXTBSY while it runs; EPERM, by its seals, when it does not.
    let opened = Linux.open(cofferdam::sys::CWD, &exe, flags::O_WRONLY).map(drop);
    assert_eq!(opened, Err(Errno::ETXTBSY));
    let fd = fs::File::open(format!("/proc/{}/exe", born.pid)).expect("to read");
    let (fd, command) = (fd.as_raw_fd(), 1034);
    let seals = Linux.call(Call::Fcntl { fd, command, argument: 0 }).expect("F_GET_SEALS");
    assert_eq!(seals & 0xf, 0xf);
}

#[test]
fn no_signal_is_blocked_in_the_child() {
    let born = Born::of(&waiting(), How::default());
    assert_eq!(born.hear(), b"?");
    assert_eq!(born.status("SigBlk"), "0000000000000000");
    let fd = born.fd.raw();
    assert_eq!(Linux.call(Call::PidfdSendSignal { fd, signal: flags::SIGTERM }), Ok(0));
    assert_eq!(born.end(), End::Killed(15));
}

#[test]
fn the_first_process_of_a_namespace_is_number_one() {
    let program = program_given(1, |b| {
        let pid = b.open(Call::Getpid {});
        b.push(
            cofferdam::sys::Act::Tell { fd: SOCKET, slot: pid },
            cofferdam::sys::OnError::Fail,
            cofferdam::sys::Slot::NONE,
        );
    });
    let namespaces = flags::CLONE_NEWPID
        | flags::CLONE_NEWNS
        | flags::CLONE_NEWUTS
        | flags::CLONE_NEWIPC
        | flags::CLONE_NEWNET
        | flags::CLONE_NEWCGROUP;
    let born = Born::of(&program, How { namespaces, ..How::default() });
    assert_eq!(born.hear(), [1, 0, 0, 0]);
    assert_eq!(born.end(), End::Exited(0));
}

#[test]
fn a_child_of_a_new_user_namespace_waits_for_its_maps_and_is_its_root() {
    let namespaces = flags::CLONE_NEWUSER | flags::CLONE_NEWNS;
    let born = Born::of(&waiting(), How { namespaces, mapped: true, ..How::default() });
    map_ids(&born);
    born.say();
    assert_eq!(born.hear(), b"?");
    assert_eq!(born.status("Uid"), "100000\t100000\t100000\t100000");
    assert_eq!(born.status("Gid"), "100000\t100000\t100000\t100000");
    for (set, value) in [
        ("CapEff", FULL),
        ("CapPrm", FULL),
        ("CapInh", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("CapBnd", FULL),
    ] {
        assert_eq!(born.status(set), value, "{set}");
    }
    born.say();
    assert_eq!(born.end(), End::Exited(0));
}

#[test]
fn a_maker_without_rights_has_a_child_with_rights_of_its_own() {
    let this = "spawn::a_maker_without_rights_has_a_child_with_rights_of_its_own";
    let Alone::Here = alone(this, 1000) else { return };
    let program = program(pause);
    let namespaces = flags::CLONE_NEWUSER | flags::CLONE_NEWNS | flags::CLONE_NEWPID;
    let born = Born::of(&program, How { namespaces, mapped: true, ..How::default() });
    for (file, map) in [("setgroups", "deny"), ("uid_map", "0 1000 1"), ("gid_map", "0 1000 1")] {
        fs::write(format!("/proc/{}/{file}", born.pid), map).expect("a map");
    }
    born.say();
    assert_eq!(born.hear(), b"?");
    assert_eq!(born.status("Uid"), "1000\t1000\t1000\t1000");
    assert_eq!(born.status("CapEff"), FULL);
    born.say();
    assert_eq!(born.end(), End::Exited(0));
}

#[test]
fn the_maker_of_a_user_namespace_stays_as_dumpable_as_it_was() {
    const PR_GET_DUMPABLE: u32 = 3;
    let namespaces = flags::CLONE_NEWUSER;
    let born = Born::of(&waiting(), How { namespaces, mapped: true, ..How::default() });
    map_ids(&born);
    born.say();
    assert_eq!(born.hear(), b"?");
    let call = Call::Prctl { option: PR_GET_DUMPABLE, a: 0, b: 0, c: 0, d: 0 };
    assert_eq!(Linux.call(call), Ok(1));
}

#[test]
fn a_child_that_waits_for_maps_dies_with_its_makers_interest() {
    let namespaces = flags::CLONE_NEWUSER;
    let mut born = Born::of(&waiting(), How { namespaces, mapped: true, ..How::default() });
    let [other, _] = Linux.socketpair().expect("sockets");
    drop(std::mem::replace(&mut born.socket, other));
    assert_eq!(born.end(), End::Exited(1));
}

#[test]
fn a_child_without_maps_says_why_it_cannot_go_on() {
    let namespaces = flags::CLONE_NEWUSER;
    let born = Born::of(&waiting(), How { namespaces, mapped: true, ..How::default() });
    born.say();
    assert_eq!(born.hear(), [b'F', 0, 0xff, 0xff, 22, 0], "EINVAL: id 0 is no id there");
    assert_eq!(born.end(), End::Exited(1));
}

#[test]
fn an_unborn_child_dies_with_its_makers_interest() {
    let mut born = Born::of(&waiting(), How::default());
    assert_eq!(born.hear(), b"?");
    let [other, _] = Linux.socketpair().expect("sockets");
    drop(std::mem::replace(&mut born.socket, other));
    assert_eq!(born.end(), End::Exited(1));
}

/// What this process has open, mapped and unreaped.
fn holdings() -> (usize, usize, String) {
    let open = fs::read_dir("/proc/self/fd").expect("a listing").count();
    let maps = fs::read_to_string("/proc/self/maps").expect("maps").lines().count();
    let children = fs::read_to_string("/proc/thread-self/children").expect("children");
    (open, maps, children)
}

#[test]
fn a_birth_that_fails_leaves_nothing() {
    let Alone::Here = alone("spawn::a_birth_that_fails_leaves_nothing", 0) else { return };
    let null = fs::File::open("/dev/null").expect("a device");
    let fd = null.as_raw_fd();
    drop(Born::of(&waiting(), How::default()));
    let before = holdings();
    for _ in 0..20 {
        let how = How { tasks: &[fd], ..How::default() };
        assert_eq!(Born::try_of(&waiting(), how).map(drop), Err(Errno::EBADF), "to read only");
        let how = How { more: &[99_999], ..How::default() };
        assert_eq!(Born::try_of(&waiting(), how).map(drop), Err(Errno::EBADF), "not open");
        let how = How { cgroup: Some(fd), ..How::default() };
        assert_eq!(Born::try_of(&waiting(), how).map(drop), Err(Errno::EBADF), "no cgroup");
    }
    assert_eq!(holdings(), before);
}

#[test]
fn a_host_that_closes_all_descriptors_loses_the_stub_only_once() {
    let this = "spawn::a_host_that_closes_all_descriptors_loses_the_stub_only_once";
    let Alone::Here = alone(this, 0) else { return };
    assert_eq!(output(&["/bin/true"], How::default()).0, End::Exited(0));
    assert_eq!(Linux.call(Call::CloseRange { first: 3, last: u32::MAX, flags: 0 }), Ok(0));
    let _others: Vec<_> = (0..8).map(|_| fs::File::open("/bin/false").expect("a file")).collect();
    assert_eq!(output(&["/bin/true"], How::default()).0, End::Exited(0));
}

/// Makes this thread and its children see a kernel before 5.9: without close_range(2) and, like all
/// before 6.3, without flags and seals for executing files in memory.
fn grow_old() {
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const ANY: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let filter: [(u16, u8, u8, u32); 11] = [
        (LOAD, 0, 0, 0),
        (EQUAL, 7, 0, 436),
        (EQUAL, 0, 2, 319),
        (LOAD, 0, 0, 24),
        (ANY, 3, 5, 0x18),
        (EQUAL, 0, 4, 72),
        (LOAD, 0, 0, 32),
        (ANY, 0, 2, 0x20),
        (RETURN, 0, 0, 0x5_0000 | 22),
        (RETURN, 0, 0, 0x5_0000 | 38),
        (RETURN, 0, 0, 0x7fff_0000),
    ];
    let mut bytes = Vec::new();
    for (code, yes, no, word) in filter {
        bytes.extend_from_slice(&code.to_le_bytes());
        bytes.extend_from_slice(&[yes, no]);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    assert_eq!(Linux.call(Call::Seccomp { flags: 0, filter: &bytes }), Ok(0));
}

#[test]
fn children_are_born_on_older_kernels() {
    let Alone::Here = alone("spawn::children_are_born_on_older_kernels", 0) else { return };
    grow_old();
    let call = Call::CloseRange { first: 900, last: 900, flags: 0 };
    assert_eq!(Linux.call(call), Err(Errno::ENOSYS));
    let file = fs::File::open("/proc/self/exe").expect("an open file");
    let (fd, command, argument) = (file.as_raw_fd(), flags::F_DUPFD, 512);
    assert_eq!(Linux.call(Call::Fcntl { fd, command, argument }), Ok(512));
    let listing = output(&["/bin/ls", "/proc/self/fd"], How::default());
    assert_eq!(listing, (End::Exited(0), "0\n1\n2\n3\n".into()));
}

#[test]
fn a_library_never_replaces_ends_or_copies_its_process() {
    let argv = cofferdam::sys::Strings(b"true\0");
    let execve = Call::Execve { path: c"/bin/true", argv, envp: argv };
    for call in [execve, Call::Exit { status: 0 }, Call::Fork { flags: 0 }] {
        assert_eq!(Linux.call(call), Err(Errno::ENOSYS));
    }
}

#[test]
fn a_program_reads_what_it_is_told() {
    let program = program(|b| {
        b.call(Call::Read { fd: SOCKET, buf: Room { len: 1 } });
        let bytes = b.block(b"heard");
        b.call(Call::Write { fd: Handle::slot(0), bytes });
    });
    let born = Born::of(&program, How::default());
    born.say();
    assert_eq!(born.hear(), b"heard");
}
