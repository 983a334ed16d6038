//! Unix sockets: connected pairs that keep messages and pass descriptors.

use std::cell::Cell;
use std::collections::VecDeque;

use super::fds::{Entry, Open, What};
use super::files::{Ino, Name, Node};
use super::{Answer, Pid, World};
use crate::sys::{Errno, RawFd, flags};

/// How many messages wait before a sender has to.
const BACKLOG: usize = 64;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Socket {
    kind: u32,
    domain: u32,
    peer: Peer,
    inbox: VecDeque<Message>,
    /// The peer went away without having read everything.
    reset: bool,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Peer {
    Gone,
    Never,
    /// The inode of a socket that somebody outside listens on.
    Outside(u32),
    Socket(u32),
}

/// A message, with the open file that it carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Message {
    bytes: Name,
    open: Option<u32>,
}

impl World {
    pub(super) fn socket(&mut self, pid: Pid, domain: u32, kind: u32) -> Answer {
        if !matches!(domain, flags::AF_UNIX | flags::AF_NETLINK) {
            return Err(Errno::EAFNOSUPPORT);
        }
        let socket = Socket::new(domain, kind, Peer::Never);
        let row = self.sockets.add_by(pid, socket);
        self.give(pid, Open::new(What::Socket(row), open_flags(kind)))
    }

    pub(super) fn socketpair(&mut self, pid: Pid, kinds: [u32; 2], ends: &[Cell<u8>]) -> Answer {
        let [domain, kind] = kinds;
        if domain != flags::AF_UNIX {
            return Err(Errno::EAFNOSUPPORT);
        }
        let a = self.sockets.add_by(pid, Socket::new(domain, kind, Peer::Never));
        let b = self.sockets.add_by(pid, Socket::new(domain, kind, Peer::Socket(a)));
        if let Some(socket) = self.sockets.get_mut(a) {
            socket.peer = Peer::Socket(b);
        }
        let one = self.give(pid, Open::new(What::Socket(a), open_flags(kind)))?;
        let two = self.give(pid, Open::new(What::Socket(b), open_flags(kind)))?;
        super::parts::fill(ends, &super::parts::pair(one, two));
        Ok(0)
    }

    pub(super) fn connect(&mut self, pid: Pid, fd: RawFd, address: &[u8]) -> Answer {
        let row = self.socket_of(pid, fd)?;
        let path = address.get(2..).unwrap_or_default();
        let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
        let place = self.find(super::walk::Walk::new(pid, crate::sys::CWD, path))?;
        self.may(pid, place.ino, 2)?;
        let Ino::Plain(inode) = place.ino else { return Err(Errno::ECONNREFUSED) };
        let node = self.inodes.get(inode).map(|inode| &inode.node);
        if !matches!(node, Some(Node::Socket { listened: true })) {
            return Err(Errno::ECONNREFUSED);
        }
        if let Some(socket) = self.sockets.get_mut(row) {
            socket.peer = Peer::Outside(inode);
        }
        Ok(0)
    }

    pub(super) fn socket_of(&self, pid: Pid, fd: RawFd) -> Result<u32, Errno> {
        match self.used(pid, fd)?.what {
            What::Socket(row) => Ok(row),
            What::Named(_) | What::Pidfd(_) | What::Tree(_) => Err(Errno::ENOTSOCK),
        }
    }

    /// Returns whether a number leads to a socket of packets.
    pub(super) fn is_packets(&self, pid: Pid, fd: RawFd) -> bool {
        let row = self.socket_of(pid, fd).ok();
        row.and_then(|row| self.sockets.get(row)).is_some_and(|s| s.kind == flags::SOCK_SEQPACKET)
    }

