//! The Linux backend on the kernel that runs the tests.
//!
//! Needs root, and a machine to spare: run it
//! in a virtual one.

#![cfg(all(feature = "linux", target_os = "linux"))]

mod calls;
mod cgroups;
mod constants;
mod names;
mod programs;
mod spawn;

use std::cell::Cell;
use std::env;
use std::ffi::CString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use cofferdam::backend::linux::Linux;
use cofferdam::sys::{
    Builder, Call, Child, Errno, Fd, Handle, Kernel, Program, RawFd, Room, Syscalls, flags,
};

/// What a child is given beside its program.
#[derive(Clone, Copy, Debug, Default)]
struct How<'a> {
    namespaces: u64,
    cgroup: Option<RawFd>,
    tasks: &'a [RawFd],
    more: &'a [RawFd],
    mapped: bool,
}

/// A child with its maker's end of the socket; it does not outlive the test.
#[derive(Debug)]
struct Born {
    pid: u32,
    fd: Fd<'static, Linux>,
    socket: Fd<'static, Linux>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Exited(i32),
    Killed(i32),
}

impl Born {
    fn try_of(program: &Program, how: How<'_>) -> Result<Self, Errno> {
        let [socket, theirs] = Linux.socketpair()?;
        let given: Vec<RawFd> =
            [theirs.raw()].into_iter().chain(how.more.iter().copied()).collect();
        let born = Linux.spawn(Child {
            namespaces: how.namespaces,
            cgroup: how.cgroup,
            tasks: how.tasks,
            given: &given,
            mapped: how.mapped,
            code: program.code(),
        });
        let (pid, fd) = match born {
            Err(Errno::EPERM) => panic!("not permitted: the tests of the Linux backend need root"),
            born => born?,
        };
        Ok(Self { pid, fd, socket })
    }

    fn of(program: &Program, how: How<'_>) -> Self {
        Self::try_of(program, how).expect("a child is born")
    }

    /// Returns the next message; nothing at the end.
    fn hear(&self) -> Vec<u8> {
        let mut room = [0; 64];
        Linux.read(self.socket.raw(), &mut room).expect("a message").to_vec()
    }

    fn say(&self) {
        assert_eq!(Linux.write(self.socket.raw(), b"!"), Ok(1));
    }

    fn end(&self) -> End {
        let info = [const { Cell::new(0) }; 128];
        let (fd, options) = (self.fd.raw(), flags::WEXITED);
        Linux.call(Call::Waitid { fd, info: &info[..], options }).expect("a child to wait for");
        let word = |at: usize| i32::from_le_bytes(std::array::from_fn(|i| info[at + i].get()));
        assert_eq!(word(0), 17, "si_signo");
        match word(8).cast_unsigned() {
            flags::CLD_EXITED => End::Exited(word(24)),
            _ => End::Killed(word(24)),
        }
    }

    /// Returns a line of the child's status file.
    fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.expect("the field").trim().to_string()
    }
}

impl Drop for Born {
    fn drop(&mut self) {
        let fd = self.fd.raw();
        if Linux.call(Call::PidfdSendSignal { fd, signal: flags::SIGKILL }).is_ok() {
            let info = [const { Cell::new(0) }; 128];
            let waited = Linux.call(Call::Waitid { fd, info: &info[..], options: flags::WEXITED });
            assert!(matches!(waited, Ok(_) | Err(Errno::ECHILD)));
        }
    }
}

/// The socket, as a program names it.
const SOCKET: Handle = Handle::slot(0);

fn program(write: impl FnOnce(&mut Builder)) -> Program {
    program_given(1, write)
}

fn program_given(given: u8, write: impl FnOnce(&mut Builder)) -> Program {
    let mut builder = Builder::new(given);
    write(&mut builder);
    builder.finish()
}

/// Says something and waits for an answer.
fn pause(builder: &mut Builder) {
    let bytes = builder.block(b"?");
    builder.call(Call::Write { fd: SOCKET, bytes });
    builder.call(Call::Read { fd: SOCKET, buf: Room { len: 1 } });
}

fn exec(builder: &mut Builder, argv: &[&str]) {
    let (command, argument) = (flags::F_SETFD, flags::FD_CLOEXEC);
    builder.call(Call::Fcntl { fd: SOCKET, command, argument });
    let path = builder.text(argv[0]);
    let argv = builder.list(argv.iter().copied());
    let envp = builder.list(["A=1", "B="]);
    builder.call(Call::Execve { path, argv, envp });
}

/// Runs a command with its output in a pipe; returns the output.
fn output(argv: &[&str], how: How<'_>) -> (End, String) {
    let [read, write] = Linux.pipe().expect("a pipe");
    let program = program_given(2, |b| {
        let old = Handle::slot(1);
        b.call(Call::Dup3 { old, new: Handle(1), flags: 0 });
        b.call(Call::Close { fd: old });
        exec(b, argv);
    });
    let born = Born::of(&program, How { more: &[write.raw()], ..how });
    drop(write);
    let output = Linux.read_all(read.raw()).expect("output");
    (born.end(), String::from_utf8(output).expect("text"))
}

/// Where a test runs that needs a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alone {
    /// In this process, which runs nothing else.
    Here,
    /// In another, which has ended well.
    Elsewhere,
}

/// Runs the test of that name in a process of its own, with a user's rights.
fn alone(test: &str, user: u32) -> Alone {
    const MARK: &str = "COFFERDAM_ALONE";
    if env::var_os(MARK).is_some() {
        return Alone::Here;
    }
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", test, "--nocapture"]).env(MARK, "").current_dir("/");
    let output = command.uid(user).gid(user).output().expect("a process");
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "no test is {test}");
    Alone::Elsewhere
}

fn name(text: impl AsRef<str>) -> CString {
    CString::new(text.as_ref()).expect("no NUL")
}
