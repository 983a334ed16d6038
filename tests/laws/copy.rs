//! Copies of directories, and who changes what is copied meanwhile.

use std::cell::Cell;

use cofferdam::sys::{
    Act, Builder, CWD, Call, Cursor, Errno, Handle, Kernel, Live, OnError, Slot, Syscalls, Turn,
    flags,
};

use crate::Ground;

crate::laws! {
    fn a_copy_has_what_the_directory_has(ground) {
        source(ground, ".");
        let long: Vec<u8> = (0..40_000_u32).flat_map(u32::to_le_bytes).collect();
        ground.file("from/long", &long);
        own(ground, "from/long", (7, 8), 0o4711);
        ground.directory("from/below");
        ground.file("from/below/f", b"below");
        own(ground, "from/below", (1, 2), 0o2750);
        ground.symlink("/nowhere", "from/link");
        ground.fifo("from/fifo");
        own(ground, "from", (5, 6), 0o751);
        copy(ground.kernel, ground, ".").unwrap();
        assert_eq!(ground.content("to/long"), long);
        assert_eq!(ground.content("to/below/f"), b"below");
        assert_eq!(ground.kernel.read_link(CWD, &ground.at("to/link")).unwrap(), b"/nowhere");
        for (path, ids, mode) in [
            ("to/long", (7, 8), flags::S_IFREG | 0o4711),
            ("to/below", (1, 2), flags::S_IFDIR | 0o2750),
            ("to/fifo", (0, 0), flags::S_IFIFO | 0o600),
            ("to", (0, 0), flags::S_IFDIR | 0o751),
        ] {
            let stat = ground.kernel.stat(CWD, &ground.at(path), 0).unwrap();
            assert_eq!(((stat.uid, stat.gid), stat.mode), (ids, mode), "{path}");
        }
        assert_eq!(ground.content("from/long"), long, "it is still there");
    }

    fn a_directory_is_copied_however_many_names_it_has(ground) {
        source(ground, ".");
        for number in 0..300 {
            ground.file(&format!("from/{number:-^100}"), b"x");
        }
        copy(ground.kernel, ground, ".").unwrap();
        let copied = ground.open("to", flags::O_DIRECTORY).unwrap();
        assert_eq!(ground.kernel.entries(copied.raw()).unwrap().len(), 300);
    }

    fn a_directory_is_copied_down_to_some_depth(ground) {
        for (place, levels, expected) in
            [("deep", 99, Ok(())), ("deeper", 100, Err(Errno::ENAMETOOLONG))]
        {
            ground.directory(place);
            source(ground, place);
            let mut path = format!("{place}/from");
            for _ in 0..levels {
                path += "/d";
                ground.directory(&path);
            }
            assert_eq!(copy(ground.kernel, ground, place), expected);
        }
        ground.open(&format!("deep/to{}", "/d".repeat(99)), flags::O_DIRECTORY).unwrap();
    }

    fn a_copy_ends_though_the_file_grows(ground) {
        source(ground, ".");
        ground.file("from/f", &[1; 20_000]);
        let grow = |_: u32, call: &Call<Live<'_>>| {
            if matches!(call, Call::Read { .. }) {
                let file = ground.open("from/f", flags::O_WRONLY | flags::O_APPEND).unwrap();
                ground.kernel.write_all(file.raw(), &[2; 20_000]).unwrap();
            }
        };
        let kernel = Meddled { kernel: ground.kernel, asked: Cell::new(0), meddle: &grow };
        copy(&kernel, ground, ".").unwrap();
        assert_eq!(ground.content("to/f"), [1; 20_000]);
    }

    /// The one who owns the directory replaces all there is between any two calls of the copy.
    fn whoever_swaps_files_gets_nothing_else_copied(ground) {
        ground.directory("outside");
        ground.file("outside/inner", b"secret");
        for change in [Change::Fifo, Change::Link, Change::Nothing] {
            for at in 0.. {
                let place = format!("{change:?}{at}");
                ground.directory(&place);
                source(ground, &place);
                ground.file(&format!("{place}/from/file"), b"harmless");
                ground.directory(&format!("{place}/from/inside"));
                ground.file(&format!("{place}/from/inside/inner"), b"harmless");
                let swap = |asked: u32, _: &Call<Live<'_>>| {
                    if asked == at {
                        replace(ground, &place, change);
                    }
                };
                let kernel = Meddled { kernel: ground.kernel, asked: Cell::new(0), meddle: &swap };
                let answer = copy(&kernel, ground, &place);
                let told = [Errno::ELOOP, Errno::ENOENT, Errno::ENOTDIR, Errno::EXDEV];
                let harmless = answer.is_ok()
                    || answer.is_err_and(|errno| told.contains(&errno));
                assert!(harmless, "{place}: {answer:?}");
                for path in ["file", "inside/inner"] {
                    let path = &*ground.at(&format!("{place}/to/{path}"));
                    let flags = flags::O_NONBLOCK | flags::O_CLOEXEC;
                    let resolve = flags::RESOLVE_NO_SYMLINKS;
                    let call = Call::Openat2 { dir: CWD, path, flags, mode: 0, resolve };
                    if let Ok(file) = ground.kernel.give(call) {
                        let content = ground.kernel.read_all(file.raw()).unwrap();
                        assert!(content.is_empty() || content == b"harmless", "{place}");
                    }
                }
                if kernel.asked.get() <= at {
                    assert_eq!(answer, Ok(()), "{place}: nobody meddled");
                    break;
                }
            }
        }
    }
}