    /// Returns what poll(2) says of a socket.
    pub(super) fn socket_events(&self, row: u32) -> u32 {
        let Some(socket) = self.sockets.get(row) else { return 0 };
        let mut events = 0;
        if !socket.inbox.is_empty() || socket.reset {
            events |= flags::POLLIN;
        }
        match socket.peer {
            Peer::Gone => events |= flags::POLLIN | flags::POLLOUT | flags::POLLHUP,
            Peer::Never => events |= flags::POLLOUT | flags::POLLHUP,
            Peer::Outside(_) => events |= flags::POLLOUT,
            Peer::Socket(peer) => {
                if self.sockets.get(peer).is_some_and(|peer| peer.inbox.len() < BACKLOG) {
                    events |= flags::POLLOUT;
                }
            }
        }
        if socket.reset { events | flags::POLLERR } else { events }
    }

    pub(super) fn may_receive(&self, row: u32) -> bool {
        self.sockets.get(row).is_none_or(|socket| {
            !socket.inbox.is_empty()
                || socket.reset
                || matches!(socket.peer, Peer::Gone | Peer::Never)
        })
    }

    pub(super) fn may_send(&self, row: u32) -> bool {
        match self.sockets.get(row).map(|socket| socket.peer) {
            Some(Peer::Socket(peer)) => {
                self.sockets.get(peer).is_none_or(|peer| peer.inbox.len() < BACKLOG)
            }
            Some(Peer::Gone | Peer::Never | Peer::Outside(_)) | None => true,
        }
    }

