//! Each call that a process can make without changing itself, against what std sees.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use cofferdam::backend::linux::Linux;
use cofferdam::sys::{CWD, Call, Errno, Fd, Kernel, Kind, RawFd, Syscalls, flags};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tempfile::TempDir;

use super::name;

/// Receives bytes and perhaps a descriptor.
pub(crate) fn receive(socket: RawFd) -> (Vec<u8>, Option<Fd<'static, Linux>>) {
    let room = [const { Cell::new(0) }; 16];
    let answer = Linux.call(Call::RecvFd { socket, buf: &room[..] }).expect("a message");
    let fd = RawFd::try_from(answer >> 32).ok().map(|fd| Fd::new(fd, &Linux));
    let count = usize::try_from(answer & 0xffff_ffff).expect("a count");
    (room[..count].iter().map(Cell::get).collect(), fd)
}

fn home() -> (TempDir, File) {
    let home = tempfile::tempdir().expect("a directory");
    let dir = File::open(home.path()).expect("the directory");
    (home, dir)
}

fn ask(call: Call<cofferdam::sys::Live<'_>>) -> Result<u64, Errno> {
    Linux.call(call)
}

#[test]
fn names_are_made_and_removed() {
    let (home, file) = home();
    let dir = file.as_raw_fd();
    let at = |name: &str| home.path().join(name);
    assert_eq!(ask(Call::Mkdirat { dir, path: c"d", mode: 0o750 }), Ok(0));
    assert_eq!(ask(Call::Mkdirat { dir, path: c"d", mode: 0o750 }), Err(Errno::EEXIST));
    assert_eq!(fs::metadata(at("d")).expect("d").permissions().mode() & 0o777, 0o750);
    assert_eq!(ask(Call::Symlinkat { target: c"over/there", dir, path: c"l" }), Ok(0));
    assert_eq!(Linux.read_link(dir, c"l"), Ok(b"over/there".to_vec()));
    let (mode, device) = (flags::S_IFCHR | 0o600, 0x103);
    assert_eq!(ask(Call::Mknodat { dir, path: c"null", mode, device }), Ok(0));
    let null = fs::metadata(at("null")).expect("null");
    assert!(null.file_type().is_char_device());
    assert_eq!(null.rdev(), 0x103);
    let (from_dir, to_dir, flags) = (dir, dir, flags::RENAME_NOREPLACE);
    let rename = Call::Renameat2 { from_dir, from: c"null", to_dir, to: c"zero", flags };
    assert_eq!(ask(rename), Ok(0));
    let rename = Call::Renameat2 { from_dir, from: c"zero", to_dir, to: c"d", flags };
    assert_eq!(ask(rename), Err(Errno::EEXIST));
    assert_eq!(Linux.unlink(dir, c"d", 0), Err(Errno::EISDIR));
    assert_eq!(Linux.unlink(dir, c"d", flags::AT_REMOVEDIR), Ok(()));
    assert!(!at("d").exists());
}

#[test]
fn modes_owners_and_permissions_are_set_and_checked() {
    let (home, file) = home();
    let dir = file.as_raw_fd();
    fs::write(home.path().join("f"), "text").expect("a file");
    let open = File::open(home.path().join("f")).expect("a file");
    assert_eq!(ask(Call::Fchmodat { dir, path: c"f", mode: 0o640 }), Ok(0));
    assert_eq!(open.metadata().expect("f").mode(), 0o100_640);
    let (mode, flags) = (flags::X_OK, 0);
    assert_eq!(ask(Call::Faccessat2 { dir, path: c"f", mode, flags }), Err(Errno::EACCES));
    assert_eq!(ask(Call::Fchmod { fd: open.as_raw_fd(), mode: 0o711 }), Ok(0));
    assert_eq!(ask(Call::Faccessat2 { dir, path: c"f", mode, flags }), Ok(0));
    let (uid, gid, flags) = (12, 34, flags::AT_SYMLINK_NOFOLLOW);
    assert_eq!(ask(Call::Fchownat { dir, path: c"f", uid, gid, flags }), Ok(0));
    let (uid, flags) = (u32::MAX, flags::AT_EMPTY_PATH);
    let fd = open.as_raw_fd();
    assert_eq!(ask(Call::Fchownat { dir: fd, path: c"", uid, gid: 35, flags }), Ok(0));
    let theirs = open.metadata().expect("f");
    assert_eq!((theirs.uid(), theirs.gid()), (12, 35));
    let ours = Linux.stat(dir, c"f", 0).expect("f");
    assert_eq!(
        (ours.uid, ours.gid, ours.mode, ours.size, ours.inode, u64::from(ours.links)),
        (12, 35, theirs.mode(), 4, theirs.ino(), theirs.nlink())
    );
    let (major, minor) = ours.device;
    assert_eq!(libc::makedev(major, minor), theirs.dev());
}

