//! Terminals: sent to a client, and relayed to the user's own.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};

use cofferdam::backend::linux::Linux;
use cofferdam::sys::{Call, Fd, Kernel, Syscalls, flags};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use serde_json::json;

use super::Cli;

/// A bundle whose container has a terminal.
fn with_terminal(script: &str) -> Cli {
    Cli::edited(script, |config| config["process"]["terminal"] = json!(true))
}

/// The descriptor that a message brings.
pub(super) fn received(stream: &UnixStream) -> Option<Fd<'static, Linux>> {
    let mut block = [0_u8; 64];
    let buf = Cell::from_mut(&mut block[..]).as_slice_of_cells();
    let answer = Linux.call(Call::RecvFd { socket: stream.as_raw_fd(), buf }).unwrap();
    assert_ne!(answer & 0xffff_ffff, 0, "at least one byte of data");
    let fd = i32::try_from(answer >> 32).ok()?;
    Some(Fd::new(fd, &Linux))
}

/// Reads a terminal's master until everybody has closed the other end.
fn read_all(master: &Fd<'static, Linux>) -> String {
    use cofferdam::sys::Errno;
    let mut all = Vec::new();
    let mut block = [0; 4096];
    loop {
        match Linux.read(master.raw(), &mut block) {
            Ok([]) | Err(Errno::EIO) => return String::from_utf8(all).unwrap(),
            Ok(more) => all.extend_from_slice(more),
            Err(errno) => panic!("read the terminal: {errno}"),
        }
    }
}

#[test]
fn a_console_socket_gets_the_master() {
    let cli = with_terminal("tty; test -t 0 && test -t 1 && test -t 2 && echo terminal");
    let listener = UnixListener::bind(cli.path("console.sock")).unwrap();
    cli.done("create --console-socket console.sock cli-console");
    let (stream, _) = listener.accept().unwrap();
    let master = received(&stream).expect("one descriptor");
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let mut rest = String::new();
    (&stream).read_to_string(&mut rest).expect("nobody keeps the socket");
    assert_eq!(rest, "");
    cli.done("start cli-console");
    assert_eq!(read_all(&master), "/dev/pts/0\r\nterminal\r\n");
    cli.await_end("cli-console");
    cli.done("delete cli-console");
}

#[test]
fn exec_sends_its_own_terminal() {
    let cli = Cli::new("exec sleep 100");
    cli.done("run -d cli-exec-tty");
    let listener = UnixListener::bind(cli.path("console.sock")).unwrap();
    let mut command =
        cli.command("exec -d -t --console-socket console.sock cli-exec-tty sh -c tty");
    assert_eq!(cli.finish(&mut command).status, 0);
    let (stream, _) = listener.accept().unwrap();
    let master = received(&stream).expect("one descriptor");
    assert_eq!(read_all(&master), "/dev/pts/0\r\n");
}

#[test]
fn a_terminal_needs_somebody_who_holds_it() {
    let cli = with_terminal("true");
    for line in ["create cli-nobody", "run -d cli-nobody"] {
        let said = cli.say(line);
        let text = "cannot allocate tty if cofferdam will detach without setting console socket\n";
        assert!(said.err.ends_with(text), "{}", said.err);
    }
    let said = cli.say("run --console-socket x cli-nobody");
    let text = "cannot use console socket if cofferdam will not detach or allocate tty\n";
    assert!(said.err.ends_with(text), "{}", said.err);
}

/// The command at a terminal of this test's.
struct Session {
    master: File,
    slave: File,
    child: Child,
}

impl Session {
    fn start(cli: &Cli, line: &str) -> Self {
        let size = Winsize { ws_row: 31, ws_col: 97, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let (master, slave) = (File::from(pty.master), File::from(pty.slave));
        let stream = || Stdio::from(slave.try_clone().unwrap());
        let mut command = cli.command(line);
        let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        Self { master, slave, child }
    }

    /// Reads until `text` was seen.
    fn expect(&mut self, text: &str) {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&seen).contains(text) {
            let come = Linux.poll([(self.master.as_raw_fd(), flags::POLLIN)], 60_000);
            let so_far = String::from_utf8_lossy(&seen);
            assert_ne!(come, Ok([0]), "{so_far:?} and no {text:?}");
            self.master.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
    }

    fn modes(&self) -> LocalFlags {
        tcgetattr(&self.slave).unwrap().local_flags
    }
}

const SHELL: &str = "stty size; echo ready; read line; echo got $line; \
                     trap 'stty size; exit 5' WINCH; echo set; while :; do sleep 0.02; done";

#[test]
fn a_relayed_terminal_is_raw_sized_and_restored() {
    let cli = with_terminal(SHELL);
    let mut session = Session::start(&cli, "run cli-relay");
    let before = session.modes();
    session.expect("31 97\r\nready\r\n");
    assert!(!session.modes().contains(LocalFlags::ICANON), "raw");
    session.master.write_all(b"words\r").unwrap();
    session.expect("got words\r\nset\r\n");
    let (rows, columns) = (40_u16.to_le_bytes(), 120_u16.to_le_bytes());
    let block = [rows, columns, [0; 2], [0; 2]].concat();
    let fd = session.master.as_raw_fd();
    Linux.call(Call::IoctlIn { fd, request: flags::TIOCSWINSZ, block: &block }).unwrap();
    let pid = nix::unistd::Pid::from_raw(session.child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGWINCH).unwrap();
    session.expect("40 120\r\n");
    assert_eq!(session.child.wait().unwrap().code(), Some(5));
    assert_eq!(session.modes(), before, "restored");
    assert_eq!(cli.done("list -q"), "");
}

#[test]
fn exec_relays_a_terminal() {
    let cli = Cli::new("exec sleep 100");
    cli.done("run -d cli-exec-relay");
    let mut session = Session::start(&cli, "exec -t cli-exec-relay sh");
    session.expect("# ");
    session.master.write_all(b"tty; exit 6\r").unwrap();
    session.expect("/dev/pts/0\r\n");
    assert_eq!(session.child.wait().unwrap().code(), Some(6));
    assert!(session.modes().contains(LocalFlags::ICANON), "restored");
}

#[test]
fn the_terminal_is_restored_when_the_container_fails() {
    let cli = Cli::edited("", |config| {
        config["process"]["terminal"] = json!(true);
        config["process"]["args"] = json!(["/bin/busybox-is-not-here"]);
    });
    let mut session = Session::start(&cli, "run cli-relay-fail");
    session.expect("no such file or directory\r\n");
    assert_eq!(session.child.wait().unwrap().code(), Some(1));
    assert!(session.modes().contains(LocalFlags::ICANON), "restored");
}

/// As runc does: the shell of a fresh `config.json` would wait for input that nobody can give.
#[test]
fn a_terminal_is_not_relayed_to_nobody() {
    let cli = with_terminal("echo never");
    let command = cli.command("run cli-alone");
    let mut alone = std::process::Command::new("setsid");
    alone.arg("--wait").arg(command.get_program()).args(command.get_args());
    alone.current_dir(cli.place.path()).stdin(Stdio::null());
    let said = cli.finish(&mut alone);
    let told = "open /dev/tty: no such device or address\n";
    assert!(said.status == 1 && said.err.ends_with(told), "{said:?}");
    assert!(!std::fs::exists(cli.place.state()).unwrap(), "nothing was made");
}
