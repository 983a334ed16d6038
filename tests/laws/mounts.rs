//! Mounts: made, moved, changed and unmade by children in namespaces of their own.

use cofferdam::sys::{Builder, Call, Errno, Handle, flags};

use crate::laws::ground::{apart, mount, refuse};

crate::laws! {
    fn a_mount_stays_in_its_namespace(ground) {
        ground.directory("m");
        ground.file("m/below", b"");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
            refuse_open(b, &at("m/below"), Errno::ENOENT);
        });
        assert_eq!(answer, None);
        assert_eq!(ground.content("m/below"), b"");
    }

    fn a_shared_mount_spreads_to_its_peers(ground) {
        ground.directory("m");
        // Without MS_PRIVATE first, what a child mounts under a shared mount is seen outside;
        // here both ends are the child's own, so that nothing is left.
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
            mount(b, ["", &at("m"), ""], flags::MS_SHARED);
            for directory in ["m/a", "m/b"] {
                mkdir(b, &at(directory));
            }
            mount(b, [&at("m"), &at("m/b"), ""], flags::MS_BIND);
            mount(b, ["tmpfs", &at("m/a"), "tmpfs"], 0);
            mkdir(b, &at("m/a/seen"));
            open(b, &at("m/b/a/seen"), 0);
        });
        assert_eq!(answer, None);
    }

    fn a_private_bind_does_not_spread(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
            mount(b, ["", &at("m"), ""], flags::MS_PRIVATE);
            for directory in ["m/a", "m/b"] {
                mkdir(b, &at(directory));
            }
            mount(b, [&at("m"), &at("m/b"), ""], flags::MS_BIND);
            mount(b, ["tmpfs", &at("m/a"), "tmpfs"], 0);
            mkdir(b, &at("m/a/unseen"));
            refuse_open(b, &at("m/b/a/unseen"), Errno::ENOENT);
        });
        assert_eq!(answer, None);
    }

    fn a_read_only_mount_is_erofs(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
            mount(b, ["", &at("m"), ""], flags::MS_REMOUNT | flags::MS_BIND | flags::MS_RDONLY);
            mkdir_or(b, &at("m/d"), Errno::EROFS);
            mount(b, ["", &at("m"), ""], flags::MS_REMOUNT | flags::MS_BIND);
            mkdir(b, &at("m/d"));
        });
        assert_eq!(answer, None);
    }

    fn a_read_only_file_system_is_erofs_until_it_is_remounted(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], flags::MS_RDONLY);
            mkdir_or(b, &at("m/d"), Errno::EROFS);
            mount(b, ["", &at("m"), ""], flags::MS_REMOUNT | flags::MS_BIND);
            mkdir_or(b, &at("m/d"), Errno::EROFS);
            mount(b, ["", &at("m"), ""], flags::MS_REMOUNT);
            mkdir(b, &at("m/d"));
        });
        assert_eq!(answer, None);
    }

    fn a_bind_mount_shows_the_same_files(ground) {
        for directory in ["a", "b", "a/sub"] {
            ground.directory(directory);
        }
        let answer = apart(ground, |b, at| {
            mount(b, [&at("a"), &at("b"), ""], flags::MS_BIND);
            open(b, &at("b/sub"), flags::O_DIRECTORY);
        });
        assert_eq!(answer, None);
    }

    fn a_bind_without_rec_leaves_inner_mounts_out(ground) {
        for directory in ["a", "b", "c", "a/sub"] {
            ground.directory(directory);
        }
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("a/sub"), "tmpfs"], 0);
            mkdir(b, &at("a/sub/inner"));
            mount(b, [&at("a"), &at("b"), ""], flags::MS_BIND);
            refuse_open(b, &at("b/sub/inner"), Errno::ENOENT);
            mount(b, [&at("a"), &at("c"), ""], flags::MS_BIND | flags::MS_REC);
            open(b, &at("c/sub/inner"), 0);
        });
        assert_eq!(answer, None);
    }

    fn a_directory_over_a_file_is_enotdir(ground) {
        ground.directory("d");
        ground.file("f", b"");
        let answer = apart(ground, |b, at| {
            mount(b, [&at("d"), &at("f"), ""], flags::MS_BIND);
        });
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::ENOTDIR));
    }

    fn an_unknown_file_system_is_enodev(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| mount(b, ["x", &at("m"), "nothingfs"], 0));
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::ENODEV));
    }

    fn a_mount_on_nothing_is_enoent(ground) {
        let answer = apart(ground, |b, at| mount(b, ["x", &at("m"), "tmpfs"], 0));
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::ENOENT));
    }

    fn two_propagations_at_once_are_einval(ground) {
        let both = flags::MS_PRIVATE | flags::MS_SLAVE;
        let answer = apart(ground, |b, _| mount(b, ["", "/", ""], both));
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::EINVAL));
    }

    fn propagation_of_what_is_no_mount_is_einval(ground) {
        ground.directory("d");
        let answer = apart(ground, |b, at| mount(b, ["", &at("d"), ""], flags::MS_PRIVATE));
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::EINVAL));
    }

    fn an_unbindable_mount_is_not_bound(ground) {
        ground.directory("m");
        ground.directory("b");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
            mount(b, ["", &at("m"), ""], flags::MS_UNBINDABLE);
            mount(b, [&at("m"), &at("b"), ""], flags::MS_BIND);
        });
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::EINVAL));
    }

    fn umount_of_what_is_no_mount_is_einval(ground) {
        ground.directory("d");
        let answer = apart(ground, |b, at| umount(b, &at("d"), 0));
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::EINVAL));
    }

    fn umount_of_what_is_used_is_ebusy_and_detached_lazily(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
            let path = b.text(&at("m"));
            b.call(Call::Chdir { path });
            let target = b.text(&at("m"));
            b.call_or(Call::Umount2 { target, flags: 0 }, &[Errno::EBUSY]);
            umount(b, &at("m"), flags::MNT_DETACH);
            umount(b, &at("m"), flags::MNT_DETACH);
        });
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::EINVAL));
    }

    fn umount_gives_the_directory_back(ground) {
        ground.directory("m");
        ground.directory("m/below");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
            umount(b, &at("m"), 0);
            open(b, &at("m/below"), 0);
        });
        assert_eq!(answer, None);
    }

    fn rmdir_of_a_mount_point_is_ebusy(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
            let path = b.text(&at("m"));
            b.call(Call::Unlinkat { dir: Handle::CWD, path, flags: flags::AT_REMOVEDIR });
        });
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::EBUSY));
    }

    fn rename_of_a_mount_point_is_ebusy(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
            let (from, to) = (b.text(&at("m")), b.text(&at("n")));
            let dir = Handle::CWD;
            b.call(Call::Renameat2 { from_dir: dir, from, to_dir: dir, to, flags: 0 });
        });
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::EBUSY));
    }

    fn a_detached_copy_is_changed_and_then_attached(ground) {
        for directory in ["a", "b", "a/sub"] {
            ground.directory(directory);
        }
        let answer = apart(ground, |b, at| {
            let (dir, empty) = (Handle::CWD, b.text(""));
            let (from, to) = (b.text(&at("a")), b.text(&at("b")));
            let how = flags::OPEN_TREE_CLONE | flags::OPEN_TREE_CLOEXEC | flags::AT_RECURSIVE;
            let slot = b.open(Call::OpenTree { dir, path: from, flags: how });
            let tree = Handle::slot(slot.0);
            b.call(Call::MountSetattr {
                dir: tree,
                path: empty,
                flags: flags::AT_EMPTY_PATH,
                set: flags::MOUNT_ATTR_RDONLY,
                clear: 0,
                propagation: 0,
            });
            b.call(Call::MoveMount {
                from_dir: tree,
                from_path: empty,
                to_dir: dir,
                to_path: to,
                flags: flags::MOVE_MOUNT_F_EMPTY_PATH,
            });
            open(b, &at("b/sub"), flags::O_DIRECTORY);
            mkdir_or(b, &at("b/new"), Errno::EROFS);
            mkdir(b, &at("a/new"));
        });
        assert_eq!(answer, None);
    }

    fn a_mount_moves_onto_what_it_covered_and_what_it_covers_is_still_open(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
            mount(b, ["", &at("m"), ""], flags::MS_PRIVATE);
            mkdir(b, &at("m/t"));
            mkdir(b, &at("m/t/before"));
            let [below, above] = ["m/t", "m"].map(|path| {
                if path == "m" {
                    mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
                    mkdir(b, &at("m/moved"));
                }
                let (dir, path) = (Handle::CWD, b.text(&at(path)));
                let flags = flags::O_PATH | flags::O_CLOEXEC;
                let slot = b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 });
                Handle::slot(slot.0)
            });
            let empty = b.text("");
            b.call(Call::MoveMount {
                from_dir: above,
                from_path: empty,
                to_dir: below,
                to_path: empty,
                flags: flags::MOVE_MOUNT_F_EMPTY_PATH | flags::MOVE_MOUNT_T_EMPTY_PATH,
            });
            open(b, &at("m/t/moved"), 0);
            refuse_open(b, &at("m/t/before"), Errno::ENOENT);
            refuse_open(b, &at("m/moved"), Errno::ENOENT);
            let (path, flags) = (b.text("before"), flags::O_PATH);
            let resolve = flags::RESOLVE_BENEATH | flags::RESOLVE_NO_XDEV;
            b.call(Call::Openat2 { dir: below, path, flags, mode: 0, resolve });
        });
        assert_eq!(answer, None);
    }

    fn attributes_of_what_is_no_mount_are_einval(ground) {
        ground.directory("d");
        let answer = apart(ground, |b, at| {
            let (dir, path) = (Handle::CWD, b.text(&at("d")));
            let set = flags::MOUNT_ATTR_RDONLY;
            b.call(Call::MountSetattr { dir, path, flags: 0, set, clear: 0, propagation: 0 });
        });
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::EINVAL));
    }

    fn open_tree_of_nothing_is_enoent_and_of_unknown_bits_einval(ground) {
        for (how, errno) in [(flags::OPEN_TREE_CLONE, Errno::ENOENT), (0x4000, Errno::EINVAL)] {
            let answer = apart(ground, |b, at| {
                let (dir, path) = (Handle::CWD, b.text(&at("nothing")));
                b.call(Call::OpenTree { dir, path, flags: how });
            });
            assert_eq!(answer.map(|(_, errno)| errno), Some(errno));
        }
    }

    fn a_device_on_a_nodev_mount_is_eacces(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], flags::MS_NODEV);
            let (dir, path) = (Handle::CWD, b.text(&at("m/null")));
            let mode = flags::S_IFCHR | 0o666;
            b.call(Call::Mknodat { dir, path, mode, device: 0x103 });
            refuse_open(b, &at("m/null"), Errno::EACCES);
        });
        assert_eq!(answer, None);
    }

    fn an_executable_on_a_noexec_mount_is_eacces(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["/bin", &at("m"), ""], flags::MS_BIND);
            let again = flags::MS_BIND | flags::MS_REMOUNT | flags::MS_NOEXEC;
            mount(b, ["", &at("m"), ""], again);
            let path = b.text(&at("m/false"));
            let list = b.list(["false"]);
            b.call(Call::Execve { path, argv: list, envp: list });
        });
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::EACCES));
    }

    fn pivot_root_onto_itself_and_detach_leaves_the_new_root_only(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
            mkdir(b, &at("m/inside"));
            let path = b.text(&at("m"));
            b.call(Call::Chdir { path });
            let dot = b.text(".");
            b.call(Call::PivotRoot { new_root: dot, put_old: dot });
            umount(b, ".", flags::MNT_DETACH);
            open(b, "/inside", flags::O_DIRECTORY);
            open(b, "/../inside", flags::O_DIRECTORY);
            refuse_open(b, "/proc", Errno::ENOENT);
        });
        assert_eq!(answer, None);
    }

    fn pivot_root_to_what_is_no_mount_is_einval(ground) {
        ground.directory("d");
        let answer = apart(ground, |b, at| {
            let path = b.text(&at("d"));
            b.call(Call::PivotRoot { new_root: path, put_old: path });
        });
        // The directory is on the root mount, so it is the root mount that is meant.
        assert!(matches!(answer, Some((_, Errno::EBUSY | Errno::EINVAL))), "{answer:?}");
    }

    fn chroot_is_where_absolute_paths_begin(ground) {
        ground.directory("d");
        ground.directory("d/inside");
        let answer = apart(ground, |b, at| {
            let path = b.text(&at("d"));
            b.call(Call::Chroot { path });
            open(b, "/inside", flags::O_DIRECTORY);
            open(b, "/../../inside", flags::O_DIRECTORY);
            refuse_open(b, "/proc", Errno::ENOENT);
        });
        assert_eq!(answer, None);
    }

    fn chroot_to_a_file_is_enotdir_and_to_nothing_enoent(ground) {
        ground.file("f", b"");
        for (path, errno) in [("f", Errno::ENOTDIR), ("n", Errno::ENOENT)] {
            let answer = apart(ground, |b, at| {
                let path = b.text(&at(path));
                b.call(Call::Chroot { path });
            });
            assert_eq!(answer.map(|(_, errno)| errno), Some(errno));
        }
    }

    fn a_user_without_rights_does_not_mount(ground) {
        ground.directory("m");
        let answer = apart(ground, |b, at| {
            b.call(Call::Setresuid { uid: 1000 });
            mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
        });
        assert_eq!(answer.map(|(_, errno)| errno), Some(Errno::EPERM));
    }

    fn mountinfo_names_every_mount(ground) {
        let text = ground.read("/proc/self/mountinfo").unwrap();
        let line = text.lines().find(|line| line.contains(" - proc ")).unwrap();
        let fields: Vec<&str> = line.split(' ').collect();
        assert_eq!((fields[3], fields[4]), ("/", "/proc"));
        assert!(fields[5].starts_with("rw"));
    }
}

fn umount(builder: &mut Builder, target: &str, how: u32) {
    let target = builder.text(target);
    builder.call(Call::Umount2 { target, flags: how });
}

fn mkdir(builder: &mut Builder, path: &str) {
    let path = builder.text(path);
    builder.call(Call::Mkdirat { dir: Handle::CWD, path, mode: 0o755 });
}

/// Expects mkdirat(2) to be refused.
fn mkdir_or(builder: &mut Builder, path: &str, errno: Errno) {
    let path = builder.text(path);
    refuse(builder, Call::Mkdirat { dir: Handle::CWD, path, mode: 0o755 }, errno);
}

fn open(builder: &mut Builder, path: &str, how: u64) {
    let path = builder.text(path);
    builder.call(Call::Openat2 { dir: Handle::CWD, path, flags: how, mode: 0, resolve: 0 });
}

/// Expects openat2(2) to be refused.
fn refuse_open(builder: &mut Builder, path: &str, errno: Errno) {
    let (dir, path) = (Handle::CWD, builder.text(path));
    refuse(builder, Call::Openat2 { dir, path, flags: 0, mode: 0, resolve: 0 }, errno);
}
