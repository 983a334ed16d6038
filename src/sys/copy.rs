//! Copies what a directory holds into an empty one that nobody else has.
//!
//! Owners, modes, links, fifos and devices are copied; times and attributes are not, and names of
//! one file become files, as runc has it. What is mounted in the directory is left empty.
//!
//! **Invariant:** whoever owns the directory may change it meanwhile. No link is followed, nothing
//! is waited for, and no more is read of a file than it had when it was looked at; the rest is up
//! to the size of what is copied into.
//!
//! **Invariant:** no allocation, no panic; a directory deeper than [`DEPTH`] is refused.

use core::cell::Cell;
use core::ffi::CStr;

use super::calls::Call;
use super::errno::Errno;
use super::fd::Fd;
use super::flags::{
    AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY,
    O_NOFOLLOW, O_NONBLOCK, O_PATH, O_WRONLY, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, STATX_BASIC_STATS,
};
use super::form::RawFd;
use super::kernel::Kernel;
use super::reach::insist;

/// How deep a directory may be; each level takes two descriptors and two kilobytes of stack.
const DEPTH: u32 = 100;
/// How many bytes of a directory are read at once: at least one entry.
const ENTRIES: usize = 1024;
/// The longest name of a file, with its NUL.
const NAME_MAX: usize = 256;
/// The longest target of a link, with its NUL.
const PATH_MAX: usize = 4096;
/// How many bytes of a file are copied at once.
const BLOCK: usize = 16 * 1024;
/// The permissions, and the bits that go with them.
const PERMISSIONS: u32 = 0o7777;

/// A name in the directory that is copied and in the one that is written.
struct Pair<'a, K: Kernel + ?Sized> {
    kernel: &'a K,
    from: RawFd,
    to: RawFd,
    name: &'a CStr,
}

/// What statx(2) says of a file, as far as it is copied.
struct Found {
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    device: u64,
}

/// Copies what is in `from` to `to`, which gets its mode too.
///
/// # Errors
///
/// `ENAMETOOLONG` for a directory that is too deep; `ENOSPC` where it does not fit; whatever the
/// calls say.
pub(super) fn copy<K: Kernel + ?Sized>(kernel: &K, from: RawFd, to: RawFd) -> Result<u64, Errno> {
    let top = describe(kernel, from, c"", AT_EMPTY_PATH)?;
    let whole = Pair { kernel, from, to, name: c"." };
    let source = whole.open(O_DIRECTORY)?;
    all(kernel, source.raw(), to, DEPTH)?;
    insist(kernel, Call::Fchmodat { dir: to, path: c".", mode: top.mode & PERMISSIONS })
}

/// Copies every entry of a directory.
#[inline(never)]
fn all<K: Kernel + ?Sized>(kernel: &K, from: RawFd, to: RawFd, depth: u32) -> Result<(), Errno> {
    let depth = depth.checked_sub(1).ok_or(Errno::ENAMETOOLONG)?;
    let mut block = [0; ENTRIES];
    loop {
        let buf = Cell::from_mut(&mut block[..]).as_slice_of_cells();
        let count = insist(kernel, Call::Getdents64 { fd: from, buf })?;
        let mut rest =
            usize::try_from(count).ok().and_then(|n| block.get(..n)).ok_or(Errno::EIO)?;
        if rest.is_empty() {
            return Ok(());
        }
        while !rest.is_empty() {
            let (name, next) = entry(rest).ok_or(Errno::EIO)?;
            if name != c"." && name != c".." {
                Pair { kernel, from, to, name }.copy(depth)?;
            }
            rest = next;
        }
    }
}

/// Returns the name of the first `linux_dirent64`, and what is behind it.
fn entry(block: &[u8]) -> Option<(&CStr, &[u8])> {
    let length = usize::from(u16::from_le_bytes([*block.get(16)?, *block.get(17)?]));
    let name = CStr::from_bytes_until_nul(block.get(19..length)?).ok()?;
    (name.count_bytes() < NAME_MAX).then_some(())?;
    Some((name, block.get(length..)?))
}

