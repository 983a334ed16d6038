//! Files: making, naming, moving, removing, reading, describing.

use cofferdam::sys::{CWD, Call, Errno, Kind, Live, Syscalls, flags};

crate::laws! {
    fn what_is_written_is_read(ground) {
        ground.file("a", b"hello");
        assert_eq!(ground.content("a"), b"hello");
    }

    fn append_writes_at_the_end(ground) {
        ground.file("a", b"one");
        let file = ground.open("a", flags::O_WRONLY | flags::O_APPEND).unwrap();
        ground.kernel.write_all(file.raw(), b"two").unwrap();
        assert_eq!(ground.content("a"), b"onetwo");
    }

    fn trunc_empties(ground) {
        ground.file("a", b"long");
        drop(ground.open("a", flags::O_WRONLY | flags::O_TRUNC).unwrap());
        assert_eq!(ground.content("a"), b"");
    }

    fn ftruncate_gives_a_length_and_leaves_the_offset(ground) {
        ground.file("a", b"long");
        let file = ground.open("a", flags::O_RDWR).unwrap();
        ground.kernel.read_all(file.raw()).unwrap();
        let to = |fd, length| ground.call(Call::Ftruncate { fd, length });
        assert_eq!((to(file.raw(), 1), ground.content("a")), (Ok(0), b"l".to_vec()));
        ground.kernel.write_all(file.raw(), b"x").unwrap();
        assert_eq!((to(file.raw(), 6), ground.content("a")), (Ok(0), b"l\0\0\0x\0".to_vec()));
        let reader = ground.open("a", 0).unwrap();
        let path = ground.open("a", flags::O_PATH).unwrap();
        assert_eq!(to(reader.raw(), 0), Err(Errno::EINVAL));
        assert_eq!(to(path.raw(), 0), Err(Errno::EBADF));
    }

    fn a_shorter_write_leaves_the_tail(ground) {
        ground.file("a", b"stale");
        let file = ground.open("a", flags::O_WRONLY).unwrap();
        ground.kernel.write_all(file.raw(), b"new").unwrap();
        assert_eq!(ground.content("a"), b"newle");
    }

    fn open_missing_is_enoent(ground) {
        assert_eq!(ground.open("a", 0).err(), Some(Errno::ENOENT));
    }

    fn open_excl_of_what_exists_is_eexist(ground) {
        ground.file("a", b"");
        let how = flags::O_CREAT | flags::O_EXCL | flags::O_WRONLY;
        assert_eq!(ground.open("a", how).err(), Some(Errno::EEXIST));
    }

    fn open_excl_of_a_dangling_link_is_eexist(ground) {
        ground.symlink("nowhere", "a");
        let how = flags::O_CREAT | flags::O_EXCL | flags::O_WRONLY;
        assert_eq!(ground.open("a", how).err(), Some(Errno::EEXIST));
    }

    fn open_directory_of_a_file_is_enotdir(ground) {
        ground.file("a", b"");
        assert_eq!(ground.open("a", flags::O_DIRECTORY).err(), Some(Errno::ENOTDIR));
    }

    fn open_a_directory_for_writing_is_eisdir(ground) {
        ground.directory("a");
        assert_eq!(ground.open("a", flags::O_WRONLY).err(), Some(Errno::EISDIR));
    }

    fn open_a_link_without_following_is_eloop(ground) {
        ground.symlink("b", "a");
        assert_eq!(ground.open("a", flags::O_NOFOLLOW).err(), Some(Errno::ELOOP));
    }

    fn open_with_a_mode_and_no_create_is_einval(ground) {
        ground.file("a", b"");
        let path = ground.at("a");
        let (dir, path) = (CWD, &*path);
        let answer = ground.call(Call::Openat2 { dir, path, flags: 0, mode: 0o600, resolve: 0 });
        assert_eq!(answer, Err(Errno::EINVAL));
    }

    fn open_with_unknown_bits_is_einval(ground) {
        ground.file("a", b"");
        let path = ground.at("a");
        let (dir, path, flags) = (CWD, &*path, 1 << 40);
        let answer = ground.call(Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 });
        assert_eq!(answer, Err(Errno::EINVAL));
    }

    fn a_path_descriptor_does_not_read(ground) {
        ground.file("a", b"x");
        let file = ground.open("a", flags::O_PATH).unwrap();
        assert_eq!(ground.kernel.read(file.raw(), &mut [0; 1]), Err(Errno::EBADF));
    }

    fn read_of_a_write_only_descriptor_is_ebadf(ground) {
        let file = ground.open("a", flags::O_CREAT | flags::O_WRONLY).unwrap();
        assert_eq!(ground.kernel.read(file.raw(), &mut [0; 1]), Err(Errno::EBADF));
    }

    fn write_to_a_read_only_descriptor_is_ebadf(ground) {
        ground.file("a", b"x");
        let file = ground.open("a", 0).unwrap();
        assert_eq!(ground.kernel.write(file.raw(), b"y"), Err(Errno::EBADF));
    }

    fn read_of_a_directory_is_eisdir(ground) {
        ground.directory("a");
        let directory = ground.open("a", flags::O_DIRECTORY).unwrap();
        assert_eq!(ground.kernel.read(directory.raw(), &mut [0; 1]), Err(Errno::EISDIR));
    }

    fn close_of_what_is_not_open_is_ebadf(ground) {
        assert_eq!(ground.call(Call::Close { fd: 2_147_483_000 }), Err(Errno::EBADF));
    }

    fn mkdir_of_what_exists_is_eexist(ground) {
        ground.directory("a");
        assert_eq!(ground.kernel.mkdir(CWD, &ground.at("a"), 0o755), Err(Errno::EEXIST));
    }

    fn mkdir_under_nothing_is_enoent(ground) {
        assert_eq!(ground.kernel.mkdir(CWD, &ground.at("a/b"), 0o755), Err(Errno::ENOENT));
    }

    fn mkdir_under_a_file_is_enotdir(ground) {
        ground.file("a", b"");
        assert_eq!(ground.kernel.mkdir(CWD, &ground.at("a/b"), 0o755), Err(Errno::ENOTDIR));
    }

    fn mkdir_in_a_removed_directory_is_enoent(ground) {
        ground.directory("a");
        let directory = ground.open("a", flags::O_DIRECTORY).unwrap();
        ground.kernel.unlink(CWD, &ground.at("a"), flags::AT_REMOVEDIR).unwrap();
        assert_eq!(ground.kernel.mkdir(directory.raw(), c"b", 0o755), Err(Errno::ENOENT));
        let stat = ground.kernel.stat(directory.raw(), c"", flags::AT_EMPTY_PATH).unwrap();
        assert_eq!(stat.links, 0);
    }

    fn a_name_of_256_bytes_is_enametoolong(ground) {
        let path = ground.at(&"n".repeat(256));
        assert_eq!(ground.kernel.mkdir(CWD, &path, 0o755), Err(Errno::ENAMETOOLONG));
    }

    fn rmdir_of_a_full_directory_is_enotempty(ground) {
        ground.directory("a");
        ground.file("a/b", b"");
        let answer = ground.kernel.unlink(CWD, &ground.at("a"), flags::AT_REMOVEDIR);
        assert_eq!(answer, Err(Errno::ENOTEMPTY));
    }

    fn rmdir_of_a_file_is_enotdir(ground) {
        ground.file("a", b"");
        let answer = ground.kernel.unlink(CWD, &ground.at("a"), flags::AT_REMOVEDIR);
        assert_eq!(answer, Err(Errno::ENOTDIR));
    }

    fn rmdir_of_dot_is_einval(ground) {
        ground.directory("a");
        let answer = ground.kernel.unlink(CWD, &ground.at("a/."), flags::AT_REMOVEDIR);
        assert_eq!(answer, Err(Errno::EINVAL));
    }

    fn unlink_of_a_directory_is_eisdir(ground) {
        ground.directory("a");
        assert_eq!(ground.kernel.unlink(CWD, &ground.at("a"), 0), Err(Errno::EISDIR));
    }

    fn unlink_of_nothing_is_enoent(ground) {
        assert_eq!(ground.kernel.unlink(CWD, &ground.at("a"), 0), Err(Errno::ENOENT));
    }

    fn unlink_removes_a_link_and_not_its_target(ground) {
        ground.file("a", b"kept");
        ground.symlink("a", "b");
        ground.kernel.unlink(CWD, &ground.at("b"), 0).unwrap();
        assert_eq!(ground.content("a"), b"kept");
    }

    fn an_unlinked_file_lives_while_open(ground) {
        ground.file("a", b"kept");
        let file = ground.open("a", 0).unwrap();
        ground.kernel.unlink(CWD, &ground.at("a"), 0).unwrap();
        assert_eq!(ground.kernel.read_all(file.raw()).unwrap(), b"kept");
        let stat = ground.kernel.stat(file.raw(), c"", flags::AT_EMPTY_PATH).unwrap();
        assert_eq!(stat.links, 0);
    }

    fn rename_replaces(ground) {
        ground.file("a", b"new");
        ground.file("b", b"old");
        rename(ground, ["a", "b"], 0).unwrap();
        assert_eq!(ground.content("b"), b"new");
        assert_eq!(ground.open("a", 0).err(), Some(Errno::ENOENT));
    }

    fn rename_noreplace_of_what_exists_is_eexist(ground) {
        ground.file("a", b"new");
        ground.file("b", b"old");
        let answer = rename(ground, ["a", "b"], flags::RENAME_NOREPLACE);
        assert_eq!(answer, Err(Errno::EEXIST));
    }

    fn rename_noreplace_moves_a_directory_with_what_is_in_it(ground) {
        ground.directory("a");
        ground.file("a/f", b"in");
        rename(ground, ["a", "b"], flags::RENAME_NOREPLACE).unwrap();
        assert_eq!(ground.content("b/f"), b"in");
    }

    fn rename_of_nothing_is_enoent(ground) {
        assert_eq!(rename(ground, ["a", "b"], 0), Err(Errno::ENOENT));
    }

    fn rename_of_a_directory_onto_a_file_is_enotdir(ground) {
        ground.directory("a");
        ground.file("b", b"");
        assert_eq!(rename(ground, ["a", "b"], 0), Err(Errno::ENOTDIR));
    }

    fn rename_of_a_file_onto_a_directory_is_eisdir(ground) {
        ground.file("a", b"");
        ground.directory("b");
        assert_eq!(rename(ground, ["a", "b"], 0), Err(Errno::EISDIR));
    }

    fn rename_onto_a_full_directory_is_enotempty(ground) {
        ground.directory("a");
        ground.directory("b");
        ground.file("b/f", b"");
        assert_eq!(rename(ground, ["a", "b"], 0), Err(Errno::ENOTEMPTY));
    }

    fn rename_into_itself_is_einval(ground) {
        ground.directory("a");
        assert_eq!(rename(ground, ["a", "a/b"], 0), Err(Errno::EINVAL));
    }

    fn rename_to_another_mount_is_exdev(ground) {
        ground.file("a", b"");
        let (from, to) = (ground.at("a"), c"/proc/a");
        let answer = ground.call(Call::Renameat2 {
            from_dir: CWD,
            from: &from,
            to_dir: CWD,
            to,
            flags: 0,
        });
        assert_eq!(answer, Err(Errno::EXDEV));
    }

    fn symlink_over_what_exists_is_eexist(ground) {
        ground.file("a", b"");
        let path = ground.at("a");
        let call: Call<Live<'_>> = Call::Symlinkat { target: c"b", dir: CWD, path: &path };
        assert_eq!(ground.call(call), Err(Errno::EEXIST));
    }

    fn symlink_to_nothing_is_enoent(ground) {
        let path = ground.at("a");
        let call: Call<Live<'_>> = Call::Symlinkat { target: c"", dir: CWD, path: &path };
        assert_eq!(ground.call(call), Err(Errno::ENOENT));
    }

    fn readlink_gives_the_text(ground) {
        ground.symlink("../b/c", "a");
        assert_eq!(ground.kernel.read_link(CWD, &ground.at("a")).unwrap(), b"../b/c");
    }

    fn readlink_of_a_file_is_einval(ground) {
        ground.file("a", b"");
        assert_eq!(ground.kernel.read_link(CWD, &ground.at("a")), Err(Errno::EINVAL));
    }

    fn mknod_over_what_exists_is_eexist(ground) {
        ground.fifo("a");
        let path = ground.at("a");
        let mode = flags::S_IFIFO | 0o600;
        let call: Call<Live<'_>> = Call::Mknodat { dir: CWD, path: &path, mode, device: 0 };
        assert_eq!(ground.call(call), Err(Errno::EEXIST));
    }

    fn stat_tells_type_mode_and_size(ground) {
        ground.file("a", b"four");
        ground.symlink("a", "b");
        let path = ground.at("a");
        ground.call(Call::Fchmodat { dir: CWD, path: &path, mode: 0o640 }).unwrap();
        let stat = ground.kernel.stat(CWD, &ground.at("b"), 0).unwrap();
        assert_eq!((stat.mode, stat.size, stat.links), (flags::S_IFREG | 0o640, 4, 1));
        let link = ground.kernel.stat(CWD, &ground.at("b"), flags::AT_SYMLINK_NOFOLLOW).unwrap();
        assert_eq!(link.mode & flags::S_IFMT, flags::S_IFLNK);
    }

    fn a_directory_lists_what_is_in_it(ground) {
        ground.directory("d");
        ground.directory("d/sub");
        ground.file("d/file", b"");
        ground.symlink("x", "d/link");
        ground.fifo("d/fifo");
        let directory = ground.open("d", flags::O_DIRECTORY).unwrap();
        let mut found: Vec<(String, Kind)> = ground
            .kernel
            .entries(directory.raw())
            .unwrap()
            .into_iter()
            .map(|entry| (entry.name, entry.kind))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let wanted = [
            ("fifo", Kind::Fifo),
            ("file", Kind::Regular),
            ("link", Kind::Link),
            ("sub", Kind::Directory),
        ];
        assert_eq!(found, wanted.map(|(name, kind)| (name.to_owned(), kind)));
    }

    fn getdents_of_a_file_is_enotdir(ground) {
        ground.file("a", b"");
        let file = ground.open("a", 0).unwrap();
        assert_eq!(ground.kernel.entries(file.raw()), Err(Errno::ENOTDIR));
    }

    fn getdents_of_a_removed_directory_is_enoent(ground) {
        ground.directory("a");
        let directory = ground.open("a", flags::O_DIRECTORY).unwrap();
        ground.kernel.unlink(CWD, &ground.at("a"), flags::AT_REMOVEDIR).unwrap();
        assert_eq!(ground.kernel.entries(directory.raw()), Err(Errno::ENOENT));
    }

    fn seek_goes_back_and_to_the_end(ground) {
        ground.file("a", b"abc");
        let file = ground.open("a", 0).unwrap();
        ground.kernel.read_all(file.raw()).unwrap();
        let seek = |offset, whence| ground.call(Call::Lseek { fd: file.raw(), offset, whence });
        assert_eq!((seek(0, 2), seek(1, 0), seek(0, 9)), (Ok(3), Ok(1), Err(Errno::EINVAL)));
        assert_eq!(ground.kernel.read_all(file.raw()).unwrap(), b"bc");
    }

    fn a_copied_descriptor_shares_its_offset(ground) {
        ground.file("a", b"ab");
        let file = ground.open("a", 0).unwrap();
        let (fd, command) = (file.raw(), flags::F_DUPFD);
        let copy = ground.kernel.give(Call::Fcntl { fd, command, argument: 0 }).unwrap();
        ground.kernel.read(file.raw(), &mut [0; 1]).unwrap();
        assert_eq!(ground.kernel.read_all(copy.raw()).unwrap(), b"b");
    }

    fn dup3_onto_itself_is_einval(ground) {
        ground.file("a", b"ab");
        let file = ground.open("a", 0).unwrap();
        let call: Call<Live<'_>> = Call::Dup3 { old: file.raw(), new: file.raw(), flags: 0 };
        assert_eq!(ground.call(call), Err(Errno::EINVAL));
    }

    fn a_sealed_memfd_is_not_written(ground) {
        let how = flags::MFD_CLOEXEC | flags::MFD_ALLOW_SEALING;
        let file = ground.kernel.give(Call::MemfdCreate { name: c"m", flags: how }).unwrap();
        ground.kernel.write_all(file.raw(), b"kept").unwrap();
        let (fd, command) = (file.raw(), flags::F_ADD_SEALS);
        let argument = flags::F_SEAL_WRITE | flags::F_SEAL_SEAL;
        ground.call(Call::Fcntl { fd, command, argument }).unwrap();
        assert_eq!(ground.kernel.write(fd, b"x"), Err(Errno::EPERM));
        assert_eq!(ground.call(Call::Fcntl { fd, command, argument }), Err(Errno::EPERM));
    }

    fn sealing_a_file_is_einval(ground) {
        ground.file("a", b"");
        let file = ground.open("a", flags::O_RDWR).unwrap();
        let (fd, command) = (file.raw(), flags::F_ADD_SEALS);
        let answer = ground.call(Call::Fcntl { fd, command, argument: flags::F_SEAL_WRITE });
        assert_eq!(answer, Err(Errno::EINVAL));
    }

    fn dev_null_takes_everything_and_gives_nothing(ground) {
        let null = ground.open_absolute("/dev/null", flags::O_RDWR).unwrap();
        assert_eq!(ground.kernel.write(null.raw(), b"abc"), Ok(3));
        assert_eq!(ground.kernel.read(null.raw(), &mut [0; 4]).unwrap(), b"");
        let stat = ground.kernel.stat(null.raw(), c"", flags::AT_EMPTY_PATH).unwrap();
        assert_eq!((stat.mode & flags::S_IFMT, stat.node), (flags::S_IFCHR, (1, 3)));
    }
}

fn rename<K: cofferdam::sys::Kernel>(
    ground: &crate::Ground<'_, K>,
    names: [&str; 2],
    how: u32,
) -> Result<(), Errno> {
    let [from, to] = names.map(|name| ground.at(name));
    ground
        .call(Call::Renameat2 { from_dir: CWD, from: &from, to_dir: CWD, to: &to, flags: how })
        .map(drop)
}
