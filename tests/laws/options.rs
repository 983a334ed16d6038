//! Options of mounts: how they are set, changed, inherited and told.

use std::cell::Cell;

use cofferdam::sys::{Builder, Call, Errno, Fd, Handle, Kernel, RawFd, flags};

use crate::Ground;
use crate::laws::ground::{How, SOCKET, mount, mount_lines, place, refuse};
use crate::laws::sockets::receive;

crate::laws! {
    fn a_mount_tells_the_options_that_it_was_made_with(ground) {
        ground.directory("m");
        for (how, options) in [
            (0, "rw,relatime"),
            (flags::MS_RDONLY, "ro,relatime"),
            (flags::MS_NOSUID, "rw,nosuid,relatime"),
            (flags::MS_NODEV, "rw,nodev,relatime"),
            (flags::MS_NOEXEC, "rw,noexec,relatime"),
            (flags::MS_NOATIME, "rw,noatime"),
            (flags::MS_STRICTATIME, "rw"),
            (flags::MS_RELATIME, "rw,relatime"),
            (flags::MS_NODIRATIME, "rw,nodiratime,relatime"),
            (flags::MS_NOSYMFOLLOW, "rw,relatime,nosymfollow"),
            (flags::MS_NOSUID | flags::MS_NOEXEC, "rw,nosuid,noexec,relatime"),
        ] {
            let told = told(ground, |b, at| mount(b, ["src", &at("m"), "tmpfs"], how));
            assert_eq!(told, [options]);
        }
    }

    fn a_descriptor_tells_the_type_of_its_file_system(ground) {
        ground.directory("m");
        for (kind, magic) in [
            ("devpts", 0x1cd1),
            ("mqueue", 0x1980_0202),
            ("proc", u64::from(flags::PROC_SUPER_MAGIC)),
            ("sysfs", 0x6265_6572),
            ("tmpfs", u64::from(flags::TMPFS_MAGIC)),
        ] {
            let target = format!("{}/m", ground.place.directory);
            let namespaces = flags::CLONE_NEWNS | flags::CLONE_NEWIPC;
            let mut builder = Builder::new(1);
            let b = &mut builder;
            mount(b, ["x", &target, kind], 0);
            let (dir, path) = (Handle::CWD, b.text(&target));
            let flags = flags::O_PATH | flags::O_CLOEXEC;
            let slot = b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 });
            let bytes = b.block(b"!");
            b.call(Call::SendFd { socket: SOCKET, bytes, fd: Handle::slot(slot.0) });
            let how = How { namespaces, ..How::default() };
            let born = ground.spawn(&builder.finish(), how).unwrap();
            let (said, mounted) = receive(ground, &born.socket).unwrap();
            assert_eq!(said, b"!", "{kind}");
            let mounted = Fd::new(mounted.unwrap(), ground.kernel);
            assert_eq!(file_system(ground, mounted.raw()), Ok(magic), "{kind}");
        }
        for (directory, magic) in ground.place.v2.iter().map(|dir| (dir, 0x6367_7270)).chain(
            ground.place.v1.values().map(|dir| (dir, 0x27_e0eb)),
        ) {
            // It may not be made yet.
            let above = directory.rsplit_once('/').unwrap().0;
            let open = ground.open_absolute(directory, 0);
            let open = open.or_else(|_| ground.open_absolute(above, 0)).unwrap();
            assert_eq!(file_system(ground, open.raw()), Ok(magic), "{directory}");
        }
        assert_eq!(file_system(ground, 1_000_000), Err(Errno::EBADF));
    }

    fn a_remount_replaces_the_options(ground) {
        ground.directory("m");
        let again = flags::MS_REMOUNT | flags::MS_BIND;
        for (how, options) in [
            (again, "rw,relatime"),
            (again | flags::MS_NOEXEC, "rw,noexec,relatime"),
            (again | flags::MS_NOATIME | flags::MS_RDONLY, "ro,noatime"),
        ] {
            let told = told(ground, |b, at| {
                mount(b, ["src", &at("m"), "tmpfs"], flags::MS_NOSUID);
                mount(b, ["", &at("m"), ""], how);
            });
            assert_eq!(told, [options]);
        }
    }

    fn only_the_root_of_a_mount_is_remounted(ground) {
        ground.directory("m");
        let told = told(ground, |b, at| {
            mount(b, ["src", &at("m"), "tmpfs"], 0);
            mkdir(b, &at("m/d"));
            let [source, target, kind] = ["", &*at("m/d"), ""].map(|text| b.text(text));
            let flags = flags::MS_REMOUNT | flags::MS_BIND | flags::MS_RDONLY;
            refuse(b, Call::Mount { source, target, kind, flags, data: kind }, Errno::EINVAL);
        });
        assert_eq!(told, ["rw,relatime"]);
    }

    fn attributes_are_set_and_cleared(ground) {
        ground.directory("m");
        let times = flags::MOUNT_ATTR_ATIME;
        for (made, set, clear, options) in [
            (0, flags::MOUNT_ATTR_RDONLY, 0, "ro,relatime"),
            (0, 2 | 4 | 8, 0, "rw,nosuid,nodev,noexec,relatime"),
            (0, flags::MOUNT_ATTR_NODIRATIME, 0, "rw,nodiratime,relatime"),
            (0, flags::MOUNT_ATTR_NOSYMFOLLOW, 0, "rw,relatime,nosymfollow"),
            (0, flags::MOUNT_ATTR_NOATIME, times, "rw,noatime"),
            (0, flags::MOUNT_ATTR_STRICTATIME, times, "rw"),
            (flags::MS_NOATIME, 0, times, "rw,relatime"),
            (flags::MS_NOSUID | flags::MS_NODEV, 0, 2, "rw,nodev,relatime"),
            (flags::MS_NOSUID, 2 | 4, 2, "rw,nosuid,nodev,relatime"),
            (flags::MS_NOSUID, 2, 0, "rw,nosuid,relatime"),
            (flags::MS_NODIRATIME, 0, flags::MOUNT_ATTR_NODIRATIME, "rw,relatime"),
            (flags::MS_NOSYMFOLLOW, 1, flags::MOUNT_ATTR_NOSYMFOLLOW, "ro,relatime"),
        ] {
            let told = told(ground, |b, at| {
                mount(b, ["src", &at("m"), "tmpfs"], made);
                let path = b.text(&at("m"));
                b.call(setattr(path, 0, (set, clear, 0)));
            });
            assert_eq!(told, [options], "{made:x} {set:x} {clear:x}");
        }
    }

    fn attributes_are_asked_for_in_known_words(ground) {
        ground.directory("m");
        let told = told(ground, |b, at| {
            mount(b, ["src", &at("m"), "tmpfs"], 0);
            let path = b.text(&at("m"));
            let two = flags::MS_PRIVATE | flags::MS_SHARED;
            for (how, change) in [
                (1, (1, 0, 0)),
                (0, (0, 0, 1)),
                (0, (0, 0, two)),
                (0, (flags::MOUNT_ATTR_NOATIME, 0, 0)),
                (0, (flags::MOUNT_ATTR_NOATIME, flags::MOUNT_ATTR_NOATIME, 0)),
            ] {
                refuse(b, setattr(path, how, change), Errno::EINVAL);
            }
            b.call(setattr(path, flags::AT_SYMLINK_NOFOLLOW, (0, 0, flags::MS_PRIVATE)));
        });
        assert_eq!(told, ["rw,relatime"]);
    }

    fn attributes_reach_below_when_told_to(ground) {
        ground.directory("m");
        for (how, below) in [(0, "rw,relatime"), (flags::AT_RECURSIVE, "ro,relatime")] {
            let told = told(ground, |b, at| {
                mount(b, ["src", &at("m"), "tmpfs"], 0);
                mkdir(b, &at("m/d"));
                mount(b, ["src", &at("m/d"), "tmpfs"], 0);
                let path = b.text(&at("m"));
                b.call(setattr(path, how, (1, 0, 0)));
            });
            assert_eq!(told, ["ro,relatime", below]);
        }
    }

    fn propagation_is_told(ground) {
        ground.directory("m");
        for (asked, told) in [
            (&[flags::MS_PRIVATE][..], ""),
            (&[flags::MS_SHARED], "shared"),
            (&[flags::MS_SHARED, flags::MS_SHARED], "shared"),
            (&[flags::MS_SHARED, flags::MS_PRIVATE], ""),
            (&[flags::MS_SHARED, flags::MS_SLAVE], ""),
            (&[flags::MS_PRIVATE, flags::MS_SLAVE], ""),
            (&[flags::MS_SLAVE, flags::MS_SHARED], "shared"),
            (&[flags::MS_UNBINDABLE], "unbindable"),
            (&[flags::MS_UNBINDABLE, flags::MS_PRIVATE], ""),
            (&[flags::MS_UNBINDABLE, flags::MS_SHARED], "shared"),
        ] {
            let lines = mount_lines(ground, |b, at| {
                mount(b, ["src", &at("m"), "tmpfs"], 0);
                for kind in asked {
                    mount(b, ["", &at("m"), ""], *kind);
                }
            });
            assert_eq!(propagation(&lines[0]), told, "{lines:?}");
        }
    }

    fn propagation_is_an_attribute_too(ground) {
        ground.directory("m");
        for (kind, told) in [(flags::MS_SHARED, "shared"), (flags::MS_UNBINDABLE, "unbindable")] {
            let lines = mount_lines(ground, |b, at| {
                mount(b, ["src", &at("m"), "tmpfs"], 0);
                let path = b.text(&at("m"));
                b.call(setattr(path, 0, (0, 0, kind)));
            });
            assert_eq!(propagation(&lines[0]), told, "{lines:?}");
        }
    }

    fn a_file_system_tells_what_it_was_asked_for(ground) {
        ground.directory("m");
        let lines = mount_lines(ground, |b, at| {
            let [source, target, kind] = ["src", &*at("m"), "tmpfs"].map(|text| b.text(text));
            let data = b.text("size=64k,mode=700");
            b.call(Call::Mount { source, target, kind, flags: flags::MS_RDONLY, data });
        });
        assert!(lines[0].contains(" - tmpfs src ro,size=64k,mode=700"), "{lines:?}");
        let own = ground.read("/proc/self/mountinfo").unwrap();
        assert!(own.lines().all(|line| place(line) != ground.at("m").to_str().unwrap()));
    }

    fn a_slave_tells_its_master(ground) {
        for directory in ["m", "n"] {
            ground.directory(directory);
        }
        let lines = mount_lines(ground, |b, at| {
            mount(b, ["src", &at("m"), "tmpfs"], 0);
            mount(b, ["", &at("m"), ""], flags::MS_SHARED);
            mount(b, [&at("m"), &at("n"), ""], flags::MS_BIND);
            mount(b, ["", &at("n"), ""], flags::MS_SLAVE);
            for directory in ["m/a", "m/b"] {
                mkdir(b, &at(directory));
            }
            mount(b, ["src", &at("m/a"), "tmpfs"], 0);
            mount(b, ["src", &at("n/b"), "tmpfs"], 0);
        });
        let pairs = lines.iter().map(|line| (place(line), propagation(line)));
        let mut places: Vec<_> = pairs.collect();
        places.sort();
        let at = |path: &str| ground.at(path).into_string().unwrap();
        let wanted = [
            (at("m"), "shared"),
            (at("m/a"), "shared"),
            (at("n"), "master"),
            (at("n/a"), "master"),
            (at("n/b"), ""),
        ];
        let places: Vec<_> = places.iter().map(|(place, how)| (place.to_string(), *how)).collect();
        assert_eq!(places, wanted);
    }

    fn a_bind_tells_its_root_and_source(ground) {
        for directory in ["m", "n"] {
            ground.directory(directory);
        }
        let lines = mount_lines(ground, |b, at| {
            mount(b, ["src", &at("m"), "tmpfs"], flags::MS_NOSUID);
            for directory in ["m/d", "m/d/e"] {
                mkdir(b, &at(directory));
            }
            mount(b, [&at("m/d/e"), &at("n"), ""], flags::MS_BIND);
        });
        let fields: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
        assert_eq!((fields[0][3], fields[1][3]), ("/", "/d/e"));
        assert_eq!((fields[0][2], fields[0][5]), (fields[1][2], fields[1][5]));
        for line in &lines {
            assert!(line.contains(" - tmpfs src rw"), "{line}");
        }
        let ids = [0, 1].map(|at| fields[at][0]);
        assert_ne!(ids[0], ids[1]);
    }

    fn unmounting_is_asked_for_in_known_words(ground) {
        ground.directory("m");
        ground.symlink("m", "l");
        let told = told(ground, |b, at| {
            mount(b, ["src", &at("m"), "tmpfs"], 0);
            let [target, link] = ["m", "l"].map(|path| b.text(&at(path)));
            refuse(b, Call::Umount2 { target, flags: 0x10 }, Errno::EINVAL);
            let flags = flags::UMOUNT_NOFOLLOW;
            refuse(b, Call::Umount2 { target: link, flags }, Errno::EINVAL);
            b.call(Call::Umount2 { target: link, flags: 0 });
            refuse(b, Call::Umount2 { target, flags: 0 }, Errno::EINVAL);
            mount(b, ["src", &at("m"), "tmpfs"], flags::MS_NOEXEC);
            b.call(Call::Umount2 { target, flags });
        });
        assert_eq!(told, [""; 0]);
    }

    fn a_mount_moves_with_what_is_below(ground) {
        for directory in ["m", "n"] {
            ground.directory(directory);
        }
        ground.file("f", b"");
        let lines = mount_lines(ground, |b, at| {
            mount(b, ["src", &at("m"), "tmpfs"], 0);
            mkdir(b, &at("m/d"));
            mount(b, ["src", &at("m/d"), "tmpfs"], 0);
            mkdir(b, &at("m/d/e"));
            let [m, n, e, f] = ["m", "n", "m/d/e", "f"].map(|path| b.text(&at(path)));
            let (kind, flags) = (b.text(""), flags::MS_MOVE);
            let to = |source, target| Call::Mount { source, target, kind, flags, data: kind };
            refuse(b, to(e, n), Errno::EINVAL);
            refuse(b, to(m, e), Errno::ELOOP);
            refuse(b, to(m, f), Errno::EINVAL);
            b.call(to(m, n));
        });
        let at = |path: &str| ground.at(path).into_string().unwrap();
        let places: Vec<&str> = lines.iter().map(|line| place(line)).collect();
        assert_eq!(places, [at("n"), at("n/d")]);
    }

    fn a_file_system_has_the_mode_that_its_data_says(ground) {
        ground.directory("m");
        for (text, mode) in [("mode=700", 0o700), ("size=64k,mode=0751", 0o751), ("", 0o1777)] {
            let how = How { namespaces: flags::CLONE_NEWNS, ..How::default() };
            let target = ground.at("m").into_string().unwrap();
            let born = ground.paused(how, |b| {
                mount(b, ["", "/", ""], flags::MS_PRIVATE | flags::MS_REC);
                let [source, target, data] = ["tmpfs", &target, text].map(|text| b.text(text));
                b.call(Call::Mount { source, target, kind: source, flags: 0, data });
            });
            let path = crate::name(format!("/proc/{}/root{target}", born.pid));
            let stat = cofferdam::sys::Syscalls::stat(ground.kernel, cofferdam::sys::CWD, &path, 0);
            assert_eq!(stat.unwrap().mode & 0o7777, mode, "{text}");
        }
    }
}

