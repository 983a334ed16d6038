//! Names that somebody else swaps under those who use them, and mounts that go along.

use cofferdam::sys::{CWD, Call, Errno, Handle, Kernel, Syscalls, flags};

use crate::Ground;
use crate::laws::ground::{How, apart, mount, refuse};

crate::laws! {
    fn two_names_are_exchanged(ground) {
        ground.directory("a");
        ground.file("a/f", b"in a");
        ground.file("b", b"b");
        ground.symlink("nowhere", "l");
        assert_eq!(exchange(ground, ["a", "b"]), Ok(()));
        assert_eq!((ground.content("b/f"), ground.content("a")), (b"in a".to_vec(), b"b".to_vec()));
        assert_eq!(exchange(ground, ["l", "b"]), Ok(()));
        assert_eq!(ground.content("l/f"), b"in a");
        assert_eq!(ground.content("l/../a"), b"b");
        assert_eq!(ground.kernel.read_link(CWD, &ground.at("b")).unwrap(), b"nowhere");
        assert_eq!(exchange(ground, ["a", "a"]), Ok(()));
        let links = |path| ground.kernel.stat(CWD, &ground.at(path), 0).unwrap().links;
        assert_eq!(links("a"), 1);
    }

    fn what_is_not_there_is_not_exchanged(ground) {
        for directory in ["a", "a/b", "c"] {
            ground.directory(directory);
        }
        ground.file("f", b"");
        assert_eq!(exchange(ground, ["a", "nothing"]), Err(Errno::ENOENT));
        assert_eq!(exchange(ground, ["nothing", "a"]), Err(Errno::ENOENT));
        assert_eq!(exchange(ground, ["a", "a/b"]), Err(Errno::EINVAL));
        assert_eq!(exchange(ground, ["a/b", "a"]), Err(Errno::EINVAL));
        assert_eq!(exchange(ground, ["a", "f/"]), Err(Errno::ENOTDIR));
        assert_eq!(exchange(ground, ["f/", "a"]), Err(Errno::ENOTDIR));
        assert_eq!(exchange(ground, ["a/", "c"]), Ok(()));
        let both = flags::RENAME_EXCHANGE | flags::RENAME_NOREPLACE;
        assert_eq!(rename(ground, ["a", "c"], both), Err(Errno::EINVAL));
        assert!(ground.open("c/b", 0).is_ok());
    }

    /// The directory is in use in one namespace alone, and that does not hold it for another.
    fn a_mount_goes_where_another_namespace_moves_its_directory(ground) {
        for directory in ["m", "other"] {
            ground.directory(directory);
        }
        let born = mounted(ground);
        let inside = |path: &str| {
            let path = format!("/proc/{}/root{}/{path}", born.pid, ground.place.directory);
            ground.open_absolute(&path, 0).map(drop)
        };
        assert_eq!(inside("m/in"), Ok(()));
        assert_eq!(exchange(ground, ["m", "other"]), Ok(()));
        assert_eq!((inside("m/in"), inside("other/in")), (Err(Errno::ENOENT), Ok(())));
        assert_eq!(rename(ground, ["other", "m"], 0), Ok(()));
        assert_eq!(inside("m/in"), Ok(()));
        assert_eq!(ground.open("m/in", 0).err(), Some(Errno::ENOENT));
    }

    fn a_mount_is_gone_with_the_directory_that_another_namespace_removes(ground) {
        for replaces in [false, true] {
            for directory in ["m", "other"] {
                ground.directory(directory);
            }
            let born = mounted(ground);
            if replaces {
                rename(ground, ["other", "m"], 0).unwrap();
            } else {
                for directory in ["m", "other"] {
                    ground.kernel.unlink(CWD, &ground.at(directory), flags::AT_REMOVEDIR).unwrap();
                }
                ground.directory("m");
            }
            let path = format!("/proc/{}/root{}/m", born.pid, ground.place.directory);
            assert!(ground.open_absolute(&path, 0).is_ok());
            let inside = ground.open_absolute(&format!("{path}/in"), 0);
            assert_eq!(inside.err(), Some(Errno::ENOENT));
            ground.kernel.unlink(CWD, &ground.at("m"), flags::AT_REMOVEDIR).unwrap();
        }
    }

    fn nothing_is_mounted_on_what_was_removed(ground) {
        for directory in ["m", "source"] {
            ground.directory(directory);
        }
        let answer = apart(ground, |b, at| {
            let dir = Handle::CWD;
            let path = b.text(&at("m"));
            b.call(Call::Chdir { path });
            b.call(Call::Unlinkat { dir, path, flags: flags::AT_REMOVEDIR });
            let [none, here, kind] = ["", ".", "tmpfs"].map(|text| b.text(text));
            let source = b.text(&at("source"));
            for (source, kind, flags) in [(kind, kind, 0), (source, none, flags::MS_BIND)] {
                let call = Call::Mount { source, target: here, kind, flags, data: none };
                refuse(b, call, Errno::ENOENT);
            }
            let flags = flags::OPEN_TREE_CLONE;
            let copy = b.open(Call::OpenTree { dir, path: source, flags });
            let (from_dir, to_dir) = (Handle::slot(copy.0), dir);
            let (from_path, to_path) = (none, here);
            let flags = flags::MOVE_MOUNT_F_EMPTY_PATH;
            let call = Call::MoveMount { from_dir, from_path, to_dir, to_path, flags };
            refuse(b, call, Errno::ENOENT);
        });
        assert_eq!(answer, None);
    }

    fn a_walk_upwards_at_a_covered_root_leads_into_what_covers_it(ground) {
        for directory in ["root", "root/below"] {
            ground.directory(directory);
        }
        let answer = apart(ground, |b, at| {
            let (dir, path) = (Handle::CWD, b.text(&at("root")));
            let (flags, mode) = (flags::O_PATH, 0);
            let root = b.open(Call::Openat2 { dir, path, flags, mode, resolve: 0 });
            mount(b, ["tmpfs", &at("root"), "tmpfs"], 0);
            let path = b.text(&at("root/above"));
            b.call(Call::Mkdirat { dir, path, mode: 0o755 });
            let resolve = flags::RESOLVE_IN_ROOT;
            for (path, found) in
                [("below", true), ("above", false), ("../above", true), ("../below", false)]
            {
                let (dir, path) = (Handle::slot(root.0), b.text(path));
                let call = Call::Openat2 { dir, path, flags, mode, resolve };
                if found { b.call(call) } else { refuse(b, call, Errno::ENOENT) }
            }
        });
        assert_eq!(answer, None);
    }

    fn links_are_followed_to_both_ends_of_a_moved_mount_where_that_is_asked(ground) {
        for directory in ["a", "b"] {
            ground.directory(directory);
        }
        ground.symlink("a", "to_a");
        ground.symlink("b", "to_b");
        let answer = apart(ground, |b, at| {
            mount(b, ["tmpfs", &at("a"), "tmpfs"], 0);
            let (from_dir, to_dir) = (Handle::CWD, Handle::CWD);
            let (from_path, to_path) = (b.text(&at("to_a")), b.text(&at("to_b")));
            let both = flags::MOVE_MOUNT_F_SYMLINKS | flags::MOVE_MOUNT_T_SYMLINKS;
            for flags in [0, flags::MOVE_MOUNT_T_SYMLINKS, flags::MOVE_MOUNT_F_SYMLINKS] {
                let call = Call::MoveMount { from_dir, from_path, to_dir, to_path, flags };
                refuse(b, call, Errno::EINVAL);
            }
            b.call(Call::MoveMount { from_dir, from_path, to_dir, to_path, flags: both });
            let (dir, path) = (Handle::CWD, b.text(&at("b/in")));
            b.call(Call::Mkdirat { dir, path, mode: 0o755 });
        });
        assert_eq!(answer, None);
        assert_eq!(ground.open("b/in", 0).err(), Some(Errno::ENOENT));
    }
}

