//! Opens a path below a directory through links that may lead to what is not there yet.
//!
//! ```text
//! etc/resolv.conf                       openat2: ENOENT, the link leads nowhere
//! etc │ resolv.conf                     mknodat: EEXIST, readlinkat: ../run/resolvconf/resolv.conf
//! etc/../run/resolvconf/resolv.conf     openat2: ENOENT
//! etc/../run │ resolvconf               mkdirat, openat2
//! etc/../run/resolvconf │ resolv.conf   mknodat, openat2: this is it
//! ```
//!
//! **Invariant:** each part is opened by a walk that cannot leave the directory, and what is
//! missing is made, by one name, in what was so opened. Who changes links meanwhile changes where
//! below the directory something is made, and no more.
//!
//! **Invariant:** no allocation, no panic, and an end: as many links are followed as the kernel
//! follows in one walk, and each part of a path is made once between two of them.

use core::cell::Cell;
use core::ffi::CStr;

use super::calls::Call;
use super::errno::Errno;
use super::fd::Fd;
use super::flags::{
    O_CLOEXEC, O_DIRECTORY, O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS,
    S_IFDIR, S_IFMT,
};
use super::form::RawFd;
use super::kernel::Kernel;

/// How many links are followed (path_resolution(7)).
const HOPS: u32 = 40;
/// How often a walk is tried that a rename or a mount somewhere on the host disturbed.
const TRIES: u32 = 128;
/// The longest path with its NUL.
const PATH_MAX: usize = 4096;
/// How many bytes fstatfs(2) writes.
const STATFS: usize = 120;
/// What is made on the way.
const ON_THE_WAY: u32 = S_IFDIR | 0o755;

/// What is to be opened.
#[derive(Clone, Copy)]
pub(super) struct Goal<'a> {
    /// The directory that nothing leads out of.
    pub(super) dir: RawFd,
    /// The path below it.
    pub(super) path: &'a CStr,
    /// What is made where there is nothing: a directory, or a file.
    pub(super) mode: u32,
    /// The type of file system that no link may lead to; 0 is none.
    pub(super) barred: u32,
}

/// Opens a path, as `O_PATH` does; what is missing is made.
///
/// # Errors
///
/// `ELOOP` where links lead to links for ever; `EXDEV` where they lead to what is barred; whatever
/// openat2(2), mkdirat(2), mknodat(2), readlinkat(2) and fstatfs(2) say.
pub(super) fn reach<K: Kernel + ?Sized>(goal: Goal<'_>, kernel: &K) -> Result<u64, Errno> {
    let linked = match walk(kernel, goal, RESOLVE_NO_SYMLINKS) {
        Err(Errno::ELOOP) => match walk(kernel, goal, 0) {
            Err(Errno::ENOENT) => lead(goal, kernel)?,
            answer => answer?,
        },
        Err(Errno::ENOENT) => lead(goal, kernel)?,
        answer => return answer,
    };
    allowed(goal, linked, kernel)
}

/// Returns what links led to, if it is not on a file system that is barred.
#[cold]
fn allowed<K: Kernel + ?Sized>(goal: Goal<'_>, reached: u64, kernel: &K) -> Result<u64, Errno> {
    if goal.barred == 0 {
        return Ok(reached);
    }
    // It is closed again where it is refused.
    let found = Fd::new(RawFd::try_from(reached).map_err(|_| Errno::EBADF)?, kernel);
    let room = [const { Cell::new(0) }; STATFS];
    insist(kernel, Call::Fstatfs { fd: found.raw(), buf: &room[..] })?;
    let kind = core::array::from_fn(|i| room.get(i).map_or(0, Cell::get));
    if u64::from_le_bytes(kind) == u64::from(goal.barred) {
        return Err(Errno::EXDEV);
    }
    let _kept = found.into_raw();
    Ok(reached)
}

/// Follows one link after the other; apart, since it takes a stack that the usual walk does not.
#[cold]
#[inline(never)]
fn lead<K: Kernel + ?Sized>(goal: Goal<'_>, kernel: &K) -> Result<u64, Errno> {
    let mut path = Path::new();
    path.push(goal.path.to_bytes())?;
    for _ in 0..=HOPS {
        if let Some(fd) = hop(goal, &mut path, kernel)? {
            return Ok(fd);
        }
    }
    Err(Errno::ELOOP)
}

/// Makes and opens part after part, to the end or to the first link that leads nowhere: the path
/// then has where it leads in its place.
fn hop<K: Kernel + ?Sized>(
    goal: Goal<'_>,
    path: &mut Path,
    kernel: &K,
) -> Result<Option<u64>, Errno> {
    let mut parent: Option<Fd<'_, K>> = None;
    let mut part = path.part(0).ok_or(Errno::ENOENT)?;
    loop {
        let next = path.part(part.end);
        let mode = if next.is_some() { ON_THE_WAY } else { goal.mode };
        let so_far = Path::of(path.slice(0, part.end))?;
        let opened = match open(kernel, goal.dir, (so_far.text()?, 0), mode) {
            Err(Errno::ENOENT) => {
                let dir = parent.as_ref().map_or(goal.dir, Fd::raw);
                let name = Path::of(path.slice(part.start, part.end))?;
                match make(kernel, dir, name.text()?, mode) {
                    Err(Errno::EEXIST) => {
                        follow(kernel, dir, path, part)?;
                        return Ok(None);
                    }
                    made => made?,
                };
                open(kernel, goal.dir, (so_far.text()?, 0), mode)?
            }
            answer => answer?,
        };
        match next {
            None => return Ok(Some(opened)),
            Some(next) => part = next,
        }
        parent = Some(Fd::new(RawFd::try_from(opened).map_err(|_| Errno::EBADF)?, kernel));
    }
}

