//! Children: what they are born with, how programs end, what execve(2) refuses.

use cofferdam::sys::{
    Act, Builder, CWD, Call, Errno, Handle, OnError, Room, Slot, Syscalls, flags,
};

use crate::laws::ground::{How, SOCKET, exec, pause};

crate::laws! {
    fn a_program_that_ends_exits_with_zero(ground) {
        let program = Builder::new(1).finish();
        let born = ground.spawn(&program, How::default()).unwrap();
        assert_eq!(born.hear(), b"");
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
    }

    fn a_program_exits_with_what_it_says(ground) {
        let mut builder = Builder::new(1);
        builder.call(Call::Exit { status: 7 });
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 7)));
    }

    fn a_payload_s_status_is_the_child_s(ground) {
        let mut builder = Builder::new(1);
        exec(&mut builder, &["/bin/false"]);
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        assert_eq!(born.hear(), b"");
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 1)));
    }

    fn execve_of_nothing_is_enoent(ground) {
        let answer = ground.alone(0, |b| exec(b, &["/bin/no-such-file"]));
        assert_eq!(answer, Some((1, Errno::ENOENT)));
    }

    fn execve_of_a_directory_is_eacces(ground) {
        assert_eq!(ground.alone(0, |b| exec(b, &["/proc"])), Some((1, Errno::EACCES)));
    }

    fn execve_without_the_bit_is_eacces(ground) {
        ground.file("f", b"#!/bin/sh\n");
        let path = ground.at("f").into_string().unwrap();
        assert_eq!(ground.alone(0, |b| exec(b, &[&path])), Some((1, Errno::EACCES)));
    }

    fn execve_of_text_is_enoexec(ground) {
        ground.file("f", b"text");
        let path = ground.at("f");
        ground.call(Call::Fchmodat { dir: CWD, path: &path, mode: 0o755 }).unwrap();
        let path = path.into_string().unwrap();
        assert_eq!(ground.alone(0, |b| exec(b, &[&path])), Some((1, Errno::ENOEXEC)));
    }

    fn execve_through_a_file_is_enotdir(ground) {
        let path = "/dev/null/x";
        assert_eq!(ground.alone(0, |b| exec(b, &[path])), Some((1, Errno::ENOTDIR)));
    }

    fn a_given_descriptor_survives_execve_unless_marked(ground) {
        let mut builder = Builder::new(1);
        let path = builder.text("/bin/sleep");
        let argv = builder.list(["/bin/sleep", "1000"]);
        let envp = builder.list([]);
        builder.call(Call::Execve { path, argv, envp });
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        // The payload keeps its end: there is no end of file.
        assert_eq!(ground.kernel.poll([(born.socket.raw(), flags::POLLIN)], 50), Ok([0]));
        assert_eq!(ground.sleeper().hear(), b"");
    }

    fn an_accepted_errno_goes_on_and_others_do_not(ground) {
        let answer = ground.alone(0, |b| {
            let path = b.text("/nowhere");
            b.call_or(Call::Chdir { path }, &[Errno::ENOENT]);
            b.call_or(Call::Chdir { path }, &[Errno::EACCES]);
        });
        assert_eq!(answer, Some((1, Errno::ENOENT)));
    }

    fn the_end_of_the_socket_fails_a_read_with_epipe(ground) {
        let born = ground.spawn(&pause(), How::default()).unwrap();
        assert_eq!(born.hear(), b"?");
        let fd = born.fd.raw();
        // The maker's end goes; the child is alone and ends.
        let mut born = born;
        let [spare, _other] = ground.kernel.socketpair().unwrap();
        drop(std::mem::replace(&mut born.socket, spare));
        ground.kernel.poll([(fd, flags::POLLIN)], -1).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 1)));
    }

    fn a_program_waits_as_long_as_it_will_and_kills_by_descriptor(ground) {
        let mut builder = Builder::new(1);
        let b = &mut builder;
        let pid = b.take();
        let child = b.fork(0, pid);
        exec(b, &["/bin/sleep", "1000"]);
        b.land(child);
        let pidfd = b.open(Call::PidfdOpen { pid, flags: 0 });
        let fd = Handle::slot(pidfd.0);
        for (events, timeout_ms) in [(flags::POLLIN, 20), (flags::POLLIN, -1)] {
            b.call_or(Call::Await { fd, events, timeout_ms }, &[Errno::ETIMEDOUT]);
            let signal = flags::SIGKILL;
            b.call_or(Call::PidfdSendSignal { fd, signal }, &[Errno::ESRCH]);
        }
        b.call(Call::Wait4 { pid, status: Room { len: 4 }, options: 0 });
        b.push(Act::Check, OnError::Fail, Slot::NONE);
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        assert_eq!(born.hear(), [b'E', 0, 9, 0, 9, 0], "killed by signal 9");
    }

    fn a_program_waits_for_the_child_that_it_names(ground) {
        let mut builder = Builder::new(1);
        let b = &mut builder;
        let [first, second] = [0, 3].map(|status| {
            let pid = b.take();
            let child = b.fork(0, pid);
            b.call(Call::Exit { status });
            b.land(child);
            pid
        });
        for pid in [second, first] {
            b.call(Call::Wait4 { pid, status: Room { len: 4 }, options: 0 });
            b.push(Act::Check, OnError::Fail, Slot::NONE);
        }
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        assert_eq!(born.hear(), [b'E', 0, 5, 0, 0, 3], "exit status 3");
    }

    fn the_first_process_of_a_pid_namespace_is_number_one(ground) {
        let mut builder = Builder::new(1);
        let slot = builder.open(Call::Getpid {});
        builder.push(
            Act::Tell { fd: SOCKET, slot },
            OnError::Fail,
            Slot::NONE,
        );
        let program = builder.finish();
        let how = How { namespaces: flags::CLONE_NEWPID, ..How::default() };
        assert_eq!(ground.spawn(&program, how).unwrap().hear(), [1, 0, 0, 0]);
        assert_ne!(ground.spawn(&program, How::default()).unwrap().hear(), [1, 0, 0, 0]);
    }

    fn the_death_of_a_pid_namespace_s_first_process_kills_the_others(ground) {
        let mut builder = Builder::new(1);
        let slot = builder.take();
        let fork = builder.fork(0, slot);
        let path = builder.text("/bin/sleep");
        let argv = builder.list(["/bin/sleep", "1000"]);
        let envp = builder.list([]);
        builder.call(Call::Execve { path, argv, envp });
        builder.land(fork);
        let bytes = builder.block(b"?");
        builder.call(Call::Write { fd: SOCKET, bytes });
        builder.call(Call::Read { fd: SOCKET, buf: Room { len: 1 } });
        let how = How { namespaces: flags::CLONE_NEWPID, ..How::default() };
        let born = ground.spawn(&builder.finish(), how).unwrap();
        assert_eq!(born.hear(), b"?");
        born.signal(flags::SIGKILL).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((2, flags::SIGKILL)));
        // The other held the socket too: it is gone, or this would wait for ever.
        assert_eq!(born.hear(), b"");
    }

    fn the_first_process_ignores_what_it_does_not_handle(ground) {
        let how = How { namespaces: flags::CLONE_NEWPID, ..How::default() };
        let born = ground.spawn(&pause(), how).unwrap();
        assert_eq!(born.hear(), b"?");
        born.signal(flags::SIGTERM).unwrap();
        assert_eq!(ground.kernel.poll([(born.fd.raw(), flags::POLLIN)], 50), Ok([0]));
        born.signal(flags::SIGKILL).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((2, flags::SIGKILL)));
    }

    fn a_mapped_child_waits_for_its_byte_and_is_root_inside(ground) {
        let mut builder = Builder::new(1);
        let slot = builder.open(Call::Geteuid {});
        builder.push(
            Act::Tell { fd: SOCKET, slot },
            OnError::Fail,
            Slot::NONE,
        );
        let how = How { namespaces: flags::CLONE_NEWUSER, mapped: true, ..How::default() };
        let born = ground.spawn(&builder.finish(), how).unwrap();
        for file in ["uid_map", "gid_map"] {
            let path = format!("/proc/{}/{file}", born.pid);
            ground.write(&path, "0 100000 65536\n").unwrap();
            assert_eq!(ground.write(&path, "0 100000 65536\n"), Err(Errno::EPERM));
        }
        ground.kernel.write_all(born.socket.raw(), b"!").unwrap();
        assert_eq!(born.hear(), [0; 4]);
    }

    fn a_mapped_child_exits_at_the_end_of_its_socket(ground) {
        let how = How { namespaces: flags::CLONE_NEWUSER, mapped: true, ..How::default() };
        let mut born = ground.spawn(&Builder::new(1).finish(), how).unwrap();
        let [spare, _other] = ground.kernel.socketpair().unwrap();
        drop(std::mem::replace(&mut born.socket, spare));
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 1)));
    }

    fn a_bad_map_is_einval(ground) {
        let how = How { namespaces: flags::CLONE_NEWUSER, mapped: true, ..How::default() };
        let born = ground.spawn(&pause(), how).unwrap();
        let path = format!("/proc/{}/uid_map", born.pid);
        assert_eq!(ground.write(&path, "nonsense"), Err(Errno::EINVAL));
    }

    fn a_user_without_rights_is_refused(ground) {
        let answer = ground.alone(0, |b| {
            b.call(Call::Setresuid { uid: 1000 });
            let name = b.block(b"x");
            b.call(Call::Sethostname { name });
        });
        assert_eq!(answer, Some((1, Errno::EPERM)));
        for kinds in [flags::CLONE_NEWNS, flags::CLONE_NEWNET] {
            let answer = ground.alone(0, |b| {
                b.call(Call::Setresuid { uid: 1000 });
                b.call(Call::Unshare { kinds });
            });
            assert_eq!(answer, Some((1, Errno::EPERM)));
        }
    }

    fn a_user_does_not_become_another(ground) {
        let answer = ground.alone(0, |b| {
            b.call(Call::Setresgid { gid: 1000 });
            b.call(Call::Setresuid { uid: 1000 });
            b.call(Call::Setresuid { uid: 1000 });
            b.call(Call::Setresuid { uid: 0 });
        });
        assert_eq!(answer, Some((3, Errno::EPERM)));
    }

    fn a_user_does_not_read_what_is_not_his(ground) {
        ground.file("f", b"secret");
        let path = ground.at("f");
        ground.call(Call::Fchmodat { dir: CWD, path: &path, mode: 0o600 }).unwrap();
        let text = path.into_string().unwrap();
        let answer = ground.alone(0, |b| {
            let path = b.text(&text);
            b.call(Call::Setresuid { uid: 1000 });
            b.call(Call::Openat2 { dir: Handle::CWD, path, flags: 0, mode: 0, resolve: 0 });
        });
        assert_eq!(answer, Some((1, Errno::EACCES)));
    }

    fn a_user_chowns_and_chmods_only_his_own(ground) {
        ground.file("f", b"");
        let text = ground.at("f").into_string().unwrap();
        for gives in [true, false] {
            let answer = ground.alone(0, |b| {
                let (dir, path) = (Handle::CWD, b.text(&text));
                b.call(Call::Setresuid { uid: 1000 });
                if gives {
                    b.call(Call::Fchownat { dir, path, uid: 1000, gid: 1000, flags: 0 });
                } else {
                    b.call(Call::Fchmodat { dir, path, mode: 0o777 });
                }
            });
            assert_eq!(answer, Some((1, Errno::EPERM)));
        }
    }

    fn a_capability_that_was_given_up_does_not_come_back(ground) {
        let answer = ground.alone(0, |b| {
            b.call(Call::Capset { effective: 1, permitted: 3, inheritable: 0 });
            b.call(Call::Capset { effective: 3, permitted: 3, inheritable: 0 });
            b.call(Call::Capset { effective: 7, permitted: 7, inheritable: 0 });
        });
        assert_eq!(answer, Some((2, Errno::EPERM)));
    }

    fn an_ambient_capability_has_to_be_inheritable(ground) {
        let (option, a) = (flags::PR_CAP_AMBIENT, flags::PR_CAP_AMBIENT_RAISE);
        let raise = Call::Prctl { option, a, b: 0, c: 0, d: 0 };
        assert_eq!(ground.alone(0, |b| b.call(raise)), Some((0, Errno::EPERM)));
        let answer = ground.alone(0, |b| {
            b.call(Call::Capset { effective: 1, permitted: 1, inheritable: 1 });
            b.call(raise);
        });
        assert_eq!(answer, None);
    }

    fn a_session_leader_does_not_become_one_again(ground) {
        let answer = ground.alone(0, |b| {
            b.call(Call::Setsid {});
            b.call(Call::Setsid {});
        });
        assert_eq!(answer, Some((1, Errno::EPERM)));
    }

    fn a_host_name_beyond_64_bytes_is_einval(ground) {
        let answer = ground.alone(flags::CLONE_NEWUTS, |b| {
            let name = b.block(&[b'n'; 65]);
            b.call(Call::Sethostname { name });
        });
        assert_eq!(answer, Some((0, Errno::EINVAL)));
    }

    fn a_host_name_stays_in_its_namespace(ground) {
        let before = ground.read("/proc/sys/kernel/hostname").unwrap();
        let answer = ground.alone(flags::CLONE_NEWUTS, |b| {
            let name = b.block(b"inside");
            b.call(Call::Sethostname { name });
        });
        assert_eq!(answer, None);
        assert_eq!(ground.read("/proc/sys/kernel/hostname").unwrap(), before);
    }

    fn a_namespace_is_entered_through_its_descriptor(ground) {
        let how = How { namespaces: flags::CLONE_NEWUTS, ..How::default() };
        let born = ground.spawn(&pause(), how).unwrap();
        assert_eq!(born.hear(), b"?");
        let link = |pid: &str| crate::name(format!("/proc/{pid}/ns/uts"));
        let theirs = ground.kernel.read_link(CWD, &link(&born.pid.to_string())).unwrap();
        assert_ne!(ground.kernel.read_link(CWD, &link("self")).unwrap(), theirs);
        let path = format!("/proc/{}/ns/uts", born.pid);
        let enter = |kinds| {
            ground.alone(0, |b| {
                let (dir, path) = (Handle::CWD, b.text(&path));
                let open = Call::Openat2 { dir, path, flags: 0, mode: 0, resolve: 0 };
                let slot = b.open(open);
                b.call(Call::Setns { fd: Handle::slot(slot.0), kinds });
            })
        };
        assert_eq!(enter(flags::CLONE_NEWUTS), None);
        assert_eq!(enter(flags::CLONE_NEWNET), Some((1, Errno::EINVAL)));
    }

    fn entering_a_file_that_is_no_namespace_is_einval(ground) {
        let answer = ground.alone(0, |b| {
            let (dir, path) = (Handle::CWD, b.text("/dev/null"));
            let slot = b.open(Call::Openat2 { dir, path, flags: 0, mode: 0, resolve: 0 });
            b.call(Call::Setns { fd: Handle::slot(slot.0), kinds: 0 });
        });
        assert_eq!(answer, Some((1, Errno::EINVAL)));
    }
}
