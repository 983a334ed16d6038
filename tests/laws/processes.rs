//! Processes: numbers, descriptors, signals, waiting.

use std::cell::Cell;

use cofferdam::sys::{CWD, Call, Errno, Kernel, Live, Syscalls, flags};

use crate::Ground;

crate::laws! {
    fn a_killed_process_is_a_zombie_until_it_is_waited_for(ground) {
        let born = ground.sleeper();
        assert_eq!(born.wait(flags::WEXITED | flags::WNOHANG), Ok((0, 0)));
        born.signal(flags::SIGKILL).unwrap();
        born.poll();
        assert_eq!(born.signal(0), Ok(0));
        assert_eq!(state(ground, born.pid), Ok('Z'));
        assert_eq!(born.wait(flags::WEXITED | flags::WNOWAIT), Ok((2, flags::SIGKILL)));
        assert_eq!(born.wait(flags::WEXITED), Ok((2, flags::SIGKILL)));
        assert_eq!(born.wait(flags::WEXITED), Err(Errno::ECHILD));
    }

    fn a_process_that_was_waited_for_is_gone(ground) {
        let born = ground.sleeper();
        born.signal(flags::SIGKILL).unwrap();
        born.wait(flags::WEXITED).unwrap();
        assert_eq!(born.signal(flags::SIGTERM), Err(Errno::ESRCH));
        assert_eq!(born.signal(65), Err(Errno::ESRCH));
        assert_eq!(state(ground, born.pid), Err(Errno::ENOENT));
        let pid = born.pid;
        assert_eq!(ground.call(Call::PidfdOpen { pid, flags: 0 }), Err(Errno::ESRCH));
        let call: Call<Live<'_>> = Call::Kill { pid: pid.cast_signed(), signal: 0 };
        assert_eq!(ground.call(call), Err(Errno::ESRCH));
    }

    fn an_open_proc_file_of_a_process_that_is_gone_is_esrch(ground) {
        let born = ground.sleeper();
        let stat = ground.open_absolute(&format!("/proc/{}/stat", born.pid), 0).unwrap();
        born.signal(flags::SIGKILL).unwrap();
        born.wait(flags::WEXITED).unwrap();
        assert_eq!(ground.kernel.read(stat.raw(), &mut [0; 64]), Err(Errno::ESRCH));
    }

    fn a_zombie_has_no_namespaces_to_look_at(ground) {
        let born = ground.sleeper();
        born.signal(flags::SIGKILL).unwrap();
        born.poll();
        let link = crate::name(format!("/proc/{}/ns/mnt", born.pid));
        assert_eq!(ground.kernel.read_link(CWD, &link), Err(Errno::ENOENT));
    }

    fn a_second_descriptor_reaches_the_same_process(ground) {
        let born = ground.sleeper();
        let call: Call<Live<'_>> = Call::PidfdOpen { pid: born.pid, flags: 0 };
        let fd = ground.kernel.give(call).unwrap();
        let call: Call<Live<'_>> = Call::PidfdSendSignal { fd: fd.raw(), signal: flags::SIGKILL };
        assert_eq!(ground.call(call), Ok(0));
        assert_eq!(born.wait(flags::WEXITED), Ok((2, flags::SIGKILL)));
    }

    fn wait4_gives_the_status_and_then_echild(ground) {
        let born = ground.sleeper();
        born.signal(flags::SIGTERM).unwrap();
        let status = [const { Cell::new(0) }; 4];
        let call: Call<Live<'_>> = Call::Wait4 { pid: born.pid, status: &status, options: 0 };
        assert_eq!(ground.call(call), Ok(u64::from(born.pid)));
        assert_eq!(status.each_ref().map(Cell::get), [15, 0, 0, 0]);
        assert_eq!(ground.call(call), Err(Errno::ECHILD));
    }

    fn waiting_for_no_child_of_mine_is_echild(ground) {
        let call: Call<Live<'_>> = Call::PidfdOpen { pid: 1, flags: 0 };
        let fd = ground.kernel.give(call).unwrap();
        let info = [const { Cell::new(0) }; 128];
        let options = flags::WEXITED | flags::WNOHANG;
        let call: Call<Live<'_>> = Call::Waitid { fd: fd.raw(), info: &info, options };
        assert_eq!(ground.call(call), Err(Errno::ECHILD));
    }

    fn waiting_for_what_is_no_process_is_ebadf(ground) {
        let [read, _write] = ground.kernel.pipe().unwrap();
        let info = [const { Cell::new(0) }; 128];
        let (fd, options) = (read.raw(), flags::WEXITED);
        let answer = ground.call(Call::Waitid { fd, info: &info, options });
        assert_eq!(answer, Err(Errno::EBADF));
    }

    fn waiting_for_nothing_in_particular_is_einval(ground) {
        let born = ground.sleeper();
        assert_eq!(born.wait(0), Err(Errno::EINVAL));
    }

    fn signalling_through_what_is_no_process_is_ebadf(ground) {
        let [read, _write] = ground.kernel.pipe().unwrap();
        let call: Call<Live<'_>> = Call::PidfdSendSignal { fd: read.raw(), signal: 0 };
        assert_eq!(ground.call(call), Err(Errno::EBADF));
    }

    fn a_signal_beyond_the_last_is_einval(ground) {
        let born = ground.sleeper();
        assert_eq!(born.signal(65), Err(Errno::EINVAL));
        let call: Call<Live<'_>> = Call::Kill { pid: born.pid.cast_signed(), signal: 65 };
        assert_eq!(ground.call(call), Err(Errno::EINVAL));
    }

    fn the_last_signal_is_the_64th(ground) {
        let born = ground.sleeper();
        assert_eq!(born.signal(64), Ok(0));
        assert_eq!(born.wait(flags::WEXITED), Ok((2, 64)));
    }

    fn process_zero_has_no_descriptor(ground) {
        assert_eq!(ground.call(Call::PidfdOpen { pid: 0, flags: 0 }), Err(Errno::EINVAL));
    }

    fn a_process_descriptor_is_neither_read_nor_written(ground) {
        let born = ground.sleeper();
        assert_eq!(ground.kernel.read(born.fd.raw(), &mut [0; 4]), Err(Errno::EINVAL));
        assert_eq!(ground.kernel.write(born.fd.raw(), b"x"), Err(Errno::EINVAL));
    }

    /// Before Linux 6.9 a process is no file of its own, and the size of no regular file.
    fn a_process_has_no_length(ground) {
        let born = ground.sleeper();
        let answer = ground.call(Call::Ftruncate { fd: born.fd.raw(), length: 0 });
        assert!(matches!(answer, Err(Errno::EOPNOTSUPP | Errno::EINVAL)), "{answer:?}");
    }

    fn a_stopped_process_feels_a_signal_once_it_goes_on(ground) {
        let born = ground.sleeper();
        born.signal(flags::SIGSTOP).unwrap();
        until_stopped(ground, born.pid);
        born.signal(flags::SIGTERM).unwrap();
        assert_eq!(ground.kernel.poll([(born.fd.raw(), flags::POLLIN)], 50), Ok([0]));
        born.signal(flags::SIGCONT).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((2, flags::SIGTERM)));
    }

    fn a_stopped_process_is_killed_at_once(ground) {
        let born = ground.sleeper();
        born.signal(flags::SIGSTOP).unwrap();
        until_stopped(ground, born.pid);
        born.signal(flags::SIGTERM).unwrap();
        born.signal(flags::SIGKILL).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((2, flags::SIGKILL)));
    }

    fn who_waits_long_enough_sees_the_end(ground) {
        let program = || {
            let mut builder = cofferdam::sys::Builder::new(1);
            builder.call(Call::Exit { status: 0 });
            builder.finish()
        };
        let born = ground.spawn(&program(), crate::laws::ground::How::default()).unwrap();
        let seen = ground.kernel.poll([(born.fd.raw(), flags::POLLIN)], 10_000);
        assert_eq!(seen, Ok([flags::POLLIN]));
        let born = ground.spawn(&program(), crate::laws::ground::How::default()).unwrap();
        let (fd, events) = (born.fd.raw(), flags::POLLIN);
        assert_eq!(ground.call(Call::Await { fd, events, timeout_ms: 10_000 }), Ok(1));
    }

    fn a_program_that_waits_long_enough_sees_the_end(ground) {
        let answer = ground.alone(0, |b| {
            let pid = b.take();
            let child = b.fork(0, pid);
            b.call(Call::Exit { status: 0 });
            b.land(child);
            let pidfd = b.open(Call::PidfdOpen { pid, flags: 0 });
            let (fd, events) = (cofferdam::sys::Handle::slot(pidfd.0), flags::POLLIN);
            b.call(Call::Await { fd, events, timeout_ms: 10_000 });
        });
        assert_eq!(answer, None);
    }

    fn the_start_time_stands_in_the_22nd_field(ground) {
        let born = ground.sleeper();
        let text = ground.read(&format!("/proc/{}/stat", born.pid)).unwrap();
        let after = text.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let own = ground.call(Call::Getpid {}).unwrap();
        assert_eq!(fields[1], own.to_string());
        assert!(fields[19].parse::<u64>().unwrap() > 0);
    }

    fn the_boot_id_is_one_line_of_36(ground) {
        let text = ground.read("/proc/sys/kernel/random/boot_id").unwrap();
        assert_eq!((text.len(), text.ends_with('\n')), (37, true));
        assert_eq!(text, ground.read("/proc/sys/kernel/random/boot_id").unwrap());
    }

    fn who_has_exited_has_the_flag_of_it(ground) {
        let exiting = |pid: u32| {
            let text = ground.read(&format!("/proc/{pid}/stat")).unwrap();
            let flags = text.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(6).unwrap();
            flags.parse::<u32>().unwrap() & 4 != 0
        };
        let born = ground.sleeper();
        assert!(!exiting(born.pid));
        born.signal(flags::SIGKILL).unwrap();
        born.wait(flags::WEXITED | flags::WNOWAIT).unwrap();
        assert!(exiting(born.pid));
        born.wait(flags::WEXITED).unwrap();
    }

    fn the_status_names_the_capabilities(ground) {
        let text = ground.read("/proc/self/status").unwrap();
        for field in ["CapEff:\t", "CapBnd:\t", "SigIgn:\t", "Uid:\t", "NSpid:\t"] {
            assert!(text.lines().any(|line| line.starts_with(field)), "{field}");
        }
    }

    fn the_first_user_namespace_has_this_number(ground) {
        let map = ground.read("/proc/self/uid_map").unwrap();
        let first = map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
        let link = ground.kernel.read_link(CWD, c"/proc/self/ns/user").unwrap();
        assert_eq!(link == b"user:[4026531837]", first);
    }

    /// Those of its cpuset, whatever memory policy it has.
    fn the_status_names_the_memory_nodes(ground) {
        let text = ground.read("/proc/self/status").unwrap();
        let nodes = text.lines().find_map(|line| line.strip_prefix("Mems_allowed_list:\t"));
        let own = ground.read("/proc/self/cgroup").unwrap();
        let place = own.lines().find_map(|line| line.split_once(":cpuset:")).map(|(_, at)| at);
        let place = place.unwrap_or("/");
        if let Ok(set) = ground.read(&format!("/sys/fs/cgroup/cpuset{place}/cpuset.mems")) {
            assert_eq!(nodes, Some(set.trim_end()));
        }
        assert!(nodes.is_some_and(|nodes| !nodes.is_empty()));
    }

    fn poll_waits_for_its_time_and_no_event(ground) {
        let born = ground.sleeper();
        let before = ground.kernel.clock(flags::CLOCK_MONOTONIC).unwrap();
        let seen = ground.kernel.poll([(born.fd.raw(), flags::POLLIN)], 20).unwrap();
        assert_eq!(seen, [0]);
        let after = ground.kernel.clock(flags::CLOCK_MONOTONIC).unwrap();
        let nanoseconds = |(seconds, rest): (u64, u32)| seconds * 1_000_000_000 + u64::from(rest);
        assert!(nanoseconds(after) - nanoseconds(before) >= 20_000_000);
    }
}

pub(crate) fn until_stopped<K: Kernel>(ground: &Ground<'_, K>, pid: u32) {
    for _ in 0..1000 {
        if state(ground, pid) == Ok('T') {
            return;
        }
        ground.kernel.poll([], 5).unwrap();
    }
    panic!("{pid} never stops");
}

fn state<K: Kernel>(ground: &Ground<'_, K>, pid: u32) -> Result<char, Errno> {
    let text = ground.read(&format!("/proc/{pid}/stat"))?;
    Ok(text.rsplit_once(')').unwrap().1.trim_start().chars().next().unwrap())
}
