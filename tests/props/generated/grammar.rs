//! What a program can be: steps with operands out of short lists, picked by a seed.

use cofferdam::sys::flags;

/// How many descriptors a program can name.
pub(crate) const SLOTS: usize = 6;

/// How many children a program can name.
pub(crate) const CHILDREN: usize = 3;

/// `O_NONBLOCK` of a socket's type, and flags of open(2) that only some programs give.
const NONBLOCK: u32 = 0o4000;

/// The steps of a program.
#[derive(Clone, Debug)]
pub(crate) struct Program(pub(crate) Vec<Step>);

/// A name: from the program's own directory on, from a descriptor on, or from the root on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    Base(&'static str),
    /// A cgroup, or a file of it.
    Group(Group, &'static str),
    Slot(usize, &'static str),
    Whole(&'static str),
}

/// A cgroup by its name from the program's own directory of a tree on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) tree: Tree,
    pub(crate) name: &'static str,
}

/// The freezer's tree of version 1, or version 2.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tree {
    One,
    Two,
}

/// What a child does once it is born.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Life {
    Exits,
    /// It sends a byte and waits for one.
    Pauses,
    Sleeps,
}

/// One call, or a few that make one question. Descriptors are named by slot.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Chmod {
        at: At,
        mode: u32,
    },
    Close {
        fd: usize,
    },
    /// Of the numbers that [`Step::Dup`] gives.
    CloseRange {
        first: usize,
        last: usize,
        flags: u32,
    },
    /// Makes a copy at the number that belongs to the slot.
    Dup {
        old: usize,
        to: usize,
        flags: u32,
    },
    /// Makes a copy at the number that a slot has.
    DupOver {
        old: usize,
        new: usize,
        flags: u32,
    },
    Fcntl {
        fd: usize,
        command: u32,
        argument: u64,
    },
    Flock {
        fd: usize,
        operation: u32,
    },
    Get {
        group: Group,
        file: &'static str,
    },
    Join {
        group: Group,
        file: &'static str,
        child: usize,
    },
    /// By number, and only where nobody else can have it.
    Kill {
        child: usize,
        signal: u32,
    },
    List {
        fd: usize,
    },
    Lseek {
        fd: usize,
        offset: i64,
        whence: u32,
    },
    Mkdir {
        at: At,
    },
    Mknod {
        at: At,
        mode: u32,
    },
    Open {
        at: At,
        flags: u64,
        resolve: u64,
        to: usize,
    },
    PidfdOpen {
        child: usize,
        to: usize,
    },
    Pipe {
        to: [usize; 2],
    },
    Poll {
        fds: [usize; 2],
        events: u32,
    },
    Put {
        group: Group,
        file: &'static str,
        text: &'static str,
    },
    Read {
        fd: usize,
        len: usize,
    },
    Readlink {
        at: At,
    },
    Receive {
        socket: usize,
        len: usize,
        to: usize,
    },
    Rename {
        from: At,
        to: At,
        flags: u32,
    },
    /// Through `/proc/self/fd`.
    Reopen {
        fd: usize,
        flags: u64,
        to: usize,
    },
    Send {
        socket: usize,
        text: &'static str,
    },
    SendFd {
        socket: usize,
        text: &'static str,
        fd: usize,
    },
    Signal {
        fd: usize,
        signal: u32,
    },
    Socketpair {
        kind: u32,
        to: [usize; 2],
    },
    /// Makes a child; gives its pidfd and this end of its socket.
    Spawn {
        child: usize,
        life: Life,
        group: Option<Group>,
        to: [usize; 2],
    },
    Stat {
        at: At,
        flags: u32,
    },
    Symlink {
        target: &'static str,
        at: At,
    },
    Truncate {
        fd: usize,
        length: u64,
    },
    Unlink {
        at: At,
        flags: u32,
    },
    Wait {
        fd: usize,
        options: u32,
    },
    Write {
        fd: usize,
        text: &'static str,
    },
}

/// Names that a program uses; `$` is its own directory, and `#` a name one byte too long.
const PATHS: [&str; 24] = [
    "a",
    "a",
    "a",
    "b",
    "b",
    "b",
    "c",
    "c",
    "a/b",
    "a/b",
    "b/a",
    "a/c",
    "c/b",
    "./a",
    "a/",
    "b/",
    "a/.",
    "a/..",
    "a/../b",
    "..",
    ".",
    "nothing/a",
    "a/b/c",
    "#",
];

