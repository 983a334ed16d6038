//! What a law stands on: a kernel, an empty directory, cgroups, two executables.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::CString;

use cofferdam::sys::{
    Act, Builder, CWD, Call, Child, Compiled, Errno, Fd, Handle, Kernel, OnError, Program, RawFd,
    Slot, Syscalls, flags,
};

/// A kernel, and what a law may use of it.
pub(crate) struct Ground<'k, K: Kernel> {
    pub(crate) kernel: &'k K,
    pub(crate) place: &'k Place,
    /// Why the law could not be checked, if it could not.
    pub(crate) missed: RefCell<Vec<String>>,
}

/// The directories of one law. Those of cgroups need not be there yet.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// An empty directory.
    pub(crate) directory: String,
    /// A directory for each controller of cgroup v1, by the controller's name.
    pub(crate) v1: BTreeMap<String, String>,
    /// A directory of cgroup v2.
    pub(crate) v2: Option<String>,
    /// Where the tree of a controller of v1 is mounted, and under no name that of v2.
    pub(crate) tops: BTreeMap<String, String>,
    /// How the program that does what its name says is executed.
    pub(crate) programs: BTreeMap<&'static str, Vec<String>>,
}

/// A child with its maker's end of the socket; it does not outlive the law.
pub(crate) struct Born<'k, K: Kernel> {
    kernel: &'k K,
    pub(crate) pid: u32,
    pub(crate) fd: Fd<'k, K>,
    pub(crate) socket: Fd<'k, K>,
}

impl<'k, K: Kernel> Ground<'k, K> {
    /// Returns a path in the law's own directory.
    pub(crate) fn at(&self, path: &str) -> CString {
        crate::name(format!("{}/{path}", self.place.directory))
    }

