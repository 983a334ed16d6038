//! Programs: what they make of signals, and of descriptors 0 and 1.

use cofferdam::sys::{Builder, Call, Errno, Handle, Kernel, Room, Syscalls, flags};

use crate::Ground;
use crate::laws::ground::{Born, How, SOCKET};
use crate::laws::groups::Group;
use crate::laws::processes::until_stopped;

const SIGUSR1: u32 = 10;
const SIGPIPE: u32 = 13;

crate::laws! {
    fn a_handled_signal_is_answered_by_the_program(ground) {
        let born = until_set(ground, ground.named("handles", How::default(), |_| ()), "SigCgt");
        born.signal(flags::SIGTERM).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 3)));
    }

    fn what_is_handled_is_only_what_was_said(ground) {
        let born = until_set(ground, ground.named("handles", How::default(), |_| ()), "SigCgt");
        assert_eq!(set(ground, born.pid, "SigIgn") >> (flags::SIGTERM - 1) & 1, 0);
        born.signal(SIGUSR1).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((2, SIGUSR1)));
    }

    fn a_handled_signal_waits_for_who_is_stopped(ground) {
        let born = until_set(ground, ground.named("handles", How::default(), |_| ()), "SigCgt");
        born.signal(flags::SIGSTOP).unwrap();
        until_stopped(ground, born.pid);
        born.signal(flags::SIGTERM).unwrap();
        assert!(lives(ground, &born));
        born.signal(flags::SIGCONT).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 3)));
    }

    fn a_handled_signal_waits_for_who_is_frozen(ground) {
        for group in Group::both(ground) {
            let born = ground.named("handles", How::default(), |_| ());
            let born = until_set(ground, born, "SigCgt");
            group.write("cgroup.procs", &born.pid.to_string()).unwrap();
            group.freeze();
            born.signal(flags::SIGTERM).unwrap();
            assert!(lives(ground, &born));
            group.thaw();
            assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 3)));
            group.until_removed();
        }
    }

    fn an_ignored_signal_is_not_felt(ground) {
        let born = until_set(ground, ground.named("ignores", How::default(), |_| ()), "SigIgn");
        assert_eq!(set(ground, born.pid, "SigCgt") >> (flags::SIGTERM - 1) & 1, 0);
        born.signal(flags::SIGTERM).unwrap();
        assert!(lives(ground, &born));
        born.signal(SIGUSR1).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((2, SIGUSR1)));
    }

    /// The first process of a pid namespace feels what it handles, and nothing else.
    fn a_first_process_feels_what_it_handles(ground) {
        let how = How { namespaces: flags::CLONE_NEWPID, ..How::default() };
        let born = until_set(ground, ground.named("handles", how, |_| ()), "SigCgt");
        born.signal(SIGUSR1).unwrap();
        assert!(lives(ground, &born));
        born.signal(flags::SIGTERM).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 3)));
    }

    fn a_first_process_is_stopped_from_outside(ground) {
        let how = How { namespaces: flags::CLONE_NEWPID, ..How::default() };
        let born = ground.paused(how, |_| ());
        born.signal(flags::SIGSTOP).unwrap();
        until_stopped(ground, born.pid);
    }

    fn of_two_that_wait_the_lower_is_felt(ground) {
        let born = ground.sleeper();
        born.signal(flags::SIGSTOP).unwrap();
        until_stopped(ground, born.pid);
        born.signal(flags::SIGTERM).unwrap();
        born.signal(SIGUSR1).unwrap();
        assert!(lives(ground, &born));
        born.signal(flags::SIGCONT).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((2, SIGUSR1)));
    }

    fn who_is_frozen_stops_once_it_is_not(ground) {
        for group in Group::both(ground) {
            for (signals, stops) in [
                (&[flags::SIGSTOP][..], true),
                (&[flags::SIGSTOP, flags::SIGCONT], false),
            ] {
                let born = group.born();
                assert_eq!(born.hear(), b"");
                group.freeze();
                for signal in signals {
                    born.signal(*signal).unwrap();
                }
                group.thaw();
                if stops {
                    until_stopped(ground, born.pid);
                } else {
                    ground.kernel.poll([], 20).unwrap();
                    let page = ground.read(&format!("/proc/{}/status", born.pid)).unwrap();
                    assert!(!page.contains("State:\tT"), "{page}");
                }
            }
            group.until_removed();
        }
    }

    fn a_program_that_kills_itself_was_killed(ground) {
        let born = ground.named("crashes", How::default(), |_| ());
        assert_eq!(born.wait(flags::WEXITED), Ok((2, SIGUSR1)));
    }

    fn who_reads_waits_for_something_or_the_end(ground) {
        for says in [true, false] {
            let mut born = ground.named("reads", How::default(), |b| onto(b, 0));
            assert!(lives(ground, &born));
            if says {
                ground.kernel.write_all(born.socket.raw(), b"\n").unwrap();
            } else {
                hang_up(ground, &mut born);
            }
            assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
        }
    }

    fn what_is_written_is_heard(ground) {
        let born = ground.named("writes", How::default(), |b| onto(b, 1));
        assert_eq!(born.hear(), b"hello\n");
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
    }

    fn who_writes_to_nobody_is_killed_by_sigpipe(ground) {
        ground.fifo("f");
        let reader = ground.open("f", flags::O_RDONLY | flags::O_NONBLOCK).unwrap();
        let path = ground.at("f").into_string().unwrap();
        let born = ground.named("writes", How::default(), |b| {
            b.call(Call::SignalDefault { signal: SIGPIPE });
            let (dir, path, flags) = (Handle::CWD, b.text(&path), flags::O_WRONLY);
            let slot = b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 });
            b.call(Call::Dup3 { old: Handle::slot(slot.0), new: Handle(1), flags: 0 });
            let bytes = b.block(b"?");
            b.call(Call::Write { fd: SOCKET, bytes });
            b.call(Call::Read { fd: SOCKET, buf: Room { len: 1 } });
        });
        assert_eq!(born.hear(), b"?");
        drop(reader);
        ground.kernel.write_all(born.socket.raw(), b"!").unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((2, SIGPIPE)));
    }

    /// Unlike a stream, which kills its writer.
    fn who_writes_packets_to_nobody_goes_on(ground) {
        let mut born = ground.named("writes", How::default(), |b| {
            b.call(Call::SignalDefault { signal: SIGPIPE });
            onto(b, 1);
            b.call(Call::Await { fd: SOCKET, events: flags::POLLIN, timeout_ms: -1 });
        });
        hang_up(ground, &mut born);
        let (how, _) = born.wait(flags::WEXITED).unwrap();
        assert_eq!(how, flags::CLD_EXITED);
    }

    fn a_child_that_was_waited_for_is_no_zombie(ground) {
        let born = ground.named("waits", How::default(), |_| ());
        assert!(lives(ground, &born));
        let parent = format!("PPid:\t{}\n", born.pid);
        let proc = ground.open_absolute("/proc", flags::O_DIRECTORY).unwrap();
        let of = |name: &str| ground.read(&format!("/proc/{name}/status")).unwrap_or_default();
        let none = || {
            let found = ground.kernel.entries(proc.raw()).unwrap();
            found.iter().all(|entry| !of(&entry.name).contains(&parent))
        };
        let gone = (0..200).any(|_| none() || ground.kernel.poll([], 5).is_err());
        assert!(gone, "it is never waited for");
    }

    fn who_is_stopped_does_nothing(ground) {
        let mut builder = Builder::new(1);
        let bytes = builder.block(b"?");
        builder.call(Call::Write { fd: SOCKET, bytes });
        builder.call(Call::Read { fd: SOCKET, buf: Room { len: 1 } });
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        assert_eq!(born.hear(), b"?");
        born.signal(flags::SIGSTOP).unwrap();
        until_stopped(ground, born.pid);
        ground.kernel.write_all(born.socket.raw(), b"!").unwrap();
        assert!(lives(ground, &born));
        born.signal(flags::SIGCONT).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
    }

    fn who_is_frozen_by_v1_waits_for_a_disk(ground) {
        let Some(group) = Group::v1(ground) else { return };
        let born = group.born();
        group.freeze();
        let page = ground.read(&format!("/proc/{}/status", born.pid)).unwrap();
        assert!(page.contains("\nState:\tD"), "{page}");
        group.thaw();
    }

    fn a_child_that_outlives_its_parent_stays_in_the_cgroup(ground) {
        for group in Group::both(ground) {
            let born = ground.named("leaves", How::default(), |b| {
                b.call(Call::Read { fd: SOCKET, buf: Room { len: 1 } });
            });
            group.write("cgroup.procs", &born.pid.to_string()).unwrap();
            ground.kernel.write_all(born.socket.raw(), b"!").unwrap();
            assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 4)));
            let left = group.read("cgroup.procs").unwrap();
            assert_ne!(left, format!("{}\n", born.pid));
            ground.kernel.poll([], 50).unwrap();
            assert_eq!(group.read("cgroup.procs").unwrap(), left, "it sleeps");
            assert_eq!(group.remove(), Err(Errno::EBUSY));
            let pid = left.trim_end().parse().unwrap();
            let page = ground.read(&format!("/proc/{pid}/status")).unwrap();
            assert!(!page.contains(&format!("PPid:\t{}\n", born.pid)), "{page}");
            ground.call(Call::Kill { pid, signal: flags::SIGKILL }).unwrap();
            group.until_removed();
        }
    }
}