/// Returns the options of those.
fn told<K: Kernel>(
    ground: &Ground<'_, K>,
    write: impl FnOnce(&mut Builder, &dyn Fn(&str) -> String),
) -> Vec<String> {
    let option = |line: &String| line.split(' ').nth(5).unwrap().to_owned();
    mount_lines(ground, write).iter().map(option).collect()
}

/// Returns the type of the file system of an open file.
fn file_system<K: Kernel>(ground: &Ground<'_, K>, fd: RawFd) -> Result<u64, Errno> {
    let room = [const { Cell::new(0) }; 120];
    ground.call(Call::Fstatfs { fd, buf: &room[..] })?;
    Ok(u64::from_le_bytes(std::array::from_fn(|i| room[i].get())))
}

/// Returns the optional fields without the numbers of groups.
fn propagation(line: &str) -> &str {
    let (fields, _) = line.split_once(" - ").unwrap();
    fields.split(' ').nth(6).map_or("", |field| field.split(':').next().unwrap())
}

const fn setattr(
    path: cofferdam::sys::Text,
    how: u32,
    change: (u64, u64, u64),
) -> Call<cofferdam::sys::Compiled> {
    let (set, clear, propagation) = change;
    Call::MountSetattr { dir: Handle::CWD, path, flags: how, set, clear, propagation }
}

fn mkdir(builder: &mut Builder, path: &str) {
    let path = builder.text(path);
    builder.call(Call::Mkdirat { dir: Handle::CWD, path, mode: 0o755 });
}