    pub(crate) fn open(&self, path: &str, how: u64) -> Result<Fd<'k, K>, Errno> {
        self.kernel.open_with(CWD, &self.at(path), how, mode(how))
    }

    /// Says why the law cannot be checked here.
    pub(crate) fn miss(&self, why: impl Into<String>) {
        self.missed.borrow_mut().push(why.into());
    }

    /// Opens a path wherever it is.
    pub(crate) fn open_absolute(&self, path: &str, how: u64) -> Result<Fd<'k, K>, Errno> {
        self.kernel.open_with(CWD, &crate::name(path), how, mode(how))
    }

    /// Makes a file with that content.
    pub(crate) fn file(&self, path: &str, content: &[u8]) {
        let file = self.open(path, flags::O_CREAT | flags::O_TRUNC | flags::O_WRONLY).unwrap();
        self.kernel.write_all(file.raw(), content).unwrap();
    }

    pub(crate) fn directory(&self, path: &str) {
        self.kernel.mkdir(CWD, &self.at(path), 0o755).unwrap();
    }

    pub(crate) fn symlink(&self, target: &str, path: &str) {
        let (target, path) = (crate::name(target), self.at(path));
        self.kernel.call(Call::Symlinkat { target: &target, dir: CWD, path: &path }).unwrap();
    }

    pub(crate) fn fifo(&self, path: &str) {
        let mode = flags::S_IFIFO | 0o600;
        let path = self.at(path);
        self.kernel.call(Call::Mknodat { dir: CWD, path: &path, mode, device: 0 }).unwrap();
    }

    pub(crate) fn content(&self, path: &str) -> Vec<u8> {
        let file = self.open(path, 0).unwrap();
        self.kernel.read_all(file.raw()).unwrap()
    }

    /// Reads a file wherever it is.
    pub(crate) fn read(&self, path: &str) -> Result<String, Errno> {
        let file = self.open_absolute(path, 0)?;
        self.kernel.read_all(file.raw()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes to a file wherever it is, once.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<(), Errno> {
        let file = self.open_absolute(path, flags::O_WRONLY)?;
        self.kernel.write(file.raw(), text.as_bytes()).map(drop)
    }

    pub(crate) fn call(&self, call: Call<cofferdam::sys::Live<'_>>) -> Result<u64, Errno> {
        self.kernel.call(call)
    }

    /// Makes a child that performs a program, given one end of a socket.
    pub(crate) fn spawn(&self, program: &Program, how: How<'_>) -> Result<Born<'k, K>, Errno> {
        let [socket, theirs] = self.kernel.socketpair().unwrap();
        let given = [theirs.raw()];
        let (pid, fd) = self.kernel.spawn(Child {
            namespaces: how.namespaces,
            cgroup: how.cgroup,
            tasks: how.tasks,
            given: &given,
            mapped: how.mapped,
            code: program.code(),
        })?;
        Ok(Born { kernel: self.kernel, pid, fd, socket })
    }

    /// Makes a child that sleeps.
    pub(crate) fn sleeper(&self) -> Born<'k, K> {
        self.spawn(&sleep(), How::default()).unwrap()
    }

    /// Makes a child that performs a program and then waits to be told something, or to be killed.
    pub(crate) fn paused(&self, how: How<'_>, write: impl FnOnce(&mut Builder)) -> Born<'k, K> {
        let mut builder = Builder::new(1);
        write(&mut builder);
        add_pause(&mut builder);
        let born = self.spawn(&builder.finish(), how).unwrap();
        assert_eq!(born.hear(), b"?");
        born
    }

    /// Returns whether the law has a capability; says so where it has not.
    pub(crate) fn is_capable(&self, capability: u32) -> bool {
        let page = self.read("/proc/self/status").unwrap();
        let set = page.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
        let has = u64::from_str_radix(set, 16).unwrap() >> capability & 1 != 0;
        if !has {
            self.miss(format!("no capability {capability}"));
        }
        has
    }

    /// Makes a child that performs a program and then sleeps; it does so when this returns.
    pub(crate) fn slept(&self, write: impl FnOnce(&mut Builder)) -> Born<'k, K> {
        let mut builder = Builder::new(1);
        write(&mut builder);
        exec(&mut builder, &["/bin/sleep", "1000"]);
        let born = self.spawn(&builder.finish(), How::default()).unwrap();
        // Its end of the socket is closed by execve(2), which tells its arguments a moment later.
        assert_eq!(born.hear(), b"");
        let told = || self.read(&format!("/proc/{}/cmdline", born.pid)).unwrap();
        while told() != "/bin/sleep\x001000\0" {
            std::thread::yield_now();
        }
        born
    }

    /// Makes a child that performs a program and then becomes the named one.
    pub(crate) fn named(
        &self,
        name: &str,
        how: How<'_>,
        write: impl FnOnce(&mut Builder),
    ) -> Born<'k, K> {
        let argv: Vec<&str> = self.place.programs[name].iter().map(String::as_str).collect();
        let mut builder = Builder::new(1);
        write(&mut builder);
        exec(&mut builder, &argv);
        self.spawn(&builder.finish(), how).unwrap()
    }

    /// Performs a program alone in namespaces of its own and returns how it ended: the operation
    /// that failed and why, or nothing.
    pub(crate) fn alone(
        &self,
        namespaces: u64,
        write: impl FnOnce(&mut Builder),
    ) -> Option<(u16, Errno)> {
        let mut builder = Builder::new(1);
        write(&mut builder);
        let program = builder.finish();
        let born = self.spawn(&program, How { namespaces, ..How::default() }).unwrap();
        let mut report = [0; 8];
        let heard = self.kernel.read(born.socket.raw(), &mut report).unwrap().to_vec();
        match *heard {
            [b'F', 0, a, b, c, d] => {
                Some((u16::from_le_bytes([a, b]), Errno(u16::from_le_bytes([c, d]))))
            }
            [] => None,
            _ => panic!("{heard:?} is no report"),
        }
    }
}

/// What a child is given beside its program.
#[derive(Clone, Copy, Default)]
pub(crate) struct How<'a> {
    pub(crate) namespaces: u64,
    pub(crate) cgroup: Option<RawFd>,
    pub(crate) tasks: &'a [RawFd],
    pub(crate) mapped: bool,
}

impl<K: Kernel> Born<'_, K> {
    /// Returns the next message; nothing at the end.
    pub(crate) fn hear(&self) -> Vec<u8> {
        self.kernel.read(self.socket.raw(), &mut [0; 64]).unwrap().to_vec()
    }

    pub(crate) fn signal(&self, signal: u32) -> Result<u64, Errno> {
        self.kernel.call(Call::PidfdSendSignal { fd: self.fd.raw(), signal })
    }

    /// Waits with waitid(2); returns `si_code` and `si_status`.
    pub(crate) fn wait(&self, options: u32) -> Result<(u32, u32), Errno> {
        let info = [const { Cell::new(0) }; 128];
        let fd = self.fd.raw();
        self.kernel.call(Call::Waitid { fd, info: &info[..], options })?;
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| info[at + i].get()));
        Ok((word(8), word(24)))
    }

    /// Waits until the process is a zombie.
    pub(crate) fn poll(&self) {
        self.kernel.poll([(self.fd.raw(), flags::POLLIN)], -1).unwrap();
    }
}

