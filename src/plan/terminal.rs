//! Standard streams, and the terminal behind them.
//!
//! **Invariant:** the slave is taken from the master itself (`TIOCGPTPEER`), never by its name
//! (CVE-2025-52565).

use super::draft::{Draft, handle};
use super::host::{Given, Stream, Terminal};
use crate::spec::Process;
use crate::sys::flags::{
    AT_EMPTY_PATH, O_CLOEXEC, O_NOCTTY, O_RDWR, RESOLVE_NO_MAGICLINKS, S_IFREG, TIOCGPTPEER,
    TIOCSCTTY, TIOCSPTLCK, TIOCSWINSZ,
};
use crate::sys::{Call, Errno, Handle};

/// What goes with the master, for whoever wants to know its name.
const NAME: &[u8] = b"/dev/ptmx";

/// Whether the slave is bound to `/dev/console`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Console {
    /// It is: for the init of a container.
    Bound,
    /// It is not.
    Free,
}

/// Puts the standard streams in place.
pub(super) fn streams(draft: &mut Draft<'_>, process: &Process, console: Console) {
    let socket = match draft.situation.terminal {
        Terminal::Console => Given::Console,
        Terminal::Relay => Given::Sync,
        Terminal::None => return replace(draft),
    };
    draft.about("open a terminal");
    let path = draft.text("/dev/ptmx");
    let flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
    let (dir, resolve) = (Handle::CWD, RESOLVE_NO_MAGICLINKS);
    let master = draft.b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve });
    let fd = handle(master);
    let unlocked = draft.b.block(&[0; 4]);
    draft.b.call(Call::IoctlIn { fd, request: TIOCSPTLCK, block: unlocked });
    let slave = draft.b.open(Call::Ioctl { fd, request: TIOCGPTPEER, argument: flags });
    if let Some(size) = process.console_size {
        let [[a, b], [c, d]] = [size.rows.to_le_bytes(), size.columns.to_le_bytes()];
        let size = draft.b.block(&[a, b, c, d, 0, 0, 0, 0]);
        draft.b.call(Call::IoctlIn { fd, request: TIOCSWINSZ, block: size });
    }
    let path = draft.text("");
    let (dir, uid, gid) = (handle(slave), process.user.uid, u32::MAX);
    if uid != 0 {
        draft.b.call(Call::Fchownat { dir, path, uid, gid, flags: AT_EMPTY_PATH });
    }
    if console == Console::Bound {
        bind_console(draft, dir);
    }
    draft.about("send the terminal");
    let (socket, bytes) = (draft.given(socket), draft.b.block(NAME));
    draft.b.call(Call::SendFd { socket, bytes, fd });
    draft.b.close(master);
    if draft.situation.terminal == Terminal::Console {
        // Whoever reads on sees the end, however long the program waits to be started.
        draft.b.call(Call::Close { fd: socket });
    }
    draft.about("take the terminal");
    for stream in [Stream::Stdin, Stream::Stdout, Stream::Stderr] {
        draft.b.call(Call::Dup3 { old: dir, new: Handle(stream.fd()), flags: 0 });
    }
    draft.b.call(Call::Ioctl { fd: dir, request: TIOCSCTTY, argument: 0 });
    draft.done(slave);
}

/// Binds the slave to `/dev/console`, which is a file of its own: no link is followed.
fn bind_console(draft: &mut Draft<'_>, slave: Handle) {
    draft.about("bind the terminal to /dev/console");
    let path = draft.text("/dev/console");
    let (dir, mode) = (Handle::CWD, S_IFREG | 0o620);
    draft.b.call_or(Call::Mknodat { dir, path, mode, device: 0 }, &[Errno::EEXIST]);
    let copy = draft.copy(slave, "", 0);
    let call = draft.attaching(copy, dir, "/dev/console");
    draft.b.call(call);
    draft.done(copy);
}

fn replace(draft: &mut Draft<'_>) {
    let streams = draft.situation.streams;
    if !streams.is_empty() {
        draft.about("take the standard streams");
    }
    for stream in streams {
        let old = draft.given(Given::Stream(*stream));
        draft.b.call(Call::Dup3 { old, new: Handle(stream.fd()), flags: 0 });
    }
}
