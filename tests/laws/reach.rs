//! Walks that make what is missing at the ends of links, and who meddles with them.

use std::cell::Cell;

use cofferdam::sys::{
    Act, Builder, CWD, Call, Cursor, Errno, Fd, Handle, Kernel, Live, OnError, RawFd, Syscalls,
    Turn, flags,
};

use crate::Ground;

const DIRECTORY: u32 = flags::S_IFDIR | 0o755;
const FILE: u32 = flags::S_IFREG | 0o644;

crate::laws! {
    fn a_link_is_in_the_way_of_what_is_made(ground) {
        ground.symlink("nowhere", "l");
        let (dir, path) = (CWD, &*ground.at("l"));
        let made = ground.call(Call::Mkdirat { dir, path, mode: 0o755 });
        assert_eq!(made, Err(Errno::EEXIST));
        let made = ground.call(Call::Mknodat { dir, path, mode: FILE, device: 0 });
        assert_eq!(made, Err(Errno::EEXIST));
        let top = ground.open("", flags::O_PATH).unwrap();
        assert_eq!(ground.kernel.read_link(top.raw(), c"l").unwrap(), b"nowhere");
        ground.directory("d");
        let buf = &[const { Cell::new(0) }; 8][..];
        let asked = ground.call(Call::Readlinkat { dir: top.raw(), path: c"d", buf });
        assert_eq!(asked, Err(Errno::EINVAL));
    }

    fn a_walk_makes_what_is_missing(ground) {
        ground.directory("root");
        reach(ground, "a/b/c", DIRECTORY).unwrap();
        assert_eq!(kind(ground, "root/a/b/c"), flags::S_IFDIR);
        reach(ground, "a/b/f", FILE).unwrap();
        assert_eq!(kind(ground, "root/a/b/f"), flags::S_IFREG);
        assert_eq!(reach(ground, "a/b/f", DIRECTORY).err(), Some(Errno::ENOTDIR));
        assert_eq!(reach(ground, "a/b/f/g", FILE).err(), Some(Errno::ENOTDIR));
    }

    fn a_walk_makes_what_links_lead_to(ground) {
        ground.directory("root");
        ground.directory("root/etc");
        for (target, link) in [
            ("../run/r/conf", "root/etc/conf"),
            ("/var/deep/", "root/absolute"),
            ("two", "root/one"),
            ("/three", "root/two"),
            ("../../../up", "root/etc/upwards"),
            ("absent/../sideways", "root/round"),
        ] {
            ground.symlink(target, link);
        }
        for (path, mode, made) in [
            ("etc/conf", FILE, "run/r/conf"),
            ("absolute/below/it", FILE, "var/deep/below/it"),
            ("one", DIRECTORY, "three"),
            ("etc/upwards", DIRECTORY, "up"),
            ("round", FILE, "sideways"),
        ] {
            let opened = reach(ground, path, mode).unwrap();
            let found = ground.kernel.stat(opened.raw(), c"", flags::AT_EMPTY_PATH).unwrap();
            let expected = ground.kernel.stat(CWD, &ground.at(&format!("root/{made}")), 0).unwrap();
            assert_eq!(found.inode, expected.inode, "{path}");
            assert_eq!(found.mode & flags::S_IFMT, mode & flags::S_IFMT, "{path}");
        }
    }

    fn a_walk_ends_where_links_do_not(ground) {
        ground.directory("root");
        ground.symlink("there", "root/here");
        ground.symlink("here", "root/there");
        assert_eq!(reach(ground, "here", FILE).err(), Some(Errno::ELOOP));
        assert_eq!(reach(ground, "there/below", DIRECTORY).err(), Some(Errno::ELOOP));
        ground.symlink("more/more/nothing", "root/more");
        assert_eq!(reach(ground, "more", FILE).err(), Some(Errno::ELOOP));
        let long = ["deeper"; 400].join("/");
        ground.symlink(&long, "root/long");
        assert_eq!(reach(ground, &format!("long/{long}"), FILE).err(), Some(Errno::ENAMETOOLONG));
    }

    /// The one who owns the root changes a part of it between any two calls of the walk.
    fn whoever_swaps_links_gets_nothing_outside(ground) {
        for change in [Change::Absolute, Change::Gone, Change::Outside, Change::Upwards] {
            for at in 0.. {
                let place = format!("{change:?}{at}");
                ground.directory(&place);
                for name in ["outside", "root", "root/etc", "root/etc/mid"] {
                    ground.directory(&format!("{place}/{name}"));
                }
                ground.symlink("mid/../../run/new/conf", &format!("{place}/root/etc/conf"));
                let swaps = Swaps { ground, change, place: &place, left: Cell::new(Some(at)) };
                let root = ground.open(&format!("{place}/root"), flags::O_PATH).unwrap();
                let answer = perform(&swaps, root.raw(), "etc/conf", FILE);
                for (dir, entries) in [("outside", 0), ("", 2)] {
                    let dir = ground.open(&format!("{place}/{dir}"), 0).unwrap();
                    let found = ground.kernel.entries(dir.raw()).unwrap().len();
                    assert_eq!(found, entries, "{place}");
                }
                if let Ok(fd) = answer {
                    let opened = Fd::new(fd, ground.kernel);
                    let found = ground.kernel.stat(opened.raw(), c"", flags::AT_EMPTY_PATH);
                    let inode = found.unwrap().inode;
                    assert!(holds(ground, &format!("{place}/root"), inode), "{place}");
                }
                if swaps.left.get().is_some() {
                    assert!(answer.is_ok(), "{place}: nobody meddled");
                    break;
                }
            }
        }
    }

    /// A walk in which links lead to procfs is refused where that is barred; its own path may.
    fn no_link_leads_to_what_is_barred(ground) {
        ground.directory("there");
        let own = &ground.place.directory[1..];
        for (link, target) in [
            ("fixed", "/proc/sys"),
            ("file", "/proc/filesystems"),
            ("top", "/proc"),
            ("up", "top/.."),
            ("near", "there"),
            ("new", "there/new"),
        ] {
            ground.symlink(target, link);
        }
        let top = ground.open_absolute("/", flags::O_PATH).unwrap();
        for (path, mode, barred) in [
            (format!("{own}/fixed"), DIRECTORY, true),
            (format!("{own}/file"), FILE, true),
            (format!("{own}/top/sys/kernel"), DIRECTORY, true),
            ("proc/sys/kernel".to_owned(), DIRECTORY, false),
            (format!("{own}/up"), DIRECTORY, false),
            (format!("{own}/near"), DIRECTORY, false),
            (format!("{own}/new"), DIRECTORY, false),
        ] {
            for what in [0, flags::PROC_SUPER_MAGIC, flags::TMPFS_MAGIC] {
                let kernel = Balance { kernel: ground.kernel, open: Cell::new(0) };
                let found = walk(&kernel, top.raw(), &path, (mode, what));
                let found = found.map(|fd| Fd::new(fd, &kernel)).map(drop);
                let refused = barred && what == flags::PROC_SUPER_MAGIC;
                if barred || what != flags::TMPFS_MAGIC {
                    assert_eq!(found.err(), refused.then_some(Errno::EXDEV), "{path}");
                }
                assert_eq!(kernel.open.get(), 0, "{path}: what was refused is left open");
            }
        }
    }

    fn a_disturbed_walk_is_tried_again(ground) {
        ground.directory("root");
        ground.symlink("../f", "root/l");
        let root = ground.open("root", flags::O_PATH).unwrap();
        let once = Disturbed { kernel: ground.kernel, times: Cell::new(100) };
        drop(Fd::new(perform(&once, root.raw(), "l", FILE).unwrap(), ground.kernel));
        assert_eq!(kind(ground, "root/f"), flags::S_IFREG);
        let ever = Disturbed { kernel: ground.kernel, times: Cell::new(u32::MAX) };
        assert_eq!(perform(&ever, root.raw(), "l", FILE), Err(Errno::EAGAIN));
    }
}

