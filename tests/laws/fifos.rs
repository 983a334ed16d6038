//! Fifos and pipes: who waits for whom, and what is left when somebody goes.

use cofferdam::sys::{CWD, Errno, Syscalls, flags};

crate::laws! {
    fn open_for_both_never_waits(ground) {
        ground.fifo("f");
        let fifo = ground.open("f", flags::O_RDWR).unwrap();
        assert_eq!(ground.kernel.write(fifo.raw(), b"x"), Ok(1));
        assert_eq!(ground.kernel.read(fifo.raw(), &mut [0; 4]).unwrap(), b"x");
    }

    fn open_for_reading_without_waiting_succeeds(ground) {
        ground.fifo("f");
        let fifo = ground.open("f", flags::O_RDONLY | flags::O_NONBLOCK).unwrap();
        assert_eq!(ground.kernel.read(fifo.raw(), &mut [0; 4]).unwrap(), b"");
        assert_eq!(ground.kernel.poll([(fifo.raw(), flags::POLLIN)], 0), Ok([0]));
    }

    fn open_for_writing_without_a_reader_is_enxio(ground) {
        ground.fifo("f");
        let how = flags::O_WRONLY | flags::O_NONBLOCK;
        assert_eq!(ground.open("f", how).err(), Some(Errno::ENXIO));
        let _reader = ground.open("f", flags::O_RDONLY | flags::O_NONBLOCK).unwrap();
        assert!(ground.open("f", how).is_ok());
    }

    fn a_reader_of_nothing_is_eagain_while_there_is_a_writer(ground) {
        ground.fifo("f");
        let reader = ground.open("f", flags::O_RDONLY | flags::O_NONBLOCK).unwrap();
        let writer = ground.open("f", flags::O_WRONLY | flags::O_NONBLOCK).unwrap();
        assert_eq!(ground.kernel.read(reader.raw(), &mut [0; 4]), Err(Errno::EAGAIN));
        drop(writer);
        assert_eq!(ground.kernel.read(reader.raw(), &mut [0; 4]).unwrap(), b"");
        assert_eq!(ground.kernel.poll([(reader.raw(), flags::POLLIN)], 0), Ok([flags::POLLHUP]));
    }

    fn bytes_stay_while_any_end_is_open(ground) {
        ground.fifo("f");
        let reader = ground.open("f", flags::O_RDONLY | flags::O_NONBLOCK).unwrap();
        let writer = ground.open("f", flags::O_WRONLY | flags::O_NONBLOCK).unwrap();
        ground.kernel.write_all(writer.raw(), b"kept").unwrap();
        drop(writer);
        assert_eq!(ground.kernel.read(reader.raw(), &mut [0; 8]).unwrap(), b"kept");
    }

    fn bytes_are_gone_with_the_last_end(ground) {
        ground.fifo("f");
        let fifo = ground.open("f", flags::O_RDWR).unwrap();
        ground.kernel.write_all(fifo.raw(), b"lost").unwrap();
        drop(fifo);
        let fifo = ground.open("f", flags::O_RDWR | flags::O_NONBLOCK).unwrap();
        assert_eq!(ground.kernel.read(fifo.raw(), &mut [0; 8]), Err(Errno::EAGAIN));
    }

    fn a_writer_whose_readers_are_gone_sees_pollerr(ground) {
        ground.fifo("f");
        let reader = ground.open("f", flags::O_RDONLY | flags::O_NONBLOCK).unwrap();
        let writer = ground.open("f", flags::O_WRONLY | flags::O_NONBLOCK).unwrap();
        assert_eq!(ground.kernel.poll([(writer.raw(), 0)], 0), Ok([0]));
        drop(reader);
        assert_eq!(ground.kernel.poll([(writer.raw(), 0)], 0), Ok([flags::POLLERR]));
    }

    fn a_fifo_joins_those_who_have_it_open_after_its_name_is_gone(ground) {
        ground.fifo("f");
        let reader = ground.open("f", flags::O_RDONLY | flags::O_NONBLOCK).unwrap();
        let path = ground.open("f", flags::O_PATH).unwrap();
        ground.kernel.unlink(CWD, &ground.at("f"), 0).unwrap();
        let link = format!("/proc/self/fd/{}", path.raw());
        let writer = ground.open_absolute(&link, flags::O_WRONLY).unwrap();
        ground.kernel.write_all(writer.raw(), b"x").unwrap();
        assert_eq!(ground.kernel.read(reader.raw(), &mut [0; 4]).unwrap(), b"x");
    }

    fn a_pipe_ends_when_every_writer_is_gone(ground) {
        let [read, write] = ground.kernel.pipe().unwrap();
        ground.kernel.write_all(write.raw(), b"last").unwrap();
        assert_eq!(ground.kernel.poll([(read.raw(), flags::POLLIN)], 0), Ok([flags::POLLIN]));
        drop(write);
        let both = flags::POLLIN | flags::POLLHUP;
        assert_eq!(ground.kernel.poll([(read.raw(), flags::POLLIN)], 0), Ok([both]));
        assert_eq!(ground.kernel.read_all(read.raw()).unwrap(), b"last");
        assert_eq!(ground.kernel.poll([(read.raw(), flags::POLLIN)], 0), Ok([flags::POLLHUP]));
    }

    fn a_pipe_that_is_opened_again_hangs_up_as_before(ground) {
        let [read, write] = ground.kernel.pipe().unwrap();
        drop(write);
        let path = format!("/proc/self/fd/{}", read.raw());
        let again = ground.open_absolute(&path, flags::O_RDONLY | flags::O_NONBLOCK).unwrap();
        assert_eq!(ground.kernel.poll([(again.raw(), flags::POLLIN)], 0), Ok([flags::POLLHUP]));
    }

    fn a_write_to_a_pipe_without_readers_is_epipe(ground) {
        let [read, write] = ground.kernel.pipe().unwrap();
        drop(read);
        assert_eq!(ground.kernel.write(write.raw(), b"x"), Err(Errno::EPIPE));
    }

    fn each_end_of_a_pipe_does_one_thing(ground) {
        let [read, write] = ground.kernel.pipe().unwrap();
        assert_eq!(ground.kernel.write(read.raw(), b"x"), Err(Errno::EBADF));
        assert_eq!(ground.kernel.read(write.raw(), &mut [0; 1]), Err(Errno::EBADF));
    }

    fn a_full_pipe_is_eagain(ground) {
        ground.fifo("f");
        let fifo = ground.open("f", flags::O_RDWR | flags::O_NONBLOCK).unwrap();
        let block = [0; 4096];
        let mut total = 0;
        while let Ok(count) = ground.kernel.write(fifo.raw(), &block) {
            total += count;
        }
        assert_eq!(total, 65536);
        assert_eq!(ground.kernel.write(fifo.raw(), b"x"), Err(Errno::EAGAIN));
        assert_eq!(ground.kernel.poll([(fifo.raw(), flags::POLLOUT)], 0), Ok([0]));
    }

    fn a_pipe_has_no_offset(ground) {
        let [read, _write] = ground.kernel.pipe().unwrap();
        let call = cofferdam::sys::Call::Lseek { fd: read.raw(), offset: 0, whence: 0 };
        assert_eq!(ground.call(call), Err(Errno::ESPIPE));
    }

    fn poll_of_what_is_not_open_is_pollnval(ground) {
        assert_eq!(ground.kernel.poll([(2_147_483_000, flags::POLLIN)], 0), Ok([32]));
        assert_eq!(ground.kernel.poll([(-1, flags::POLLIN)], 0), Ok([0]));
    }

    fn a_pipe_has_one_link_and_no_name(ground) {
        let [read, _write] = ground.kernel.pipe().unwrap();
        let stat = ground.kernel.stat(read.raw(), c"", flags::AT_EMPTY_PATH).unwrap();
        assert_eq!((stat.mode, stat.links), (flags::S_IFIFO | 0o600, 1));
    }

    /// Unlike a fifo: its sides have met.
    fn a_pipe_without_readers_is_opened_for_writing(ground) {
        let [read, write] = ground.kernel.pipe().unwrap();
        drop(read);
        let link = format!("/proc/self/fd/{}", write.raw());
        for how in [flags::O_WRONLY, flags::O_WRONLY | flags::O_NONBLOCK] {
            assert!(ground.open_absolute(&link, how).is_ok());
        }
    }

    fn writing_nothing_to_a_pipe_without_readers_is_no_error(ground) {
        let [read, write] = ground.kernel.pipe().unwrap();
        drop(read);
        assert_eq!(ground.kernel.write(write.raw(), b""), Ok(0));
    }

    fn a_fifo_without_a_name_has_no_link(ground) {
        ground.fifo("f");
        let fifo = ground.open("f", flags::O_RDWR).unwrap();
        let links = || {
            ground.kernel.stat(fifo.raw(), c"", flags::AT_EMPTY_PATH).unwrap().links
        };
        assert_eq!(links(), 1);
        ground.kernel.unlink(CWD, &ground.at("f"), 0).unwrap();
        assert_eq!(links(), 0);
    }

    fn an_unknown_way_to_seek_is_einval_for_a_pipe_too(ground) {
        let [read, _write] = ground.kernel.pipe().unwrap();
        let seek = |whence| {
            ground.call(cofferdam::sys::Call::Lseek { fd: read.raw(), offset: 0, whence })
        };
        assert_eq!((seek(9), seek(5)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
        // Looking for a hole is the last.
        assert_eq!((seek(4), seek(3)), (Err(Errno::ESPIPE), Err(Errno::ESPIPE)));
    }
}