/// Adds what makes the socket that descriptor.
fn onto(builder: &mut Builder, number: i32) {
    builder.call(Call::Dup3 { old: SOCKET, new: Handle(number), flags: 0 });
}

/// Closes the law's end of a child's socket.
fn hang_up<'k, K: Kernel>(ground: &Ground<'k, K>, born: &mut Born<'k, K>) {
    let [spare, _other] = ground.kernel.socketpair().unwrap();
    drop(std::mem::replace(&mut born.socket, spare));
}

/// Returns whether a process does not end within a moment.
fn lives<K: Kernel>(ground: &Ground<'_, K>, born: &Born<'_, K>) -> bool {
    ground.kernel.poll([(born.fd.raw(), flags::POLLIN)], 50) == Ok([0])
}

/// Waits until SIGTERM is in that set of a process's.
fn until_set<'k, K: Kernel>(ground: &Ground<'k, K>, born: Born<'k, K>, name: &str) -> Born<'k, K> {
    for _ in 0..1000 {
        if set(ground, born.pid, name) >> (flags::SIGTERM - 1) & 1 == 1 {
            return born;
        }
        ground.kernel.poll([], 5).unwrap();
    }
    panic!("SIGTERM is never in {name}");
}

/// Returns a set of signals of a process.
fn set<K: Kernel>(ground: &Ground<'_, K>, pid: u32, name: &str) -> u64 {
    let page = ground.read(&format!("/proc/{pid}/status")).unwrap();
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(":\t").map(str::to_owned);
    u64::from_str_radix(&page.lines().find_map(value).unwrap(), 16).unwrap()
}
