//! Connected sockets: boundaries, ends, and descriptors that travel.

use std::cell::Cell;

use cofferdam::sys::{Call, Errno, Fd, Kernel, Live, RawFd, Syscalls, flags};

use crate::Ground;

crate::laws! {
    fn messages_keep_their_boundaries(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        for bytes in [&b"one"[..], b"three"] {
            ground.kernel.write_all(a.raw(), bytes).unwrap();
        }
        assert_eq!(ground.kernel.read(b.raw(), &mut [0; 16]).unwrap(), b"one");
        assert_eq!(ground.kernel.read(b.raw(), &mut [0; 2]).unwrap(), b"th");
        assert_eq!(ground.kernel.poll([(b.raw(), flags::POLLIN)], 0), Ok([0]));
    }

    fn a_closed_peer_is_the_end(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        drop(a);
        assert_eq!(ground.kernel.read(b.raw(), &mut [0; 4]).unwrap(), b"");
        let seen = ground.kernel.poll([(b.raw(), flags::POLLIN)], 0).unwrap();
        assert_eq!(seen, [flags::POLLIN | flags::POLLHUP]);
    }

    fn what_was_sent_before_the_end_is_read_first(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        ground.kernel.write_all(a.raw(), b"last").unwrap();
        drop(a);
        assert_eq!(ground.kernel.read(b.raw(), &mut [0; 8]).unwrap(), b"last");
        assert_eq!(ground.kernel.read(b.raw(), &mut [0; 8]).unwrap(), b"");
    }

    fn a_peer_that_left_something_unread_resets(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        ground.kernel.write_all(b.raw(), b"unread").unwrap();
        drop(a);
        assert_eq!(receive(ground, &b).err(), Some(Errno::ECONNRESET));
        assert_eq!(ground.kernel.read(b.raw(), &mut [0; 8]).unwrap(), b"");
    }

    /// Of packets; a stream's are read first.
    fn a_reset_is_told_before_what_was_sent(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        ground.kernel.write_all(a.raw(), b"last").unwrap();
        ground.kernel.write_all(b.raw(), b"unread").unwrap();
        drop(a);
        assert_eq!(receive(ground, &b).err(), Some(Errno::ECONNRESET));
        assert_eq!(receive(ground, &b).unwrap().0, b"last");
        assert_eq!(receive(ground, &b).unwrap().0, b"");
    }

    fn sending_to_a_closed_peer_is_epipe(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        drop(a);
        let call: Call<Live<'_>> = Call::SendFd { socket: b.raw(), bytes: b"x", fd: b.raw() };
        assert_eq!(ground.call(call), Err(Errno::EPIPE));
    }

    fn a_descriptor_travels_with_its_open_file(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        ground.file("f", b"travels");
        let file = ground.open("f", 0).unwrap();
        let call: Call<Live<'_>> = Call::SendFd { socket: a.raw(), bytes: b"take", fd: file.raw() };
        assert_eq!(ground.call(call), Ok(4));
        drop(file);
        let (bytes, fd) = receive(ground, &b).unwrap();
        assert_eq!(bytes, b"take");
        let fd = Fd::new(fd.unwrap(), ground.kernel);
        assert_eq!(ground.kernel.read_all(fd.raw()).unwrap(), b"travels");
        let command = flags::F_GETFD;
        let got = ground.call(Call::Fcntl { fd: fd.raw(), command, argument: 0 });
        assert_eq!(got, Ok(flags::FD_CLOEXEC));
    }

    fn a_message_without_a_descriptor_brings_none(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        ground.kernel.write_all(a.raw(), b"plain").unwrap();
        assert_eq!(receive(ground, &b), Ok((b"plain".to_vec(), None)));
    }

    fn a_descriptor_that_nobody_takes_is_closed(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        let [read, write] = ground.kernel.pipe().unwrap();
        let call: Call<Live<'_>> = Call::SendFd { socket: a.raw(), bytes: b"x", fd: write.raw() };
        ground.call(call).unwrap();
        drop(write);
        assert_eq!(ground.kernel.poll([(read.raw(), flags::POLLIN)], 0), Ok([0]));
        drop((a, b));
        assert_eq!(ground.kernel.read(read.raw(), &mut [0; 1]).unwrap(), b"");
    }

    fn sending_over_a_file_is_enotsock(ground) {
        ground.file("f", b"");
        let file = ground.open("f", flags::O_RDWR).unwrap();
        let call: Call<Live<'_>> = Call::SendFd { socket: file.raw(), bytes: b"x", fd: file.raw() };
        assert_eq!(ground.call(call), Err(Errno::ENOTSOCK));
    }

    fn sending_what_is_not_open_is_ebadf(ground) {
        let [a, _b] = ground.kernel.socketpair().unwrap();
        let call: Call<Live<'_>> = Call::SendFd { socket: a.raw(), bytes: b"x", fd: 2_147_483_000 };
        assert_eq!(ground.call(call), Err(Errno::EBADF));
    }

    fn connecting_to_nothing_is_enoent_and_to_a_file_econnrefused(ground) {
        ground.file("f", b"");
        for (path, errno) in [("nothing", Errno::ENOENT), ("f", Errno::ECONNREFUSED)] {
            let (domain, kind) = (flags::AF_UNIX, flags::SOCK_STREAM);
            let socket =
                ground.kernel.give(Call::Socket { domain, kind, protocol: 0 }).unwrap();
            let mut address = vec![1, 0];
            address.extend_from_slice(ground.at(path).as_bytes_with_nul());
            let call: Call<Live<'_>> = Call::Connect { fd: socket.raw(), address: &address };
            assert_eq!(ground.call(call), Err(errno), "{path}");
        }
    }

    fn connecting_where_nobody_listens_is_econnrefused(ground) {
        let (path, mode) = (&*ground.at("s"), flags::S_IFSOCK | 0o600);
        ground.call(Call::Mknodat { dir: cofferdam::sys::CWD, path, mode, device: 0 }).unwrap();
        let mut address = vec![1, 0];
        address.extend_from_slice(path.to_bytes_with_nul());
        let (domain, kind) = (flags::AF_UNIX, flags::SOCK_STREAM);
        let socket = ground.kernel.give(Call::Socket { domain, kind, protocol: 0 }).unwrap();
        let call: Call<Live<'_>> = Call::Connect { fd: socket.raw(), address: &address };
        assert_eq!(ground.call(call), Err(Errno::ECONNREFUSED));
        ground.file("f", b"");
        let file = ground.open("f", 0).unwrap();
        let call: Call<Live<'_>> = Call::Connect { fd: file.raw(), address: &address };
        assert_eq!(ground.call(call), Err(Errno::ENOTSOCK));
    }

    fn who_is_not_connected_neither_sends_nor_receives(ground) {
        for (kind, nothing) in
            [(flags::SOCK_STREAM, Errno::EINVAL), (flags::SOCK_SEQPACKET, Errno::ENOTCONN)]
        {
            let (domain, protocol) = (flags::AF_UNIX, 0);
            let socket = ground.kernel.give(Call::Socket { domain, kind, protocol }).unwrap();
            assert_eq!(receive(ground, &socket).err(), Some(nothing));
            let call: Call<Live<'_>> = Call::Send { socket: socket.raw(), bytes: b"x" };
            assert_eq!(ground.call(call), Err(Errno::ENOTCONN));
            let seen = ground.kernel.poll([(socket.raw(), flags::POLLIN | flags::POLLOUT)], 0);
            assert_eq!(seen, Ok([flags::POLLOUT | flags::POLLHUP]));
        }
    }

    fn a_socket_is_made_as_it_was_asked(ground) {
        let make = |domain, kind| {
            ground.kernel.give(Call::Socket { domain, kind, protocol: 0 })
        };
        assert_eq!(make(200, flags::SOCK_STREAM).err(), Some(Errno::EAFNOSUPPORT));
        let ends = [const { Cell::new(0) }; 8];
        let call = Call::Socketpair { domain: 200, kind: flags::SOCK_STREAM, ends: &ends[..] };
        assert_eq!(ground.call(call), Err(Errno::EAFNOSUPPORT));
        for how in [0, flags::O_CLOEXEC, flags::O_NONBLOCK] {
            let kind = flags::SOCK_SEQPACKET | u32::try_from(how).unwrap();
            let [a, b] = pair(ground, kind);
            for socket in [&make(flags::AF_UNIX, kind).unwrap(), &a, &b] {
                let ask = |command| {
                    ground.call(Call::Fcntl { fd: socket.raw(), command, argument: 0 }).unwrap()
                };
                assert_eq!(ask(flags::F_GETFD), u64::from(how == flags::O_CLOEXEC));
                assert_eq!(ask(flags::F_GETFL), flags::O_RDWR | how & flags::O_NONBLOCK);
            }
            if how == flags::O_NONBLOCK {
                assert_eq!(receive(ground, &a).err(), Some(Errno::EAGAIN));
            }
        }
    }

    fn a_descriptor_that_is_not_asked_for_is_closed(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        let [read, write] = ground.kernel.pipe().unwrap();
        let call: Call<Live<'_>> = Call::SendFd { socket: a.raw(), bytes: b"x", fd: write.raw() };
        ground.call(call).unwrap();
        drop(write);
        assert_eq!(ground.kernel.read(b.raw(), &mut [0; 4]).unwrap(), b"x");
        assert_eq!(ground.kernel.read(read.raw(), &mut [0; 1]).unwrap(), b"");
    }

    fn a_message_is_ready_to_be_read_and_a_reset_is_an_error(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        let all = flags::POLLIN | flags::POLLOUT;
        let seen = || ground.kernel.poll([(b.raw(), all)], 0);
        assert_eq!(seen(), Ok([flags::POLLOUT]));
        ground.kernel.write_all(a.raw(), b"x").unwrap();
        assert_eq!(seen(), Ok([all]));
        ground.kernel.write_all(b.raw(), b"unread").unwrap();
        drop(a);
        assert_eq!(seen(), Ok([all | flags::POLLHUP | flags::POLLERR]));
        assert_eq!(receive(ground, &b).err(), Some(Errno::ECONNRESET));
        assert_eq!(seen(), Ok([all | flags::POLLHUP]));
    }

    fn a_stream_is_reset_after_what_was_sent(ground) {
        let [a, b] = pair(ground, flags::SOCK_STREAM);
        ground.kernel.write_all(a.raw(), b"last").unwrap();
        ground.kernel.write_all(b.raw(), b"unread").unwrap();
        drop(a);
        let call: Call<Live<'_>> = Call::Send { socket: b.raw(), bytes: b"x" };
        assert_eq!(ground.call(call), Err(Errno::EPIPE));
        assert_eq!(receive(ground, &b).unwrap().0, b"last");
        assert_eq!(receive(ground, &b).err(), Some(Errno::ECONNRESET));
        assert_eq!(receive(ground, &b).unwrap().0, b"");
    }

    fn reading_nothing_takes_no_message(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        assert_eq!(ground.kernel.read(b.raw(), &mut []).unwrap(), b"");
        ground.kernel.write_all(a.raw(), b"kept").unwrap();
        assert_eq!(ground.kernel.read(b.raw(), &mut []).unwrap(), b"");
        assert_eq!(ground.kernel.read(b.raw(), &mut [0; 8]).unwrap(), b"kept");
    }

    fn an_empty_message_arrives_but_not_in_a_stream(ground) {
        for (kind, seen) in [(flags::SOCK_SEQPACKET, flags::POLLIN), (flags::SOCK_STREAM, 0)] {
            let [a, b] = pair(ground, kind);
            let call: Call<Live<'_>> = Call::SendFd { socket: a.raw(), bytes: b"", fd: b.raw() };
            assert_eq!(ground.call(call), Ok(0));
            assert_eq!(ground.kernel.poll([(b.raw(), flags::POLLIN)], 0), Ok([seen]));
        }
    }

    fn sending_into_a_pipe_is_enotsock(ground) {
        let [_read, write] = ground.kernel.pipe().unwrap();
        let call: Call<Live<'_>> = Call::Send { socket: write.raw(), bytes: b"x" };
        assert_eq!(ground.call(call), Err(Errno::ENOTSOCK));
    }

    fn sending_packets_tells_of_a_reset_first(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        ground.kernel.write_all(b.raw(), b"unread").unwrap();
        drop(a);
        let call: Call<Live<'_>> = Call::Send { socket: b.raw(), bytes: b"x" };
        assert_eq!(ground.call(call), Err(Errno::ECONNRESET));
        assert_eq!(ground.call(call), Err(Errno::EPIPE));
    }

    fn sending_what_is_not_open_tells_of_a_reset_first(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        ground.kernel.write_all(b.raw(), b"unread").unwrap();
        drop(a);
        let call: Call<Live<'_>> = Call::SendFd { socket: b.raw(), bytes: b"x", fd: 2_147_483_000 };
        assert_eq!(ground.call(call), Err(Errno::ECONNRESET));
        assert_eq!(ground.call(call), Err(Errno::EBADF));
    }

    fn one_empty_message_left_unread_resets_nobody(ground) {
        for (count, heard) in [(1, Ok((vec![], None))), (2, Err(Errno::ECONNRESET))] {
            let [a, b] = ground.kernel.socketpair().unwrap();
            for _ in 0..count {
                let call: Call<Live<'_>> = Call::Send { socket: b.raw(), bytes: b"" };
                assert_eq!(ground.call(call), Ok(0));
            }
            drop(a);
            assert_eq!(receive(ground, &b), heard);
        }
    }

    fn writing_packets_tells_of_a_reset_too(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        ground.kernel.write_all(b.raw(), b"unread").unwrap();
        drop(a);
        assert_eq!(ground.kernel.write(b.raw(), b"x"), Err(Errno::ECONNRESET));
    }

    fn a_stream_is_read_across_messages_up_to_a_descriptor(ground) {
        let [a, b] = pair(ground, flags::SOCK_STREAM);
        ground.kernel.write_all(a.raw(), b"one").unwrap();
        ground.kernel.write_all(a.raw(), b"two").unwrap();
        let call: Call<Live<'_>> = Call::SendFd { socket: a.raw(), bytes: b"fd", fd: a.raw() };
        assert_eq!(ground.call(call), Ok(2));
        ground.kernel.write_all(a.raw(), b"rest").unwrap();
        assert_eq!(ground.kernel.read(b.raw(), &mut [0; 4]).unwrap(), b"onet");
        let (bytes, fd) = receive(ground, &b).unwrap();
        assert_eq!(bytes, b"wofd");
        drop(Fd::new(fd.unwrap(), ground.kernel));
        assert_eq!(receive(ground, &b), Ok((b"rest".to_vec(), None)));
    }
}

fn pair<'k, K: Kernel>(ground: &Ground<'k, K>, kind: u32) -> [Fd<'k, K>; 2] {
    let ends = [const { Cell::new(0) }; 8];
    let (domain, room) = (flags::AF_UNIX, &ends[..]);
    ground.call(Call::Socketpair { domain, kind, ends: room }).unwrap();
    let end = |at: usize| RawFd::from_le_bytes(std::array::from_fn(|i| ends[at + i].get()));
    [0, 4].map(|at| Fd::new(end(at), ground.kernel))
}

pub(crate) fn receive<K: Kernel>(
    ground: &Ground<'_, K>,
    socket: &Fd<'_, K>,
) -> Result<(Vec<u8>, Option<RawFd>), Errno> {
    let room = [const { Cell::new(0) }; 16];
    let answer = ground.call(Call::RecvFd { socket: socket.raw(), buf: &room })?;
    let count = usize::try_from(answer & 0xffff_ffff).unwrap();
    let fd = u32::try_from(answer >> 32).unwrap();
    let bytes = room.iter().take(count).map(Cell::get).collect();
    Ok((bytes, (fd != u32::MAX).then_some(fd.cast_signed())))
}
