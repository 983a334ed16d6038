//! Trees of mounts: what is refused, how changes spread, and what stays when somebody leaves.

use cofferdam::sys::{Builder, CWD, Call, Errno, Handle, Syscalls, flags};

use crate::laws::ground::{How, apart, mount, mount_lines, mounting, place, refuse};

crate::laws! {
    fn a_file_system_lies_on_a_directory(ground) {
        ground.file("f", b"");
        ground.directory("d");
        let answer = apart(ground, |b, at| {
            for (target, kind, errno) in [
                ("f", "tmpfs", Errno::ENOTDIR),
                ("d", "nothing", Errno::ENODEV),
                ("n", "tmpfs", Errno::ENOENT),
            ] {
                let call = mounting(b, ["x", &at(target), kind], 0);
                refuse(b, call, errno);
            }
            for kind in ["proc", "sysfs", "tmpfs", "ramfs"] {
                mount(b, ["x", &at("d"), kind], 0);
            }
        });
        assert_eq!(answer, None);
    }

    fn a_file_lies_on_a_file(ground) {
        ground.file("f", b"above");
        ground.file("g", b"below");
        ground.directory("d");
        let lines = mount_lines(ground, |b, at| {
            for (source, target) in [("d", "g"), ("f", "d")] {
                let call = mounting(b, [&at(source), &at(target), ""], flags::MS_BIND);
                refuse(b, call, Errno::ENOTDIR);
            }
            let call = mounting(b, [&at("n"), &at("g"), ""], flags::MS_BIND);
            refuse(b, call, Errno::ENOENT);
            mount(b, [&at("f"), &at("g"), ""], flags::MS_BIND);
        });
        assert_eq!(lines.len(), 1);
    }

    fn what_is_read_only_is_not_changed(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["x", &at("m"), "tmpfs"], 0);
            let (dir, path) = (Handle::CWD, b.text(&at("m/f")));
            let open = |flags, mode| Call::Openat2 { dir, path, flags, mode, resolve: 0 };
            let slot = b.open(open(flags::O_CREAT | flags::O_WRONLY, 0o600));
            b.close(slot);
            mount(b, ["", &at("m"), ""], flags::MS_REMOUNT | flags::MS_BIND | 1);
            let new = b.text(&at("m/g"));
            let made = flags::O_CREAT | flags::O_WRONLY;
            for call in [
                open(flags::O_WRONLY, 0),
                open(flags::O_RDWR, 0),
                open(flags::O_TRUNC, 0),
                Call::Openat2 { dir, path: new, flags: made, mode: 0o600, resolve: 0 },
                Call::Fchmodat { dir, path, mode: 0o644 },
                Call::Fchownat { dir, path, uid: 1, gid: 1, flags: 0 },
                Call::Faccessat2 { dir, path, mode: 2, flags: 0 },
                Call::Unlinkat { dir, path, flags: 0 },
                Call::Symlinkat { target: path, dir, path: new },
                Call::Renameat2 { from_dir: dir, from: path, to_dir: dir, to: new, flags: 0 },
            ] {
                refuse(b, call, Errno::EROFS);
            }
            b.call(open(0, 0));
            b.call(Call::Faccessat2 { dir, path, mode: 4, flags: 0 });
        });
        assert_eq!(answer, None);
    }

    fn a_new_file_system_begins_with_its_root(ground) {
        for path in ["m", "n"] {
            ground.directory(path);
        }
        let at = |path: &str| ground.at(path).into_string().unwrap();
        for (kind, mode) in [("tmpfs", 0o1777), ("ramfs", 0o755), ("proc", 0o555)] {
            let how = How { namespaces: flags::CLONE_NEWNS, ..How::default() };
            let born = ground.paused(how, |b| {
                mount(b, ["", "/", ""], flags::MS_PRIVATE | flags::MS_REC);
                for path in ["m", "n"] {
                    mount(b, ["x", &at(path), kind], 0);
                }
            });
            let stat = |path: &str| {
                let path = crate::name(format!("/proc/{}/root{}", born.pid, at(path)));
                ground.kernel.stat(CWD, &path, 0).unwrap()
            };
            let found = ["m", "n", ""].map(stat);
            assert_eq!(found[0].mode, flags::S_IFDIR | mode, "{kind}");
            assert_ne!(found[0].device, found[2].device, "{kind}");
            assert!(kind == "proc" || found[0].device != found[1].device, "{kind}");
        }
    }

    fn what_a_file_system_comes_with_is_its_own(ground) {
        ground.directory("m");
        let target = ground.at("m").into_string().unwrap();
        for (kind, below) in [("sysfs", "kernel"), ("sysfs", "fs/cgroup"), ("devpts", "ptmx")] {
            let how = How { namespaces: flags::CLONE_NEWNS, ..How::default() };
            let born = ground.paused(how, |b| {
                mount(b, ["", "/", ""], flags::MS_PRIVATE | flags::MS_REC);
                mount(b, ["x", &target, kind], 0);
            });
            let stat = |path: &str| {
                let path = crate::name(format!("/proc/{}/root{target}/{path}", born.pid));
                ground.kernel.stat(CWD, &path, 0).unwrap()
            };
            let found = stat(below);
            assert_eq!(found.device, stat("").device, "{kind}");
            let device = (flags::S_IFCHR, (5, 2));
            assert_eq!((found.mode & flags::S_IFMT, found.node) == device, kind == "devpts");
        }
    }

    fn a_file_lives_as_long_as_a_mount_shows_it(ground) {
        ground.file("f", b"");
        ground.file("g", b"");
        let answer = apart(ground, |b, at| {
            mount(b, [&at("f"), &at("g"), ""], flags::MS_BIND);
            let (dir, path) = (Handle::CWD, b.text(&at("f")));
            b.call(Call::Fchmodat { dir, path, mode: 0o600 });
            b.call(Call::Unlinkat { dir, path, flags: 0 });
            let path = b.text(&at("g"));
            b.call(Call::Openat2 { dir, path, flags: flags::O_RDWR, mode: 0, resolve: 0 });
            b.call(Call::Setresuid { uid: 5 });
            refuse(b, Call::Openat2 { dir, path, flags: 0, mode: 0, resolve: 0 }, Errno::EACCES);
        });
        assert_eq!(answer, None);
    }

    fn nothing_is_executed_where_nothing_may_be(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["x", &at("m"), "tmpfs"], flags::MS_NOEXEC);
            let (dir, path) = (Handle::CWD, b.text(&at("m/f")));
            let flags = flags::O_CREAT | flags::O_WRONLY;
            b.call(Call::Openat2 { dir, path, flags, mode: 0o700, resolve: 0 });
            refuse(b, Call::Faccessat2 { dir, path, mode: 1, flags: 0 }, Errno::EACCES);
            b.call(Call::Faccessat2 { dir, path, mode: 6, flags: 0 });
            let top = b.text(&at("m"));
            b.call(Call::Faccessat2 { dir, path: top, mode: 1, flags: 0 });
        });
        assert_eq!(answer, None);
    }

    fn a_user_changes_no_mounts(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["x", &at("m"), "tmpfs"], 0);
            b.call(Call::Setresuid { uid: 1000 });
            let (dir, path) = (Handle::CWD, b.text(&at("m")));
            let clone = flags::OPEN_TREE_CLONE;
            let [empty, root] = ["", "/"].map(|text| b.text(text));
            let (from_dir, to_dir, bind) = (dir, dir, flags::MS_BIND);
            for call in [
                Call::Umount2 { target: path, flags: 0 },
                Call::OpenTree { dir, path, flags: clone },
                Call::MountSetattr { dir, path, flags: 0, set: 1, clear: 0, propagation: 0 },
                Call::MoveMount { from_dir, from_path: path, to_dir, to_path: root, flags: 0 },
                Call::PivotRoot { new_root: path, put_old: path },
                Call::Chroot { path },
                Call::Mount { source: path, target: path, kind: empty, flags: bind, data: empty },
            ] {
                refuse(b, call, Errno::EPERM);
            }
            b.call(Call::OpenTree { dir, path, flags: 0 });
        });
        assert_eq!(answer, None);
    }

    fn a_tree_is_opened_in_known_ways(ground) {
        ground.directory("d");
        let answer = apart(ground, |b, at| {
            let (dir, path) = (Handle::CWD, b.text(&at("d")));
            refuse(b, Call::OpenTree { dir, path, flags: flags::AT_RECURSIVE }, Errno::EINVAL);
            let slot = b.open(Call::OpenTree { dir, path, flags: 0 });
            let fd = Handle::slot(slot.0);
            refuse(b, Call::Read { fd, buf: cofferdam::sys::Room { len: 1 } }, Errno::EBADF);
            // It is the directory itself: no mount begins there.
            let (dir, path, clear) = (fd, b.text(""), 0);
            let flags = flags::AT_EMPTY_PATH;
            let call = Call::MountSetattr { dir, path, flags, set: 1, clear, propagation: 0 };
            refuse(b, call, Errno::EINVAL);
        });
        assert_eq!(answer, None);
    }

    fn a_copy_of_a_tree_has_what_is_below_it_and_nothing_beside(ground) {
        ground.directory("m");
        ground.directory("n");
        let lines = mount_lines(ground, |b, at| {
            mount(b, ["x", &at("m"), "tmpfs"], 0);
            for path in ["m/in", "m/out", "m/in/deep", "m/in/not"] {
                let (dir, path) = (Handle::CWD, b.text(&at(path)));
                b.call(Call::Mkdirat { dir, path, mode: 0o755 });
            }
            for path in ["m/out", "m/in/deep", "m/in/not"] {
                mount(b, ["x", &at(path), "tmpfs"], 0);
            }
            mount(b, ["", &at("m/in/not"), ""], flags::MS_UNBINDABLE);
            mount(b, [&at("m/in"), &at("n"), ""], flags::MS_BIND | flags::MS_REC);
        });
        let mut below: Vec<&str> = lines.iter().map(|line| place(line)).collect();
        below.retain(|place| place.contains("/n"));
        below.sort_unstable();
        let at = |path: &str| ground.at(path).into_string().unwrap();
        let wanted = [at("m/in/not"), at("n"), at("n/deep")];
        assert_eq!(below, wanted);
    }

    fn a_detached_tree_stays_whole(ground) {
        for path in ["m", "n", "o"] {
            ground.directory(path);
        }
        let lines = mount_lines(ground, |b, at| {
            for path in ["m", "o"] {
                mount(b, ["x", &at(path), "tmpfs"], 0);
            }
            let (dir, below) = (Handle::CWD, b.text(&at("m/d")));
            b.call(Call::Mkdirat { dir, path: below, mode: 0o755 });
            mount(b, ["x", &at("m/d"), "tmpfs"], 0);
            let [m, n, o] = ["m", "n", "o"].map(|path| b.text(&at(path)));
            let empty = b.text("");
            let flags = flags::OPEN_TREE_CLONE | flags::AT_RECURSIVE;
            let slot = b.open(Call::OpenTree { dir, path: m, flags });
            b.call(Call::Umount2 { target: o, flags: 0 });
            b.call(Call::Umount2 { target: m, flags: flags::MNT_DETACH });
            let (from_dir, flags) = (Handle::slot(slot.0), flags::MOVE_MOUNT_F_EMPTY_PATH);
            b.call(Call::MoveMount { from_dir, from_path: empty, to_dir: dir, to_path: n, flags });
        });
        let at = |path: &str| ground.at(path).into_string().unwrap();
        let mut places: Vec<&str> = lines.iter().map(|line| place(line)).collect();
        places.sort_unstable();
        assert_eq!(places, [at("n"), at("n/d")]);
    }

    fn a_detached_tree_goes_with_its_descriptor(ground) {
        ground.directory("m");
        let lines = mount_lines(ground, |b, at| {
            let (dir, path) = (Handle::CWD, b.text(&at("m")));
            let slot = b.open(Call::OpenTree { dir, path, flags: flags::OPEN_TREE_CLONE });
            b.close(slot);
        });
        assert_eq!(lines, [""; 0]);
    }

    fn unmounting_at_one_peer_unmounts_at_the_other(ground) {
        for path in ["m", "n"] {
            ground.directory(path);
        }
        for (kind, left) in [(flags::MS_SHARED, 2), (flags::MS_SLAVE, 2), (flags::MS_PRIVATE, 3)] {
            let lines = mount_lines(ground, |b, at| {
                for (texts, how) in [
                    (["x", "m", "tmpfs"], 0),
                    (["", "m", ""], flags::MS_SHARED),
                    (["m", "n", ""], flags::MS_BIND),
                ] {
                    let binds = how == flags::MS_BIND;
                    let source = if binds { at(texts[0]) } else { texts[0].to_owned() };
                    mount(b, [&source, &at(texts[1]), texts[2]], how);
                }
                let (dir, path) = (Handle::CWD, b.text(&at("m/d")));
                b.call(Call::Mkdirat { dir, path, mode: 0o755 });
                mount(b, ["x", &at("m/d"), "tmpfs"], 0);
                mount(b, ["", &at("n"), ""], kind);
                b.call(Call::Umount2 { target: path, flags: 0 });
            });
            assert_eq!(lines.len(), left, "{kind:x} {lines:?}");
        }
    }

    fn a_group_of_peers_has_a_number_of_its_own(ground) {
        for path in ["m", "n"] {
            ground.directory(path);
        }
        let lines = mount_lines(ground, |b, at| {
            for path in ["m", "n"] {
                mount(b, ["x", &at(path), "tmpfs"], 0);
                mount(b, ["", &at(path), ""], flags::MS_SHARED);
            }
        });
        let group = |line: &str| line.split(' ').nth(6).unwrap().to_owned();
        assert!(group(&lines[0]).starts_with("shared:"));
        assert_ne!(group(&lines[0]), group(&lines[1]));
    }

    fn propagation_is_changed_below_when_told_to(ground) {
        ground.directory("m");
        for (rec, below) in [(0, false), (flags::MS_REC, true)] {
            let lines = mount_lines(ground, |b, at| {
                mount(b, ["x", &at("m"), "tmpfs"], 0);
                let (dir, path) = (Handle::CWD, b.text(&at("m/d")));
                b.call(Call::Mkdirat { dir, path, mode: 0o755 });
                mount(b, ["x", &at("m/d"), "tmpfs"], 0);
                mount(b, ["", &at("m"), ""], flags::MS_SHARED | rec | flags::MS_SILENT);
                let call = mounting(b, ["", &at("m/nothing"), ""], flags::MS_SHARED);
                refuse(b, call, Errno::ENOENT);
            });
            let shared = [0, 1].map(|at| lines[at].contains(" shared:"));
            assert_eq!(shared, [true, below]);
        }
    }

    fn a_removed_directory_takes_the_mounts_of_others_along(ground) {
        ground.directory("m");
        let how = How { namespaces: flags::CLONE_NEWNS, ..How::default() };
        let target = ground.at("m").into_string().unwrap();
        let born = ground.paused(how, |b| {
            mount(b, ["", "/", ""], flags::MS_PRIVATE | flags::MS_REC);
            mount(b, ["x", &target, "tmpfs"], 0);
        });
        let there = || {
            let text = ground.read(&format!("/proc/{}/mountinfo", born.pid)).unwrap();
            text.lines().any(|line| place(line) == target)
        };
        assert!(there());
        assert_eq!(ground.kernel.unlink(CWD, &ground.at("m"), flags::AT_REMOVEDIR), Ok(()));
        assert!(!there());
    }

    fn a_mount_that_is_in_use_is_not_unmounted(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["x", &at("m"), "tmpfs"], 0);
            let (dir, path) = (Handle::CWD, b.text(&at("m/d")));
            b.call(Call::Mkdirat { dir, path, mode: 0o755 });
            let target = b.text(&at("m"));
            let slot = b.open(Call::Openat2 { dir, path, flags: 0, mode: 0, resolve: 0 });
            refuse(b, Call::Umount2 { target, flags: 0 }, Errno::EBUSY);
            b.close(slot);
            mount(b, ["x", &at("m/d"), "tmpfs"], 0);
            refuse(b, Call::Umount2 { target, flags: 0 }, Errno::EBUSY);
            b.call(Call::Umount2 { target: path, flags: 0 });
            refuse(b, Call::Umount2 { target: path, flags: 0 }, Errno::EINVAL);
            b.call(Call::Umount2 { target, flags: 0 });
        });
        assert_eq!(answer, None);
    }

    fn what_was_mounted_lives_as_long_as_it_is_held(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["x", &at("m"), "tmpfs"], 0);
            let (dir, path) = (Handle::CWD, b.text(&at("m/d")));
            b.call(Call::Mkdirat { dir, path, mode: 0o755 });
            let top = b.text(&at("m"));
            let slot = b.open(Call::Openat2 { dir, path: top, flags: 0, mode: 0, resolve: 0 });
            b.call(Call::Umount2 { target: top, flags: flags::MNT_DETACH });
            let fd = Handle::slot(slot.0);
            let inner = b.text("d");
            b.call(Call::Openat2 { dir: fd, path: inner, flags: 0, mode: 0, resolve: 0 });
            refuse(b, Call::Openat2 { dir, path, flags: 0, mode: 0, resolve: 0 }, Errno::ENOENT);
            b.call(Call::Fchdir { fd });
            b.call(Call::Openat2 { dir, path: inner, flags: 0, mode: 0, resolve: 0 });
        });
        assert_eq!(answer, None);
    }

    fn a_root_is_changed_for_a_mount_that_nobody_shares(ground) {
        ground.directory("m");
        ground.file("f", b"");
        let answer = apart(ground, |b, at| {
            mount(b, ["x", &at("m"), "tmpfs"], 0);
            let dir = Handle::CWD;
            let [top, old, file] = ["m", "m/old", "f"].map(|path| b.text(&at(path)));
            b.call(Call::Mkdirat { dir, path: old, mode: 0o755 });
            refuse(b, Call::PivotRoot { new_root: file, put_old: old }, Errno::ENOTDIR);
            refuse(b, Call::PivotRoot { new_root: old, put_old: old }, Errno::EINVAL);
            mount(b, ["", &at("m"), ""], flags::MS_SHARED);
            refuse(b, Call::PivotRoot { new_root: top, put_old: old }, Errno::EINVAL);
            mount(b, ["", &at("m"), ""], flags::MS_PRIVATE);
            b.call(Call::PivotRoot { new_root: top, put_old: old });
            let [before, above, root] = [&*format!("/old{}", at("f")), "/old/..", "/"]
                .map(|path| b.text(path));
            for path in [before, above, root] {
                b.call(Call::Openat2 { dir, path, flags: 0, mode: 0, resolve: 0 });
            }
            let path = b.text(&at("f"));
            refuse(b, Call::Openat2 { dir, path, flags: 0, mode: 0, resolve: 0 }, Errno::ENOENT);
        });
        assert_eq!(answer, None);
    }

    fn a_user_s_mounts_only_receive(ground) {
        ground.directory("m");
        let target = ground.at("m").into_string().unwrap();
        let namespaces = flags::CLONE_NEWUSER | flags::CLONE_NEWNS;
        let how = How { namespaces, mapped: true, ..How::default() };
        let mut builder = Builder::new(1);
        let bytes = builder.block(b"?");
        builder.call(Call::Write { fd: crate::laws::ground::SOCKET, bytes });
        let buf = cofferdam::sys::Room { len: 1 };
        builder.call(Call::Read { fd: crate::laws::ground::SOCKET, buf });
        let born = ground.spawn(&builder.finish(), how).unwrap();
        for file in ["uid_map", "gid_map"] {
            ground.write(&format!("/proc/{}/{file}", born.pid), "0 0 10").unwrap();
        }
        ground.kernel.write_all(born.socket.raw(), b"!").unwrap();
        assert_eq!(born.hear(), b"?");
        let own = ground.read("/proc/self/mountinfo").unwrap();
        let text = ground.read(&format!("/proc/{}/mountinfo", born.pid)).unwrap();
        let count = |text: &str, word: &str| text.lines().filter(|l| l.contains(word)).count();
        assert_eq!(count(&text, " shared:"), 0, "{text} {target}");
        assert_eq!(count(&text, " master:"), count(&own, " shared:"));
    }
}
