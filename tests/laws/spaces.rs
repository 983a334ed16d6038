//! Namespaces: who makes and enters them, whose users are mapped, and what keeps them.

use cofferdam::sys::{Builder, Call, Errno, Handle, Slot, flags};

use crate::laws::ground::{How, SOCKET, mount, refuse};

crate::laws! {
    fn the_namespaces_of_a_process_are_entered(ground) {
        let answer = ground.alone(0, |b| {
            let (pid, fd) = child(b, flags::CLONE_NEWUTS | flags::CLONE_NEWIPC);
            refuse(b, Call::Setns { fd, kinds: 0 }, Errno::EINVAL);
            b.call(Call::Setns { fd, kinds: flags::CLONE_NEWUTS | flags::CLONE_NEWIPC });
            let name = b.block(b"inside");
            b.call(Call::Sethostname { name });
            b.call(Call::PidfdSendSignal { fd, signal: flags::SIGKILL });
            b.call(Call::Await { fd, events: flags::POLLIN, timeout_ms: -1 });
            refuse(b, Call::Setns { fd, kinds: flags::CLONE_NEWUTS }, Errno::ESRCH);
            b.call(Call::Wait4 { pid, status: cofferdam::sys::Room { len: 4 }, options: 0 });
            refuse(b, Call::Setns { fd, kinds: flags::CLONE_NEWUTS }, Errno::ESRCH);
        });
        assert_eq!(answer, None);
    }

    fn a_user_namespace_is_entered_once(ground) {
        let answer = ground.alone(0, |b| {
            let (_, fd) = child(b, flags::CLONE_NEWUSER);
            b.call(Call::Setns { fd, kinds: flags::CLONE_NEWUSER });
            refuse(b, Call::Setns { fd, kinds: flags::CLONE_NEWUSER }, Errno::EINVAL);
            b.call(Call::PidfdSendSignal { fd, signal: flags::SIGKILL });
        });
        assert_eq!(answer, None);
    }

    fn who_has_no_rights_enters_nothing(ground) {
        let answer = ground.alone(0, |b| {
            let (_, fd) = child(b, flags::CLONE_NEWUTS);
            b.call(Call::Setresuid { uid: 1000 });
            b.call(Call::Setns { fd, kinds: 0 });
        });
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::EINVAL));
        let answer = ground.alone(0, |b| {
            let (_, fd) = child(b, flags::CLONE_NEWUTS);
            b.call(Call::Capset { effective: 0, permitted: 0, inheritable: 0 });
            b.call(Call::Setns { fd, kinds: flags::CLONE_NEWUTS });
        });
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::EPERM));
    }

    fn whoever_makes_a_user_namespace_is_root_in_it(ground) {
        let answer = ground.alone(0, |b| {
            b.call(Call::Setresgid { gid: 1000 });
            b.call(Call::Setresuid { uid: 1000 });
            refuse(b, Call::Unshare { kinds: flags::CLONE_NEWUTS }, Errno::EPERM);
            b.call(Call::Unshare { kinds: 0 });
            let name = b.block(b"inside");
            refuse(b, Call::Sethostname { name }, Errno::EPERM);
            b.call(Call::Unshare { kinds: flags::CLONE_NEWUSER });
            // The namespace that it is still in is another's.
            refuse(b, Call::Sethostname { name }, Errno::EPERM);
            b.call(Call::Unshare { kinds: flags::CLONE_NEWUTS });
            b.call(Call::Sethostname { name });
        });
        assert_eq!(answer, None);
        let answer = ground.alone(0, |b| {
            b.call(Call::Setresuid { uid: 1000 });
            b.call(Call::Unshare { kinds: flags::CLONE_NEWUSER | flags::CLONE_NEWNS });
            b.call(Call::Unshare { kinds: 0 });
        });
        assert_eq!(answer, None);
    }

    fn a_user_maps_himself_and_nobody_else(ground) {
        let answer = ground.alone(0, |b| {
            b.call(Call::Setresgid { gid: 1000 });
            b.call(Call::Setresuid { uid: 1000 });
            b.call(Call::Prctl { option: flags::PR_SET_DUMPABLE, a: 1, b: 0, c: 0, d: 0 });
            b.call(Call::Unshare { kinds: flags::CLONE_NEWUSER });
            for (file, text, errno) in [
                ("uid_map", "0 1001 1", Some(Errno::EPERM)),
                ("uid_map", "0 1000 2", Some(Errno::EPERM)),
                ("uid_map", "0 1000 1", None),
                ("uid_map", "0 1000 1", Some(Errno::EPERM)),
                ("gid_map", "0 1000 1", Some(Errno::EPERM)),
                ("setgroups", "deny", None),
                ("gid_map", "0 1000 1", None),
            ] {
                let (dir, path) = (Handle::CWD, b.text(&format!("/proc/self/{file}")));
                let flags = flags::O_WRONLY;
                let slot = b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 });
                let (fd, bytes) = (Handle::slot(slot.0), b.block(text.as_bytes()));
                match errno {
                    Some(errno) => refuse(b, Call::Write { fd, bytes }, errno),
                    None => b.call(Call::Write { fd, bytes }),
                }
                b.close(slot);
            }
            b.call(Call::Setresuid { uid: 0 });
            refuse(b, Call::Setresuid { uid: 1 }, Errno::EINVAL);
            refuse(b, Call::Setresgid { gid: 1 }, Errno::EINVAL);
        });
        assert_eq!(answer, None);
    }

    fn a_run_of_ids_ends_where_it_ends(ground) {
        ground.file("f", b"");
        let own = |id| {
            let (dir, path) = (cofferdam::sys::CWD, &*ground.at("f"));
            ground.call(Call::Fchownat { dir, path, uid: id, gid: id, flags: 0 }).unwrap();
        };
        let text = ground.at("f").into_string().unwrap();
        for (id, mapped) in [(100_000, true), (100_009, true), (100_010, false), (99_999, false)] {
            own(id);
            let how = How { namespaces: flags::CLONE_NEWUSER, mapped: true, ..How::default() };
            let mut builder = Builder::new(1);
            let b = &mut builder;
            let (dir, path) = (Handle::CWD, b.text(&text));
            let chmod = Call::Fchmodat { dir, path, mode: 0o644 };
            if mapped {
                b.call(chmod);
            } else {
                refuse(b, chmod, Errno::EPERM);
            }
            b.call(Call::Setresuid { uid: 9 });
            let born = ground.spawn(&builder.finish(), how).unwrap();
            for file in ["uid_map", "gid_map"] {
                let path = format!("/proc/{}/{file}", born.pid);
                ground.write(&path, "0 100000 10").unwrap();
            }
            cofferdam::sys::Syscalls::write_all(ground.kernel, born.socket.raw(), b"!").unwrap();
            assert_eq!(born.hear(), b"", "{id}");
        }
    }

    fn a_file_system_belongs_to_whoever_mounts_it(ground) {
        ground.directory("m");
        let target = ground.at("m").into_string().unwrap();
        let namespaces = [flags::CLONE_NEWUSER, flags::CLONE_NEWNS, flags::CLONE_NEWNET,
            flags::CLONE_NEWPID].iter().sum();
        for (kind, owned) in
            [("tmpfs", true), ("ramfs", true), ("devpts", true), ("sysfs", false), ("proc", false)]
        {
            let how = How { namespaces, mapped: true, ..How::default() };
            let mut builder = Builder::new(1);
            let b = &mut builder;
            mount(b, ["none", &target, kind], 0);
            let (dir, path) = (Handle::CWD, b.text(&target));
            let chmod = Call::Fchmodat { dir, path, mode: 0o755 };
            if owned {
                b.call(chmod);
            } else {
                refuse(b, chmod, Errno::EPERM);
            }
            let born = ground.spawn(&builder.finish(), how).unwrap();
            for file in ["uid_map", "gid_map"] {
                ground.write(&format!("/proc/{}/{file}", born.pid), "0 100000 10").unwrap();
            }
            cofferdam::sys::Syscalls::write_all(ground.kernel, born.socket.raw(), b"!").unwrap();
            assert_eq!(born.hear(), b"", "{kind}");
        }
    }

    fn a_namespace_is_kept_by_a_mount_of_its_file(ground) {
        ground.file("f", b"");
        let target = ground.at("f").into_string().unwrap();
        let namespaces = flags::CLONE_NEWNS | flags::CLONE_NEWUTS;
        let born = ground.paused(How { namespaces, ..How::default() }, |b| {
            let [none, root] = ["", "/"].map(|text| b.text(text));
            let flags = flags::MS_PRIVATE | flags::MS_REC;
            b.call(Call::Mount { source: none, target: root, kind: none, flags, data: none });
            let [source, target] = ["/proc/self/ns/uts", &target].map(|text| b.text(text));
            let flags = flags::MS_BIND;
            b.call(Call::Mount { source, target, kind: none, flags, data: none });
            b.call(Call::Unshare { kinds: flags::CLONE_NEWUTS });
            let path = target;
            let slot =
                b.open(Call::Openat2 { dir: Handle::CWD, path, flags: 0, mode: 0, resolve: 0 });
            b.call(Call::Setns { fd: Handle::slot(slot.0), kinds: flags::CLONE_NEWUTS });
        });
        let text = ground.read(&format!("/proc/{}/mountinfo", born.pid)).unwrap();
        let line = text.lines().find(|line| line.split(' ').nth(4) == Some(&*target)).unwrap();
        assert!(line.contains(" - nsfs nsfs rw"), "{line}");
    }

    fn nobody_is_born_after_the_first_of_a_namespace_is_gone(ground) {
        let answer = ground.alone(0, |b| {
            b.call(Call::Unshare { kinds: flags::CLONE_NEWPID });
            let pid = b.take();
            let first = b.fork(0, pid);
            b.call(Call::Exit { status: 0 });
            b.land(first);
            b.call(Call::Wait4 { pid, status: cofferdam::sys::Room { len: 4 }, options: 0 });
            refuse(b, Call::Fork { flags: 0 }, Errno::ENOMEM);
        });
        assert_eq!(answer, None);
    }

    fn a_user_signals_who_is_his_own(ground) {
        let answer = ground.alone(0, |b| {
            b.call(Call::Setresuid { uid: 1000 });
            let (_, fd) = child(b, 0);
            for signal in [0, flags::SIGKILL] {
                b.call(Call::PidfdSendSignal { fd, signal });
            }
        });
        assert_eq!(answer, None);
    }

    fn mounts_of_others_are_left_alone(ground) {
        for path in ["m", "n"] {
            ground.directory(path);
        }
        let at = |path: &str| ground.at(path).into_string().unwrap();
        let how = How { namespaces: flags::CLONE_NEWNS, ..How::default() };
        let private = |b: &mut Builder| {
            let [none, root] = ["", "/"].map(|text| b.text(text));
            let flags = flags::MS_PRIVATE | flags::MS_REC;
            b.call(Call::Mount { source: none, target: root, kind: none, flags, data: none });
        };
        // What is tried is tried on another child's mounts.
        let other = ground.paused(how, |b| {
            private(b);
            let [tmpfs, target, data] = ["tmpfs", &at("m"), ""].map(|text| b.text(text));
            b.call(Call::Mount { source: tmpfs, target, kind: tmpfs, flags: 0, data });
        });
        let there = format!("/proc/{}/root{}", other.pid, at("m"));
        let answer = ground.alone(flags::CLONE_NEWNS, |b| {
            private(b);
            let [none, tmpfs, here, theirs] =
                ["", "tmpfs", &at("n"), &there].map(|text| b.text(text));
            let dir = Handle::CWD;
            let mount = |source, target, kind, flags| {
                Call::Mount { source, target, kind, flags, data: none }
            };
            let (path, clear) = (theirs, 0);
            for call in [
                mount(tmpfs, theirs, tmpfs, 0),
                mount(theirs, here, none, flags::MS_BIND),
                mount(here, theirs, none, flags::MS_BIND),
                mount(none, theirs, none, flags::MS_REMOUNT | flags::MS_BIND),
                Call::MountSetattr { dir, path, flags: 0, set: 1, clear, propagation: 0 },
                Call::Umount2 { target: theirs, flags: flags::MNT_DETACH },
                Call::OpenTree { dir, path: theirs, flags: flags::OPEN_TREE_CLONE },
            ] {
                refuse(b, call, Errno::EINVAL);
            }
        });
        assert_eq!(answer, None);
    }

    fn what_is_no_disk_holds_no_disk_s_file_system(ground) {
        ground.directory("m");
        if !ground.read("/proc/filesystems").unwrap().contains("\text4\n") {
            return ground.miss("no ext4");
        }
        let target = ground.at("m").into_string().unwrap();
        let answer = ground.alone(flags::CLONE_NEWNS, |b| {
            let [source, target, kind] = ["/dev/null", &target, "ext4"].map(|text| b.text(text));
            let data = b.text("");
            b.call(Call::Mount { source, target, kind, flags: 0, data });
        });
        assert_eq!(answer, Some((0, Errno::ENOTBLK)));
    }

    fn a_tree_of_cgroups_is_mounted_again(ground) {
        ground.directory("m");
        let target = ground.at("m").into_string().unwrap();
        let v2 = ground.place.v2.is_some();
        for (there, kind, data, file) in [
            (v2, "cgroup2", "", "cgroup.controllers"),
            (ground.place.v1.contains_key("freezer"), "cgroup", "freezer", "tasks"),
        ] {
            if !there {
                continue;
            }
            let how = How { namespaces: flags::CLONE_NEWNS, ..How::default() };
            let born = ground.paused(how, |b| {
                let [none, root] = ["", "/"].map(|text| b.text(text));
                let flags = flags::MS_PRIVATE | flags::MS_REC;
                b.call(Call::Mount { source: none, target: root, kind: none, flags, data: none });
                let [source, target, kind] = [kind, &target, kind].map(|text| b.text(text));
                let data = b.text(data);
                b.call(Call::Mount { source, target, kind, flags: 0, data });
            });
            let at = format!("/proc/{}/root{target}", born.pid);
            let top = &ground.place.tops[data];
            let inode = |path: &str| {
                let path = crate::name(path);
                cofferdam::sys::Syscalls::stat(ground.kernel, cofferdam::sys::CWD, &path, 0)
                    .unwrap()
                    .inode
            };
            assert_eq!(inode(&format!("{at}/{file}")), inode(&format!("{top}/{file}")));
        }
    }

    /// Without a name all controllers are meant, and no tree has them all.
    fn a_tree_of_all_controllers_is_ebusy(ground) {
        if !["freezer", "pids"].iter().all(|name| ground.place.v1.contains_key(*name)) {
            return ground.miss("no freezer and pids of cgroup v1");
        }
        ground.directory("m");
        let target = ground.at("m").into_string().unwrap();
        let answer = ground.alone(flags::CLONE_NEWNS, |b| {
            let [source, target, data] = ["cgroup", &*target, ""].map(|text| b.text(text));
            b.call(Call::Mount { source, target, kind: source, flags: 0, data });
        });
        assert_eq!(answer, Some((0, Errno::EBUSY)));
    }

    fn a_setting_is_written_where_it_is_one_s_own(ground) {
        let answer = ground.alone(flags::CLONE_NEWIPC, |b| {
            let (dir, path) = (Handle::CWD, b.text("/proc/sys/kernel/msgmax"));
            let flags = flags::O_WRONLY;
            let slot = b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 });
            let bytes = b.block(b"4096\n");
            b.call(Call::Write { fd: Handle::slot(slot.0), bytes });
        });
        assert_eq!(answer, None);
        let link = cofferdam::sys::Syscalls::read_link(
            ground.kernel,
            cofferdam::sys::CWD,
            c"/proc/mounts",
        );
        assert_eq!(link.unwrap(), b"self/mounts");
    }

    fn the_settings_of_a_kernel_are_lines(ground) {
        let line = |name: &str| {
            let text = ground.read(&format!("/proc/sys/kernel/{name}")).unwrap();
            assert!(text.ends_with('\n') && text.len() > 1, "{name}: {text}");
            text
        };
        line("osrelease");
        line("hostname");
        line("domainname");
        assert!(line("pid_max").trim().parse::<u32>().unwrap() > 1);
        assert_eq!(line("cap_last_cap").trim(), "40");
    }

    fn a_descriptor_of_a_process_leads_to_no_other(ground) {
        let born = ground.sleeper();
        let top = format!("/proc/{}", born.pid);
        let open = |path: &str, how| ground.open_absolute(&format!("{top}{path}"), how);
        let dirs = ["", "/fd", "/ns"].map(|path| open(path, flags::O_DIRECTORY).unwrap());
        let how = flags::O_PATH | flags::O_NOFOLLOW;
        let links = ["/ns/uts", "/cwd", "/root", "/fd/0"].map(|path| open(path, how).unwrap());
        let file = open("/status", 0).unwrap();
        let read = |fd| cofferdam::sys::Syscalls::read_link(ground.kernel, fd, c"").err();
        drop(born);
        // As many as a small machine has numbers: one of them may get the same.
        for _ in 0..64 {
            let born = ground.sleeper();
            for dir in &dirs {
                let entries = cofferdam::sys::Syscalls::entries(ground.kernel, dir.raw());
                assert_eq!(entries.err(), Some(Errno::ENOENT));
            }
            for link in &links {
                // Which of them, is told kernel by kernel.
                let told = read(link.raw());
                assert!(matches!(told, Some(Errno::ENOENT | Errno::EACCES)), "{told:?}");
            }
            let all = cofferdam::sys::Syscalls::read_all(ground.kernel, file.raw());
            assert_eq!(all.err(), Some(Errno::ESRCH));
            drop(born);
        }
    }
}

/// Adds a child in namespaces of its own that waits for ever; returns its number and descriptor.
fn child(builder: &mut Builder, kinds: u64) -> (Slot, Handle) {
    let pid = builder.take();
    let fork = builder.fork(kinds, pid);
    builder.call(Call::Await { fd: SOCKET, events: flags::POLLIN, timeout_ms: -1 });
    builder.call(Call::Exit { status: 0 });
    builder.land(fork);
    let fd = builder.open(Call::PidfdOpen { pid, flags: 0 });
    (pid, Handle::slot(fd.0))
}
