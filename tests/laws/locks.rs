//! Locks: they belong to open files, not to processes or numbers.

use cofferdam::sys::{Call, Errno, Fd, Kernel, Syscalls, flags};

use crate::Ground;
use crate::laws::ground::{How, pause};

crate::laws! {
    fn an_exclusive_lock_excludes(ground) {
        let [a, b] = twice(ground);
        assert_eq!(lock(ground, &a, flags::LOCK_EX), Ok(0));
        for wanted in [flags::LOCK_EX, flags::LOCK_SH] {
            assert_eq!(lock(ground, &b, wanted | flags::LOCK_NB), Err(Errno::EAGAIN));
        }
        assert_eq!(lock(ground, &a, flags::LOCK_UN), Ok(0));
        assert_eq!(lock(ground, &b, flags::LOCK_EX | flags::LOCK_NB), Ok(0));
    }

    fn shared_locks_share(ground) {
        let [a, b] = twice(ground);
        assert_eq!(lock(ground, &a, flags::LOCK_SH), Ok(0));
        assert_eq!(lock(ground, &b, flags::LOCK_SH | flags::LOCK_NB), Ok(0));
        assert_eq!(lock(ground, &b, flags::LOCK_EX | flags::LOCK_NB), Err(Errno::EAGAIN));
    }

    fn taking_a_lock_again_is_nothing(ground) {
        let [a, _b] = twice(ground);
        assert_eq!(lock(ground, &a, flags::LOCK_EX), Ok(0));
        assert_eq!(lock(ground, &a, flags::LOCK_EX | flags::LOCK_NB), Ok(0));
    }

    fn closing_leaves_the_lock(ground) {
        let [a, b] = twice(ground);
        assert_eq!(lock(ground, &a, flags::LOCK_EX), Ok(0));
        drop(a);
        assert_eq!(lock(ground, &b, flags::LOCK_EX | flags::LOCK_NB), Ok(0));
    }

    fn a_copy_of_the_number_keeps_the_lock(ground) {
        let [a, b] = twice(ground);
        assert_eq!(lock(ground, &a, flags::LOCK_EX), Ok(0));
        let (fd, command) = (a.raw(), flags::F_DUPFD);
        let copy = ground.kernel.give(Call::Fcntl { fd, command, argument: 0 }).unwrap();
        drop(a);
        assert_eq!(lock(ground, &b, flags::LOCK_EX | flags::LOCK_NB), Err(Errno::EAGAIN));
        drop(copy);
        // A newborn of another thread's has a copy of every descriptor until it executes.
        let free = || lock(ground, &b, flags::LOCK_EX | flags::LOCK_NB);
        let freed = (0..200).any(|_| free().is_ok() || ground.kernel.poll([], 5).is_err());
        assert!(freed, "the lock outlives the last copy");
    }

    fn a_child_does_not_keep_what_it_was_not_given(ground) {
        let [a, b] = twice(ground);
        assert_eq!(lock(ground, &a, flags::LOCK_EX), Ok(0));
        let child = ground.spawn(&pause(), How::default()).unwrap();
        assert_eq!(child.hear(), b"?");
        drop(a);
        assert_eq!(lock(ground, &b, flags::LOCK_EX | flags::LOCK_NB), Ok(0));
    }

    fn a_directory_is_locked_too(ground) {
        let [a, b] = [(), ()].map(|()| ground.open("", flags::O_DIRECTORY).unwrap());
        assert_eq!(lock(ground, &a, flags::LOCK_EX), Ok(0));
        assert_eq!(lock(ground, &b, flags::LOCK_EX | flags::LOCK_NB), Err(Errno::EAGAIN));
    }

    fn a_lock_stays_on_a_removed_directory(ground) {
        ground.directory("d");
        let a = ground.open("d", flags::O_DIRECTORY).unwrap();
        assert_eq!(lock(ground, &a, flags::LOCK_EX), Ok(0));
        ground.kernel.unlink(cofferdam::sys::CWD, &ground.at("d"), flags::AT_REMOVEDIR).unwrap();
        ground.directory("d");
        let b = ground.open("d", flags::O_DIRECTORY).unwrap();
        assert_eq!(lock(ground, &b, flags::LOCK_EX | flags::LOCK_NB), Ok(0));
    }

    fn a_path_descriptor_is_not_locked(ground) {
        ground.file("a", b"");
        let path = ground.open("a", flags::O_PATH).unwrap();
        assert_eq!(lock(ground, &path, flags::LOCK_EX), Err(Errno::EBADF));
    }

    fn an_unknown_operation_is_einval(ground) {
        let [a, _b] = twice(ground);
        assert_eq!(lock(ground, &a, flags::LOCK_SH | flags::LOCK_EX), Err(Errno::EINVAL));
    }

    fn an_unknown_operation_is_einval_before_anything_is_looked_for(ground) {
        let call = Call::Flock { fd: 2_147_483_000, operation: 0 };
        assert_eq!(ground.call(call), Err(Errno::EINVAL));
    }
}

/// Opens one file twice.
fn twice<'k, K: Kernel>(ground: &Ground<'k, K>) -> [Fd<'k, K>; 2] {
    [(), ()].map(|()| ground.open("lock", flags::O_CREAT | flags::O_RDWR).unwrap())
}

fn lock<K: Kernel>(ground: &Ground<'_, K>, fd: &Fd<'_, K>, operation: u32) -> Result<u64, Errno> {
    ground.call(Call::Flock { fd: fd.raw(), operation })
}