/// What somebody puts in the place of what is copied.
#[derive(Clone, Copy, Debug)]
enum Change {
    Fifo,
    Link,
    Nothing,
}

fn replace<K: Kernel>(ground: &Ground<'_, K>, place: &str, change: Change) {
    for (name, target) in [("inside", "../../outside"), ("file", "../../outside/inner")] {
        let path = format!("{place}/from/{name}");
        let (from, to) = (&*ground.at(&path), &*ground.at(&format!("{place}/was-{name}")));
        ground.call(Call::Renameat2 { from_dir: CWD, from, to_dir: CWD, to, flags: 0 }).unwrap();
        match change {
            Change::Fifo => ground.fifo(&path),
            Change::Link => ground.symlink(target, &path),
            Change::Nothing => (),
        }
    }
}

/// A kernel with somebody else in it, who acts before each call.
struct Meddled<'m, K> {
    kernel: &'m K,
    asked: Cell<u32>,
    meddle: &'m dyn Fn(u32, &Call<Live<'_>>),
}

impl<K: Kernel> Kernel for Meddled<'_, K> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        (self.meddle)(self.asked.replace(self.asked.get() + 1), &call);
        self.kernel.call(call)
    }
}

/// Makes a directory to copy, and one to copy into.
fn source<K: Kernel>(ground: &Ground<'_, K>, place: &str) {
    for name in ["from", "to"] {
        ground.directory(&format!("{place}/{name}"));
    }
}

fn own<K: Kernel>(ground: &Ground<'_, K>, path: &str, ids: (u32, u32), mode: u32) {
    let (dir, path, (uid, gid)) = (CWD, &*ground.at(path), ids);
    ground.call(Call::Fchownat { dir, path, uid, gid, flags: 0 }).unwrap();
    ground.call(Call::Fchmodat { dir, path, mode }).unwrap();
}

/// Copies `from` to `to` as a program would.
fn copy<K: Kernel, G: Kernel>(
    kernel: &K,
    ground: &Ground<'_, G>,
    place: &str,
) -> Result<(), Errno> {
    let ends =
        ["from", "to"].map(|name| ground.open(&format!("{place}/{name}"), flags::O_PATH).unwrap());
    let mut builder = Builder::new(2);
    let act = Act::Copy { from: Handle::slot(0), to: Handle::slot(1) };
    builder.push(act, OnError::Fail, Slot::NONE);
    let program = builder.finish();
    let mut cursor = Cursor::new(program.code(), &ends.each_ref().map(|end| end.raw()));
    match cursor.step(program.code(), kernel) {
        Turn::Failed { errno, .. } => Err(errno),
        Turn::Ended { .. } => unreachable!("nobody is waited for"),
        Turn::Going | Turn::Over => Ok(()),
    }
}