#[test]
fn a_walk_is_restricted() {
    let (home, file) = home();
    let dir = file.as_raw_fd();
    std::os::unix::fs::symlink("/etc", home.path().join("out")).expect("a link");
    let (path, flags, mode) = (c"out/passwd", flags::O_RDONLY | flags::O_CLOEXEC, 0);
    let resolve = flags::RESOLVE_BENEATH;
    assert_eq!(ask(Call::Openat2 { dir, path, flags, mode, resolve }), Err(Errno::EXDEV));
    let resolve = flags::RESOLVE_NO_SYMLINKS;
    assert_eq!(ask(Call::Openat2 { dir, path, flags, mode, resolve }), Err(Errno::ELOOP));
    let resolve = flags::RESOLVE_IN_ROOT;
    assert_eq!(ask(Call::Openat2 { dir, path, flags, mode, resolve }), Err(Errno::ENOENT));
    assert!(Linux.open(dir, path, flags).is_ok());
}

#[test]
fn files_are_written_read_and_listed() {
    let (home, file) = home();
    let flags = flags::O_CREAT | flags::O_EXCL | flags::O_RDWR;
    let fd = Linux.open_with(file.as_raw_fd(), c"f", flags, 0o600).expect("a file");
    Linux.write_all(fd.raw(), b"some text").expect("a write");
    assert_eq!(fs::read(home.path().join("f")).expect("f"), b"some text");
    assert_eq!(ask(Call::Lseek { fd: fd.raw(), offset: 5, whence: 0 }), Ok(5));
    assert_eq!(Linux.read_all(fd.raw()), Ok(b"text".to_vec()));
    fs::create_dir(home.path().join("d")).expect("a directory");
    let mut entries = Linux.entries(file.as_raw_fd()).expect("entries");
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let found: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.kind)).collect();
    assert_eq!(found, [("d", Kind::Directory), ("f", Kind::Regular)]);
}

#[test]
fn a_lock_keeps_others_out() {
    let (home, _) = home();
    let [a, b] = [(), ()].map(|()| {
        Linux.open(CWD, &name(home.path().to_str().expect("text")), 0).expect("the directory")
    });
    let exclusive = flags::LOCK_EX | flags::LOCK_NB;
    assert_eq!(ask(Call::Flock { fd: a.raw(), operation: exclusive }), Ok(0));
    assert_eq!(ask(Call::Flock { fd: b.raw(), operation: exclusive }), Err(Errno::EAGAIN));
    assert_eq!(ask(Call::Flock { fd: a.raw(), operation: flags::LOCK_UN }), Ok(0));
    assert_eq!(ask(Call::Flock { fd: b.raw(), operation: exclusive }), Ok(0));
}

