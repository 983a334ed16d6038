//! Walks: links, `..`, and the limits that openat2(2) sets.

use cofferdam::sys::{CWD, Call, Errno, Fd, Kernel, Syscalls, flags};

use crate::Ground;

crate::laws! {
    fn a_link_is_followed_in_the_middle_and_at_the_end(ground) {
        ground.directory("d");
        ground.file("d/f", b"found");
        ground.symlink("d", "to_d");
        ground.symlink("to_d/f", "to_f");
        assert_eq!(ground.content("to_f"), b"found");
    }

    fn dot_dot_of_a_linked_directory_is_the_target_s(ground) {
        ground.directory("a");
        ground.directory("a/b");
        ground.file("a/f", b"above");
        ground.symlink("a/b", "l");
        assert_eq!(ground.content("l/../f"), b"above");
    }

    fn a_link_to_itself_is_eloop(ground) {
        ground.symlink("a", "a");
        assert_eq!(ground.open("a", 0).err(), Some(Errno::ELOOP));
    }

    fn a_component_that_is_a_file_is_enotdir(ground) {
        ground.file("a", b"");
        assert_eq!(ground.open("a/b", 0).err(), Some(Errno::ENOTDIR));
        assert_eq!(ground.open("a/", 0).err(), Some(Errno::ENOTDIR));
    }

    fn a_dangling_link_is_enoent_and_is_created_through(ground) {
        ground.symlink("b", "a");
        assert_eq!(ground.open("a", 0).err(), Some(Errno::ENOENT));
        drop(ground.open("a", flags::O_CREAT | flags::O_WRONLY).unwrap());
        assert_eq!(ground.content("b"), b"");
    }

    fn an_empty_path_is_enoent(ground) {
        let directory = ground.open("", flags::O_PATH).unwrap();
        assert_eq!(ground.kernel.stat(directory.raw(), c"", 0), Err(Errno::ENOENT));
        assert!(ground.kernel.stat(directory.raw(), c"", flags::AT_EMPTY_PATH).is_ok());
    }

    fn a_walk_from_a_file_is_enotdir_and_from_nothing_ebadf(ground) {
        ground.file("a", b"");
        let file = ground.open("a", 0).unwrap();
        assert_eq!(ground.kernel.stat(file.raw(), c"b", 0), Err(Errno::ENOTDIR));
        assert_eq!(ground.kernel.stat(2_147_483_000, c"b", 0), Err(Errno::EBADF));
    }

    fn in_root_keeps_links_and_dot_dot_inside(ground) {
        ground.directory("root");
        ground.file("root/f", b"inside");
        ground.symlink("/f", "root/absolute");
        ground.symlink("../../../f", "root/upwards");
        let root = ground.open("root", flags::O_PATH).unwrap();
        for path in [c"absolute", c"upwards", c"/f", c"../../f"] {
            let file = resolved(ground, (&root, path), flags::RESOLVE_IN_ROOT).unwrap();
            assert_eq!(ground.kernel.read_all(file.raw()).unwrap(), b"inside");
        }
    }

    fn beneath_refuses_to_leave(ground) {
        ground.directory("root");
        ground.symlink("/", "root/absolute");
        ground.symlink("../root", "root/upwards");
        let root = ground.open("root", flags::O_PATH).unwrap();
        for path in [c"absolute", c"upwards", c"..", c"/"] {
            let answer = resolved(ground, (&root, path), flags::RESOLVE_BENEATH);
            assert_eq!(answer.err(), Some(Errno::EXDEV), "{path:?}");
        }
    }

    fn no_symlinks_refuses_any_link(ground) {
        ground.directory("d");
        ground.file("d/f", b"");
        ground.symlink("d", "l");
        let top = ground.open("", flags::O_PATH).unwrap();
        let answer = resolved(ground, (&top, c"l/f"), flags::RESOLVE_NO_SYMLINKS);
        assert_eq!(answer.err(), Some(Errno::ELOOP));
        assert!(resolved(ground, (&top, c"d/f"), flags::RESOLVE_NO_SYMLINKS).is_ok());
    }

    fn no_magiclinks_refuses_what_leads_straight_to_an_object(ground) {
        ground.file("f", b"through");
        let file = ground.open("f", 0).unwrap();
        let proc = ground.open_absolute("/proc/self/fd", flags::O_PATH).unwrap();
        let number = crate::name(file.raw().to_string());
        let answer = resolved(ground, (&proc, &number), flags::RESOLVE_NO_MAGICLINKS);
        assert_eq!(answer.err(), Some(Errno::ELOOP));
        let again = resolved(ground, (&proc, &number), 0).unwrap();
        assert_eq!(ground.kernel.read_all(again.raw()).unwrap(), b"through");
    }

    fn no_xdev_refuses_another_mount(ground) {
        let root = ground.open_absolute("/", flags::O_PATH).unwrap();
        let answer = resolved(ground, (&root, c"proc"), flags::RESOLVE_NO_XDEV);
        assert_eq!(answer.err(), Some(Errno::EXDEV));
    }

    fn a_descriptor_is_opened_again_through_proc(ground) {
        ground.file("a", b"again");
        let path = ground.open("a", flags::O_PATH).unwrap();
        let again = ground.open_absolute(&format!("/proc/self/fd/{}", path.raw()), 0).unwrap();
        assert_eq!(ground.kernel.read_all(again.raw()).unwrap(), b"again");
    }

    fn proc_self_leads_to_the_caller(ground) {
        let own = ground.call(Call::Getpid {}).unwrap();
        let link = ground.kernel.read_link(CWD, c"/proc/self").unwrap();
        assert_eq!(link, own.to_string().into_bytes());
    }
}

fn resolved<'k, K: Kernel>(
    ground: &Ground<'k, K>,
    at: (&Fd<'_, K>, &std::ffi::CStr),
    resolve: u64,
) -> Result<Fd<'k, K>, Errno> {
    let (dir, path) = at;
    let how = flags::O_CLOEXEC;
    ground.kernel.give(Call::Openat2 { dir: dir.raw(), path, flags: how, mode: 0, resolve })
}