/// Opens the whole path as it is now.
fn walk<K: Kernel + ?Sized>(kernel: &K, goal: Goal<'_>, links: u64) -> Result<u64, Errno> {
    open(kernel, goal.dir, (goal.path, links), goal.mode)
}

fn open<K: Kernel + ?Sized>(
    kernel: &K,
    dir: RawFd,
    (path, links): (&CStr, u64),
    mode: u32,
) -> Result<u64, Errno> {
    let directory = if mode & S_IFMT == S_IFDIR { O_DIRECTORY } else { 0 };
    let flags = directory | O_PATH | O_CLOEXEC;
    let resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | links;
    insist(kernel, Call::Openat2 { dir, path, flags, mode: 0, resolve })
}

fn make<K: Kernel + ?Sized>(kernel: &K, dir: RawFd, path: &CStr, mode: u32) -> Result<u64, Errno> {
    if mode & S_IFMT == S_IFDIR {
        insist(kernel, Call::Mkdirat { dir, path, mode: mode & !S_IFMT })
    } else {
        insist(kernel, Call::Mknodat { dir, path, mode, device: 0 })
    }
}

/// Puts where a link leads in its place.
fn follow<K: Kernel + ?Sized>(
    kernel: &K,
    dir: RawFd,
    path: &mut Path,
    part: Part,
) -> Result<(), Errno> {
    let name = Path::of(path.slice(part.start, part.end))?;
    let buf = [const { Cell::new(0) }; PATH_MAX];
    let len = match insist(kernel, Call::Readlinkat { dir, path: name.text()?, buf: &buf[..] }) {
        // It is no link any more, or nothing: whoever changed that costs himself a link.
        Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
        answer => usize::try_from(answer?).unwrap_or(usize::MAX),
    };
    let target = buf.get(..len).ok_or(Errno::ENAMETOOLONG)?;
    let mut led = Path::new();
    if target.first().is_none_or(|first| first.get() != b'/') {
        led.push(path.slice(0, part.start))?;
    }
    for byte in target {
        led.push(&[byte.get()])?;
    }
    led.push(path.slice(part.end, path.len))?;
    *path = led;
    Ok(())
}

/// Asks until there is an answer: neither a signal nor an unrelated rename or mount is one.
pub(super) fn insist<K: Kernel + ?Sized>(
    kernel: &K,
    call: Call<super::form::Live<'_>>,
) -> Result<u64, Errno> {
    let mut tries = TRIES;
    loop {
        match kernel.call(call) {
            // The descriptor is gone all the same (close(2)), and its number may be another's.
            Err(Errno::EINTR) if matches!(call, Call::Close { .. }) => return Ok(0),
            Err(Errno::EINTR) => (),
            // openat2(2): a `..` met a change of the tree, anywhere.
            Err(Errno::EAGAIN) if tries != 0 && matches!(call, Call::Openat2 { .. }) => {
                tries = tries.saturating_sub(1);
            }
            answer => return answer,
        }
    }
}

/// A path in the making.
struct Path {
    bytes: [u8; PATH_MAX],
    len: usize,
}

/// Where one name of a path stands.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    end: usize,
}

impl Path {
    const fn new() -> Self {
        Self { bytes: [0; PATH_MAX], len: 0 }
    }

    fn of(text: &[u8]) -> Result<Self, Errno> {
        let mut path = Self::new();
        path.push(text)?;
        Ok(path)
    }

    /// Adds text; what is behind it stays zero.
    fn push(&mut self, text: &[u8]) -> Result<(), Errno> {
        let end = self.len.saturating_add(text.len());
        if end >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let room = self.bytes.get_mut(self.len..end).ok_or(Errno::ENAMETOOLONG)?;
        for (to, from) in room.iter_mut().zip(text) {
            *to = *from;
        }
        self.len = end;
        Ok(())
    }

    fn slice(&self, start: usize, end: usize) -> &[u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    fn text(&self) -> Result<&CStr, Errno> {
        CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::ENAMETOOLONG)
    }

    /// Returns the first name behind `from`.
    fn part(&self, from: usize) -> Option<Part> {
        let rest = self.slice(from, self.len);
        let skipped = rest.iter().position(|byte| *byte != b'/')?;
        let start = from.saturating_add(skipped);
        let name = self.slice(start, self.len);
        let len = name.iter().position(|byte| *byte == b'/').unwrap_or(name.len());
        Some(Part { start, end: start.saturating_add(len) })
    }
}