fn kind<K: Kernel>(ground: &Ground<'_, K>, path: &str) -> u32 {
    ground.kernel.stat(CWD, &ground.at(path), 0).unwrap().mode & flags::S_IFMT
}

/// Returns whether a directory has that inode somewhere below it.
fn holds<K: Kernel>(ground: &Ground<'_, K>, dir: &str, inode: u64) -> bool {
    let open = ground.open(dir, flags::O_DIRECTORY).unwrap();
    ground.kernel.entries(open.raw()).unwrap().into_iter().any(|entry| {
        let path = format!("{dir}/{}", entry.name);
        let how = flags::AT_SYMLINK_NOFOLLOW;
        let stat = ground.kernel.stat(CWD, &ground.at(&path), how).unwrap();
        stat.inode == inode || stat.is_directory() && holds(ground, &path, inode)
    })
}

fn reach<'k, K: Kernel>(ground: &Ground<'k, K>, path: &str, mode: u32) -> Result<Fd<'k, K>, Errno> {
    let root = ground.open("root", flags::O_PATH).unwrap();
    perform(ground.kernel, root.raw(), path, mode).map(|fd| Fd::new(fd, ground.kernel))
}

/// Performs the walk as a program would.
fn perform<K: Kernel>(kernel: &K, root: RawFd, path: &str, mode: u32) -> Result<RawFd, Errno> {
    walk(kernel, root, path, (mode, 0))
}