/// Where links lead.
const TARGETS: [&str; 14] = [
    "a",
    "b",
    "c",
    "a/b",
    "b/a",
    "..",
    ".",
    "nothing",
    "b/",
    "a/..",
    "$/a",
    "$/b",
    "$",
    "nothing/a",
];

const TEXTS: [&str; 5] = ["x", "hello", "", "two words", "0123456789abcdef"];

/// The flags of open(2) that are tried together with an access mode.
const OPENS: [u64; 14] = [
    0,
    0,
    flags::O_CREAT,
    flags::O_CREAT,
    flags::O_CREAT,
    flags::O_CREAT | flags::O_EXCL,
    flags::O_CREAT | flags::O_TRUNC,
    flags::O_TRUNC,
    flags::O_CREAT | flags::O_APPEND,
    flags::O_DIRECTORY,
    flags::O_NOFOLLOW,
    flags::O_CREAT | flags::O_NOFOLLOW,
    flags::O_DIRECTORY | flags::O_NOFOLLOW,
    flags::O_CLOEXEC,
];

impl Program {
    /// Returns the program of a seed, which has cgroups of those trees.
    pub(crate) fn of(seed: u64, trees: &[Tree]) -> Self {
        let mut dice = Dice(seed);
        let count = 5 + dice.below(16);
        let (lives, tree) = match dice.below(8) {
            0 | 1 => (true, None),
            2 | 3 if !trees.is_empty() => (true, Some(dice.pick(trees))),
            _ => (false, None),
        };
        let mut step = || match (dice.below(6), tree) {
            (0..3, Some(tree)) => dice.grouping(tree),
            (0..2, None) | (3, Some(_)) if lives => dice.living(),
            _ => dice.step(),
        };
        Self((0..count).map(|_| step()).collect())
    }
}

