//! The state directory: one home for each container, and what is in it.
//!
//! ```text
//! ROOT/ID/record.json       what the disk says of the container: its last whole line counts
//! ROOT/ID/gate              the fifo behind which a created container waits, unless it was run
//! ROOT/~new~ID/             a home being made; an orphan once nobody locks it
//! ROOT/~old~ID/             a home being taken down; whoever meets it takes it down too
//! ```
//!
//! **Invariant:** a home without a record cannot be seen: it is made under a name that no
//! container can have, and moved in or out as a whole.
//!
//! **Invariant:** who changes a container holds the lock of its home (flock(2)), and has checked
//! after taking it that the home is still the one of that name.

use std::ffi::CString;

use crate::state::Record;
use crate::sys::{CWD, Call, Errno, Fd, Kernel, Kind, Syscalls, flags};

use super::error::{Doing, Failure, regardless};
use super::records;
use super::sweep::{clear_orphan, discard, empty, empty_and_remove, flock, names, strip};

/// The names of a container's files.
#[derive(Clone, Debug)]
pub(super) struct Home {
    root: String,
    id: String,
}

/// A home that was made: its lock, and its gate open for reading and writing.
pub(super) struct Made<'k, K: Kernel> {
    /// The locked directory.
    pub(super) lock: Fd<'k, K>,
    /// The record, open for another line.
    pub(super) file: Fd<'k, K>,
    /// The fifo, where there is one.
    pub(super) gate: Option<Fd<'k, K>>,
}

/// What the disk says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    /// There is no such container.
    Absent,
    /// There is a home whose record cannot be read: only a power cut leaves one.
    Damaged(String),
    /// There is a record that is whole and says something else than records here: it was not torn,
    /// so what it names may be there.
    Foreign(String),
    /// The record.
    Record(Box<Record>),
}

impl Home {
    /// Returns the home of a container; `id` is a valid name.
    pub(super) fn new(root: &str, id: &str) -> Self {
        Self { root: root.to_owned(), id: id.to_owned() }
    }

    /// Reads the record.
    ///
    /// # Errors
    ///
    /// Fails where the file exists and cannot be read.
    pub(super) fn load<K: Kernel>(&self, kernel: &K) -> Result<Loaded, Failure> {
        let path = self.file("record.json")?;
        let file = match kernel.open(CWD, &path, flags::O_RDONLY) {
            Ok(file) => file,
            Err(Errno::ENOENT) => return self.missing(kernel),
            Err(errno) => return Err(Failure::new(format!("open {}", show(&path)), errno)),
        };
        let text = kernel.read_all(file.raw()).doing(|| format!("read {}", show(&path)))?;
        Ok(records::parse(&text, &show(&path)))
    }