#[test]
fn descriptors_are_copied_asked_and_closed() {
    let [read, write] = Linux.pipe().expect("a pipe");
    let (fd, argument) = (read.raw(), 0);
    assert_eq!(ask(Call::Fcntl { fd, command: flags::F_GETFD, argument }), Ok(flags::FD_CLOEXEC));
    let (command, argument) = (flags::F_DUPFD, 500);
    let copy = ask(Call::Fcntl { fd, command, argument }).expect("a copy");
    let copy = Fd::new(RawFd::try_from(copy).expect("a descriptor"), &Linux);
    assert!(copy.raw() >= 500);
    assert_eq!(
        ask(Call::Dup3 { old: write.raw(), new: copy.raw(), flags: 0 }),
        Ok(copy.raw().unsigned_abs().into())
    );
    assert_eq!(Linux.write(copy.raw(), b"abc"), Ok(3));
    const FIOCLEX: u32 = 0x5451;
    let fd = copy.raw();
    assert_eq!(ask(Call::Ioctl { fd, request: FIOCLEX, argument: 0 }), Ok(0));
    let (command, argument) = (flags::F_GETFD, 0);
    assert_eq!(ask(Call::Fcntl { fd, command, argument }), Ok(1));
    let flags = flags::CLOSE_RANGE_CLOEXEC;
    let one = fd.cast_unsigned();
    assert_eq!(ask(Call::CloseRange { first: one, last: one, flags }), Ok(0));
    const FIONBIO: u32 = 0x5421;
    let block = &1u32.to_le_bytes()[..];
    assert_eq!(ask(Call::IoctlIn { fd: read.raw(), request: FIONBIO, block }), Ok(0));
    assert_eq!(Linux.read(read.raw(), &mut [0; 8]), Ok(&b"abc"[..]));
    assert_eq!(Linux.read(read.raw(), &mut [0; 8]), Err(Errno::EAGAIN));
}

#[test]
fn poll_tells_what_is_ready_and_gives_up_in_time() {
    let [read, write] = Linux.pipe().expect("a pipe");
    let ends = [(read.raw(), flags::POLLIN), (write.raw(), flags::POLLOUT)];
    assert_eq!(Linux.poll(ends, -1), Ok([0, flags::POLLOUT]));
    let (before, _) = Linux.clock(flags::CLOCK_MONOTONIC).expect("a time");
    assert_eq!(Linux.poll([(read.raw(), flags::POLLIN)], 1010), Ok([0]));
    let (after, _) = Linux.clock(flags::CLOCK_MONOTONIC).expect("a time");
    assert!(after > before);
    drop(write);
    assert_eq!(Linux.poll([(read.raw(), flags::POLLIN)], -1), Ok([flags::POLLHUP]));
}

#[test]
fn the_real_time_is_that_of_the_host() {
    let (ours, _) = Linux.clock(flags::CLOCK_REALTIME).expect("a time");
    let theirs = std::time::UNIX_EPOCH.elapsed().expect("a time").as_secs();
    assert!(theirs.abs_diff(ours) < 2);
}

#[test]
fn a_descriptor_crosses_a_socket() {
    let [a, b] = Linux.socketpair().expect("sockets");
    let [read, write] = Linux.pipe().expect("a pipe");
    let (socket, bytes) = (a.raw(), &b"take it"[..]);
    assert_eq!(ask(Call::SendFd { socket, bytes, fd: write.raw() }), Ok(7));
    drop(write);
    let (bytes, fd) = receive(b.raw());
    let fd = fd.expect("a descriptor");
    assert_eq!(bytes, b"take it");
    let (command, argument) = (flags::F_GETFD, 0);
    assert_eq!(ask(Call::Fcntl { fd: fd.raw(), command, argument }), Ok(flags::FD_CLOEXEC));
    assert_eq!(Linux.write(fd.raw(), b"x"), Ok(1));
    drop(fd);
    assert_eq!(Linux.read_all(read.raw()), Ok(b"x".to_vec()));
}

#[test]
fn a_message_need_not_bring_a_descriptor() {
    let [a, b] = Linux.socketpair().expect("sockets");
    assert_eq!(Linux.write(a.raw(), b"alone"), Ok(5));
    let (bytes, fd) = receive(b.raw());
    assert_eq!((bytes, fd.is_none()), (b"alone".to_vec(), true));
}

