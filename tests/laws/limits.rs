//! Controllers: which a cgroup gives, what their files keep, and what stands at a cgroup.

use cofferdam::sys::{CWD, Call, Errno, Syscalls, flags};

use crate::laws::ground::{How, pause};
use crate::laws::groups::Group;

crate::laws! {
    fn an_inner_cgroup_takes_no_process(ground) {
        let Some(group) = Group::unified(ground, "memory") else { return };
        group.write("cgroup.subtree_control", "+memory").unwrap();
        let born = ground.sleeper();
        let answer = group.write("cgroup.procs", &born.pid.to_string());
        assert_eq!(answer, Err(Errno::EBUSY));
        assert_eq!(group.write("cgroup.subtree_control", "+nothing"), Err(Errno::EINVAL));
    }

    fn a_birth_in_an_inner_cgroup_is_ebusy(ground) {
        let Some(group) = Group::unified(ground, "memory") else { return };
        group.write("cgroup.subtree_control", "+memory").unwrap();
        let directory = ground.open_absolute(&group.path, flags::O_DIRECTORY).unwrap();
        let how = How { cgroup: Some(directory.raw()), ..How::default() };
        assert_eq!(ground.spawn(&pause(), how).err(), Some(Errno::EBUSY));
    }

    fn what_threads_can_share_is_given_by_a_cgroup_with_processes(ground) {
        let Some(group) = Group::unified(ground, "pids") else { return };
        let first = group.born();
        group.write("cgroup.subtree_control", "+pids").unwrap();
        let second = ground.sleeper();
        group.write("cgroup.procs", &second.pid.to_string()).unwrap();
        // It is the root of a threaded tree by now: below is no place for whole processes.
        let inner = group.inner();
        assert_eq!(group.read("cgroup.type").unwrap(), "domain threaded\n");
        assert_eq!(group.read("inner/cgroup.type").unwrap(), "domain invalid\n");
        let answer = group.write("inner/cgroup.procs", &second.pid.to_string());
        assert_eq!(answer, Err(Errno::EOPNOTSUPP));
        drop((first, second));
        ground.kernel.unlink(CWD, &inner, flags::AT_REMOVEDIR).unwrap();
    }

    fn a_cgroup_that_gives_anything_takes_no_process_once_some_are_below(ground) {
        let Some(group) = Group::unified(ground, "pids") else { return };
        group.write("cgroup.subtree_control", "+pids").unwrap();
        let inner = group.inner();
        let (first, second) = (ground.sleeper(), ground.sleeper());
        group.write("inner/cgroup.procs", &first.pid.to_string()).unwrap();
        let answer = group.write("cgroup.procs", &second.pid.to_string());
        assert_eq!(answer, Err(Errno::EBUSY));
        drop(first);
        group.until("cgroup.events", "populated 0");
        ground.kernel.unlink(CWD, &inner, flags::AT_REMOVEDIR).unwrap();
    }

    fn a_cgroup_with_processes_gives_no_controllers(ground) {
        let Some(group) = Group::unified(ground, "memory") else { return };
        let _born = group.born();
        assert_eq!(group.write("cgroup.subtree_control", "+memory"), Err(Errno::EBUSY));
    }

    fn a_limit_is_kept_and_nonsense_is_einval(ground) {
        let Some(group) = Group::tree(ground, "pids") else { return };
        group.write("pids.max", "17").unwrap();
        assert_eq!(group.read("pids.max").unwrap(), "17\n");
        for nonsense in ["x", "-1"] {
            assert_eq!(group.write("pids.max", nonsense), Err(Errno::EINVAL));
        }
    }

    fn a_birth_in_a_full_cgroup_is_eagain(ground) {
        let Some(group) = Group::unified(ground, "pids") else { return };
        group.write("pids.max", "0").unwrap();
        let directory = ground.open_absolute(&group.path, flags::O_DIRECTORY).unwrap();
        let how = How { cgroup: Some(directory.raw()), ..How::default() };
        assert_eq!(ground.spawn(&pause(), how).err(), Some(Errno::EAGAIN));
    }

    fn who_is_dead_counts_until_it_is_waited_for(ground) {
        let Some(group) = Group::tree(ground, "pids") else { return };
        let born = ground.sleeper();
        group.write("cgroup.procs", &born.pid.to_string()).unwrap();
        born.signal(flags::SIGKILL).unwrap();
        born.wait(flags::WEXITED | flags::WNOWAIT).unwrap();
        assert_eq!(group.read("pids.current").unwrap(), "1\n");
        born.wait(flags::WEXITED).unwrap();
        assert_eq!(group.read("pids.current").unwrap(), "0\n");
    }

    fn a_weight_is_within_bounds(ground) {
        let Some(group) = Group::unified(ground, "cpu") else { return };
        for (text, answer) in [
            ("0", Err(Errno::ERANGE)),
            ("10001", Err(Errno::ERANGE)),
            ("x", Err(Errno::EINVAL)),
            ("1", Ok(())),
            ("10000", Ok(())),
        ] {
            assert_eq!(group.write("cpu.weight", text), answer, "{text}");
        }
        assert_eq!(group.read("cpu.weight").unwrap(), "10000\n");
    }

    fn memory_is_a_number_of_bytes(ground) {
        let Some(group) = Group::tree(ground, "memory") else { return };
        let old = ground.place.v1.contains_key("memory");
        let file = if old { "memory.limit_in_bytes" } else { "memory.max" };
        for nonsense in ["x", "1x"] {
            assert_eq!(group.write(file, nonsense), Err(Errno::EINVAL), "{nonsense}");
        }
        for (text, bytes) in
            [("64M", "67108864"), ("65536k", "67108864"), ("1G", "1073741824"), ("8192", "8192")]
        {
            group.write(file, text).unwrap();
            assert_eq!(group.read(file).unwrap(), format!("{bytes}\n"));
        }
    }

    fn what_a_cgroup_gives_is_what_those_below_have(ground) {
        let Some(group) = Group::unified(ground, "pids") else { return };
        let below = |file: &str| group.read(&format!("inner/{file}")).unwrap();
        let inner = group.inner();
        assert!(group.read("cgroup.controllers").unwrap().contains("pids"));
        assert_eq!(below("cgroup.controllers"), "");
        let nothing = group.write("inner/cgroup.subtree_control", "+pids");
        assert_eq!(nothing, Err(Errno::ENOENT));
        group.write("cgroup.subtree_control", "+pids +pids").unwrap();
        assert_eq!(group.read("cgroup.subtree_control").unwrap(), "pids\n");
        assert_eq!(below("cgroup.controllers"), "pids\n");
        assert!(group.read("inner/pids.max").is_ok());
        group.write("inner/cgroup.subtree_control", "+pids").unwrap();
        assert_eq!(group.write("cgroup.subtree_control", "-pids"), Err(Errno::EBUSY));
        group.write("inner/cgroup.subtree_control", "-pids").unwrap();
        group.write("cgroup.subtree_control", "-pids").unwrap();
        assert_eq!(group.read("cgroup.subtree_control").unwrap(), "");
        assert_eq!(group.read("inner/pids.max"), Err(Errno::ENOENT));
        for nonsense in ["*pids", "pids", "+", "+nothing", "-nothing"] {
            let answer = group.write("cgroup.subtree_control", nonsense);
            assert_eq!(answer, Err(Errno::EINVAL), "{nonsense}");
        }
        ground.kernel.unlink(CWD, &inner, flags::AT_REMOVEDIR).unwrap();
    }

    fn controllers_are_named_in_one_order(ground) {
        let Some(group) = Group::unified(ground, "memory") else { return };
        let top = ground.place.v2.as_deref().unwrap();
        if ground.write(&format!("{top}/cgroup.subtree_control"), "+pids").is_err() {
            return ground.miss("no controller pids in cgroup v2");
        }
        group.write("cgroup.subtree_control", "+pids").unwrap();
        group.write("cgroup.subtree_control", "+memory").unwrap();
        assert_eq!(group.read("cgroup.subtree_control").unwrap(), "memory pids\n");
    }

    fn everybody_below_is_counted(ground) {
        let Some(top) = ground.place.v1.get("pids") else { return ground.miss("no pids of v1") };
        let group = Group::new(ground, top);
        assert_eq!(group.read("pids.current").unwrap(), "0\n");
        group.inner();
        let born = [(); 3].map(|()| ground.sleeper());
        for (born, place) in born.iter().zip(["", "inner/", "inner/"]) {
            group.write(&format!("{place}cgroup.procs"), &born.pid.to_string()).unwrap();
        }
        assert_eq!(group.read("pids.current").unwrap(), "3\n");
        assert_eq!(group.read("inner/pids.current").unwrap(), "2\n");
        drop(born);
        group.until_gone("inner");
    }

    fn a_limit_binds_those_below(ground) {
        let Some(top) = ground.place.v1.get("pids") else { return ground.miss("no pids of v1") };
        for (limit, refused) in [("1", true), ("2", false)] {
            let group = Group::new(ground, top);
            group.inner();
            let mut builder = cofferdam::sys::Builder::new(1);
            let b = &mut builder;
            let room = cofferdam::sys::Room { len: 1 };
            b.call(Call::Read { fd: crate::laws::ground::SOCKET, buf: room });
            let pid = b.take();
            let fork = b.fork(0, pid);
            b.call(Call::Exit { status: 0 });
            b.land(fork);
            b.call(Call::Wait4 { pid, status: cofferdam::sys::Room { len: 4 }, options: 0 });
            let born = ground.spawn(&builder.finish(), How::default()).unwrap();
            group.write("inner/cgroup.procs", &born.pid.to_string()).unwrap();
            group.write("pids.max", limit).unwrap();
            ground.kernel.write_all(born.socket.raw(), b"!").unwrap();
            let heard = born.hear();
            assert_eq!(heard, if refused { vec![b'F', 0, 1, 0, 11, 0] } else { vec![] });
            born.wait(flags::WEXITED).unwrap();
            group.until_gone("inner");
        }
    }

    fn a_set_of_processors_is_empty_at_first(ground) {
        let Some(top) = ground.place.v1.get("cpuset") else {
            return ground.miss("no cpusets of v1");
        };
        let group = Group::new(ground, top);
        let files = ["cpuset.cpus", "cpuset.mems"];
        let first = &ground.place.tops["cpuset"];
        let whole = files.map(|file| ground.read(&format!("{first}/{file}")).unwrap());
        assert!(whole.iter().all(|text| text.trim() != ""));
        let born = ground.sleeper();
        let pid = born.pid.to_string();
        for (file, text) in files.iter().zip(&whole) {
            assert_eq!(group.read(file).unwrap(), "\n");
            assert_eq!(group.write("cgroup.procs", &pid), Err(Errno::ENOSPC));
            // The law's own directory may be the first, or one below.
            if ground.read(&format!("{top}/{file}")).unwrap().trim() == "" {
                ground.write(&format!("{top}/{file}"), text).unwrap();
            }
            group.write(file, text).unwrap();
            assert_eq!(group.read(file).unwrap(), *text);
        }
        assert_eq!(group.write("cgroup.procs", &pid), Ok(()));
    }

    fn memory_is_bounded_with_swap(ground) {
        let Some(top) = ground.place.v1.get("memory") else {
            return ground.miss("no controller memory of cgroup v1");
        };
        let group = Group::new(ground, top);
        let (memory, both) = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes");
        if group.read(both).is_err() {
            return ground.miss("swap is not counted");
        }
        assert_eq!(group.write(both, "67108864"), Err(Errno::EINVAL), "memory has no limit yet");
        group.write(memory, "67108864").unwrap();
        group.write(both, "67108864").unwrap();
        group.write(memory, "67108864").unwrap();
        assert_eq!(group.write(memory, "134217728"), Err(Errno::EINVAL));
        assert_eq!(group.write(memory, "-1"), Err(Errno::EINVAL));
        group.write(both, "-1").unwrap();
        group.write(memory, "134217728").unwrap();
        assert_eq!(group.read(memory).unwrap(), "134217728\n");
    }

    fn a_quota_alone_keeps_its_period(ground) {
        let top = ground.place.v2.as_deref().filter(|top| {
            Group::begin(ground, top);
            ground.write(&format!("{top}/cgroup.subtree_control"), "+cpu").is_ok()
        });
        let Some(top) = top else { return ground.miss("no controller cpu in cgroup v2") };
        let group = Group::new(ground, top);
        group.write("cpu.max", "20000 50000").unwrap();
        assert_eq!(group.read("cpu.max").unwrap(), "20000 50000\n");
        for nonsense in ["x", "1 x", ""] {
            let answer = group.write("cpu.max", nonsense);
            assert_eq!(answer, if nonsense.is_empty() { Ok(()) } else { Err(Errno::EINVAL) });
        }
        group.write("cpu.max", "10000").unwrap();
        assert_eq!(group.read("cpu.max").unwrap(), "10000 50000\n");
        group.write("cpu.max", "max").unwrap();
        assert_eq!(group.read("cpu.max").unwrap(), "max 50000\n");
    }

    fn a_birth_beyond_the_limit_is_eagain(ground) {
        let Some(group) = Group::tree(ground, "pids") else { return };
        group.write("pids.max", "1").unwrap();
        let mut builder = cofferdam::sys::Builder::new(1);
        let slot = builder.take();
        let bytes = builder.block(b"?");
        builder.call(Call::Write { fd: crate::laws::ground::SOCKET, bytes });
        let room = cofferdam::sys::Room { len: 1 };
        let fd = crate::laws::ground::SOCKET;
        builder.call(Call::Read { fd, buf: room });
        let fork = builder.fork(0, slot);
        builder.land(fork);
        let born = ground.spawn(&builder.finish(), How::default()).unwrap();
        assert_eq!(born.hear(), b"?");
        group.write("cgroup.procs", &born.pid.to_string()).unwrap();
        ground.kernel.write_all(born.socket.raw(), b"!").unwrap();
        assert_eq!(born.hear(), [b'F', 0, 2, 0, 11, 0]);
    }

    fn a_program_for_devices_stands_at_a_cgroup(ground) {
        let Some(group) = Group::v2(ground) else { return };
        let cgroup = ground.open_absolute(&group.path, flags::O_DIRECTORY).unwrap();
        let code = [ALLOW, EXIT].concat();
        let program = ground.kernel.give(Call::BpfLoad { program: &code }).unwrap();
        let (cgroup, program) = (cgroup.raw(), program.raw());
        assert_eq!(ground.call(Call::BpfAttach { cgroup, program }), Ok(0));
    }

    fn a_program_with_code_that_is_not_reached_is_einval(ground) {
        let load = |code: &[[u8; 8]]| ground.kernel.give(Call::BpfLoad { program: &code.concat() });
        assert_eq!(load(&[ALLOW, EXIT, ALLOW, EXIT]).err(), Some(Errno::EINVAL));
        assert_eq!(load(&[ALLOW]).err(), Some(Errno::EINVAL), "it never ends");
        assert_eq!(load(&[]).err(), Some(Errno::E2BIG));
        assert!(load(&[ALLOW, EXIT]).is_ok());
        let over = |count| [0x15, 0, count, 0, 1, 0, 0, 0];
        assert!(load(&[ALLOW, over(1), ALLOW, EXIT]).is_ok(), "it jumps over one or does not");
        assert_eq!(load(&[ALLOW, over(2), ALLOW, EXIT]).err(), Some(Errno::EINVAL));
        let always = [5, 0, 1, 0, 0, 0, 0, 0];
        assert_eq!(load(&[ALLOW, always, ALLOW, EXIT]).err(), Some(Errno::EINVAL));
    }

    fn a_list_of_no_controllers_is_empty(ground) {
        let Some(group) = Group::v2(ground) else { return };
        assert_eq!(group.read("cgroup.subtree_control").unwrap(), "");
    }
}

/// Instructions of a program for devices: an answer of one, and the end.
const ALLOW: [u8; 8] = [0xb7, 0, 0, 0, 1, 0, 0, 0];
const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