    /// Tells no container from one whose record a power cut took.
    fn missing<K: Kernel>(&self, kernel: &K) -> Result<Loaded, Failure> {
        let name = self.name()?;
        let what = || format!("look for {}", show(&name));
        let how = flags::O_RDONLY | flags::O_DIRECTORY | flags::O_NOFOLLOW;
        let home = match kernel.open(CWD, &name, how) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(Loaded::Absent),
            home => home.doing(what)?,
        };
        match kernel.stat(home.raw(), c"record.json", 0) {
            Err(Errno::ENOENT) if names(kernel, &name, &home).doing(what)? => {
                Ok(Loaded::Damaged(format!("{}/{}: no record", self.root, self.id)))
            }
            // One that has come, or was moved away, between the two looks is no damage.
            Ok(_) | Err(Errno::ENOENT) => self.load(kernel),
            Err(errno) => Err(Failure::new(format!("look for a record in {}", show(&name)), errno)),
        }
    }

    /// Takes the lock, or returns none where the container has gone meanwhile.
    ///
    /// # Errors
    ///
    /// Fails where the kernel gives no lock.
    pub(super) fn lock<'k, K: Kernel>(&self, kernel: &'k K) -> Result<Option<Fd<'k, K>>, Failure> {
        let name = self.name()?;
        loop {
            let dir = match kernel.open(CWD, &name, flags::O_RDONLY | flags::O_DIRECTORY) {
                Ok(dir) => dir,
                Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
                Err(errno) => return Err(Failure::new(format!("open {}", show(&name)), errno)),
            };
            if self.lock_again(kernel, &dir)? {
                return Ok(Some(dir));
            }
            // Another container of that name has come meanwhile, or none.
        }
    }

    /// Locks a home that was kept open, and returns whether it is still that of this name.
    ///
    /// # Errors
    ///
    /// Fails where the kernel gives no lock.
    pub(super) fn lock_again<K: Kernel>(
        &self,
        kernel: &K,
        home: &Fd<'_, K>,
    ) -> Result<bool, Failure> {
        let name = self.name()?;
        let what = || format!("lock {}", show(&name));
        flock(kernel, home, flags::LOCK_EX).doing(what)?;
        names(kernel, &name, home).doing(what)
    }

    /// Returns whether somebody is changing the container; whoever makes one is until it is made.
    ///
    /// # Errors
    ///
    /// Fails where the kernel will not say.
    pub(super) fn is_locked<K: Kernel>(&self, kernel: &K) -> Result<bool, Failure> {
        is_held(kernel, &self.name()?, flags::O_RDONLY | flags::O_DIRECTORY)
    }

    /// Returns whether the init of a container that waits at no gate is not its program yet: it
    /// holds the record's lock until execve(2), whatever has become of its maker.
    ///
    /// # Errors
    ///
    /// Fails where the kernel will not say.
    pub(super) fn is_nascent<K: Kernel>(&self, kernel: &K) -> Result<bool, Failure> {
        is_held(kernel, &self.file("record.json")?, flags::O_RDONLY)
    }

    /// Makes the home with its record and moves it in, locked; returns none where there is a
    /// container of that name, or one just being made: it is not touched.
    ///
    /// # Errors
    ///
    /// Fails where the kernel makes no home; nothing is left of it then.
    pub(super) fn begin<'k, K: Kernel>(
        &self,
        kernel: &'k K,
        record: &Record,
    ) -> Result<Option<Made<'k, K>>, Failure> {
        // A home that was made and not locked yet may be swept away, or taken over and moved in by
        // another maker: then once more.
        const TRIES: u32 = 8;
        let (new, name) = (self.hidden("new")?, self.name()?);
        let make = || format!("make {}", show(&new));
        for _ in 0..TRIES {
            let fresh = match kernel.mkdir(CWD, &new, 0o711) {
                Ok(()) => true,
                Err(Errno::EEXIST) => false,
                Err(Errno::ENOENT) => {
                    self.make_root(kernel)?;
                    continue;
                }
                Err(errno) => return Err(Failure::new(make(), errno)),
            };
            let made = match self.furnish(kernel, &new, record) {
                Err(Failure { errno: Errno::EAGAIN, .. }) if !fresh => return Ok(None),
                Err(Failure { errno: Errno::EAGAIN | Errno::ENOENT, .. }) => continue,
                made => made,
            };
            let made = match made {
                Ok(made) => made,
                Err(failure) => {
                    // What cannot be removed now is an orphan, which the next one here removes.
                    regardless(clear_orphan(kernel, &new));
                    return Err(failure);
                }
            };
            let refused = match kernel.call(rename(&new, &name, flags::RENAME_NOREPLACE)) {
                Ok(_) => return Ok(Some(made)),
                Err(Errno::ENOENT) => continue,
                Err(Errno::EEXIST) => Ok(None),
                Err(errno) => Err(Failure::new(format!("move {} in", show(&name)), errno)),
            };
            // Under the same lock: a child that another thread is making just now holds a copy of
            // it until its execve, so that it could not be taken again (flock(2)).
            regardless(discard(kernel, &new, &made.lock));
            return refused;
        }
        Err(Failure::new(make(), Errno::EAGAIN))
    }

    /// Makes the hidden home: locked, with its gate and its record.
    ///
    /// Who has the lock is the maker, whoever made the directory: a dead maker's is taken over.
    ///
    /// # Errors
    ///
    /// `EAGAIN` where somebody else has the lock; `ENOENT` where it is not the hidden home any
    /// more.
    fn furnish<'k, K: Kernel>(
        &self,
        kernel: &'k K,
        hidden: &CString,
        record: &Record,
    ) -> Result<Made<'k, K>, Failure> {
        let make = || format!("make {}", show(hidden));
        let lock = kernel.open(CWD, hidden, flags::O_RDONLY | flags::O_DIRECTORY).doing(make)?;
        flock(kernel, &lock, flags::LOCK_EX | flags::LOCK_NB).doing(make)?;
        let how = flags::O_EXCL | flags::O_APPEND;
        let write = || {
            let file = records::open(kernel, lock.raw(), c"record.json", how, record)?;
            records::write(kernel, &file, record).map(|()| file)
        };
        let file = match write() {
            // It is a dead maker's, or was moved in meanwhile.
            Err(Failure { errno: Errno::EEXIST, .. }) => {
                if !names(kernel, hidden, &lock).doing(make)? {
                    return Err(Failure::new(make(), Errno::ENOENT));
                }
                empty(kernel, &lock).doing(make)?;
                write()?
            }
            done => done?,
        };
        let gate = if record.manifest.ungated {
            // Init has it, too, until it is its program: see [`Home::is_nascent`].
            flock(kernel, &file, flags::LOCK_EX).doing(make)?;
            None
        } else {
            Some(self.make_gate(kernel, &lock)?)
        };
        Ok(Made { lock, file, gate })
    }

    fn make_gate<'k, K: Kernel>(
        &self,
        kernel: &'k K,
        lock: &Fd<'k, K>,
    ) -> Result<Fd<'k, K>, Failure> {
        let (dir, path, mode) = (lock.raw(), c"gate", flags::S_IFIFO | 0o600);
        kernel
            .call(Call::Mknodat { dir, path, mode, device: 0 })
            .and_then(|_| kernel.open(dir, path, flags::O_RDWR | flags::O_NOFOLLOW))
            .doing(|| format!("make the gate of {}", self.id))
    }

    /// Replaces the record: readers see the old one or the new one, nothing between.
    ///
    /// # Errors
    ///
    /// Fails where it cannot be written or renamed; the old one stands then.
    pub(super) fn replace<K: Kernel>(
        &self,
        kernel: &K,
        lock: &Fd<'_, K>,
        record: &Record,
    ) -> Result<(), Failure> {
        let (dir, from, to) = (lock.raw(), c"record.new", c"record.json");
        let written = records::open(kernel, dir, from, flags::O_TRUNC, record)
            .and_then(|file| records::write(kernel, &file, record));
        if let Err(failure) = written {
            regardless(kernel.unlink(dir, from, 0));
            return Err(failure);
        }
        let rename = Call::Renameat2 { from_dir: dir, from, to_dir: dir, to, flags: 0 };
        kernel.call(rename).map(drop).doing(|| format!("replace the record of {}", self.id))
    }

    /// Opens the gate as `start` does: succeeds only while somebody waits behind it.
    ///
    /// # Errors
    ///
    /// `ENXIO` where nobody waits; `ENOENT` where there is no gate.
    pub(super) fn gate<'k, K: Kernel>(&self, kernel: &'k K) -> Result<Fd<'k, K>, Errno> {
        let path = self.file("gate").map_err(|failure| failure.errno)?;
        kernel.open(CWD, &path, flags::O_WRONLY | flags::O_NONBLOCK | flags::O_NOFOLLOW)
    }

    /// Opens the gate for reading what a start has left in it.
    ///
    /// # Errors
    ///
    /// Those of open(2).
    pub(super) fn gate_reader<'k, K: Kernel>(&self, kernel: &'k K) -> Result<Fd<'k, K>, Errno> {
        let path = self.file("gate").map_err(|failure| failure.errno)?;
        kernel.open(CWD, &path, flags::O_RDONLY | flags::O_NONBLOCK | flags::O_NOFOLLOW)
    }

    /// Removes the home: it vanishes at once, then what was in it, with a gate or without.
    ///
    /// # Errors
    ///
    /// Fails where it cannot be moved away; one that is gone already is success.
    pub(super) fn remove<K: Kernel>(
        &self,
        kernel: &K,
        lock: &Fd<'_, K>,
        gate: bool,
    ) -> Result<(), Failure> {
        let (name, old) = (self.name()?, self.hidden("old")?);
        let what = || format!("remove {}", show(&name));
        match kernel.call(rename(&name, &old, flags::RENAME_NOREPLACE)) {
            Ok(_) => return empty_and_remove(kernel, lock, &old, gate).doing(what),
            Err(Errno::ENOENT) => (),
            Err(Errno::EEXIST) => {
                // What an earlier container of that name has left.
                strip(kernel, &old).doing(what)?;
                kernel.call(rename(&name, &old, flags::RENAME_NOREPLACE)).doing(what)?;
            }
            Err(errno) => return Err(Failure::new(what(), errno)),
        }
        strip(kernel, &old).doing(what)
    }

    /// Removes what dead makers and removers have left under this name.
    ///
    /// # Errors
    ///
    /// Fails where the kernel keeps it.
    pub(super) fn sweep<K: Kernel>(&self, kernel: &K) -> Result<(), Failure> {
        let (new, old) = (self.hidden("new")?, self.hidden("old")?);
        let what = || format!("remove what is left of {}", self.id);
        clear_orphan(kernel, &new).doing(what)?;
        strip(kernel, &old).doing(what)
    }

    fn make_root<K: Kernel>(&self, kernel: &K) -> Result<(), Failure> {
        let path = K::name(self.root.as_str()).doing(|| format!("make {:?}", self.root))?;
        match kernel.mkdir(CWD, &path, 0o711) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(Errno::ENOENT) => make_parents(kernel, &self.root)
                .doing(|| format!("make the state directory {}", self.root)),
            Err(errno) => {
                Err(Failure::new(format!("make the state directory {}", self.root), errno))
            }
        }
    }

    fn name(&self) -> Result<CString, Failure> {
        let path = format!("{}/{}", self.root, self.id);
        CString::new(path).map_err(|_| Failure::new("a path with a NUL in it", Errno::EINVAL))
    }

    fn file(&self, name: &str) -> Result<CString, Failure> {
        let path = format!("{}/{}/{name}", self.root, self.id);
        CString::new(path).map_err(|_| Failure::new("a path with a NUL in it", Errno::EINVAL))
    }

    fn hidden(&self, why: &str) -> Result<CString, Failure> {
        let path = format!("{}/~{why}~{}", self.root, self.id);
        CString::new(path).map_err(|_| Failure::new("a path with a NUL in it", Errno::EINVAL))
    }
}