/// Numbers that look random and are the same on every machine (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(super) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    pub(super) fn slot(&mut self) -> usize {
        self.below(SLOTS)
    }

    pub(super) fn slots(&mut self) -> [usize; 2] {
        let first = self.slot();
        [first, (first + 1 + self.below(SLOTS - 1)) % SLOTS]
    }

    fn at(&mut self) -> At {
        let path = self.pick(&PATHS);
        match self.below(6) {
            0 | 1 => At::Slot(self.slot(), path),
            2 => At::Whole(path),
            _ => At::Base(path),
        }
    }

    fn step(&mut self) -> Step {
        match self.below(20) {
            0..5 => self.opening(),
            5..10 => self.naming(),
            10..15 => self.numbering(),
            15..18 => self.moving(),
            _ => self.talking(),
        }
    }

    /// Gives a descriptor.
    fn opening(&mut self) -> Step {
        let to = self.slot();
        match self.below(10) {
            0 => Step::Pipe { to: self.slots() },
            1 => {
                let kind = self.pick(&[flags::SOCK_SEQPACKET, flags::SOCK_STREAM]) | NONBLOCK;
                Step::Socketpair { kind, to: self.slots() }
            }
            2 => {
                let fd = self.slot();
                Step::Reopen { fd, flags: self.access() | flags::O_NONBLOCK, to }
            }
            _ => {
                let at = self.at();
                let resolve = match (self.below(2), at) {
                    (0, At::Base(_) | At::Slot(..)) => self.pick(&[
                        flags::RESOLVE_BENEATH,
                        flags::RESOLVE_IN_ROOT,
                        flags::RESOLVE_NO_SYMLINKS,
                        flags::RESOLVE_NO_MAGICLINKS,
                        flags::RESOLVE_NO_XDEV,
                        flags::RESOLVE_BENEATH | flags::RESOLVE_IN_ROOT,
                        1 << 30,
                    ]),
                    _ => 0,
                };
                Step::Open { at, flags: self.open_flags(), resolve, to }
            }
        }
    }

    pub(super) fn access(&mut self) -> u64 {
        self.pick(&[flags::O_RDONLY, flags::O_WRONLY, flags::O_RDWR])
    }

    fn open_flags(&mut self) -> u64 {
        if self.below(6) == 0 {
            return flags::O_PATH
                | self.pick(&[
                    0,
                    0,
                    flags::O_NOFOLLOW,
                    flags::O_DIRECTORY,
                    flags::O_CLOEXEC,
                    flags::O_NONBLOCK,
                ]);
        }
        self.access() | self.pick(&OPENS) | flags::O_NONBLOCK
    }

    /// Makes, removes or describes a name.
    fn naming(&mut self) -> Step {
        let at = self.at();
        match self.below(13) {
            0 | 1 => Step::Mkdir { at },
            2 => {
                let mode = self.pick(&[flags::S_IFIFO, flags::S_IFIFO, flags::S_IFREG, 0]);
                Step::Mknod { at, mode: mode | 0o600 }
            }
            3 | 4 => Step::Symlink { target: self.pick(&TARGETS), at },
            5 | 6 => Step::Unlink { at, flags: self.pick(&[0, flags::AT_REMOVEDIR, 0, 1 << 30]) },
            7 | 8 => {
                let flags = self.pick(&[0, flags::RENAME_NOREPLACE]);
                Step::Rename { from: at, to: self.at(), flags }
            }
            9 => Step::Readlink { at },
            10 => Step::Chmod { at, mode: self.pick(&[0o644, 0o755, 0o4711]) },
            _ => {
                let at = if self.below(3) == 0 { At::Slot(self.slot(), "") } else { at };
                let how = [0, flags::AT_SYMLINK_NOFOLLOW, flags::AT_EMPTY_PATH];
                Step::Stat { at, flags: self.pick(&how) }
            }
        }
    }

    /// Does something to a number, or asks it something.
    fn numbering(&mut self) -> Step {
        let fd = self.slot();
        let cloexec = self.pick(&[0, 0o2_000_000, 1]);
        match self.below(9) {
            0 | 1 => Step::Close { fd },
            2 => {
                let flags = self.pick(&[0, 0, flags::CLOSE_RANGE_CLOEXEC, 1]);
                Step::CloseRange { first: fd, last: self.slot(), flags }
            }
            3 => Step::Dup { old: fd, to: self.slot(), flags: cloexec },
            4 => Step::DupOver { old: fd, new: self.slot(), flags: cloexec },
            5 => {
                let (command, argument) = self.pick(&[
                    (flags::F_GETFD, 0),
                    (flags::F_SETFD, flags::FD_CLOEXEC),
                    (flags::F_SETFD, 0),
                    (flags::F_GETFL, 0),
                    (flags::F_SETFL, flags::O_NONBLOCK),
                    (flags::F_SETFL, flags::O_NONBLOCK | flags::O_APPEND),
                    (999, 0),
                ]);
                Step::Fcntl { fd, command, argument }
            }
            6 => {
                let operation =
                    self.pick(&[flags::LOCK_SH, flags::LOCK_EX, flags::LOCK_EX, flags::LOCK_UN, 0]);
                Step::Flock { fd, operation: operation | flags::LOCK_NB }
            }
            _ => {
                let events = self.pick(&[flags::POLLIN, flags::POLLIN | flags::POLLOUT, 0]);
                Step::Poll { fds: self.slots(), events }
            }
        }
    }

    /// Reads, writes, lists.
    fn moving(&mut self) -> Step {
        let fd = self.slot();
        match self.below(10) {
            0..3 => Step::Write { fd, text: self.pick(&TEXTS) },
            3..6 => Step::Read { fd, len: self.pick(&[8, 8, 1, 0, 64]) },
            6 => Step::List { fd },
            7 => Step::Truncate { fd, length: self.pick(&[0, 3, 40]) },
            _ => Step::Lseek {
                fd,
                offset: self.pick(&[0, 2, -1, 20]),
                whence: self.pick(&[0, 0, 1, 2, 9]),
            },
        }
    }

    /// Sends and receives.
    fn talking(&mut self) -> Step {
        let socket = self.slot();
        match self.below(5) {
            0 => Step::Send { socket, text: self.pick(&TEXTS) },
            1 | 2 => Step::SendFd { socket, text: self.pick(&TEXTS), fd: self.slot() },
            _ => Step::Receive { socket, len: self.pick(&[16, 2, 16]), to: self.slot() },
        }
    }
}
