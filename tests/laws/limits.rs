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
    }

    fn a_list_of_no_controllers_is_empty(ground) {
        let Some(group) = Group::v2(ground) else { return };
        assert_eq!(group.read("cgroup.subtree_control").unwrap(), "");
    }
}

/// Instructions of a program for devices: an answer of one, and the end.
const ALLOW: [u8; 8] = [0xb7, 0, 0, 0, 1, 0, 0, 0];
const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
