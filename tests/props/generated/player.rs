//! Plays steps on a kernel and says what it answers, as text that both kernels can agree on.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::CString;

use cofferdam::sys::{CWD, Call, Errno, Kernel, Kind, Live, RawFd, Stat, Syscalls, flags};

use super::children::Children;
use super::grammar::{At, SLOTS, Step};
use super::groups::{Groups, Trees};

/// A number that no process has open.
const NOTHING: RawFd = 2_147_483_000;

/// `O_LARGEFILE`, which 64-bit kernels add by themselves.
const LARGE: u64 = 0o100_000;

/// One run of a program on a kernel.
pub(crate) struct Player<'k, K: Kernel> {
    kernel: &'k K,
    base: String,
    /// The directory `base`.
    root: RawFd,
    /// The first of the numbers that [`Step::Dup`] gives, one for each slot.
    high: RawFd,
    pub(super) slots: [RawFd; SLOTS],
    open: BTreeSet<RawFd>,
    pub(super) children: Children<'k, K>,
    pub(super) groups: Groups<'k, K>,
}

impl<'k, K: Kernel> Player<'k, K> {
    /// `settle` lets everybody else come to rest, where the kernel has to be told.
    pub(crate) fn new(
        kernel: &'k K,
        (base, trees): (&str, &'k Trees),
        high: RawFd,
        settle: &'k dyn Fn(),
    ) -> Self {
        let (slots, how) = ([NOTHING; SLOTS], flags::O_PATH | flags::O_DIRECTORY);
        let path = CString::new(base).unwrap();
        let how =
            Call::Openat2 { dir: CWD, path: path.as_c_str(), flags: how, mode: 0, resolve: 0 };
        let root = RawFd::try_from(kernel.call(how).unwrap()).unwrap();
        let (base, open) = (base.to_owned(), BTreeSet::from([root]));
        let (children, groups) = (Children::new(kernel, settle), Groups::new(kernel, trees));
        Self { kernel, base, root, high, slots, open, children, groups }
    }

    /// Performs a step and returns what came of it; what children do in their own time, is waited
    /// for if it is expected.
    pub(crate) fn play(&mut self, step: &Step, expected: Option<&str>) -> String {
        let answer = match step {
            _ if let Some(why) = self.excuse(step) => Ok(why.to_owned()),
            Step::Chmod { .. }
            | Step::Mkdir { .. }
            | Step::Mknod { .. }
            | Step::Readlink { .. }
            | Step::Rename { .. }
            | Step::Stat { .. }
            | Step::Symlink { .. }
            | Step::Unlink { .. } => self.name(step),
            Step::Close { .. }
            | Step::CloseRange { .. }
            | Step::Dup { .. }
            | Step::DupOver { .. }
            | Step::Open { .. }
            | Step::Pipe { .. }
            | Step::Reopen { .. }
            | Step::Socketpair { .. } => self.number(step),
            Step::Get { .. } | Step::Join { .. } | Step::Put { .. } => self.group(step),
            Step::Kill { .. }
            | Step::PidfdOpen { .. }
            | Step::Signal { .. }
            | Step::Spawn { .. }
            | Step::Wait { .. } => self.process(step),
            Step::Fcntl { .. }
            | Step::Flock { .. }
            | Step::List { .. }
            | Step::Lseek { .. }
            | Step::Poll { .. }
            | Step::Read { .. }
            | Step::Receive { .. }
            | Step::Send { .. }
            | Step::SendFd { .. }
            | Step::Truncate { .. }
            | Step::Write { .. } => self.file(step),
        };
        let answer = answer.unwrap_or_else(|errno| format!("{errno:?}"));
        self.children.beside(&answer, &self.groups, expected)
    }

    /// Closes whatever the program has left open.
    pub(crate) fn leave(self) {
        self.groups.thaw();
        drop(self.children);
        self.groups.remove();
        for fd in &self.open {
            assert_eq!(self.kernel.call(Call::Close { fd: *fd }), Ok(0), "{fd} was left open");
        }
    }

    /// Returns why a step is not asked: versions, or moments, differ in it.
    fn excuse(&self, step: &Step) -> Option<&'static str> {
        match *step {
            Step::Flock { fd, .. } if self.is_process(fd) => Some("all may be one file"),
            Step::Poll { fds, .. } if fds.iter().any(|fd| self.is_late(*fd)) => {
                Some("it is told in its own time")
            }
            Step::Reopen { fd, .. } if self.is_list(fd) => Some("it is only written to"),
            Step::Reopen { fd, .. } if self.is_process(fd) => Some("it may be a file"),
            Step::Stat { at: At::Slot(fd, ""), .. } if self.is_process(fd) => {
                Some("it may be a file")
            }
            Step::Truncate { fd, .. } if self.is_process(fd) => Some("it may be a file"),
            _ => None,
        }
    }

