//! Families: who inherits orphans, what waiting tells, who may signal whom.

use std::cell::Cell;

use cofferdam::sys::{
    Act, Builder, Call, Errno, Kernel, Live, OnError, Room, Slot, Syscalls, flags,
};

use crate::Ground;
use crate::laws::ground::{How, SOCKET, refuse};

crate::laws! {
    fn an_orphan_is_given_to_who_asked_for_it(ground) {
        let first = flags::CLONE_NEWPID;
        for (asks, namespaces, inherited) in [(1, 0, 1), (0, 0, 0), (0, first, 1)] {
            let born = ground.paused(How { namespaces, ..How::default() }, |b| {
                b.call(prctl(flags::PR_SET_CHILD_SUBREAPER, asks));
                let pid = b.take();
                let child = b.fork(0, pid);
                let inner = b.take();
                let orphan = b.fork(0, inner);
                b.call(Call::Read { fd: SOCKET, buf: Room { len: 1 } });
                b.land(orphan);
                b.call(Call::Exit { status: 0 });
                b.land(child);
                b.call(Call::Wait4 { pid, status: Room { len: 4 }, options: 0 });
            });
            assert_eq!(children(ground, born.pid), inherited);
        }
    }

    fn a_child_dies_with_its_parent_when_it_asked_to(ground) {
        let mut builder = Builder::new(1);
        let b = &mut builder;
        let pid = b.take();
        let child = b.fork(0, pid);
        b.call(prctl(flags::PR_SET_PDEATHSIG, u64::from(flags::SIGKILL)));
        let bytes = b.block(b"!");
        b.call(Call::Write { fd: SOCKET, bytes });
        b.land(child);
        b.call(Call::Read { fd: SOCKET, buf: Room { len: 1 } });
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        assert_eq!(born.hear(), b"!");
        born.signal(flags::SIGKILL).unwrap();
        // The child held the socket too: it is gone, or this would wait for ever.
        assert_eq!(born.hear(), b"");
    }

    fn waiting_tells_who_ended_and_how(ground) {
        let mut builder = Builder::new(1);
        builder.call(Call::Setresuid { uid: 5 });
        builder.call(Call::Exit { status: 7 });
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        let info = [const { Cell::new(0) }; 128];
        let fd = born.fd.raw();
        let options = flags::WEXITED | flags::WNOWAIT;
        ground.call(Call::Waitid { fd, info: &info[..], options }).unwrap();
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| info[at + i].get()));
        let told = [0, 8, 16, 20, 24].map(word);
        assert_eq!(told, [flags::SIGCHLD, flags::CLD_EXITED, born.pid, 5, 7]);
        let status = [const { Cell::new(0) }; 4];
        let (pid, status, options) = (born.pid, &status[..], 0);
        assert_eq!(ground.call(Call::Wait4 { pid, status, options }), Ok(u64::from(pid)));
        let told: Vec<u8> = status.iter().map(Cell::get).collect();
        assert_eq!(told, [0, 7, 0, 0]);
    }

    fn waiting_without_blocking_tells_nothing_yet(ground) {
        let born = ground.sleeper();
        let status = [const { Cell::new(0) }; 4];
        let wait = |pid, options| ground.call(Call::Wait4 { pid, status: &status[..], options });
        assert_eq!(wait(born.pid, flags::WNOHANG), Ok(0));
        assert_eq!(wait(1, flags::WNOHANG), Err(Errno::ECHILD));
    }

    fn a_user_signals_only_his_own(ground) {
        let own = i32::try_from(ground.call(Call::Getpid {}).unwrap()).unwrap();
        let answer = ground.alone(0, |b| {
            b.call(Call::Kill { pid: own, signal: 0 });
            refuse(b, Call::Kill { pid: 4_194_303, signal: 0 }, Errno::ESRCH);
            b.call(Call::Setresuid { uid: 1000 });
            refuse(b, Call::Kill { pid: own, signal: 0 }, Errno::EPERM);
        });
        assert_eq!(answer, None);
    }

    fn the_first_of_a_namespace_does_not_kill_itself(ground) {
        let own = i32::try_from(ground.call(Call::Getpid {}).unwrap()).unwrap();
        let how = How { namespaces: flags::CLONE_NEWPID, ..How::default() };
        // It still says something afterwards.
        ground.paused(how, |b| {
            for signal in [flags::SIGKILL, flags::SIGSTOP, flags::SIGTERM] {
                b.call(Call::Kill { pid: 1, signal });
            }
            if own > 2 {
                refuse(b, Call::Kill { pid: own, signal: 0 }, Errno::ESRCH);
            }
        });
    }

    fn some_signals_are_never_handled(ground) {
        let answer = ground.alone(0, |b| {
            for signal in [0, flags::SIGKILL, flags::SIGSTOP, 65] {
                refuse(b, Call::SignalDefault { signal }, Errno::EINVAL);
            }
            for signal in [flags::SIGHUP, flags::SIGTERM, 64] {
                b.call(Call::SignalDefault { signal });
            }
        });
        assert_eq!(answer, None);
    }

    fn a_number_beyond_all_has_no_descriptor(ground) {
        let open = |pid| {
            let call: Call<Live<'_>> = Call::PidfdOpen { pid, flags: 0 };
            ground.call(call)
        };
        let most = i32::MAX.cast_unsigned();
        assert_eq!((open(most + 1), open(most)), (Err(Errno::EINVAL), Err(Errno::ESRCH)));
    }

    fn a_new_pid_namespace_is_for_children(ground) {
        let mut builder = Builder::new(1);
        let b = &mut builder;
        refuse(b, Call::Unshare { kinds: 1 }, Errno::EINVAL);
        b.call(Call::Unshare { kinds: flags::CLONE_NEWPID });
        for tells in [false, true] {
            let pid = b.take();
            let child = b.fork(0, pid);
            if tells {
                tell(b);
                b.call(Call::Exit { status: 0 });
            } else {
                b.call(Call::Read { fd: SOCKET, buf: Room { len: 1 } });
            }
            b.land(child);
        }
        b.call(Call::Await { fd: SOCKET, events: flags::POLLIN, timeout_ms: -1 });
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        assert_eq!(born.hear(), [2, 0, 0, 0]);
    }

    fn a_map_is_read_as_it_was_written(ground) {
        let how = How { namespaces: flags::CLONE_NEWUSER, mapped: true, ..How::default() };
        let mut builder = Builder::new(1);
        let b = &mut builder;
        refuse(b, Call::Setresuid { uid: 20 }, Errno::EINVAL);
        b.call(Call::Setresgid { gid: 12 });
        b.call(Call::Setresuid { uid: 3 });
        b.call(Call::Prctl { option: flags::PR_SET_DUMPABLE, a: 1, b: 0, c: 0, d: 0 });
        let bytes = b.block(b"?");
        b.call(Call::Write { fd: SOCKET, bytes });
        b.call(Call::Read { fd: SOCKET, buf: Room { len: 1 } });
        let born = ground.spawn(&builder.finish(), how).unwrap();
        let at = |file: &str| format!("/proc/{}/{file}", born.pid);
        for bad in ["0 0 0", "0 0", "0 0 1 1", "x 0 1", "0 -1 1", "\n"] {
            for file in ["uid_map", "gid_map"] {
                assert_eq!(ground.write(&at(file), bad), Err(Errno::EINVAL), "{bad}");
            }
        }
        for file in ["uid_map", "gid_map"] {
            assert_eq!(ground.read(&at(file)).unwrap(), "");
            ground.write(&at(file), "0 100000 10\n10 200000 5").unwrap();
            let text = ground.read(&at(file)).unwrap();
            let words: Vec<&str> = text.split_whitespace().collect();
            assert_eq!(words, ["0", "100000", "10", "10", "200000", "5"]);
            assert_eq!(ground.write(&at(file), "0 100000 10"), Err(Errno::EPERM));
        }
        ground.kernel.write_all(born.socket.raw(), b"!").unwrap();
        assert_eq!(born.hear(), b"?");
        let page = ground.read(&at("status")).unwrap();
        for (name, id) in [("Uid", 100_003), ("Gid", 200_002)] {
            let line = format!("{name}:\t{id}\t{id}\t{id}\t{id}");
            assert!(page.lines().any(|other| other == line), "{page}");
        }
    }

    fn groups_are_denied_before_they_are_mapped(ground) {
        let how = How { namespaces: flags::CLONE_NEWUSER, mapped: true, ..How::default() };
        let mut builder = Builder::new(1);
        let b = &mut builder;
        let groups = b.block(&0_u32.to_le_bytes());
        refuse(b, Call::Setgroups { groups }, Errno::EPERM);
        let bytes = b.block(b"?");
        b.call(Call::Write { fd: SOCKET, bytes });
        let program = builder.finish();
        let born = ground.spawn(&program, how).unwrap();
        let at = |file: &str| format!("/proc/{}/{file}", born.pid);
        assert_eq!(ground.write(&at("setgroups"), "x"), Err(Errno::EINVAL));
        assert_eq!(ground.write(&at("setgroups"), "allow"), Ok(()));
        assert_eq!(ground.write(&at("setgroups"), "deny"), Ok(()));
        assert_eq!(ground.read(&at("setgroups")).unwrap(), "deny\n");
        assert_eq!(ground.write(&at("setgroups"), "allow"), Err(Errno::EPERM));
        for file in ["uid_map", "gid_map"] {
            ground.write(&at(file), "0 100000 10").unwrap();
        }
        assert_eq!(ground.write(&at("setgroups"), "deny"), Err(Errno::EPERM));
        ground.kernel.write_all(born.socket.raw(), b"!").unwrap();
        assert_eq!(born.hear(), b"?");
        let other = ground.spawn(&program, how).unwrap();
        ground.write(&format!("/proc/{}/gid_map", other.pid), "0 100000 10").unwrap();
        let path = format!("/proc/{}/setgroups", other.pid);
        assert_eq!(ground.write(&path, "deny"), Err(Errno::EPERM));
    }
}

const fn prctl(option: u32, a: u64) -> Call<cofferdam::sys::Compiled> {
    Call::Prctl { option, a, b: 0, c: 0, d: 0 }
}

/// Adds what tells the maker the caller's number.
fn tell(builder: &mut Builder) {
    let slot = builder.open(Call::Getpid {});
    builder.push(Act::Tell { fd: SOCKET, slot }, OnError::Fail, Slot::NONE);
}

/// Returns how many children a process has.
fn children<K: Kernel>(ground: &Ground<'_, K>, parent: u32) -> usize {
    let proc = ground.open_absolute("/proc", flags::O_DIRECTORY).unwrap();
    let line = format!("PPid:\t{parent}");
    (ground.kernel.entries(proc.raw()).unwrap().into_iter())
        .filter(|entry| entry.name.starts_with(|first: char| first.is_ascii_digit()))
        .filter_map(|entry| ground.read(&format!("/proc/{}/status", entry.name)).ok())
        .filter(|page| page.lines().any(|other| other == line))
        .count()
}