/// The same with a file system to which no link may lead.
fn walk<K: Kernel>(
    kernel: &K,
    root: RawFd,
    path: &str,
    (mode, barred): (u32, u32),
) -> Result<RawFd, Errno> {
    let mut builder = Builder::new(1);
    let path = builder.text(path);
    let slot = builder.take();
    builder.push(Act::Reach { dir: Handle::slot(0), path, mode, barred }, OnError::Fail, slot);
    let program = builder.finish();
    let mut cursor = Cursor::new(program.code(), &[root]);
    match cursor.step(program.code(), kernel) {
        Turn::Failed { errno, .. } => Err(errno),
        Turn::Ended { .. } => unreachable!("nobody is waited for"),
        Turn::Going | Turn::Over => Ok(cursor.slots[usize::from(slot.0)]),
    }
}

/// What somebody puts in the place of a part of the path.
#[derive(Clone, Copy, Debug)]
enum Change {
    Absolute,
    Gone,
    Outside,
    Upwards,
}

/// A kernel on which, before one call, each part of the path that is there is replaced.
struct Swaps<'g, 'k, K: Kernel> {
    ground: &'g Ground<'k, K>,
    change: Change,
    place: &'g str,
    /// How many calls are still left alone.
    left: Cell<Option<u32>>,
}

impl<K: Kernel> Kernel for Swaps<'_, '_, K> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        match self.left.get() {
            Some(0) => {
                self.left.set(None);
                self.swap();
            }
            left => self.left.set(left.map(|left| left - 1)),
        }
        self.ground.kernel.call(call)
    }
}

impl<K: Kernel> Swaps<'_, '_, K> {
    fn swap(&self) {
        let (ground, place) = (self.ground, self.place);
        let outside = format!("{}/{place}/outside", ground.place.directory);
        for part in ["run/new", "run", "etc/mid", "etc/conf"] {
            let from = &*ground.at(&format!("{place}/root/{part}"));
            let to = &*ground.at(&format!("{place}/root/was-{}", part.replace('/', "-")));
            let moved = Call::Renameat2 { from_dir: CWD, from, to_dir: CWD, to, flags: 0 };
            if ground.call(moved).is_err() {
                continue;
            }
            let target = match self.change {
                Change::Absolute => "/outside",
                Change::Gone => continue,
                Change::Outside => outside.as_str(),
                Change::Upwards => "../../../outside",
            };
            ground.symlink(target, &format!("{place}/root/{part}"));
        }
    }
}

/// A kernel that counts what is open.
struct Balance<'k, K> {
    kernel: &'k K,
    open: Cell<i32>,
}

impl<K: Kernel> Kernel for Balance<'_, K> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        let answer = self.kernel.call(call);
        match call {
            Call::Openat2 { .. } if answer.is_ok() => self.open.set(self.open.get() + 1),
            Call::Close { .. } => self.open.set(self.open.get() - 1),
            _ => (),
        }
        answer
    }
}

/// A kernel that answers the first walks as if something was renamed meanwhile.
struct Disturbed<'k, K> {
    kernel: &'k K,
    times: Cell<u32>,
}

impl<K: Kernel> Kernel for Disturbed<'_, K> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        match (call, self.times.get()) {
            (Call::Openat2 { .. }, times @ 1..) => {
                self.times.set(times - 1);
                Err(Errno::EAGAIN)
            }
            (call, _) => self.kernel.call(call),
        }
    }
}