    /// Asks a call; whatever errno it gives stands in its row.
    pub(super) fn ask(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        let (answer, row) = (self.kernel.call(call), call.row());
        if let Err(errno) = answer {
            assert!(row.errnos.contains(&errno), "{} may not give {errno:?}", row.name);
        }
        answer
    }

    fn path(&self, at: At) -> (RawFd, CString) {
        let (dir, text) = match at {
            At::Base(path) => (self.root, path.to_owned()),
            At::Group(group, file) => (CWD, self.groups.path(group, file)),
            At::Slot(slot, path) => (self.slots[slot], path.to_owned()),
            At::Whole(path) => (CWD, format!("{}/{path}", self.base)),
        };
        (dir, CString::new(text.replace('#', &"n".repeat(256))).unwrap())
    }

    /// Keeps a new number in a slot.
    pub(super) fn keep(&mut self, slot: usize, fd: u64) -> String {
        let fd = RawFd::try_from(fd).unwrap();
        self.open.insert(fd);
        self.slots[slot] = fd;
        format!("#{slot}")
    }

    fn name(&mut self, step: &Step) -> Result<String, Errno> {
        let done = match *step {
            Step::Chmod { at, mode } => {
                let (dir, path) = self.path(at);
                self.ask(Call::Fchmodat { dir, path: &path, mode })
            }
            Step::Mkdir { at } => {
                let (dir, path) = self.path(at);
                self.ask(Call::Mkdirat { dir, path: &path, mode: 0o755 })
            }
            Step::Mknod { at, mode } => {
                let (dir, path) = self.path(at);
                self.ask(Call::Mknodat { dir, path: &path, mode, device: 0 })
            }
            Step::Readlink { at } => {
                let (dir, path) = self.path(at);
                let room = [const { Cell::new(0) }; 512];
                let count = self.ask(Call::Readlinkat { dir, path: &path, buf: &room })?;
                return Ok(bytes(&room, count).replace(&self.base, "$"));
            }
            Step::Rename { from, to, flags } => {
                let ((from_dir, from), (to_dir, to)) = (self.path(from), self.path(to));
                self.ask(Call::Renameat2 { from_dir, from: &from, to_dir, to: &to, flags })
            }
            Step::Stat { at, flags } => {
                let (dir, path) = self.path(at);
                return self.kernel.stat(dir, &path, flags).map(|stat| self.described(&stat));
            }
            Step::Symlink { target, at } => {
                let (dir, path) = self.path(at);
                let target = CString::new(target.replace('$', &self.base)).unwrap();
                self.ask(Call::Symlinkat { target: &target, dir, path: &path })
            }
            Step::Unlink { at, flags } => {
                let (dir, path) = self.path(at);
                self.ask(Call::Unlinkat { dir, path: &path, flags })
            }
            _ => unreachable!("{step:?} is no step on names"),
        };
        done.map(|value| value.to_string())
    }