/// Returns a child that has a tmpfs on `m`, with a directory in it, and waits.
fn mounted<'k, K: Kernel>(ground: &Ground<'k, K>) -> crate::laws::ground::Born<'k, K> {
    let how = How { namespaces: flags::CLONE_NEWNS, ..How::default() };
    ground.paused(how, |b| {
        mount(b, ["", "/", ""], flags::MS_PRIVATE | flags::MS_REC);
        let at = |path: &str| ground.at(path).into_string().unwrap();
        mount(b, ["tmpfs", &at("m"), "tmpfs"], 0);
        let (dir, path) = (Handle::CWD, b.text(&at("m/in")));
        b.call(Call::Mkdirat { dir, path, mode: 0o755 });
    })
}

fn exchange<K: Kernel>(ground: &Ground<'_, K>, names: [&str; 2]) -> Result<(), Errno> {
    rename(ground, names, flags::RENAME_EXCHANGE)
}

fn rename<K: Kernel>(ground: &Ground<'_, K>, names: [&str; 2], how: u32) -> Result<(), Errno> {
    let [from, to] = names.map(|name| ground.at(name));
    let (from_dir, to_dir, flags) = (CWD, CWD, how);
    ground.kernel.call(Call::Renameat2 { from_dir, from: &from, to_dir, to: &to, flags }).map(drop)
}
