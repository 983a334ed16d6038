//! Modes: who may do what with a file, what openat2(2) refuses, and what new files get.

use cofferdam::sys::{Builder, CWD, Call, Compiled, Errno, Handle, Kernel, Live, Syscalls, flags};

use crate::Ground;
use crate::laws::ground::refuse;

crate::laws! {
    fn a_class_of_users_has_its_own_bits(ground) {
        // Who asks is user 5 of the groups 6 and 7; each file is somebody's, with a mode.
        for (owner, group, mode, errno) in [
            (5, 0, 0o400, None),
            (5, 0, 0o077, Some(Errno::EACCES)),
            (5, 6, 0o044, Some(Errno::EACCES)),
            (0, 6, 0o040, None),
            (0, 7, 0o040, None),
            (0, 8, 0o040, Some(Errno::EACCES)),
            (0, 6, 0o404, Some(Errno::EACCES)),
            (0, 7, 0o404, Some(Errno::EACCES)),
            (0, 0, 0o004, None),
            (0, 0, 0o440, Some(Errno::EACCES)),
        ] {
            ground.file("f", b"");
            own(ground, "f", (owner, group, mode));
            let answer = as_user(ground, |b, at| {
                let path = b.text(&at("f"));
                ask(b, open(path, 0), errno);
                ask(b, access(path, 4), errno);
                ask(b, access(path, 6), Some(Errno::EACCES));
                ask(b, access(path, 0), None);
            });
            assert_eq!(answer, None, "{owner}:{group} {mode:o}");
            ground.kernel.unlink(CWD, &ground.at("f"), 0).unwrap();
        }
    }

    fn each_way_of_opening_needs_its_bits(ground) {
        for (mode, refused) in [(0o4, [1, 2]), (0o2, [0, 2]), (0o6, [9, 9])] {
            ground.file("f", b"");
            own(ground, "f", (0, 0, mode));
            let answer = as_user(ground, |b, at| {
                let path = b.text(&at("f"));
                for how in [flags::O_RDONLY, flags::O_WRONLY, flags::O_RDWR] {
                    ask(b, open(path, how), refused.contains(&how).then_some(Errno::EACCES));
                }
                ask(b, open(path, flags::O_PATH), None);
            });
            assert_eq!(answer, None, "{mode:o}");
        }
    }

    fn access_is_asked_for_in_known_words(ground) {
        ground.file("f", b"");
        let call = |mode, flags| {
            let path = &*ground.at("f");
            ground.call(Call::Faccessat2 { dir: CWD, path, mode, flags })
        };
        assert_eq!((call(8, 0), call(0, 1)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
        assert_eq!(call(4, flags::AT_EACCESS), Ok(0));
        assert_eq!(call(0, flags::AT_SYMLINK_NOFOLLOW), Ok(0));
        // Root executes what anybody may execute.
        assert_eq!(call(1, 0), Err(Errno::EACCES));
        own(ground, "f", (0, 0, 0o001));
        assert_eq!((call(1, 0), call(7, 0)), (Ok(0), Ok(0)));
        own(ground, "f", (5, 5, 0));
        assert_eq!((call(6, 0), call(1, 0)), (Ok(0), Err(Errno::EACCES)));
    }

    fn a_walk_needs_to_search(ground) {
        ground.directory("d");
        ground.file("d/f", b"");
        own(ground, "d", (0, 0, 0o644));
        let answer = as_user(ground, |b, at| {
            let path = b.text(&at("d/f"));
            refuse(b, open(path, 0), Errno::EACCES);
            let path = b.text(&at("d"));
            ask(b, open(path, 0), None);
            refuse(b, Call::Chdir { path }, Errno::EACCES);
        });
        assert_eq!(answer, None);
        own(ground, "d", (0, 0, 0o711));
        let answer = as_user(ground, |b, at| {
            let path = b.text(&at("d/f"));
            ask(b, open(path, 0), None);
            let path = b.text(&at("d/g"));
            refuse(b, Call::Mkdirat { dir: Handle::CWD, path, mode: 0o755 }, Errno::EACCES);
            let path = b.text(&at("d"));
            refuse(b, open(path, 0), Errno::EACCES);
            ask(b, Call::Chdir { path }, None);
        });
        assert_eq!(answer, None);
    }

    fn in_a_sticky_directory_only_owners_remove(ground) {
        ground.directory("d");
        for (name, owner) in [("own", 5), ("other", 0)] {
            ground.file(&format!("d/{name}"), b"");
            own(ground, &format!("d/{name}"), (owner, 0, 0o666));
        }
        own(ground, "d", (0, 0, 0o1777));
        let answer = as_user(ground, |b, at| {
            let dir = Handle::CWD;
            for (name, errno) in [("own", None), ("other", Some(Errno::EPERM))] {
                let path = b.text(&at(&format!("d/{name}")));
                ask(b, Call::Unlinkat { dir, path, flags: 0 }, errno);
            }
        });
        assert_eq!(answer, None);
        own(ground, "d", (5, 0, 0o1777));
        let answer = as_user(ground, |b, at| {
            let path = b.text(&at("d/other"));
            ask(b, Call::Unlinkat { dir: Handle::CWD, path, flags: 0 }, None);
        });
        assert_eq!(answer, None);
    }

    fn in_another_directory_who_writes_removes(ground) {
        ground.directory("d");
        ground.file("d/other", b"");
        own(ground, "d", (0, 0, 0o777));
        let answer = as_user(ground, |b, at| {
            let path = b.text(&at("d/other"));
            ask(b, Call::Unlinkat { dir: Handle::CWD, path, flags: 0 }, None);
        });
        assert_eq!(answer, None);
    }

    fn a_new_file_is_its_maker_s_with_what_is_not_masked(ground) {
        own(ground, "", (0, 0, 0o777));
        let answer = as_user(ground, |b, at| {
            let dir = Handle::CWD;
            b.call(Call::Umask { mask: 0o7027 });
            let path = b.text(&at("d"));
            b.call(Call::Mkdirat { dir, path, mode: 0o777 });
            let path = b.text(&at("f"));
            let how = flags::O_CREAT | flags::O_WRONLY;
            b.call(Call::Openat2 { dir, path, flags: how, mode: 0o666, resolve: 0 });
            let path = b.text(&at("p"));
            let mode = flags::S_IFIFO | 0o7666;
            b.call(Call::Mknodat { dir, path, mode, device: 0 });
            let path = b.text(&at("c"));
            let mode = flags::S_IFCHR | 0o666;
            refuse(b, Call::Mknodat { dir, path, mode, device: 0x103 }, Errno::EPERM);
        });
        assert_eq!(answer, None);
        let found = ["d", "f", "p"].map(|path| {
            let found = ground.kernel.stat(CWD, &ground.at(path), 0).unwrap();
            (found.mode, found.uid, found.gid)
        });
        let modes = [flags::S_IFDIR | 0o750, flags::S_IFREG | 0o640, flags::S_IFIFO | 0o7640];
        assert_eq!(found, modes.map(|mode| (mode, 5, 6)));
    }

    fn an_owner_changes_the_mode_and_root_the_owner(ground) {
        ground.file("f", b"");
        own(ground, "f", (5, 6, 0o600));
        let answer = as_user(ground, |b, at| {
            let (dir, path) = (Handle::CWD, b.text(&at("f")));
            b.call(Call::Fchmodat { dir, path, mode: 0o640 });
            let chown = |uid, gid| Call::Fchownat { dir, path, uid, gid, flags: 0 };
            refuse(b, chown(u32::MAX, 9), Errno::EPERM);
            refuse(b, chown(9, u32::MAX), Errno::EPERM);
            b.call(chown(u32::MAX, u32::MAX));
            b.call(chown(5, 6));
        });
        assert_eq!(answer, None);
        let stat = || ground.kernel.stat(CWD, &ground.at("f"), 0).unwrap();
        assert_eq!((stat().mode & 0o7777, stat().uid, stat().gid), (0o640, 5, 6));
        let path = &*ground.at("f");
        let call = |uid, gid| ground.call(Call::Fchownat { dir: CWD, path, uid, gid, flags: 0 });
        assert_eq!((call(u32::MAX, 9), stat().uid, stat().gid), (Ok(0), 5, 9));
        assert_eq!((call(8, u32::MAX), stat().uid, stat().gid), (Ok(0), 8, 9));
    }

    fn only_some_ways_of_opening_are_known(ground) {
        ground.file("f", b"kept");
        ground.symlink("f", "l");
        let top = ground.open("", flags::O_PATH).unwrap();
        let open = |path, flags, mode, resolve| {
            let call: Call<Live<'_>> =
                Call::Openat2 { dir: top.raw(), path, flags, mode, resolve };
            ground.kernel.give(call).map(drop)
        };
        let (create, path) = (flags::O_CREAT, flags::O_PATH);
        for (how, mode, resolve) in [
            (create | flags::O_DIRECTORY, 0o644, 0),
            (create, 0o10000, 0),
            (0, 0, 0x40),
            (path | flags::O_WRONLY, 0, 0),
            (path | flags::O_TRUNC, 0, 0),
            (path | flags::O_APPEND, 0, 0),
            (path | create, 0o644, 0),
        ] {
            assert_eq!(open(c"f", how, mode, resolve), Err(Errno::EINVAL), "{how:o} {mode:o}");
        }
        for (name, how, mode, resolve) in [
            (c"f", create | flags::O_WRONLY, 0o7777, 0),
            (c"f", path | flags::O_NOFOLLOW | flags::O_CLOEXEC, 0, 0),
            (c"l", path | flags::O_NOFOLLOW, 0, 0),
            (c".", path | flags::O_DIRECTORY, 0, flags::RESOLVE_BENEATH),
            (c"f", flags::O_APPEND | flags::O_WRONLY, 0, flags::RESOLVE_IN_ROOT),
        ] {
            assert_eq!(open(name, how, mode, resolve), Ok(()), "{how:o} {resolve:x}");
        }
        assert_eq!(open(c"f", path | flags::O_DIRECTORY, 0, 0), Err(Errno::ENOTDIR));
        assert_eq!(open(c".", create | flags::O_WRONLY, 0o644, 0), Err(Errno::EISDIR));
        assert_eq!(open(c".", flags::O_TRUNC, 0, 0), Err(Errno::EISDIR));
        assert_eq!(ground.content("f"), b"kept");
    }

    fn what_is_no_file_is_not_opened(ground) {
        let dir = CWD;
        let path = &*ground.at("s");
        let mode = flags::S_IFSOCK | 0o600;
        ground.call(Call::Mknodat { dir, path, mode, device: 0 }).unwrap();
        assert_eq!(ground.open("s", 0).err(), Some(Errno::ENXIO));
        assert!(ground.open("s", flags::O_PATH).is_ok());
        let path = &*ground.at("x");
        let mode = flags::S_IFDIR | 0o600;
        let made = ground.call(Call::Mknodat { dir, path, mode, device: 0 });
        assert!(matches!(made, Err(Errno::EINVAL | Errno::EPERM)), "{made:?}");
        let mode = flags::S_IFBLK | 0o600;
        // 0x12345:0x6789a, as makedev(3) joins it.
        let device = 0x9a | 0x345 << 8 | 0x678 << 20 | 0x12 << 44;
        ground.call(Call::Mknodat { dir, path, mode, device: device & 0xffff_ffff }).unwrap();
        let found = ground.kernel.stat(CWD, path, 0).unwrap();
        assert_eq!((found.mode & flags::S_IFMT, found.node), (flags::S_IFBLK, (0x345, 0x6789a)));
    }

    fn what_is_described_is_the_same_by_any_name(ground) {
        ground.directory("d");
        ground.directory("d/sub");
        ground.file("f", b"12345");
        ground.symlink("four", "l");
        let stat = |path: &str| {
            ground.kernel.stat(CWD, &ground.at(path), flags::AT_SYMLINK_NOFOLLOW).unwrap()
        };
        assert_eq!((stat("f").size, stat("l").size), (5, 4));
        assert_eq!(stat("d").inode, stat("d/.").inode);
        assert_eq!(stat("d").inode, stat("d/sub/..").inode);
        assert_ne!(stat("d").inode, stat("f").inode);
        assert_eq!(stat("d").device, stat("f").device);
        let proc = ground.kernel.stat(CWD, c"/proc", 0).unwrap();
        assert_ne!(proc.device, stat("f").device);
        assert!(stat("d").is_directory() && !stat("f").is_directory());
        assert!(stat("d").links > 0);
    }
}

fn own<K: Kernel>(ground: &Ground<'_, K>, path: &str, how: (u32, u32, u32)) {
    let (uid, gid, mode) = how;
    let (dir, path) = (CWD, &*ground.at(path));
    ground.call(Call::Fchownat { dir, path, uid, gid, flags: 0 }).unwrap();
    ground.call(Call::Fchmodat { dir, path, mode }).unwrap();
}

/// Performs a program as user 5 of the groups 6 and 7.
fn as_user<K: Kernel>(
    ground: &Ground<'_, K>,
    write: impl FnOnce(&mut Builder, &dyn Fn(&str) -> String),
) -> Option<(u16, Errno)> {
    let at = |path: &str| ground.at(path).into_string().unwrap();
    ground.alone(0, |b| {
        let groups = b.block(&7_u32.to_le_bytes());
        b.call(Call::Setgroups { groups });
        b.call(Call::Setresgid { gid: 6 });
        b.call(Call::Setresuid { uid: 5 });
        write(b, &at);
    })
}

/// Adds a call that is to be answered so.
fn ask(builder: &mut Builder, call: Call<Compiled>, errno: Option<Errno>) {
    match errno {
        Some(errno) => refuse(builder, call, errno),
        None => builder.call(call),
    }
}

const fn open(path: cofferdam::sys::Text, flags: u64) -> Call<Compiled> {
    Call::Openat2 { dir: Handle::CWD, path, flags, mode: 0, resolve: 0 }
}

const fn access(path: cofferdam::sys::Text, mode: u32) -> Call<Compiled> {
    Call::Faccessat2 { dir: Handle::CWD, path, mode, flags: 0 }
}