    /// Says of an inode what every file system says, and in which slots it is open.
    fn described(&self, stat: &Stat) -> String {
        let open: Vec<usize> = (0..SLOTS)
            .filter(|slot| {
                let there = self.kernel.stat(self.slots[*slot], c"", flags::AT_EMPTY_PATH);
                there.is_ok_and(|there| (there.device, there.inode) == (stat.device, stat.inode))
            })
            .collect();
        let mode = stat.mode;
        match mode & flags::S_IFMT {
            flags::S_IFDIR => format!("{mode:o} alive {} in {open:?}", stat.links > 0),
            flags::S_IFREG => {
                format!("{mode:o} links {} size {} in {open:?}", stat.links, stat.size)
            }
            _ => format!("{mode:o} links {} in {open:?}", stat.links),
        }
    }

    fn number(&mut self, step: &Step) -> Result<String, Errno> {
        match *step {
            Step::Close { fd } => {
                let fd = self.slots[fd];
                self.ask(Call::Close { fd })?;
                self.forget(fd, fd);
                Ok("closed".to_owned())
            }
            Step::CloseRange { first, last, flags } => {
                let [from, to] = [first, last].map(|slot| self.high + i32::try_from(slot).unwrap());
                let [first, last] = [from, to].map(i32::cast_unsigned);
                self.ask(Call::CloseRange { first, last, flags })?;
                if flags == 0 {
                    self.forget(from, to);
                }
                Ok("closed".to_owned())
            }
            Step::Dup { old, to, flags } => {
                let (old, new) = (self.slots[old], self.high + i32::try_from(to).unwrap());
                let fd = self.ask(Call::Dup3 { old, new, flags })?;
                Ok(self.keep(to, fd))
            }
            Step::DupOver { old, new, flags } => {
                // Whether a number that is not open may be given depends on limits.
                if self.slots[new] == NOTHING {
                    return Ok("nothing there".to_owned());
                }
                let fd =
                    self.ask(Call::Dup3 { old: self.slots[old], new: self.slots[new], flags })?;
                Ok(self.keep(new, fd))
            }
            Step::Open { at, flags, resolve, to } => {
                let (dir, path) = self.path(at);
                let mode = if flags & flags::O_CREAT == 0 { 0 } else { 0o644 };
                let fd = self.ask(Call::Openat2 { dir, path: &path, flags, mode, resolve })?;
                Ok(self.keep(to, fd))
            }
            Step::Pipe { to } => {
                let flags = u32::try_from(flags::O_CLOEXEC | flags::O_NONBLOCK).unwrap();
                self.pair(to, |ends| Call::Pipe2 { ends, flags })
            }
            Step::Reopen { fd, flags, to } => {
                let path = CString::new(format!("/proc/self/fd/{}", self.slots[fd])).unwrap();
                let path = path.as_c_str();
                let fd = self.ask(Call::Openat2 { dir: CWD, path, flags, mode: 0, resolve: 0 })?;
                Ok(self.keep(to, fd))
            }
            Step::Socketpair { kind, to } => {
                self.pair(to, |ends| Call::Socketpair { domain: flags::AF_UNIX, kind, ends })
            }
            _ => unreachable!("{step:?} is no step on numbers"),
        }
    }

    /// Returns what the number in a slot leads to, as procfs has it.
    pub(super) fn link(&self, slot: usize) -> String {
        let path = CString::new(format!("/proc/self/fd/{}", self.slots[slot])).unwrap();
        let link = self.kernel.read_link(CWD, &path).unwrap_or_default();
        String::from_utf8_lossy(&link).into_owned()
    }

    fn forget(&mut self, first: RawFd, last: RawFd) {
        self.open.retain(|fd| !(first..=last).contains(fd));
        for slot in &mut self.slots {
            if !self.open.contains(slot) {
                *slot = NOTHING;
            }
        }
    }