/// Lists the containers of a state directory, in the order of their names.
///
/// # Errors
///
/// Those of open(2) and getdents64(2).
pub(super) fn list<K: Kernel>(kernel: &K, root: &str) -> Result<Vec<String>, Errno> {
    let path = K::name(root)?;
    let dir = kernel.open(CWD, &path, flags::O_RDONLY | flags::O_DIRECTORY)?;
    let entries = kernel.entries(dir.raw())?;
    let mut ids: Vec<_> = entries
        .into_iter()
        .filter(|entry| matches!(entry.kind, Kind::Directory | Kind::Unknown))
        .map(|entry| entry.name)
        .filter(|name| valid(name))
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Returns whether a name can be a container's: letters, digits and `_+.-`, and not a name that
/// means a directory.
pub(super) fn valid(id: &str) -> bool {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_+.-".contains(&byte);
    !id.is_empty() && id.len() <= 200 && id != "." && id != ".." && id.bytes().all(fit)
}

/// Makes a directory and those above it.
pub(super) fn make_parents<K: Kernel>(kernel: &K, path: &str) -> Result<(), Errno> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for end in ends.filter(|end| *end != 0) {
        let name = K::name(path.get(..end).unwrap_or(path))?;
        match kernel.mkdir(CWD, &name, 0o755) {
            Ok(()) | Err(Errno::EEXIST) => (),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Returns whether somebody holds the lock of what is at a path.
fn is_held<K: Kernel>(kernel: &K, path: &CString, how: u64) -> Result<bool, Failure> {
    let what = || format!("ask who holds {}", show(path));
    let file = match kernel.open(CWD, path, how) {
        Err(Errno::ENOENT) => return Ok(false),
        file => file.doing(what)?,
    };
    match flock(kernel, &file, flags::LOCK_SH | flags::LOCK_NB) {
        Ok(()) => Ok(false),
        Err(Errno::EAGAIN) => Ok(true),
        Err(errno) => Err(Failure::new(what(), errno)),
    }
}

fn rename<'a>(from: &'a CString, to: &'a CString, flags: u32) -> Call<crate::sys::Live<'a>> {
    Call::Renameat2 { from_dir: CWD, from, to_dir: CWD, to, flags }
}

fn show(path: &CString) -> String {
    path.to_string_lossy().into_owned()
}
