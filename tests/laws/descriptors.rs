//! Descriptors: copying and closing them, their flags, offsets and seals, and waiting for them.

use std::cell::Cell;

use cofferdam::sys::{
    Act, Builder, Call, Errno, Kernel, Live, OnError, Room, Slot, Syscalls, flags,
};

use crate::Ground;
use crate::laws::ground::{How, SOCKET};

/// A number that no process has open.
const NOTHING: i32 = 2_147_483_000;
const F_DUPFD_CLOEXEC: u32 = 1030;
const POLLNVAL: u32 = 32;

crate::laws! {
    fn a_copy_is_marked_as_it_was_asked(ground) {
        ground.file("a", b"");
        let file = ground.open("a", flags::O_CLOEXEC).unwrap();
        let marked = |fd| fcntl(ground, fd, (flags::F_GETFD, 0));
        assert_eq!(marked(file.raw()), Ok(1));
        for (command, mark) in [(flags::F_DUPFD, 0), (F_DUPFD_CLOEXEC, 1)] {
            let fd = file.raw();
            let copy = ground.kernel.give(Call::Fcntl { fd, command, argument: 0 }).unwrap();
            assert_eq!(marked(copy.raw()), Ok(mark));
            fcntl(ground, copy.raw(), (flags::F_SETFD, 1 - mark)).unwrap();
            assert_eq!((marked(copy.raw()), marked(file.raw())), (Ok(1 - mark), Ok(1)));
        }
        assert_eq!(fcntl(ground, file.raw(), (9999, 0)), Err(Errno::EINVAL));
        assert_eq!(marked(NOTHING), Err(Errno::EBADF));
    }

    fn some_flags_are_changed_and_others_stay(ground) {
        ground.file("a", b"one");
        let file = ground.open("a", flags::O_RDWR).unwrap();
        let changeable = flags::O_APPEND | flags::O_NONBLOCK;
        let how = || fcntl(ground, file.raw(), (flags::F_GETFL, 0)).unwrap();
        for bits in [flags::O_APPEND, flags::O_NONBLOCK, changeable, 0] {
            let argument = bits | flags::O_WRONLY;
            fcntl(ground, file.raw(), (flags::F_SETFL, argument)).unwrap();
            assert_eq!((how() & changeable, how() & 3), (bits, flags::O_RDWR));
        }
        fcntl(ground, file.raw(), (flags::F_SETFL, flags::O_APPEND)).unwrap();
        ground.kernel.write_all(file.raw(), b"two").unwrap();
        assert_eq!(ground.content("a"), b"onetwo");
    }

    fn a_copy_takes_the_place_of_what_was_there(ground) {
        ground.file("a", b"a");
        let [read, write] = ground.kernel.pipe().unwrap();
        let file = ground.open("a", 0).unwrap();
        let dup = |old, new, flags: u64| {
            let flags = u32::try_from(flags).unwrap();
            ground.call(Call::Dup3 { old, new, flags })
        };
        let new = write.raw();
        assert_eq!(dup(file.raw(), new, flags::O_CLOEXEC), Ok(u64::from(new.cast_unsigned())));
        assert_eq!(fcntl(ground, new, (flags::F_GETFD, 0)), Ok(1));
        assert_eq!(dup(file.raw(), new, 0), Ok(u64::from(new.cast_unsigned())));
        assert_eq!(fcntl(ground, new, (flags::F_GETFD, 0)), Ok(0));
        // The end of the pipe that was there is closed.
        assert_eq!(ground.kernel.read(read.raw(), &mut [0; 1]).unwrap(), b"");
        assert_eq!(ground.kernel.read(new, &mut [0; 1]).unwrap(), b"a");
        assert_eq!(dup(file.raw(), new, 1), Err(Errno::EINVAL));
        assert_eq!(dup(NOTHING, new, 0), Err(Errno::EBADF));
        assert_eq!(dup(file.raw(), -1, 0), Err(Errno::EBADF));
    }

    fn a_range_is_marked_or_closed(ground) {
        ground.file("a", b"");
        let [file, other] = [(); 2].map(|()| ground.open("a", 0).unwrap());
        let how = (flags::F_SETFD, 0);
        for fd in [&file, &other] {
            fcntl(ground, fd.raw(), how).unwrap();
        }
        let at = file.raw().cast_unsigned();
        let close = |first, last, flags| ground.call(Call::CloseRange { first, last, flags });
        assert_eq!(close(at, at, flags::CLOSE_RANGE_CLOEXEC), Ok(0));
        assert_eq!(fcntl(ground, file.raw(), (flags::F_GETFD, 0)), Ok(1));
        assert_eq!(fcntl(ground, other.raw(), (flags::F_GETFD, 0)), Ok(0));
        assert_eq!(close(at, at - 1, 0), Err(Errno::EINVAL));
        assert_eq!(close(at, at, 8), Err(Errno::EINVAL));
        let fd = file.into_raw();
        assert_eq!(close(at, at, 0), Ok(0));
        assert_eq!(fcntl(ground, fd, (flags::F_GETFD, 0)), Err(Errno::EBADF));
        assert_eq!(fcntl(ground, other.raw(), (flags::F_GETFD, 0)), Ok(0));
    }

    fn an_offset_moves_from_where_it_is(ground) {
        ground.file("a", b"abcdef");
        let file = ground.open("a", 0).unwrap();
        let seek = |offset: i64, whence| {
            let offset = offset.cast_unsigned();
            ground.call(Call::Lseek { fd: file.raw(), offset, whence })
        };
        assert_eq!((seek(4, 0), seek(-1, 1), seek(-2, 2)), (Ok(4), Ok(3), Ok(4)));
        assert_eq!(ground.kernel.read(file.raw(), &mut [0; 1]).unwrap(), b"e");
        assert_eq!((seek(-1, 0), seek(-7, 2)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
        assert_eq!((seek(0, 5), seek(10, 0)), (Err(Errno::EINVAL), Ok(10)));
        assert_eq!(ground.kernel.read(file.raw(), &mut [0; 1]).unwrap(), b"");
        let [socket, _other] = ground.kernel.socketpair().unwrap();
        let born = ground.sleeper();
        for fd in [socket.raw(), born.fd.raw()] {
            let answer = ground.call(Call::Lseek { fd, offset: 0, whence: 0 });
            assert_eq!(answer, Err(Errno::ESPIPE));
        }
    }

    fn a_directory_is_listed_in_parts_and_again(ground) {
        ground.directory("d");
        for name in ["a", "b", "c", "e", "f"] {
            ground.file(&format!("d/{name}"), b"");
        }
        let directory = ground.open("d", flags::O_DIRECTORY).unwrap();
        let room = [const { Cell::new(0) }; 48];
        let fill = |len: usize| {
            let (fd, buf) = (directory.raw(), &room[..len]);
            ground.call(Call::Getdents64 { fd, buf })
        };
        assert_eq!(fill(16), Err(Errno::EINVAL));
        assert_eq!(fill(48), Ok(48));
        let mut found = 2;
        loop {
            let filled = fill(48).unwrap();
            // One name takes 24 bytes.
            assert!(matches!(filled, 0 | 24 | 48), "{filled}");
            found += filled / 24;
            if filled == 0 {
                break;
            }
        }
        assert_eq!(found, 7);
        ground.call(Call::Lseek { fd: directory.raw(), offset: 0, whence: 0 }).unwrap();
        assert_eq!(ground.kernel.entries(directory.raw()).unwrap().len(), 5);
    }

    fn a_seal_keeps_what_it_says(ground) {
        let to = |fd, length| ground.call(Call::Ftruncate { fd, length });
        let seek = |fd| ground.call(Call::Lseek { fd, offset: 0, whence: 0 }).unwrap();
        for (seal, grows, shrinks) in [
            (flags::F_SEAL_GROW, Err(Errno::EPERM), Ok(0)),
            (flags::F_SEAL_SHRINK, Ok(0), Err(Errno::EPERM)),
        ] {
            let how = flags::MFD_CLOEXEC | flags::MFD_ALLOW_SEALING;
            let file = ground.kernel.give(Call::MemfdCreate { name: c"m", flags: how }).unwrap();
            let fd = file.raw();
            ground.kernel.write_all(fd, b"kept").unwrap();
            fcntl(ground, fd, (flags::F_ADD_SEALS, seal)).unwrap();
            seek(fd);
            assert_eq!(ground.kernel.write(fd, b"same"), Ok(4));
            let added = ground.kernel.write(fd, b"x").map(|_| 0);
            assert_eq!((added, to(fd, 9), to(fd, 1)), (grows, grows, shrinks));
            assert_eq!(to(fd, if grows.is_ok() { 9 } else { 1 }), Ok(0));
        }
        let file = ground.kernel.give(Call::MemfdCreate { name: c"m", flags: 0 }).unwrap();
        let answer = fcntl(ground, file.raw(), (flags::F_ADD_SEALS, flags::F_SEAL_GROW));
        assert_eq!(answer, Err(Errno::EPERM));
        assert_eq!(fcntl(ground, file.raw(), (flags::F_GETFD, 0)), Ok(0));
        let call: Call<Live<'_>> = Call::MemfdCreate { name: c"m", flags: 0x40 };
        assert_eq!(ground.call(call), Err(Errno::EINVAL));
    }

    fn each_is_told_what_it_asked_for(ground) {
        let [read, write] = ground.kernel.pipe().unwrap();
        let [socket, other] = ground.kernel.socketpair().unwrap();
        let (r, w, s) = (read.raw(), write.raw(), socket.raw());
        let poll = |asked: [(i32, u32); 3]| ground.kernel.poll(asked, 0).unwrap();
        let (input, output) = (flags::POLLIN, flags::POLLOUT);
        assert_eq!(poll([(r, input), (w, output), (s, input)]), [0, output, 0]);
        assert_eq!(poll([(r, 0), (w, input), (s, output)]), [0, 0, output]);
        ground.kernel.write_all(w, b"x").unwrap();
        ground.kernel.send(other.raw(), b"x").unwrap();
        assert_eq!(poll([(r, input), (w, 0), (s, input | output)]), [input, 0, input | output]);
        assert_eq!(poll([(NOTHING, input), (-1, input), (s, 0)]), [POLLNVAL, 0, 0]);
    }

    fn a_call_waits_for_one_with_its_time(ground) {
        let [read, write] = ground.kernel.pipe().unwrap();
        let wait = |fd, events| ground.call(Call::Await { fd, events, timeout_ms: 0 });
        assert!(wait(read.raw(), flags::POLLIN) != Ok(1));
        assert_eq!(wait(write.raw(), flags::POLLOUT), Ok(1));
    }

    fn a_program_waits_until_it_is_told(ground) {
        let mut builder = Builder::new(1);
        let (fd, events) = (SOCKET, flags::POLLIN);
        builder.call(Call::Await { fd, events, timeout_ms: -1 });
        builder.call(Call::Read { fd, buf: Room { len: 1 } });
        builder.push(Act::Abort { errno: Errno::EXDEV }, OnError::Fail, Slot::NONE);
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        let own = (born.socket.raw(), flags::POLLIN);
        assert_eq!(ground.kernel.poll([own], 50), Ok([0]));
        ground.kernel.write_all(born.socket.raw(), b"!").unwrap();
        assert_eq!(born.hear(), [b'F', 0, 2, 0, 18, 0]);
    }

    fn who_was_waited_for_stays_ready(ground) {
        let born = ground.sleeper();
        born.signal(flags::SIGKILL).unwrap();
        born.wait(flags::WEXITED).unwrap();
        let seen = ground.kernel.poll([(born.fd.raw(), flags::POLLIN)], 0).unwrap();
        assert_eq!(seen[0] & flags::POLLIN, flags::POLLIN);
    }
}

fn fcntl<K: Kernel>(ground: &Ground<'_, K>, fd: i32, ask: (u32, u64)) -> Result<u64, Errno> {
    let (command, argument) = ask;
    ground.call(Call::Fcntl { fd, command, argument })
}