impl<K: Kernel> Drop for Born<'_, K> {
    fn drop(&mut self) {
        let killed = self.signal(flags::SIGKILL).is_ok();
        // A law that failed may have left it frozen, and then it does not end yet.
        if killed && !std::thread::panicking() {
            self.wait(flags::WEXITED).unwrap();
        }
    }
}

/// The socket, as a program names it.
pub(crate) const SOCKET: Handle = Handle::slot(0);

/// Adds an execve(2) that takes no descriptor along.
pub(crate) fn exec(builder: &mut Builder, argv: &[&str]) {
    let (command, argument) = (flags::F_SETFD, flags::FD_CLOEXEC);
    builder.call(Call::Fcntl { fd: SOCKET, command, argument });
    let path = builder.text(argv[0]);
    let argv = builder.list(argv.iter().copied());
    let envp = builder.list([]);
    builder.call(Call::Execve { path, argv, envp });
}

/// Adds a call which has to be refused with that errno, or the program fails.
pub(crate) fn refuse(builder: &mut Builder, call: Call<Compiled>, errno: Errno) {
    let slot = builder.take();
    let refused = builder.open_or_skip(call, slot, &[errno]);
    builder.push(Act::Abort { errno: Errno::EPROTO }, OnError::Fail, Slot::NONE);
    builder.land(refused);
    builder.leave(slot);
}

pub(crate) fn sleep() -> Program {
    let mut builder = Builder::new(1);
    exec(&mut builder, &["/bin/sleep", "1000"]);
    builder.finish()
}

/// Returns a program which writes one byte and waits for another.
pub(crate) fn pause() -> Program {
    let mut builder = Builder::new(1);
    add_pause(&mut builder);
    builder.finish()
}

fn add_pause(builder: &mut Builder) {
    let bytes = builder.block(b"?");
    builder.call(Call::Write { fd: SOCKET, bytes });
    builder.call(Call::Read { fd: SOCKET, buf: cofferdam::sys::Room { len: 1 } });
}

const fn mode(how: u64) -> u64 {
    if how & flags::O_CREAT == 0 { 0 } else { 0o644 }
}

/// Performs a program in a mount namespace whose changes stay inside.
pub(crate) fn apart<K: Kernel>(
    ground: &Ground<'_, K>,
    write: impl FnOnce(&mut Builder, &dyn Fn(&str) -> String),
) -> Option<(u16, Errno)> {
    ground.alone(flags::CLONE_NEWNS, |b| within(ground, b, write))
}

/// Returns the lines of mountinfo below the law's own directory after such a program.
pub(crate) fn mount_lines<K: Kernel>(
    ground: &Ground<'_, K>,
    write: impl FnOnce(&mut Builder, &dyn Fn(&str) -> String),
) -> Vec<String> {
    let how = How { namespaces: flags::CLONE_NEWNS, ..How::default() };
    let born = ground.paused(how, |b| within(ground, b, write));
    let text = ground.read(&format!("/proc/{}/mountinfo", born.pid)).unwrap();
    let below = |line: &&str| place(line).starts_with(&format!("{}/", ground.place.directory));
    text.lines().filter(below).map(ToOwned::to_owned).collect()
}

fn within<K: Kernel>(
    ground: &Ground<'_, K>,
    b: &mut Builder,
    write: impl FnOnce(&mut Builder, &dyn Fn(&str) -> String),
) {
    mount(b, ["", "/", ""], flags::MS_PRIVATE | flags::MS_REC);
    write(b, &|path| ground.at(path).into_string().unwrap());
}

/// Returns where a mount lies, of a line of mountinfo.
pub(crate) fn place(line: &str) -> &str {
    line.split(' ').nth(4).unwrap()
}

/// Returns a mount(2) of a source on a target, of a kind.
pub(crate) fn mounting(b: &mut Builder, texts: [&str; 3], flags: u64) -> Call<Compiled> {
    let [source, target, kind] = texts.map(|text| b.text(text));
    let data = b.text("");
    Call::Mount { source, target, kind, flags, data }
}

/// Adds one that must succeed.
pub(crate) fn mount(b: &mut Builder, texts: [&str; 3], flags: u64) {
    let call = mounting(b, texts, flags);
    b.call(call);
}