    fn pair<'e>(
        &mut self,
        to: [usize; 2],
        call: impl for<'a> FnOnce(&'a [Cell<u8>]) -> Call<Live<'a>> + 'e,
    ) -> Result<String, Errno> {
        let ends = [const { Cell::new(0) }; 8];
        self.ask(call(&ends))?;
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| ends[at + i].get()));
        let [a, b] = [0, 4].map(|at| u64::from(word(at)));
        Ok(self.keep(to[0], a) + &self.keep(to[1], b))
    }

    fn file(&mut self, step: &Step) -> Result<String, Errno> {
        let done = match *step {
            Step::Fcntl { fd, command, argument } => {
                let value = self.ask(Call::Fcntl { fd: self.slots[fd], command, argument })?;
                let kept = if command == flags::F_GETFL { value & !LARGE } else { value };
                return Ok(format!("{kept:o}"));
            }
            Step::Flock { fd, operation } => {
                self.ask(Call::Flock { fd: self.slots[fd], operation })
            }
            Step::List { fd } => return self.listed(self.slots[fd]),
            Step::Lseek { fd, offset, whence } => {
                let there = self.kernel.stat(self.slots[fd], c"", flags::AT_EMPTY_PATH);
                if whence == 2 && there.is_ok_and(|there| there.is_directory()) {
                    return Ok("each file system has an end of its own".to_owned());
                }
                let offset = offset.cast_unsigned();
                self.ask(Call::Lseek { fd: self.slots[fd], offset, whence })
            }
            Step::Poll { fds, events } => {
                let seen = self.kernel.poll(fds.map(|slot| (self.slots[slot], events)), 0)?;
                // That a process was waited for is told since Linux 6.9.
                let told = |at| if self.is_process(fds[at]) { !flags::POLLHUP } else { !0 };
                let seen = [0, 1].map(|at| seen[at] & told(at));
                return Ok(format!("{seen:x?}"));
            }
            Step::Read { fd, len } => {
                let room = [const { Cell::new(0) }; 64];
                let count = self.ask(Call::Read { fd: self.slots[fd], buf: &room[..len] })?;
                return Ok(bytes(&room, count));
            }
            Step::Receive { socket, len, to } => {
                let room = [const { Cell::new(0) }; 64];
                let socket = self.slots[socket];
                let answer = self.ask(Call::RecvFd { socket, buf: &room[..len] })?;
                let (fd, count) = (answer >> 32, answer & 0xffff_ffff);
                let brought = u32::MAX != u32::try_from(fd).unwrap();
                let kept = if brought { self.keep(to, fd) } else { String::new() };
                return Ok(bytes(&room, count) + &kept);
            }
            Step::Send { socket, text } => {
                self.ask(Call::Send { socket: self.slots[socket], bytes: text.as_bytes() })
            }
            Step::SendFd { socket, text, fd } => {
                let (socket, fd) = (self.slots[socket], self.slots[fd]);
                self.ask(Call::SendFd { socket, bytes: text.as_bytes(), fd })
            }
            Step::Truncate { fd, length } => {
                self.ask(Call::Ftruncate { fd: self.slots[fd], length })
            }
            Step::Write { fd, text } => {
                self.ask(Call::Write { fd: self.slots[fd], bytes: text.as_bytes() })
            }
            _ => unreachable!("{step:?} is no step on open files"),
        };
        done.map(|value| value.to_string())
    }

    fn listed(&self, fd: RawFd) -> Result<String, Errno> {
        let mut entries = self.kernel.entries(fd)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if entries.iter().any(|entry| entry.name == "cgroup.procs") {
            // Each version has files of its own.
            entries.retain(|entry| entry.kind == Kind::Directory);
        }
        let one = |entry: &cofferdam::sys::Entry| match entry.kind {
            Kind::Directory => format!("{}/", entry.name),
            Kind::Fifo => format!("{}|", entry.name),
            Kind::Link => format!("{}@", entry.name),
            _ => entry.name.clone(),
        };
        Ok(entries.iter().map(one).collect::<Vec<_>>().join(" "))
    }
}

/// Returns what a kernel has written into a room.
pub(super) fn bytes(room: &[Cell<u8>], count: u64) -> String {
    let count = usize::try_from(count).unwrap();
    let bytes: Vec<u8> = room.iter().take(count).map(Cell::get).collect();
    format!("{:?}", String::from_utf8_lossy(&bytes))
}
