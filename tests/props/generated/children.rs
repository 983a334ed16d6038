//! The children of a program: born ready, watched, and gone with it.

use std::cell::Cell;
use std::ffi::CString;

use cofferdam::sys::{
    Builder, CWD, Call, Child, Errno, Fd, Handle, Kernel, Program, RawFd, Room, Syscalls, flags,
};

use super::grammar::{CHILDREN, Life};
use super::groups::Groups;

/// How many milliseconds a child of a busy machine may take for what is expected of it.
const PATIENCE_MS: u32 = 2000;

/// The children, each with a pidfd that the program does not know.
pub(crate) struct Children<'k, K: Kernel> {
    kernel: &'k K,
    settle: &'k dyn Fn(),
    born: Vec<(u32, Fd<'k, K>)>,
    /// Where in `born` the child of each name is.
    names: [Option<usize>; CHILDREN],
}

impl<'k, K: Kernel> Children<'k, K> {
    pub(crate) const fn new(kernel: &'k K, settle: &'k dyn Fn()) -> Self {
        Self { kernel, settle, born: Vec::new(), names: [None; CHILDREN] }
    }

    /// Makes a child and waits until it does what it is made for.
    pub(crate) fn spawn(
        &mut self,
        child: usize,
        life: Life,
        (cgroup, tasks): (Option<RawFd>, &[RawFd]),
    ) -> Result<[u64; 2], Errno> {
        let [mine, theirs] = self.kernel.socketpair()?;
        let (given, program) = ([theirs.raw()], program(life));
        let (pid, fd) = self.kernel.spawn(Child {
            namespaces: 0,
            cgroup,
            tasks,
            given: &given,
            mapped: false,
            code: program.code(),
        })?;
        drop(theirs);
        let ready = match life {
            Life::Exits => fd.raw(),
            // Its byte, or the end that came with its execve.
            Life::Pauses | Life::Sleeps => mine.raw(),
        };
        self.kernel.poll([(ready, flags::POLLIN)], -1)?;
        let kept = [&fd, &mine].map(|fd| self.copy(fd.raw()));
        self.names[child] = Some(self.born.len());
        self.born.push((pid, fd));
        Ok(kept)
    }

    /// Returns a copy that does not wait.
    fn copy(&self, fd: RawFd) -> u64 {
        let (command, argument) = (flags::F_SETFL, flags::O_NONBLOCK);
        self.kernel.call(Call::Fcntl { fd, command, argument }).unwrap();
        let (command, argument) = (flags::F_DUPFD, 0);
        self.kernel.call(Call::Fcntl { fd, command, argument }).unwrap()
    }

    /// Returns the number of a child that nobody has waited for yet.
    pub(crate) fn pid(&self, child: usize) -> Option<u32> {
        let (pid, fd) = &self.born[self.names[child]?];
        self.signal(fd, 0).is_ok().then_some(*pid)
    }

    fn signal(&self, fd: &Fd<'k, K>, signal: u32) -> Result<u64, Errno> {
        self.kernel.call(Call::PidfdSendSignal { fd: fd.raw(), signal })
    }

    /// Names the children whose numbers stand in a list.
    pub(crate) fn named(&self, list: &str) -> String {
        let name = |pid: &str| self.born.iter().position(|(born, _)| born.to_string() == pid);
        let list = list.trim_matches('"').replace("\\n", " ");
        let mut names: Vec<_> = list.split_whitespace().map(name).collect();
        names.sort_unstable();
        format!("{names:?}")
    }

    /// Adds to an answer who is dead by now and how the cgroups are, once that is expected.
    pub(crate) fn beside(
        &self,
        answer: &str,
        groups: &Groups<'k, K>,
        expected: Option<&str>,
    ) -> String {
        (self.settle)();
        for _ in 0..PATIENCE_MS {
            let text = format!("{answer}{}{}", self.dead(), groups.state());
            if expected.is_none_or(|expected| expected == text || !expected.starts_with(answer)) {
                return text;
            }
            self.kernel.poll([], 1).unwrap();
        }
        format!("{answer}{}{}", self.dead(), groups.state())
    }

    fn dead(&self) -> String {
        let one = |(at, (pid, fd)): (usize, &(u32, Fd<'k, K>))| {
            if self.kernel.poll([(fd.raw(), flags::POLLIN)], 0).unwrap() != [0] {
                return format!(", {at} is dead");
            }
            if self.is_stopped(*pid) { format!(", {at} is stopped") } else { String::new() }
        };
        self.born.iter().enumerate().map(one).collect()
    }

    fn is_stopped(&self, pid: u32) -> bool {
        let path = CString::new(format!("/proc/{pid}/stat")).unwrap();
        let file = self.kernel.open(CWD, &path, flags::O_RDONLY).unwrap();
        let text = self.kernel.read_all(file.raw()).unwrap();
        text.split(|byte| *byte == b')').next_back().unwrap().starts_with(b" T")
    }
}

impl<K: Kernel> Drop for Children<'_, K> {
    /// Ends whoever is left.
    fn drop(&mut self) {
        for (_, fd) in &self.born {
            let killed = self.signal(fd, flags::SIGKILL).is_ok();
            // A program that failed may have left it frozen, and then it does not end yet.
            if killed && !std::thread::panicking() {
                self.kernel.poll([(fd.raw(), flags::POLLIN)], -1).unwrap();
                let (fd, info) = (fd.raw(), [const { Cell::new(0) }; 128]);
                let options = flags::WEXITED;
                self.kernel.call(Call::Waitid { fd, info: &info, options }).unwrap();
            }
        }
    }
}

fn program(life: Life) -> Program {
    let (mut builder, socket) = (Builder::new(1), Handle::slot(0));
    match life {
        Life::Exits => {
            builder.call(Call::Exit { status: 3 });
        }
        Life::Pauses => {
            let bytes = builder.block(b"?");
            builder.call(Call::Write { fd: socket, bytes });
            builder.call(Call::Read { fd: socket, buf: Room { len: 1 } });
        }
        Life::Sleeps => {
            // It has nobody to hear from, and goes with the test even where that is killed.
            let (option, a) = (flags::PR_SET_PDEATHSIG, u64::from(flags::SIGKILL));
            builder.call(Call::Prctl { option, a, b: 0, c: 0, d: 0 });
            let (command, argument) = (flags::F_SETFD, flags::FD_CLOEXEC);
            builder.call(Call::Fcntl { fd: socket, command, argument });
            let path = builder.text("/bin/sleep");
            let argv = builder.list(["/bin/sleep", "1000"]);
            let envp = builder.list([]);
            builder.call(Call::Execve { path, argv, envp });
        }
    }
    builder.finish()
}
