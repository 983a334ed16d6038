//! Waiting: which call waits for what, and who goes on.

use std::cell::Cell;

use cofferdam::sys::{Builder, Call, Errno, Handle, Kernel, Live, Room, Syscalls, flags};

use crate::Ground;
use crate::laws::ground::{Born, How, SOCKET};

const POLLPRI: u32 = 2;

crate::laws! {
    fn who_opens_a_fifo_for_reading_waits_for_a_writer(ground) {
        ground.fifo("f");
        let born = opener(ground, flags::O_RDONLY, |_, _| ());
        assert!(lives(ground, &born));
        // It is there for who would write, though it has not got its number yet.
        let writer = ground.open("f", flags::O_WRONLY | flags::O_NONBLOCK).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
        assert_eq!(ground.kernel.write(writer.raw(), b"x"), Err(Errno::EPIPE));
    }

    fn who_opens_a_fifo_for_writing_waits_for_a_reader(ground) {
        ground.fifo("f");
        let born = opener(ground, flags::O_WRONLY, |b, fd| {
            let bytes = b.block(b"x");
            b.call(Call::Write { fd, bytes });
        });
        assert!(lives(ground, &born));
        let reader = ground.open("f", flags::O_RDONLY).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
        assert_eq!(ground.kernel.read_all(reader.raw()).unwrap(), b"x");
    }

    /// Whoever has met the other side goes on, though that has left since.
    fn who_has_met_the_other_side_goes_on(ground) {
        for (waits, comes) in
            [(flags::O_RDONLY, flags::O_WRONLY), (flags::O_WRONLY, flags::O_RDONLY)]
        {
            ground.fifo("f");
            let born = opener(ground, waits, |_, _| ());
            assert!(lives(ground, &born));
            drop(ground.open("f", comes | flags::O_NONBLOCK).unwrap());
            assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
            ground.kernel.unlink(cofferdam::sys::CWD, &ground.at("f"), 0).unwrap();
        }
    }

    fn two_who_open_a_fifo_alike_do_not_meet(ground) {
        ground.fifo("f");
        let born = [(); 2].map(|()| opener(ground, flags::O_RDONLY, |_, _| ()));
        assert!(born.iter().all(|born| lives(ground, born)));
        let _both = ground.open("f", flags::O_RDWR).unwrap();
        for born in born {
            assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
        }
    }

    fn who_asks_for_a_directory_waits_for_no_fifo(ground) {
        ground.fifo("f");
        assert_eq!(ground.open("f", flags::O_DIRECTORY).err(), Some(Errno::ENOTDIR));
        let opened = ground.open("f", flags::O_PATH).unwrap();
        assert_eq!(ground.kernel.write(opened.raw(), b"x"), Err(Errno::EBADF));
        let how = flags::O_WRONLY | flags::O_NONBLOCK;
        assert_eq!(ground.open("f", how).err(), Some(Errno::ENXIO));
    }

    fn a_reader_waits_for_bytes_while_somebody_could_write(ground) {
        ground.fifo("f");
        let both = ground.open("f", flags::O_RDWR).unwrap();
        let born = opener(ground, flags::O_RDONLY, |b, fd| {
            b.call(Call::Read { fd, buf: Room { len: 1 } });
        });
        assert!(lives(ground, &born));
        ground.kernel.write_all(both.raw(), b"x").unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
    }

    fn a_writer_waits_for_room(ground) {
        for len in [4096, 8192] {
            ground.fifo("f");
            let both = ground.open("f", flags::O_RDWR | flags::O_NONBLOCK).unwrap();
            for _ in 0..16 {
                ground.kernel.write_all(both.raw(), &[b'x'; 4096]).unwrap();
            }
            let born = opener(ground, flags::O_WRONLY, |b, fd| {
                let bytes = b.block(&vec![b'y'; len]);
                b.call(Call::Write { fd, bytes });
            });
            assert!(lives(ground, &born));
            let mut room = [0; 4096];
            for _ in 0..len / 4096 {
                assert_eq!(ground.kernel.read(both.raw(), &mut room).unwrap().len(), 4096);
            }
            assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
            ground.kernel.unlink(cofferdam::sys::CWD, &ground.at("f"), 0).unwrap();
        }
    }

    fn a_long_write_is_cut_to_what_there_is_room_for(ground) {
        ground.fifo("f");
        let both = ground.open("f", flags::O_RDWR | flags::O_NONBLOCK).unwrap();
        for _ in 0..15 {
            ground.kernel.write_all(both.raw(), &[b'x'; 4096]).unwrap();
        }
        let output = |asked| ground.kernel.poll([(both.raw(), asked)], 0);
        assert_eq!(output(flags::POLLIN | flags::POLLOUT), Ok([flags::POLLIN | flags::POLLOUT]));
        assert_eq!(ground.kernel.write(both.raw(), &[b'y'; 8192]), Ok(4096));
        assert_eq!(output(flags::POLLIN | flags::POLLOUT), Ok([flags::POLLIN]));
        assert_eq!(ground.kernel.write(both.raw(), &[b'y'; 8192]), Err(Errno::EAGAIN));
        assert_eq!(ground.kernel.write(both.raw(), b""), Ok(0));
    }

    fn a_pipe_is_made_as_it_was_asked(ground) {
        let pipe = |how: u64| {
            let ends = [const { Cell::new(0) }; 8];
            let flags = u32::try_from(how).unwrap();
            ground.call(Call::Pipe2 { ends: &ends[..], flags })?;
            let end = |at: usize| i32::from_le_bytes(std::array::from_fn(|i| ends[at + i].get()));
            Ok([0, 4].map(|at| cofferdam::sys::Fd::new(end(at), ground.kernel)))
        };
        assert_eq!(pipe(1).err(), Some(Errno::EINVAL));
        for how in [0, flags::O_CLOEXEC, flags::O_NONBLOCK] {
            for (end, access) in pipe(how).unwrap().iter().zip([flags::O_RDONLY, flags::O_WRONLY]) {
                let ask = |command| {
                    ground.call(Call::Fcntl { fd: end.raw(), command, argument: 0 }).unwrap()
                };
                assert_eq!(ask(flags::F_GETFD), u64::from(how == flags::O_CLOEXEC));
                assert_eq!(ask(flags::F_GETFL), access | how & flags::O_NONBLOCK);
            }
        }
        let [read, _write] = pipe(flags::O_NONBLOCK).unwrap();
        assert_eq!(ground.kernel.read(read.raw(), &mut [0; 1]), Err(Errno::EAGAIN));
        assert_eq!(ground.kernel.read(read.raw(), &mut []).unwrap(), b"");
    }

    fn a_file_is_always_ready(ground) {
        ground.file("f", b"");
        ground.directory("d");
        let both = flags::POLLIN | flags::POLLOUT;
        for (path, how) in [("f", 0), ("d", flags::O_DIRECTORY)] {
            let file = ground.open(path, how).unwrap();
            for (asked, told) in [(both | POLLPRI, both), (flags::POLLIN, flags::POLLIN), (0, 0)] {
                assert_eq!(ground.kernel.poll([(file.raw(), asked)], 0), Ok([told]));
            }
        }
    }

    fn who_wants_a_lock_waits_for_it(ground) {
        for (held, wanted, waits) in [
            (flags::LOCK_EX, flags::LOCK_SH, true),
            (flags::LOCK_EX, flags::LOCK_EX, true),
            (flags::LOCK_SH, flags::LOCK_EX, true),
            (flags::LOCK_SH, flags::LOCK_SH, false),
            (flags::LOCK_EX, flags::LOCK_UN, false),
        ] {
            ground.file("f", b"");
            let file = ground.open("f", 0).unwrap();
            ground.call(Call::Flock { fd: file.raw(), operation: held }).unwrap();
            let born = opener(ground, flags::O_RDONLY, |b, fd| {
                b.call(Call::Flock { fd, operation: wanted });
            });
            assert_eq!(lives(ground, &born), waits, "{held} {wanted}");
            ground.call(Call::Flock { fd: file.raw(), operation: flags::LOCK_UN }).unwrap();
            assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
        }
    }

    fn who_would_not_wait_for_a_process_is_told(ground) {
        let born = ground.sleeper();
        let (fd, command, argument) = (born.fd.raw(), flags::F_SETFL, flags::O_NONBLOCK);
        ground.call(Call::Fcntl { fd, command, argument }).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Err(Errno::EAGAIN));
        assert_eq!(born.wait(flags::WEXITED | flags::WNOHANG), Ok((0, 0)));
        born.signal(flags::SIGKILL).unwrap();
        born.poll();
        assert_eq!(born.wait(flags::WEXITED), Ok((2, flags::SIGKILL)));
    }

    fn any_child_is_waited_for(ground) {
        let mut builder = Builder::new(1);
        let b = &mut builder;
        let pid = b.take();
        let child = b.fork(0, pid);
        b.call(Call::Exit { status: 3 });
        b.land(child);
        b.call(Call::Wait4 { pid, status: Room { len: 4 }, options: 0 });
        b.call_or(Call::Wait4 { pid, status: Room { len: 4 }, options: 0 }, &[Errno::ECHILD]);
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
    }

    fn a_sender_without_a_hurry_waits_for_room(ground) {
        let mut builder = Builder::new(1);
        let bytes = builder.block(b"x");
        for _ in 0..2000 {
            builder.call(Call::Write { fd: SOCKET, bytes });
        }
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        assert!(lives(ground, &born));
        for _ in 0..2000 {
            assert_eq!(born.hear(), b"x");
        }
        assert_eq!(born.wait(flags::WEXITED), Ok((flags::CLD_EXITED, 0)));
    }

    fn a_sender_waits_for_room(ground) {
        let [a, b] = ground.kernel.socketpair().unwrap();
        let fd = a.raw();
        let (command, argument) = (flags::F_SETFL, flags::O_NONBLOCK);
        ground.call(Call::Fcntl { fd, command, argument }).unwrap();
        let call: Call<Live<'_>> = Call::Send { socket: fd, bytes: b"x" };
        let sent = (0..100_000).take_while(|_| ground.call(call).is_ok()).count();
        assert!((1..100_000).contains(&sent), "{sent}");
        assert_eq!(ground.call(call), Err(Errno::EAGAIN));
        assert_eq!(ground.kernel.poll([(fd, flags::POLLOUT)], 0), Ok([0]));
        for _ in 0..sent {
            assert_eq!(ground.kernel.read(b.raw(), &mut [0; 4]).unwrap(), b"x");
        }
        assert_eq!(ground.kernel.poll([(fd, flags::POLLOUT)], 0), Ok([flags::POLLOUT]));
        assert_eq!(ground.call(call), Ok(1));
    }
}

/// Makes a child that opens `f`, does something with it and ends.
fn opener<'k, K: Kernel>(
    ground: &Ground<'k, K>,
    flags: u64,
    write: impl FnOnce(&mut Builder, Handle),
) -> Born<'k, K> {
    let text = ground.at("f").into_string().unwrap();
    let mut builder = Builder::new(1);
    let b = &mut builder;
    let bytes = b.block(b"?");
    b.call(Call::Write { fd: SOCKET, bytes });
    let (dir, path) = (Handle::CWD, b.text(&text));
    let slot = b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 });
    write(b, Handle::slot(slot.0));
    let born = ground.spawn(&builder.finish(), How::default()).unwrap();
    assert_eq!(born.hear(), b"?");
    born
}

/// Returns whether a process does not end within a moment.
fn lives<K: Kernel>(ground: &Ground<'_, K>, born: &Born<'_, K>) -> bool {
    ground.kernel.poll([(born.fd.raw(), flags::POLLIN)], 50) == Ok([0])
}
