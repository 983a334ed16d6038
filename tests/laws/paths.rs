//! Paths: their limits and ends, and files that are opened, cut, written and told by them.

use std::cell::Cell;

use cofferdam::sys::{
    Act, Builder, CWD, Call, Errno, Fd, Handle, Kernel, Live, OnError, RawFd, Room, Slot, Syscalls,
    flags,
};

use crate::Ground;
use crate::laws::ground::{How, SOCKET, refuse};

crate::laws! {
    fn a_path_has_an_end_within_4096_bytes(ground) {
        let long = |len: usize| crate::name(["/."; 2048].concat()[..len].to_owned());
        assert!(ground.kernel.stat(CWD, &long(4094), 0).is_ok());
        assert_eq!(ground.kernel.stat(CWD, &long(4096), 0).err(), Some(Errno::ENAMETOOLONG));
        let path = crate::name(format!("{}/.", &["/."; 2048].concat()[..4093]));
        assert!(ground.kernel.stat(CWD, &path, 0).is_ok());
        let name = "n".repeat(255);
        ground.directory(&name);
        assert!(ground.kernel.stat(CWD, &ground.at(&name), 0).is_ok());
    }

    fn a_walk_follows_forty_links(ground) {
        ground.file("l0", b"end");
        for number in 1..=41 {
            ground.symlink(&format!("l{}", number - 1), &format!("l{number}"));
        }
        assert_eq!(ground.content("l40"), b"end");
        assert_eq!(ground.open("l41", 0).err(), Some(Errno::ELOOP));
    }

    fn a_walk_that_is_kept_inside_meets_no_magic_link(ground) {
        let proc = ground.open_absolute("/proc", flags::O_PATH).unwrap();
        let path = c"self/root";
        for (resolve, errno) in [
            (flags::RESOLVE_BENEATH, Errno::EXDEV),
            (flags::RESOLVE_IN_ROOT, Errno::EXDEV),
            (flags::RESOLVE_NO_MAGICLINKS, Errno::ELOOP),
            (flags::RESOLVE_NO_SYMLINKS, Errno::ELOOP),
            (flags::RESOLVE_NO_XDEV, Errno::EXDEV),
        ] {
            let found = resolved(ground, proc.raw(), path, resolve);
            assert_eq!(found.err(), Some(errno), "{resolve:x}");
        }
        for resolve in [0, flags::RESOLVE_NO_MAGICLINKS, flags::RESOLVE_BENEATH] {
            assert!(resolved(ground, proc.raw(), c"self/status", resolve).is_ok(), "{resolve:x}");
        }
    }

    fn a_walk_goes_up_over_the_edge_of_a_mount(ground) {
        let proc = ground.open_absolute("/proc", flags::O_PATH).unwrap();
        assert!(resolved(ground, proc.raw(), c"../proc", 0).is_ok());
        for resolve in [flags::RESOLVE_NO_XDEV, flags::RESOLVE_BENEATH] {
            assert_eq!(resolved(ground, proc.raw(), c"..", resolve).err(), Some(Errno::EXDEV));
            assert!(resolved(ground, proc.raw(), c"sys/..", resolve).is_ok());
        }
        assert!(resolved(ground, proc.raw(), c"..", flags::RESOLVE_IN_ROOT).is_ok());
    }

    fn a_link_to_an_absolute_path_leaves_the_mount(ground) {
        let top = ground.open("", flags::O_PATH).unwrap();
        ground.symlink("/proc/self/status", "p");
        assert!(resolved(ground, top.raw(), c"p", 0).is_ok());
        let crossed = resolved(ground, top.raw(), c"p", flags::RESOLVE_NO_XDEV);
        assert_eq!(crossed.err(), Some(Errno::EXDEV));
    }

    fn dots_are_neither_made_nor_removed(ground) {
        ground.directory("d");
        for (path, how, errno) in [
            ("d/.", 0, Errno::EISDIR),
            ("d/..", 0, Errno::EISDIR),
            ("d/.", flags::AT_REMOVEDIR, Errno::EINVAL),
            ("d/..", flags::AT_REMOVEDIR, Errno::ENOTEMPTY),
            ("d", 1, Errno::EINVAL),
        ] {
            assert_eq!(ground.kernel.unlink(CWD, &ground.at(path), how), Err(errno), "{path}");
        }
        for path in ["d/.", "d/.."] {
            assert_eq!(ground.kernel.mkdir(CWD, &ground.at(path), 0o755), Err(Errno::EEXIST));
        }
    }

    fn a_slash_after_what_is_no_directory_makes_nothing(ground) {
        let path = ground.at("x/");
        let (dir, path) = (CWD, &*path);
        let mode = flags::S_IFIFO | 0o600;
        let made = ground.call(Call::Mknodat { dir, path, mode, device: 0 });
        assert_eq!(made, Err(Errno::ENOENT));
        assert_eq!(ground.call(Call::Symlinkat { target: c"t", dir, path }), Err(Errno::ENOENT));
        assert_eq!(ground.kernel.mkdir(dir, path, 0o755), Ok(()));
    }

    fn mknod_makes_files_too(ground) {
        for (mode, name) in [(0o640, "a"), (flags::S_IFREG | 0o640, "b")] {
            let (dir, path) = (CWD, &*ground.at(name));
            ground.call(Call::Mknodat { dir, path, mode, device: 0 }).unwrap();
            assert_eq!(ground.kernel.stat(dir, path, 0).unwrap().mode, flags::S_IFREG | 0o640);
            assert_eq!(ground.content(name), b"");
        }
        let (dir, path) = (CWD, &*ground.at("c"));
        let mode = flags::S_IFCHR | 0o600;
        ground.call(Call::Mknodat { dir, path, mode, device: 0x103 }).unwrap();
        let found = ground.kernel.stat(dir, path, 0).unwrap();
        assert_eq!((found.mode, found.node), (flags::S_IFCHR | 0o600, (1, 3)));
    }

    fn anybody_makes_a_whiteout(ground) {
        let path = ground.at("");
        ground.call(Call::Fchmodat { dir: CWD, path: &path, mode: 0o777 }).unwrap();
        let text = ground.at("w").into_string().unwrap();
        let answer = ground.alone(0, |b| {
            let (dir, path) = (Handle::CWD, b.text(&text));
            b.call(Call::Setresuid { uid: 5 });
            let mode = flags::S_IFCHR | 0o600;
            b.call(Call::Mknodat { dir, path, mode, device: 0 });
        });
        assert_eq!(answer, None);
    }

    fn a_link_may_do_everything(ground) {
        ground.symlink("t", "l");
        let how = flags::AT_SYMLINK_NOFOLLOW;
        let found = ground.kernel.stat(CWD, &ground.at("l"), how).unwrap();
        assert_eq!((found.mode, found.links), (flags::S_IFLNK | 0o777, 1));
    }

    fn a_link_is_read_as_far_as_there_is_room(ground) {
        ground.symlink("target", "l");
        let path = &*ground.at("l");
        let room = [const { Cell::new(b'?') }; 8];
        let read = |len: usize| ground.call(Call::Readlinkat { dir: CWD, path, buf: &room[..len] });
        assert_eq!((read(0), read(3)), (Err(Errno::EINVAL), Ok(3)));
        assert_eq!(room.each_ref().map(Cell::get), *b"tar?????");
        assert_eq!(read(8), Ok(6));
        let link = ground.open("l", flags::O_PATH | flags::O_NOFOLLOW).unwrap();
        assert_eq!(ground.kernel.read_link(link.raw(), c"").unwrap(), b"target");
    }

    fn a_file_renamed_onto_itself_stays(ground) {
        ground.file("f", b"kept");
        assert_eq!(rename(ground, "f", "f"), Ok(()));
        assert_eq!(ground.content("f"), b"kept");
    }

    fn a_directory_takes_its_dots_along(ground) {
        for path in ["a", "a/d", "a/d/e", "b", "b/empty"] {
            ground.directory(path);
        }
        assert_eq!(rename(ground, "a", "a/d/e/x"), Err(Errno::EINVAL));
        assert_eq!(rename(ground, "a/d/", "b/empty/"), Ok(()));
        let inode = |path: &str| ground.kernel.stat(CWD, &ground.at(path), 0).unwrap().inode;
        assert_eq!(inode("b/empty/.."), inode("b"));
        assert!(ground.open("b/empty/e", 0).is_ok());
        assert_eq!(rename(ground, "b/empty/e", "b/e"), Ok(()));
        ground.file("f", b"");
        assert_eq!(rename(ground, "f/", "g"), Err(Errno::ENOTDIR));
        assert_eq!(rename(ground, "f", "g/"), Err(Errno::ENOTDIR));
        assert_eq!(rename(ground, "b/e", "f"), Err(Errno::ENOTDIR));
    }

    fn nothing_is_renamed_where_nothing_is_made(ground) {
        for (to, errno) in [(c"/proc/nothing", Errno::ENOENT), (c"/proc/cmdline", Errno::EPERM)] {
            let from = c"/proc/filesystems";
            let call = Call::Renameat2 { from_dir: CWD, from, to_dir: CWD, to, flags: 0 };
            assert_eq!(ground.call(call), Err(errno));
        }
        ground.file("f", b"");
        ground.directory("d");
        let dir = ground.open("d", flags::O_PATH).unwrap();
        ground.kernel.unlink(CWD, &ground.at("d"), flags::AT_REMOVEDIR).unwrap();
        let (from, to_dir) = (&*ground.at("f"), dir.raw());
        let call = Call::Renameat2 { from_dir: CWD, from, to_dir, to: c"f", flags: 0 };
        assert_eq!(ground.call(call), Err(Errno::ENOENT));
        assert_eq!(ground.kernel.unlink(CWD, c"/proc/filesystems", 0), Err(Errno::EPERM));
        let made = ground.open_absolute("/proc/nothing", flags::O_CREAT | flags::O_WRONLY);
        assert_eq!(made.err(), Some(Errno::ENOENT));
    }

    fn who_may_not_write_to_a_directory_changes_nothing_in_it(ground) {
        ground.directory("d");
        ground.file("d/f", b"");
        let at = |path: &str| ground.at(path).into_string().unwrap();
        let answer = ground.alone(0, |b| {
            let (dir, to_dir) = (Handle::CWD, Handle::CWD);
            let [f, g] = ["d/f", "d/g"].map(|path| b.text(&at(path)));
            b.call(Call::Setresuid { uid: 5 });
            let moved = Call::Renameat2 { from_dir: dir, from: f, to_dir, to: g, flags: 0 };
            let flags = flags::O_CREAT | flags::O_WRONLY;
            let made = Call::Openat2 { dir, path: g, flags, mode: 0o600, resolve: 0 };
            let device = 0;
            for call in [
                Call::Unlinkat { dir, path: f, flags: 0 },
                moved,
                made,
                Call::Symlinkat { target: f, dir, path: g },
                Call::Mknodat { dir, path: g, mode: flags::S_IFIFO | 0o600, device },
            ] {
                refuse(b, call, Errno::EACCES);
            }
        });
        assert_eq!(answer, None);
    }

    fn the_mode_of_an_open_file_is_changed(ground) {
        ground.file("f", b"");
        let file = ground.open("f", 0).unwrap();
        let stat = || ground.kernel.stat(file.raw(), c"", flags::AT_EMPTY_PATH).unwrap();
        assert_eq!(ground.call(Call::Fchmod { fd: file.raw(), mode: 0o4711 }), Ok(0));
        assert_eq!(stat().mode, flags::S_IFREG | 0o4711);
        let path = ground.open("f", flags::O_PATH).unwrap();
        assert_eq!(ground.call(Call::Fchmod { fd: path.raw(), mode: 0 }), Err(Errno::EBADF));
        assert_eq!(ground.call(Call::Fchmod { fd: 2_147_483_000, mode: 0 }), Err(Errno::EBADF));
        let fd = file.raw();
        let flags = flags::AT_EMPTY_PATH;
        let own = Call::Fchownat { dir: fd, path: c"", uid: 5, gid: 6, flags };
        assert_eq!(ground.call(own), Ok(0));
        assert_eq!((stat().uid, stat().gid), (5, 6));
    }

    fn a_file_is_cut_by_who_only_reads_it_too(ground) {
        ground.file("f", b"long");
        drop(ground.open("f", flags::O_TRUNC).unwrap());
        assert_eq!(ground.content("f"), b"");
        ground.file("f", b"kept");
        drop(ground.open("f", flags::O_CREAT).unwrap());
        assert_eq!(ground.content("f"), b"kept");
    }

    fn what_is_written_beyond_the_end_comes_after_zeros(ground) {
        ground.file("f", b"a");
        let file = ground.open("f", flags::O_RDWR).unwrap();
        let seek = |offset, whence| {
            ground.call(Call::Lseek { fd: file.raw(), offset, whence }).unwrap()
        };
        seek(3, 0);
        assert_eq!(ground.kernel.read(file.raw(), &mut [0; 4]).unwrap(), b"");
        assert_eq!(ground.kernel.write(file.raw(), b"b"), Ok(1));
        assert_eq!((seek(0, 1), ground.content("f")), (4, b"a\0\0b".to_vec()));
        let file = ground.open("f", flags::O_RDWR | flags::O_APPEND).unwrap();
        assert_eq!(ground.kernel.read(file.raw(), &mut [0; 2]).unwrap(), b"a\0");
        assert_eq!(ground.kernel.write(file.raw(), b"cd"), Ok(2));
        let call: Call<Live<'_>> = Call::Lseek { fd: file.raw(), offset: 0, whence: 1 };
        assert_eq!((ground.call(call), ground.content("f")), (Ok(6), b"a\0\0bcd".to_vec()));
    }

    fn zeros_come_without_end(ground) {
        let zero = ground.open_absolute("/dev/zero", flags::O_RDWR).unwrap();
        let mut room = [b'x'; 4];
        assert_eq!(ground.kernel.read(zero.raw(), &mut room).unwrap(), [0; 4]);
        assert_eq!(ground.kernel.write(zero.raw(), b"abc"), Ok(3));
    }

    fn a_terminal_is_there_for_who_has_one(ground) {
        let answer = ground.alone(0, |b| {
            b.call(Call::Setsid {});
            let (dir, path) = (Handle::CWD, b.text("/dev/tty"));
            let flags = flags::O_RDWR;
            refuse(b, Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 }, Errno::ENXIO);
        });
        assert_eq!(answer, None);
    }

    fn what_is_no_interface_is_not_asked_as_one(ground) {
        ground.file("f", b"");
        let file = ground.open("f", 0).unwrap();
        let ask = |fd| ground.call(Call::Ioctl { fd, request: 0x5413, argument: 0 });
        assert_eq!((ask(file.raw()), ask(2_147_483_000)), (Err(Errno::ENOTTY), Err(Errno::EBADF)));
    }

    fn some_files_only_the_kernel_writes(ground) {
        for (path, errno) in
            [("/proc/filesystems", Errno::EIO), ("/proc/self/status", Errno::EINVAL)]
        {
            let file = ground.open_absolute(path, flags::O_WRONLY).unwrap();
            assert_eq!(ground.kernel.write(file.raw(), b"x"), Err(errno), "{path}");
        }
        let id = ground.open_absolute("/proc/sys/kernel/random/boot_id", flags::O_WRONLY);
        assert_eq!(id.err(), Some(Errno::EACCES));
    }

    fn a_directory_is_not_read(ground) {
        for path in ["/proc", "/proc/self", "/proc/self/fd", "/proc/self/ns", "/proc/sys"] {
            let dir = ground.open_absolute(path, 0).unwrap();
            assert_eq!(ground.kernel.read(dir.raw(), &mut [0; 4]), Err(Errno::EISDIR), "{path}");
        }
        for place in ground.place.tops.values() {
            let dir = ground.open_absolute(place, 0).unwrap();
            assert_eq!(ground.kernel.read(dir.raw(), &mut [0; 4]), Err(Errno::EISDIR), "{place}");
        }
    }

    fn who_reads_by_halves_reads_everything(ground) {
        let file = ground.open_absolute("/proc/sys/kernel/random/boot_id", 0).unwrap();
        let mut room = [0; 20];
        let first = ground.kernel.read(file.raw(), &mut room).unwrap().to_vec();
        let rest = ground.kernel.read_all(file.raw()).unwrap();
        let whole = ground.read("/proc/sys/kernel/random/boot_id").unwrap();
        assert_eq!([first, rest].concat(), whole.as_bytes());
    }

    fn a_clock_is_one_of_twelve(ground) {
        let time = [const { Cell::new(0) }; 16];
        let ask = |clock| ground.call(Call::ClockGettime { clock, time: &time[..] });
        assert_eq!((ask(12), ask(13)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
        assert_eq!((ask(11), ask(flags::CLOCK_MONOTONIC)), (Ok(0), Ok(0)));
        let now = || ground.kernel.clock(flags::CLOCK_MONOTONIC).unwrap();
        let (before, rest) = now();
        assert!(rest < 1_000_000_000);
        ground.kernel.poll([], 1000).unwrap();
        let (after, rest) = now();
        assert!((1..1000).contains(&(after - before)) && rest < 1_000_000_000);
    }

    fn the_root_of_a_mount_is_told(ground) {
        for (path, root) in [(c"/proc", true), (c"/proc/sys", false)] {
            let room = [const { Cell::new(0) }; 256];
            let (dir, flags, mask, buf) = (CWD, 0, flags::STATX_BASIC_STATS, &room[..]);
            ground.call(Call::Statx { dir, path, flags, mask, buf }).unwrap();
            let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| room[at + i].get()));
            // STATX_ATTR_MOUNT_ROOT, in the attributes and among those that are known.
            assert_eq!((word(8) & 0x2000 != 0, word(56) & 0x2000), (root, 0x2000));
            assert_eq!(word(0) & flags::STATX_BASIC_STATS, flags::STATX_BASIC_STATS);
            assert!(word(4) > 0);
        }
    }

    fn how_a_file_was_made_is_forgotten(ground) {
        let once = flags::O_CREAT | flags::O_EXCL | flags::O_TRUNC | flags::O_NOCTTY;
        for bits in [flags::O_CREAT, flags::O_CREAT | flags::O_EXCL, once] {
            let file = ground.open("f", bits | flags::O_RDWR).unwrap();
            let (fd, command) = (file.raw(), flags::F_GETFL);
            let how = ground.call(Call::Fcntl { fd, command, argument: 0 }).unwrap();
            assert_eq!(how & (once | 3), flags::O_RDWR);
            ground.kernel.unlink(CWD, &ground.at("f"), 0).unwrap();
        }
    }

    fn who_is_in_a_removed_directory_stays_there(ground) {
        for roots in [false, true] {
            ground.directory("d");
            let path = ground.at("d").into_string().unwrap();
            let mut builder = Builder::new(1);
            let b = &mut builder;
            let path = b.text(&path);
            b.call(Call::Chdir { path });
            if roots {
                b.call(Call::Chroot { path });
            }
            let bytes = b.block(b"?");
            b.call(Call::Write { fd: SOCKET, bytes });
            b.call(Call::Read { fd: SOCKET, buf: Room { len: 1 } });
            let [here, new, root] = [".", "x", "/"].map(|text| b.text(text));
            let dir = Handle::CWD;
            let open = |path| Call::Openat2 { dir, path, flags: 0, mode: 0, resolve: 0 };
            b.call(open(here));
            b.call(open(root));
            refuse(b, Call::Mkdirat { dir, path: new, mode: 0o755 }, Errno::ENOENT);
            refuse(b, open(new), Errno::ENOENT);
            let born = ground.spawn(&builder.finish(), How::default()).unwrap();
            assert_eq!(born.hear(), b"?");
            ground.kernel.unlink(CWD, &ground.at("d"), flags::AT_REMOVEDIR).unwrap();
            ground.file("other", b"");
            ground.kernel.write_all(born.socket.raw(), b"!").unwrap();
            assert_eq!(born.hear(), b"", "{roots}");
            ground.kernel.unlink(CWD, &ground.at("other"), 0).unwrap();
        }
    }

    fn a_child_has_the_first_three_descriptors(ground) {
        let extra = ground.open("f", flags::O_CREAT | flags::O_RDWR).unwrap();
        let answer = ground.alone(0, |b| {
            let argument = 0;
            for number in 0..3 {
                b.call(Call::Fcntl { fd: Handle(number), command: flags::F_GETFD, argument });
            }
            let fd = Handle(extra.raw());
            refuse(b, Call::Fcntl { fd, command: flags::F_GETFD, argument }, Errno::EBADF);
        });
        assert_eq!(answer, None);
    }

    fn an_interface_is_brought_up_through_a_socket(ground) {
        ground.file("f", b"");
        let file = ground.open("f", 0).unwrap();
        let mut request = [0; 40];
        request[..2].copy_from_slice(b"lo");
        request[16] = 1;
        let ask = |fd| {
            let (request, block) = (flags::SIOCSIFFLAGS, &request[..]);
            ground.call(Call::IoctlIn { fd, request, block })
        };
        assert_eq!((ask(file.raw()), ask(2_147_483_000)), (Err(Errno::ENOTTY), Err(Errno::EBADF)));
        let answer = ground.alone(flags::CLONE_NEWNET, |b| {
            let (domain, kind) = (flags::AF_UNIX, flags::SOCK_STREAM);
            let socket = b.open(Call::Socket { domain, kind, protocol: 0 });
            let block = b.block(&request);
            let fd = Handle::slot(socket.0);
            b.call(Call::IoctlIn { fd, request: flags::SIOCSIFFLAGS, block });
        });
        assert_eq!(answer, None);
    }

    fn a_mask_is_answered_with_the_one_before(ground) {
        let mut builder = Builder::new(1);
        builder.call(Call::Umask { mask: 0o1027 });
        let slot = builder.open(Call::Umask { mask: 0o022 });
        builder.push(Act::Tell { fd: SOCKET, slot }, OnError::Fail, Slot::NONE);
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        assert_eq!(born.hear(), [0o027, 0, 0, 0]);
    }
}

fn resolved<'k, K: Kernel>(
    ground: &Ground<'k, K>,
    dir: RawFd,
    path: &std::ffi::CStr,
    resolve: u64,
) -> Result<Fd<'k, K>, Errno> {
    ground.kernel.give(Call::Openat2 { dir, path, flags: flags::O_CLOEXEC, mode: 0, resolve })
}

fn rename<K: Kernel>(ground: &Ground<'_, K>, from: &str, to: &str) -> Result<(), Errno> {
    let (from, to) = (&*ground.at(from), &*ground.at(to));
    let call = Call::Renameat2 { from_dir: CWD, from, to_dir: CWD, to, flags: 0 };
    ground.call(call).map(drop)
}
