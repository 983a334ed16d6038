//! Typed calls over any kernel: what the runtime uses.
//!
//! **Invariant:** one method is one call, save where its name says otherwise (`read_all`).

use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ffi::CStr;

use super::calls::Call;
use super::errno::Errno;
use super::fd::Fd;
use super::flags;
use super::form::{Child, RawFd};
use super::kernel::Kernel;
use super::reach::insist;

/// What a name in a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A block device.
    Block,
    /// A character device.
    Character,
    /// A directory.
    Directory,
    /// A fifo.
    Fifo,
    /// A symbolic link.
    Link,
    /// A regular file.
    Regular,
    /// A socket.
    Socket,
    /// The file system does not say.
    Unknown,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What statx(2) says of a file, as far as the runtime asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stat {
    /// The device that holds it.
    pub device: (u32, u32),
    /// Its group.
    pub gid: u32,
    /// Its inode number.
    pub inode: u64,
    /// How many names it has; 0 for a file that was removed while open.
    pub links: u32,
    /// Its type and permissions.
    pub mode: u32,
    /// Which device it is, for a device node.
    pub node: (u32, u32),
    /// Its size in bytes.
    pub size: u64,
    /// Its owner.
    pub uid: u32,
}

/// The working directory, for calls that take a directory.
pub const CWD: RawFd = -100;