impl<K: Kernel + ?Sized> Pair<'_, K> {
    fn copy(&self, depth: u32) -> Result<(), Errno> {
        let found = match describe(self.kernel, self.from, self.name, AT_SYMLINK_NOFOLLOW) {
            // It was there when the directory was read.
            Err(Errno::ENOENT) => return Ok(()),
            found => found?,
        };
        let made = match found.mode & S_IFMT {
            S_IFDIR => self.directory(depth),
            S_IFLNK => self.link(),
            S_IFREG => self.file(found.size),
            _ => self.node(&found),
        };
        match made {
            // A name that was moved meanwhile is read twice.
            Err(Errno::EEXIST) => return Ok(()),
            made => made?,
        }
        let (dir, path, uid, gid) = (self.to, self.name, found.uid, found.gid);
        let flags = AT_SYMLINK_NOFOLLOW;
        insist(self.kernel, Call::Fchownat { dir, path, uid, gid, flags })?;
        if found.mode & S_IFMT != S_IFLNK {
            // Behind the owner, or the bits for other ids would be gone (chown(2)).
            let mode = found.mode & PERMISSIONS;
            insist(self.kernel, Call::Fchmodat { dir, path, mode })?;
        }
        Ok(())
    }

    /// Opens it to be read, wherever its file system is the directory's own.
    fn open(&self, flags: u64) -> Result<Fd<'_, K>, Errno> {
        let (dir, path) = (self.from, self.name);
        let flags = flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
        let resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
        let fd = insist(self.kernel, Call::Openat2 { dir, path, flags, mode: 0, resolve })?;
        self.own(fd)
    }

    fn open_copy(&self, flags: u64, mode: u64) -> Result<Fd<'_, K>, Errno> {
        let (dir, path) = (self.to, self.name);
        let flags = flags | O_NOFOLLOW | O_CLOEXEC;
        let fd = insist(self.kernel, Call::Openat2 { dir, path, flags, mode, resolve: 0 })?;
        self.own(fd)
    }

    fn own(&self, fd: u64) -> Result<Fd<'_, K>, Errno> {
        Ok(Fd::new(RawFd::try_from(fd).map_err(|_| Errno::EBADF)?, self.kernel))
    }

    fn directory(&self, depth: u32) -> Result<(), Errno> {
        insist(self.kernel, Call::Mkdirat { dir: self.to, path: self.name, mode: 0o700 })?;
        let source = match self.open(O_DIRECTORY) {
            Err(Errno::EXDEV) => return Ok(()),
            source => source?,
        };
        let target = self.open_copy(O_PATH | O_DIRECTORY, 0)?;
        all(self.kernel, source.raw(), target.raw(), depth)
    }

    #[inline(never)]
    fn link(&self) -> Result<(), Errno> {
        let mut target = [0; PATH_MAX];
        let buf = Cell::from_mut(&mut target[..]).as_slice_of_cells();
        insist(self.kernel, Call::Readlinkat { dir: self.from, path: self.name, buf })?;
        let target = CStr::from_bytes_until_nul(&target).map_err(|_| Errno::ENAMETOOLONG)?;
        insist(self.kernel, Call::Symlinkat { target, dir: self.to, path: self.name }).map(drop)
    }

    fn node(&self, found: &Found) -> Result<(), Errno> {
        let (dir, path, mode, device) = (self.to, self.name, found.mode, found.device);
        insist(self.kernel, Call::Mknodat { dir, path, mode, device }).map(drop)
    }

    #[inline(never)]
    fn file(&self, size: u64) -> Result<(), Errno> {
        let target = self.open_copy(O_CREAT | O_EXCL | O_WRONLY, 0o600)?;
        let source = match self.open(0) {
            Err(Errno::EXDEV) => return Ok(()),
            source => source?,
        };
        let mut left = size;
        let mut block = [0; BLOCK];
        while left != 0 {
            let most = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            let buf = Cell::from_mut(block.get_mut(..most).ok_or(Errno::EIO)?).as_slice_of_cells();
            let count = insist(self.kernel, Call::Read { fd: source.raw(), buf })?;
            let read =
                usize::try_from(count).ok().and_then(|n| block.get(..n)).ok_or(Errno::EIO)?;
            if read.is_empty() {
                break;
            }
            self.write(target.raw(), read)?;
            left = left.saturating_sub(count);
        }
        Ok(())
    }

    fn write(&self, fd: RawFd, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            let count = insist(self.kernel, Call::Write { fd, bytes })?;
            let count = usize::try_from(count).ok().filter(|n| *n != 0).ok_or(Errno::EIO)?;
            bytes = bytes.get(count..).ok_or(Errno::EIO)?;
        }
        Ok(())
    }
}

#[inline(never)]
fn describe<K: Kernel + ?Sized>(
    kernel: &K,
    dir: RawFd,
    path: &CStr,
    flags: u32,
) -> Result<Found, Errno> {
    let mut block = [0; 256];
    let buf = Cell::from_mut(&mut block[..]).as_slice_of_cells();
    insist(kernel, Call::Statx { dir, path, flags, mask: STATX_BASIC_STATS, buf })?;
    let word = |at: usize| match block.get(at..) {
        Some([a, b, c, d, ..]) => u32::from_le_bytes([*a, *b, *c, *d]),
        Some(_) | None => 0,
    };
    let size = u64::from(word(44)) << 32 | u64::from(word(40));
    let (major, minor) = (u64::from(word(128)), u64::from(word(132)));
    let device = minor & 0xff | (major & 0xfff) << 8 | (minor & !0xff) << 12;
    Ok(Found { mode: word(28) & 0xffff, uid: word(20), gid: word(24), size, device })
}