    /// Tells of a reset, once, whoever sends packets.
    fn tell_reset(&mut self, row: u32) -> Result<(), Errno> {
        match self.sockets.get_mut(row) {
            // Law `sending_packets_tells_of_a_reset_first`: a stream is at its end before.
            Some(socket) if socket.kind == flags::SOCK_SEQPACKET => {
                if std::mem::take(&mut socket.reset) { Err(Errno::ECONNRESET) } else { Ok(()) }
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Puts a message into the inbox at the other end.
    pub(super) fn send_message(&mut self, row: u32, bytes: &[u8], open: Option<u32>) -> Answer {
        self.tell_reset(row)?;
        let Some(socket) = self.sockets.get(row) else { return Err(Errno::EBADF) };
        if socket.domain != flags::AF_UNIX {
            super::parts::unmodelled("sendmsg", "to a netlink socket");
        }
        let message = Message { bytes: bytes.into(), open };
        // A stream has no empty messages, nor does what comes with one arrive.
        let nothing = bytes.is_empty() && socket.kind == flags::SOCK_STREAM;
        match socket.peer {
            Peer::Gone => return Err(Errno::EPIPE),
            Peer::Never => return Err(Errno::ENOTCONN),
            Peer::Outside(_) | Peer::Socket(_) if nothing => return Ok(0),
            // What goes outside is kept in the sender's own inbox, where nobody reads it.
            Peer::Outside(_) => {
                if let Some(socket) = self.sockets.get_mut(row) {
                    socket.inbox.push_back(message);
                }
            }
            Peer::Socket(peer) => {
                let Some(peer) = self.sockets.get_mut(peer) else { return Err(Errno::EPIPE) };
                if peer.inbox.len() >= BACKLOG {
                    return Err(Errno::EAGAIN);
                }
                peer.inbox.push_back(message);
            }
        }
        if let Some(open) = open {
            self.hold(open);
        }
        Ok(bytes.len() as u64)
    }

    pub(super) fn send_fd(&mut self, pid: Pid, socket: RawFd, load: (&[u8], RawFd)) -> Answer {
        let row = self.socket_of(pid, socket)?;
        let (bytes, fd) = load;
        match self.entry(pid, fd) {
            Ok(entry) => self.send_message(row, bytes, Some(entry.open)),
            // Law `sending_packets_tells_of_a_reset_first`: before all else.
            Err(errno) => self.tell_reset(row).and(Err(errno)),
        }
    }

    /// Takes a message out of an inbox; what `buf` does not hold of a packet is lost.
    pub(super) fn receive(&mut self, row: u32, buf: &[Cell<u8>]) -> Result<Received, Errno> {
        let Some(socket) = self.sockets.get_mut(row) else { return Err(Errno::EBADF) };
        if socket.domain != flags::AF_UNIX {
            super::parts::unmodelled("recvmsg", "from a netlink socket");
        }
        let streams = socket.kind == flags::SOCK_STREAM;
        if matches!(socket.peer, Peer::Outside(_)) {
            return Err(Errno::EAGAIN);
        }
        // Law `a_reset_is_told_before_what_was_sent`: of packets only.
        let first = !streams || socket.inbox.is_empty();
        if first && std::mem::take(&mut socket.reset) {
            return Err(Errno::ECONNRESET);
        }
        if streams && !socket.inbox.is_empty() {
            return Ok(socket.stream(buf));
        }
        let Some(message) = socket.inbox.pop_front() else {
            return match socket.peer {
                Peer::Gone => Ok(Received { count: 0, open: None }),
                // Law `who_is_not_connected_neither_sends_nor_receives`.
                Peer::Never if streams => Err(Errno::EINVAL),
                Peer::Never => Err(Errno::ENOTCONN),
                Peer::Outside(_) | Peer::Socket(_) => Err(Errno::EAGAIN),
            };
        };
        super::parts::fill(buf, &message.bytes);
        let count = buf.len().min(message.bytes.len());
        Ok(Received { count: count as u64, open: message.open })
    }

    pub(super) fn recv_fd(&mut self, pid: Pid, fd: RawFd, buf: &[Cell<u8>]) -> Answer {
        let row = self.socket_of(pid, fd)?;
        let received = self.receive(row, buf)?;
        let brought = match received.open {
            // The message's hold on the open file becomes the number's.
            Some(open) => self.number(pid, Entry { open, cloexec: true }),
            None => u64::from(u32::MAX),
        };
        Ok(brought << 32 | received.count)
    }

    /// Ends a socket whose last holder is gone.
    pub(super) fn hang_up(&mut self, row: u32) {
        let Some(socket) = self.sockets.remove(row) else { return };
        if let Peer::Socket(peer) = socket.peer
            && let Some(peer) = self.sockets.get_mut(peer)
        {
            peer.peer = Peer::Gone;
            // Law `one_empty_message_left_unread_resets_nobody`.
            let full = |message: &Message| !message.bytes.is_empty();
            peer.reset = socket.inbox.len() > 1 || socket.inbox.iter().any(full);
        }
        for message in socket.inbox {
            if let Some(open) = message.open {
                self.release(open);
            }
        }
    }

    /// Returns the messages that came to whoever listens at `path`, over connections that are
    /// still open.
    #[must_use]
    pub fn received(&self, path: &str) -> Vec<Vec<u8>> {
        let Ino::Plain(row) = self.place_at(path).ino else { return Vec::new() };
        let there = self.sockets.iter().filter(|(_, socket)| socket.peer == Peer::Outside(row));
        there.flat_map(|(_, socket)| socket.inbox.iter().map(|m| m.bytes.to_vec())).collect()
    }
}

/// What a message brought.
pub(super) struct Received {
    pub(super) count: u64,
    pub(super) open: Option<u32>,
}

impl Socket {
    /// Takes the bytes of as many messages as there is room for, up to a descriptor (unix(7)).
    fn stream(&mut self, buf: &[Cell<u8>]) -> Received {
        let (mut count, mut open) = (0, None);
        while let Some(room) = buf.get(count..).filter(|room| !room.is_empty() && open.is_none())
            && let Some(message) = self.inbox.pop_front()
        {
            super::parts::fill(room, &message.bytes);
            let taken = room.len().min(message.bytes.len());
            (count, open) = (count + taken, message.open);
            if let Some(rest @ [_, ..]) = message.bytes.get(taken..) {
                self.inbox.push_front(Message { bytes: rest.into(), open: None });
            }
        }
        Received { count: count as u64, open }
    }

    const fn new(domain: u32, kind: u32, peer: Peer) -> Self {
        Self { kind: kind & 0xf, domain, peer, inbox: VecDeque::new(), reset: false }
    }
}

/// Returns the flags of an open file for the type argument of socket(2), where they have the same
/// numbers.
fn open_flags(kind: u32) -> u64 {
    flags::O_RDWR | u64::from(kind) & (flags::O_CLOEXEC | flags::O_NONBLOCK)
}