/// Typed calls over any kernel.
pub trait Syscalls: Kernel + Sized {
    /// Opens a file with openat2(2); `O_CLOEXEC` is always added.
    ///
    /// # Errors
    ///
    /// Those of the call.
    fn open(&self, dir: RawFd, path: &CStr, flags: u64) -> Result<Fd<'_, Self>, Errno> {
        self.open_with(dir, path, flags, 0)
    }

    /// Opens a file, created with `mode` where the flags say so.
    ///
    /// # Errors
    ///
    /// Those of the call.
    fn open_with(
        &self,
        dir: RawFd,
        path: &CStr,
        flags: u64,
        mode: u64,
    ) -> Result<Fd<'_, Self>, Errno> {
        let flags = flags | flags::O_CLOEXEC;
        self.give(Call::Openat2 { dir, path, flags, mode, resolve: 0 })
    }

    /// Opens a file with the directory `root` as the root of its path and of every link on it.
    ///
    /// # Errors
    ///
    /// Those of openat2(2); `EAGAIN` only where the tree does not cease to change.
    fn open_in(&self, root: RawFd, path: &CStr, flags: u64) -> Result<Fd<'_, Self>, Errno> {
        let (dir, mode, flags) = (root, 0, flags | flags::O_CLOEXEC);
        let resolve = flags::RESOLVE_IN_ROOT | flags::RESOLVE_NO_MAGICLINKS;
        let raw = insist(self, Call::Openat2 { dir, path, flags, mode, resolve })?;
        Ok(Fd::new(RawFd::try_from(raw).map_err(|_| Errno::EOVERFLOW)?, self))
    }

    /// Asks for a call that gives a descriptor.
    ///
    /// # Errors
    ///
    /// Those of the call.
    fn give(&self, call: Call<super::Live<'_>>) -> Result<Fd<'_, Self>, Errno> {
        let raw = self.call(call)?;
        Ok(Fd::new(RawFd::try_from(raw).map_err(|_| Errno::EOVERFLOW)?, self))
    }

    /// Creates a directory.
    ///
    /// # Errors
    ///
    /// Those of the call.
    fn mkdir(&self, dir: RawFd, path: &CStr, mode: u32) -> Result<(), Errno> {
        self.call(Call::Mkdirat { dir, path, mode }).map(drop)
    }

    /// Removes a name; `flags` may be `AT_REMOVEDIR`.
    ///
    /// # Errors
    ///
    /// Those of the call.
    fn unlink(&self, dir: RawFd, path: &CStr, flags: u32) -> Result<(), Errno> {
        self.call(Call::Unlinkat { dir, path, flags }).map(drop)
    }

    /// Describes a file; `flags` may be `AT_EMPTY_PATH` or `AT_SYMLINK_NOFOLLOW`.
    ///
    /// # Errors
    ///
    /// Those of the call.
    fn stat(&self, dir: RawFd, path: &CStr, flags: u32) -> Result<Stat, Errno> {
        let mut block = [0; 256];
        let buf = Cell::from_mut(&mut block[..]).as_slice_of_cells();
        let mask = flags::STATX_BASIC_STATS;
        self.call(Call::Statx { dir, path, flags, mask, buf })?;
        Ok(Stat::decode(&block))
    }

    /// Reads once into `buf` and returns what was read.
    ///
    /// # Errors
    ///
    /// Those of the call.
    fn read<'b>(&self, fd: RawFd, buf: &'b mut [u8]) -> Result<&'b [u8], Errno> {
        let count =
            self.call(Call::Read { fd, buf: Cell::from_mut(&mut *buf).as_slice_of_cells() })?;
        let count = usize::try_from(count).map_err(|_| Errno::EOVERFLOW)?;
        buf.get(..count).ok_or(Errno::EIO)
    }

    /// Reads to the end of the file, however many reads that takes.
    ///
    /// # Errors
    ///
    /// Those of read(2); interrupted reads are repeated.
    fn read_all(&self, fd: RawFd) -> Result<Vec<u8>, Errno> {
        let mut all = Vec::new();
        // The kernel's own files give no more than a page at once, and others are short here.
        let mut block = vec![0; 4096];
        loop {
            match self.read(fd, &mut block) {
                Ok([]) => return Ok(all),
                Ok(more) => all.extend_from_slice(more),
                Err(Errno::EINTR) => (),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Writes once and returns how many bytes were taken.
    ///
    /// # Errors
    ///
    /// Those of the call.
    fn write(&self, fd: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
        let count = self.call(Call::Write { fd, bytes })?;
        usize::try_from(count).map_err(|_| Errno::EOVERFLOW)
    }

    /// Writes all bytes, however many writes that takes.
    ///
    /// # Errors
    ///
    /// Those of write(2), and `EIO` where a write takes nothing; interrupted writes are repeated.
    fn write_all(&self, fd: RawFd, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            match self.write(fd, bytes) {
                Ok(0) => return Err(Errno::EIO),
                Ok(count) => bytes = bytes.get(count..).ok_or(Errno::EIO)?,
                Err(Errno::EINTR) => (),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Sends one short message; a peer that has gone is `EPIPE` and no signal.
    ///
    /// # Errors
    ///
    /// Those of the call, and `EIO` where less was taken.
    fn send(&self, socket: RawFd, bytes: &[u8]) -> Result<(), Errno> {
        loop {
            match self.call(Call::Send { socket, bytes }) {
                Ok(count) if count == bytes.len() as u64 => return Ok(()),
                Ok(_) => return Err(Errno::EIO),
                Err(Errno::EINTR) => (),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Reads the target of a symbolic link.
    ///
    /// # Errors
    ///
    /// Those of the call, and `ENAMETOOLONG` for one longer than 4095 bytes.
    fn read_link(&self, dir: RawFd, path: &CStr) -> Result<Vec<u8>, Errno> {
        let mut block = vec![0; 4096];
        let buf = Cell::from_mut(&mut block[..]).as_slice_of_cells();
        let count = self.call(Call::Readlinkat { dir, path, buf })?;
        let count = usize::try_from(count).map_err(|_| Errno::EOVERFLOW)?;
        if count >= block.len() {
            return Err(Errno::ENAMETOOLONG);
        }
        block.truncate(count);
        Ok(block)
    }

    /// Lists an open directory without `.` and `..`, however many calls that takes.
    ///
    /// # Errors
    ///
    /// Those of getdents64(2).
    fn entries(&self, dir: RawFd) -> Result<Vec<Entry>, Errno> {
        list(self, dir, |_| true)
    }

    /// Lists the directories in an open directory, by their names.
    ///
    /// # Errors
    ///
    /// Those of getdents64(2).
    fn directories(&self, dir: RawFd) -> Result<Vec<String>, Errno> {
        let found = list(self, dir, |kind| kind == Kind::Directory)?;
        Ok(found.into_iter().map(|entry| entry.name).collect())
    }

    /// Makes two connected sockets that keep message boundaries.
    ///
    /// # Errors
    ///
    /// Those of socketpair(2).
    fn socketpair(&self) -> Result<[Fd<'_, Self>; 2], Errno> {
        let mut ends = [0; 8];
        let kind = flags::SOCK_SEQPACKET | flags::SOCK_CLOEXEC;
        let room = Cell::from_mut(&mut ends[..]).as_slice_of_cells();
        self.call(Call::Socketpair { domain: flags::AF_UNIX, kind, ends: room })?;
        let [a, b] = pair(ends);
        Ok([Fd::new(a, self), Fd::new(b, self)])
    }

    /// Makes a pipe: the end to read, and the end to write.
    ///
    /// # Errors
    ///
    /// Those of pipe2(2).
    fn pipe(&self) -> Result<[Fd<'_, Self>; 2], Errno> {
        let mut ends = [0; 8];
        let room = Cell::from_mut(&mut ends[..]).as_slice_of_cells();
        let flags = u32::try_from(flags::O_CLOEXEC).unwrap_or(0);
        self.call(Call::Pipe2 { ends: room, flags })?;
        let [a, b] = pair(ends);
        Ok([Fd::new(a, self), Fd::new(b, self)])
    }

    /// Makes a child that performs a program; returns its number and its descriptor.
    ///
    /// # Errors
    ///
    /// Those of clone3(2).
    fn spawn(&self, child: Child<'_>) -> Result<(u32, Fd<'_, Self>), Errno> {
        let mut pidfd = [0; 4];
        let room = Cell::from_mut(&mut pidfd[..]).as_slice_of_cells();
        let pid = self.call(Call::Spawn { child, pidfd: room })?;
        let pid = u32::try_from(pid).map_err(|_| Errno::EOVERFLOW)?;
        Ok((pid, Fd::new(RawFd::from_le_bytes(pidfd), self)))
    }

    /// Returns the seconds and nanoseconds of a clock.
    ///
    /// # Errors
    ///
    /// Those of clock_gettime(2).
    fn clock(&self, clock: u32) -> Result<(u64, u32), Errno> {
        let mut time = [0; 16];
        let room = Cell::from_mut(&mut time[..]).as_slice_of_cells();
        self.call(Call::ClockGettime { clock, time: room })?;
        let nanoseconds = u32::try_from(long(&time, 8)).map_err(|_| Errno::EOVERFLOW)?;
        Ok((long(&time, 0), nanoseconds))
    }

    /// Waits until one of `fds` is ready for one of its events, or `timeout_ms` has passed; a
    /// negative one waits for ever. Returns the events of each.
    ///
    /// # Errors
    ///
    /// Those of ppoll(2).
    fn poll<const N: usize>(
        &self,
        fds: [(RawFd, u32); N],
        timeout_ms: i32,
    ) -> Result<[u32; N], Errno> {
        let mut block = Vec::with_capacity(N * 8);
        for (fd, events) in fds {
            block.extend_from_slice(&fd.to_le_bytes());
            block.extend_from_slice(&(events & 0xffff).to_le_bytes());
        }
        let room = Cell::from_mut(&mut block[..]).as_slice_of_cells();
        self.call(Call::Poll { fds: room, timeout_ms })?;
        Ok(core::array::from_fn(|i| word(&block, i * 8 + 4) >> 16))
    }

    /// Returns a name as the kernel takes it.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a name with a NUL in it.
    fn name(text: impl Into<Vec<u8>>) -> Result<CString, Errno> {
        CString::new(text).map_err(|_| Errno::EINVAL)
    }
}

impl<K: Kernel> Syscalls for K {}

fn word(block: &[u8], at: usize) -> u32 {
    let bytes = block.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_le_bytes)
}

fn long(block: &[u8], at: usize) -> u64 {
    let bytes = block.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

fn pair(ends: [u8; 8]) -> [RawFd; 2] {
    [word(&ends, 0).cast_signed(), word(&ends, 4).cast_signed()]
}

impl Stat {
    /// Reads `struct statx` (statx(2); the same on every machine).
    fn decode(block: &[u8; 256]) -> Self {
        Self {
            links: word(block, 16),
            uid: word(block, 20),
            gid: word(block, 24),
            mode: word(block, 28) & 0xffff,
            inode: long(block, 32),
            size: long(block, 40),
            node: (word(block, 128), word(block, 132)),
            device: (word(block, 136), word(block, 140)),
        }
    }

    /// Returns whether it is a directory.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        self.mode & flags::S_IFMT == flags::S_IFDIR
    }
}

/// Lists those entries of an open directory whose kind is wanted.
fn list<K: Kernel + ?Sized>(
    kernel: &K,
    dir: RawFd,
    wanted: fn(Kind) -> bool,
) -> Result<Vec<Entry>, Errno> {
    let mut found = Vec::new();
    let mut block = vec![0; 8 * 1024];
    loop {
        let buf = Cell::from_mut(&mut block[..]).as_slice_of_cells();
        let count = kernel.call(Call::Getdents64 { fd: dir, buf })?;
        let count = usize::try_from(count).map_err(|_| Errno::EOVERFLOW)?;
        if count == 0 {
            return Ok(found);
        }
        Entry::decode(block.get(..count).ok_or(Errno::EIO)?, wanted, &mut found);
    }
}

impl Entry {
    /// Reads `struct linux_dirent64` (getdents64(2)) until the block ends.
    fn decode(mut block: &[u8], wanted: fn(Kind) -> bool, found: &mut Vec<Self>) {
        while let Some(len) = block.get(16..18) {
            let len = usize::from(u16::from_le_bytes([len[0], len[1]]));
            let (Some(this), Some(rest)) = (block.get(..len), block.get(len.max(19)..)) else {
                return;
            };
            let name = this.get(19..).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let kind = Kind::decode(this.get(18).copied().unwrap_or(0));
            if name != b"." && name != b".." && wanted(kind) {
                found.push(Self { name: String::from_utf8_lossy(name).into_owned(), kind });
            }
            block = rest;
        }
    }
}

impl Kind {
    const fn decode(byte: u8) -> Self {
        match byte {
            1 => Self::Fifo,
            2 => Self::Character,
            4 => Self::Directory,
            6 => Self::Block,
            8 => Self::Regular,
            10 => Self::Link,
            12 => Self::Socket,
            _ => Self::Unknown,
        }
    }
}
