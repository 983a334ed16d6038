//! AppArmor's labels: who chooses one, which can be chosen, and when it is taken on.
//!
//! They are what apparmor(7) and the kernel's AppArmor guide say of `/proc/PID/attr/apparmor`.

use cofferdam::sys::{
    Act, Builder, Call, Errno, Handle, Kernel, OnError, Room, Slot, Syscalls, flags,
};

use crate::Ground;
use crate::laws::ground::{How, exec, refuse};

/// The profile that is loaded on the fake and in guests.
pub(crate) const LOADED: &str = "cofferdam-test";

crate::laws! {
    fn a_label_is_a_file_of_its_process(ground) {
        if !is_on(ground) {
            return;
        }
        let born = ground.sleeper();
        for (path, mode) in [
            ("", flags::S_IFDIR | 0o555),
            ("/apparmor", flags::S_IFDIR | 0o555),
            ("/apparmor/current", flags::S_IFREG | 0o666),
            ("/apparmor/exec", flags::S_IFREG | 0o666),
        ] {
            let at = format!("/proc/{}/attr{path}", born.pid);
            let file = ground.open_absolute(&at, flags::O_PATH).unwrap();
            let found = ground.kernel.stat(file.raw(), c"", flags::AT_EMPTY_PATH);
            assert_eq!(found.unwrap().mode, mode, "{at}");
        }
        let directory = format!("/proc/{}/attr/apparmor", born.pid);
        assert_eq!(ground.read(&directory).err(), Some(Errno::EISDIR));
        assert_eq!(ground.read(&format!("{directory}/current")).unwrap(), "unconfined\n");
        // What is read there is the reader's own choice, and it has made none.
        assert_eq!(ground.read(&format!("{directory}/exec")).err(), Some(Errno::EINVAL));
    }

    fn nobody_chooses_for_another(ground) {
        if !is_on(ground) {
            return;
        }
        let born = ground.slept(|_| ());
        let file = format!("/proc/{}/attr/apparmor/exec", born.pid);
        assert_eq!(ground.write(&file, "exec unconfined"), Err(Errno::EPERM));
    }

    fn a_choice_is_a_command_and_a_label_that_is_there(ground) {
        if !is_on(ground) {
            return;
        }
        let failed = ground.alone(0, |b| {
            let file = choice(b, flags::O_WRONLY);
            for (text, errno) in [
                ("", Errno::EINVAL),
                ("exec", Errno::EINVAL),
                ("exec ", Errno::EINVAL),
                ("unconfined", Errno::EINVAL),
                ("change unconfined", Errno::EINVAL),
                ("exec no-profile-has-this-name", Errno::ENOENT),
            ] {
                let bytes = b.block(text.as_bytes());
                refuse(b, Call::Write { fd: file, bytes }, errno);
            }
            for text in ["exec unconfined", "exec unconfined\n", " exec  unconfined "] {
                let bytes = b.block(text.as_bytes());
                b.call(Call::Write { fd: file, bytes });
            }
        });
        assert_eq!(failed, None);
    }

    fn a_choice_can_be_read_by_who_made_it(ground) {
        if !is_on(ground) {
            return;
        }
        let failed = ground.alone(0, |b| {
            let file = choice(b, flags::O_RDWR);
            refuse(b, Call::Read { fd: file, buf: Room { len: 8 } }, Errno::EINVAL);
            let bytes = b.block(b"exec unconfined");
            b.call(Call::Write { fd: file, bytes });
            b.call(Call::Read { fd: file, buf: Room { len: 8 } });
        });
        assert_eq!(failed, None);
    }

    fn a_label_is_taken_on_at_execve(ground) {
        if !is_on(ground) {
            return;
        }
        let choose = |b: &mut Builder| {
            let file = choice(b, flags::O_WRONLY);
            let bytes = b.block(format!("exec {LOADED}").as_bytes());
            b.call(Call::Write { fd: file, bytes });
        };
        match ground.alone(0, choose) {
            None => (),
            Some((_, Errno::ENOENT)) => return ground.miss("the profile of the laws is not loaded"),
            Some((_, errno)) => panic!("{errno:?}"),
        }
        let label = |pid| ground.read(&format!("/proc/{pid}/attr/apparmor/current")).unwrap();
        let paused = ground.paused(How::default(), choose);
        assert_eq!(label(paused.pid), "unconfined\n");
        let slept = ground.slept(choose);
        assert_eq!(label(slept.pid), format!("{LOADED} (enforce)\n"));
        let freed = ground.slept(|b| {
            choose(b);
            let file = choice(b, flags::O_WRONLY);
            let bytes = b.block(b"exec unconfined");
            b.call(Call::Write { fd: file, bytes });
        });
        assert_eq!(label(freed.pid), "unconfined\n");
    }

    fn a_choice_is_handed_on_at_birth(ground) {
        if !is_on(ground) {
            return;
        }
        let failed = ground.alone(0, |b| {
            let file = choice(b, flags::O_WRONLY);
            let bytes = b.block(b"exec unconfined");
            b.call(Call::Write { fd: file, bytes });
            let pid = b.take();
            let child = b.fork(0, pid);
            // It has a choice to read, and its own: the elder's file is not for it to write.
            let own = choice(b, flags::O_RDONLY);
            b.call(Call::Read { fd: own, buf: Room { len: 8 } });
            refuse(b, Call::Write { fd: file, bytes }, Errno::EPERM);
            exec(b, &["/bin/true"]);
            b.land(child);
            b.call(Call::Wait4 { pid, status: Room { len: 4 }, options: 0 });
            b.push(Act::Check, OnError::Fail, Slot::NONE);
        });
        assert_eq!(failed, None);
    }
}

/// Adds the opening of the caller's own choice.
fn choice(b: &mut Builder, flags: u64) -> Handle {
    let path = b.text("/proc/self/attr/apparmor/exec");
    let slot = b.open(Call::Openat2 {
        dir: Handle::CWD,
        path,
        flags: flags | flags::O_CLOEXEC,
        mode: 0,
        resolve: 0,
    });
    Handle::slot(slot.0)
}

/// Returns whether AppArmor is in use; says so where it is not.
fn is_on<K: Kernel>(ground: &Ground<'_, K>) -> bool {
    match ground.read("/proc/self/attr/apparmor/current") {
        Ok(_) => true,
        Err(errno) => {
            ground.miss(format!("AppArmor is not in use: {errno:?}"));
            false
        }
    }
}