#[test]
fn of_two_descriptors_the_second_is_not_let_in() {
    let [a, b] = Linux.socketpair().expect("sockets");
    let (home, file) = home();
    let inode = file.metadata().expect("a directory").ino();
    let both = [file.as_raw_fd(), a.raw()];
    let rights = [ControlMessage::ScmRights(&both)];
    let sent = sendmsg::<()>(a.raw(), &[IoSlice::new(b"two")], &rights, MsgFlags::empty(), None);
    assert_eq!(sent, Ok(3));
    let (_, fd) = receive(b.raw());
    let fd = fd.expect("the first");
    assert_eq!(Linux.stat(fd.raw(), c"", flags::AT_EMPTY_PATH).expect("it").inode, inode);
    let inside = fs::read_dir("/proc/self/fd").expect("a listing").filter_map(|entry| {
        fs::read_link(entry.ok()?.path()).ok().filter(|target| target == home.path())
    });
    assert_eq!(inside.count(), 2, "the test's own, and the first");
    drop(a);
    assert_eq!(Linux.read(b.raw(), &mut [0; 8]), Ok(&b""[..]), "no copy of the second is left");
}

#[test]
fn a_client_meets_a_listener() {
    let (home, _) = home();
    let path = home.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a listener");
    let kind = flags::SOCK_STREAM | flags::SOCK_CLOEXEC;
    let client = Linux.give(Call::Socket { domain: flags::AF_UNIX, kind, protocol: 0 });
    let client = client.expect("a socket");
    let mut address = 1u16.to_le_bytes().to_vec();
    address.extend_from_slice(path.to_str().expect("text").as_bytes());
    address.push(0);
    assert_eq!(ask(Call::Connect { fd: client.raw(), address: &address }), Ok(0));
    let accept = Call::Accept { fd: listener.as_raw_fd(), flags: flags::SOCK_CLOEXEC };
    let server = Linux.give(accept).expect("a connection");
    assert_eq!(Linux.write(server.raw(), b"hello"), Ok(5));
    assert_eq!(Linux.read(client.raw(), &mut [0; 8]), Ok(&b"hello"[..]));
}

#[test]
fn a_sealed_memory_file_is_not_written() {
    let flags = flags::MFD_CLOEXEC | flags::MFD_ALLOW_SEALING;
    let file = Linux.give(Call::MemfdCreate { name: c"test", flags }).expect("a file");
    assert_eq!(Linux.write(file.raw(), b"once"), Ok(4));
    let (command, argument) = (flags::F_ADD_SEALS, flags::F_SEAL_WRITE);
    assert_eq!(ask(Call::Fcntl { fd: file.raw(), command, argument }), Ok(0));
    assert_eq!(Linux.write(file.raw(), b"twice"), Err(Errno::EPERM));
}

#[test]
fn processes_are_named_and_signalled() {
    let own = std::process::id();
    assert_eq!(ask(Call::Getpid {}), Ok(own.into()));
    assert_eq!(ask(Call::Geteuid {}), Ok(0));
    let fd = Linux.give(Call::PidfdOpen { pid: own, flags: 0 }).expect("a descriptor");
    assert_eq!(ask(Call::PidfdSendSignal { fd: fd.raw(), signal: 0 }), Ok(0));
    let pid = i32::try_from(own).expect("a pid");
    assert_eq!(ask(Call::Kill { pid, signal: 0 }), Ok(0));
    assert_eq!(ask(Call::PidfdOpen { pid: 1 << 22, flags: 0 }), Err(Errno::ESRCH));
    let status = [const { Cell::new(0) }; 4];
    let wait = Call::Wait4 { pid: own, status: &status[..], options: flags::WNOHANG };
    assert_eq!(ask(wait), Err(Errno::ECHILD));
}
