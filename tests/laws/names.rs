//! Names: what comes first where several things are wrong, and what a slash at the end means.

use cofferdam::sys::{CWD, Call, Errno, Fd, Kernel, Live, Syscalls, flags};

use crate::Ground;

/// A number that no process has open.
const NOTHING: i32 = 2_147_483_000;

crate::laws! {
    fn a_cgroup_may_have_a_name_of_256_bytes(ground) {
        let tops = ground.place.v1.get("freezer").into_iter().chain(&ground.place.v2);
        if tops.clone().next().is_none() {
            return ground.miss("no cgroups");
        }
        for top in tops {
            let made = ground.kernel.mkdir(CWD, &crate::name(top.as_str()), 0o755);
            assert!(matches!(made, Ok(()) | Err(Errno::EEXIST)), "{made:?}");
            let long = crate::name(format!("{top}/{}", "n".repeat(256)));
            assert_eq!(ground.kernel.unlink(CWD, &long, flags::AT_REMOVEDIR), Err(Errno::ENOENT));
            ground.kernel.mkdir(CWD, &long, 0o755).unwrap();
            ground.kernel.unlink(CWD, &long, flags::AT_REMOVEDIR).unwrap();
        }
    }

    fn a_cgroup_has_no_files_of_others(ground) {
        let tops = ground.place.v1.get("freezer").into_iter().chain(&ground.place.v2);
        if tops.clone().next().is_none() {
            return ground.miss("no cgroups");
        }
        for top in tops {
            let made = ground.kernel.mkdir(CWD, &crate::name(top.as_str()), 0o755);
            assert!(matches!(made, Ok(()) | Err(Errno::EEXIST)), "{made:?}");
            let path = crate::name(format!("{top}/x"));
            let (path, mode) = (path.as_c_str(), flags::S_IFIFO | 0o600);
            let fifo: Call<Live<'_>> = Call::Mknodat { dir: CWD, path, mode, device: 0 };
            assert_eq!(ground.call(fifo), Err(Errno::EPERM));
            let link: Call<Live<'_>> = Call::Symlinkat { target: c"y", dir: CWD, path };
            assert_eq!(ground.call(link), Err(Errno::EPERM));
            let file = ground.open_absolute(&format!("{top}/x"), flags::O_CREAT);
            assert_eq!(file.err(), Some(Errno::EACCES));
        }
    }

    fn a_slash_after_what_is_to_be_made_is_eisdir(ground) {
        ground.file("f", b"");
        ground.symlink("nothing", "l");
        for path in ["f/", "l/", "nothing/"] {
            assert_eq!(ground.open(path, flags::O_CREAT).err(), Some(Errno::EISDIR), "{path}");
        }
    }

    fn a_slash_after_a_link_does_not_remove_what_it_leads_to(ground) {
        ground.directory("d");
        ground.symlink("d", "l");
        for how in [0, flags::AT_REMOVEDIR] {
            let removed = ground.kernel.unlink(CWD, &ground.at("l/"), how);
            assert_eq!(removed, Err(Errno::ENOTDIR));
        }
        assert_eq!(ground.kernel.unlink(CWD, &ground.at("d/"), 0), Err(Errno::EISDIR));
        assert_eq!(ground.kernel.mkdir(CWD, &ground.at("l/"), 0o755), Err(Errno::EEXIST));
    }

    fn a_directory_is_not_cut(ground) {
        let how = flags::O_DIRECTORY | flags::O_TRUNC;
        assert_eq!(ground.open("", how).err(), Some(Errno::EISDIR));
    }

    fn a_walk_has_one_kind_of_root(ground) {
        let directory = ground.open("", flags::O_PATH).unwrap();
        let resolve = flags::RESOLVE_BENEATH | flags::RESOLVE_IN_ROOT;
        let (dir, path) = (directory.raw(), c".");
        let call: Call<Live<'_>> = Call::Openat2 { dir, path, flags: 0, mode: 0, resolve };
        assert_eq!(ground.call(call), Err(Errno::EINVAL));
    }

    fn an_open_file_remembers_that_no_link_was_followed(ground) {
        ground.file("f", b"");
        let file = ground.open("f", flags::O_NOFOLLOW).unwrap();
        let (fd, command) = (file.raw(), flags::F_GETFL);
        let how = ground.call(Call::Fcntl { fd, command, argument: 0 }).unwrap();
        assert_eq!(how & flags::O_NOFOLLOW, flags::O_NOFOLLOW);
    }

    /// Neither end is looked up before both directories are found, and dots are no names.
    fn renaming_looks_for_the_names_last(ground) {
        ground.file("f", b"");
        let [f, nothing, dots] = ["f", "nothing", ".."].map(|path| ground.at(path));
        assert_eq!(rename(ground, &nothing, &dots, 0), Err(Errno::EBUSY));
        assert_eq!(rename(ground, &dots, &f, 0), Err(Errno::EBUSY));
        let kept = flags::RENAME_NOREPLACE;
        assert_eq!(rename(ground, &nothing, &dots, kept), Err(Errno::EEXIST));
        let call: Call<Live<'_>> =
            Call::Renameat2 { from_dir: CWD, from: &nothing, to_dir: NOTHING, to: c"f", flags: 0 };
        assert_eq!(ground.call(call), Err(Errno::EBADF));
    }

    fn copying_a_number_to_itself_is_einval_open_or_not(ground) {
        let call: Call<Live<'_>> = Call::Dup3 { old: NOTHING, new: NOTHING, flags: 0 };
        assert_eq!(ground.call(call), Err(Errno::EINVAL));
        let call: Call<Live<'_>> = Call::Dup3 { old: NOTHING, new: 900, flags: 1 };
        assert_eq!(ground.call(call), Err(Errno::EINVAL));
    }

    fn a_path_descriptor_names_and_does_nothing_else(ground) {
        let path = ground.open("", flags::O_PATH).unwrap();
        let fd = path.raw();
        assert_eq!(ground.kernel.poll([(fd, flags::POLLIN)], 0), Ok([32]));
        assert_eq!(ground.kernel.entries(fd).err(), Some(Errno::EBADF));
        let [end, _other] = ground.kernel.socketpair().unwrap();
        let call: Call<Live<'_>> = Call::SendFd { socket: fd, bytes: b"x", fd: end.raw() };
        assert_eq!(ground.call(call), Err(Errno::EBADF));
        let (command, argument) = (flags::F_SETFL, flags::O_NONBLOCK);
        assert_eq!(ground.call(Call::Fcntl { fd, command, argument }), Err(Errno::EBADF));
        assert_eq!(ground.call(Call::Fcntl { fd, command: 999, argument }), Err(Errno::EBADF));
    }

    fn an_end_of_a_pipe_is_no_directory_whichever_it_is(ground) {
        let ends: [Fd<'_, _>; 2] = ground.kernel.pipe().unwrap();
        for end in &ends {
            assert_eq!(ground.kernel.entries(end.raw()).err(), Some(Errno::ENOTDIR));
        }
    }
}

fn rename<K: Kernel>(
    ground: &Ground<'_, K>,
    from: &std::ffi::CStr,
    to: &std::ffi::CStr,
    flags: u32,
) -> Result<u64, Errno> {
    ground.call(Call::Renameat2 { from_dir: CWD, from, to_dir: CWD, to, flags })
}
