//! Cgroups: birth, moving, killing, freezing, removing.

use std::ffi::CString;

use cofferdam::sys::{CWD, Call, Errno, Kernel, Syscalls, flags};

use crate::Ground;
use crate::laws::ground::{Born, How, pause, sleep};
use crate::laws::processes::until_stopped;

crate::laws! {
    fn mkdir_fills_a_cgroup_with_files(ground) {
        let Some(group) = Group::v2(ground) else { return };
        for file in ["cgroup.procs", "cgroup.events", "cgroup.freeze", "cgroup.subtree_control"] {
            assert!(group.read(file).is_ok(), "{file}");
        }
        assert_eq!(group.read("cgroup.events").unwrap(), "populated 0\nfrozen 0\n");
        assert_eq!(group.read("memory.nothing"), Err(Errno::ENOENT));
    }

    fn a_child_is_born_in_its_cgroup(ground) {
        let Some(group) = Group::v2(ground) else { return };
        let born = group.born();
        assert_eq!(group.read("cgroup.procs").unwrap(), format!("{}\n", born.pid));
        let line = ground.read(&format!("/proc/{}/cgroup", born.pid)).unwrap();
        assert!(line.lines().any(|line| line.starts_with("0::/") && line.ends_with("/law")));
    }

    fn rmdir_of_a_populated_cgroup_is_ebusy(ground) {
        for group in Group::both(ground) {
            let born = group.born();
            assert_eq!(group.remove(), Err(Errno::EBUSY));
            born.signal(flags::SIGKILL).unwrap();
            born.wait(flags::WEXITED).unwrap();
            group.until_removed();
        }
    }

    fn rmdir_of_a_cgroup_with_children_is_ebusy(ground) {
        for group in Group::both(ground) {
            let inner = group.inner();
            assert_eq!(group.remove(), Err(Errno::EBUSY));
            ground.kernel.unlink(CWD, &inner, flags::AT_REMOVEDIR).unwrap();
            assert_eq!(group.remove(), Ok(()));
        }
    }

    fn unlink_of_a_cgroup_s_file_is_eperm(ground) {
        for group in Group::both(ground) {
            let file = crate::name(format!("{}/cgroup.procs", group.path));
            assert_eq!(ground.kernel.unlink(CWD, &file, 0), Err(Errno::EPERM));
        }
    }

    fn a_removed_cgroup_answers_enodev_to_who_has_it_open(ground) {
        for group in Group::both(ground) {
            let path = format!("{}/cgroup.procs", group.path);
            let file = ground.open_absolute(&path, flags::O_RDWR).unwrap();
            group.remove().unwrap();
            assert_eq!(ground.kernel.read(file.raw(), &mut [0; 8]), Err(Errno::ENODEV));
            assert_eq!(ground.kernel.write(file.raw(), b"0"), Err(Errno::ENODEV));
            assert_eq!(ground.open_absolute(&path, 0).err(), Some(Errno::ENOENT));
        }
    }

    fn a_birth_in_a_removed_cgroup_is_enoent(ground) {
        let Some(group) = Group::v2(ground) else { return };
        let directory = ground.open_absolute(&group.path, flags::O_DIRECTORY).unwrap();
        group.remove().unwrap();
        let how = How { cgroup: Some(directory.raw()), ..How::default() };
        assert_eq!(ground.spawn(&pause(), how).err(), Some(Errno::ENOENT));
    }

    fn a_process_moves_by_its_number(ground) {
        for group in Group::both(ground) {
            let born = ground.sleeper();
            group.write("cgroup.procs", &born.pid.to_string()).unwrap();
            assert_eq!(group.read("cgroup.procs").unwrap(), format!("{}\n", born.pid));
        }
    }

    fn moving_nobody_is_esrch_and_nonsense_einval(ground) {
        for group in Group::both(ground) {
            let born = ground.sleeper();
            born.signal(flags::SIGKILL).unwrap();
            born.wait(flags::WEXITED).unwrap();
            let gone = born.pid.to_string();
            assert_eq!(group.write("cgroup.procs", &gone), Err(Errno::ESRCH));
            assert_eq!(group.write("cgroup.procs", "x"), Err(Errno::EINVAL));
        }
    }

    fn a_zombie_does_not_move(ground) {
        for group in Group::both(ground) {
            let born = ground.sleeper();
            born.signal(flags::SIGKILL).unwrap();
            born.poll();
            assert_eq!(group.write("cgroup.procs", &born.pid.to_string()), Ok(()));
            assert_eq!(group.read("cgroup.procs").unwrap(), "");
            assert_eq!(group.remove(), Ok(()));
        }
    }

    fn a_cgroup_s_file_that_was_never_read_is_told_as_changed(ground) {
        for group in Group::both(ground) {
            let v1 = group.read("cgroup.events").is_err();
            let file = if v1 { "freezer.state" } else { "cgroup.freeze" };
            let path = format!("{}/{file}", group.path);
            let file = ground.open_absolute(&path, flags::O_RDWR).unwrap();
            let poll = || ground.kernel.poll([(file.raw(), flags::POLLIN)], 0).unwrap();
            assert_eq!(poll(), [flags::POLLIN | flags::POLLERR]);
            ground.kernel.read(file.raw(), &mut [0; 8]).unwrap();
            assert_eq!(poll(), [flags::POLLIN]);
            group.remove().unwrap();
            assert_eq!(poll(), [flags::POLLIN | flags::POLLERR]);
        }
    }

    fn a_file_of_a_cgroup_does_what_its_mode_says(ground) {
        for group in Group::both(ground) {
            let v1 = group.read("cgroup.events").is_err();
            if !v1 {
                assert_eq!(group.read("cgroup.kill"), Err(Errno::EINVAL));
            }
            let silent = if v1 { "freezer.self_freezing" } else { "cgroup.controllers" };
            assert_eq!(group.write(silent, "1"), Err(Errno::EINVAL));
            let heard = if v1 { "freezer.state" } else { "cgroup.freeze" };
            assert_eq!(group.write(heard, ""), Ok(()), "nothing is written");
            let path = format!("{}/{heard}", group.path);
            let file = ground.open_absolute(&path, flags::O_WRONLY).unwrap();
            assert_eq!(ground.call(Call::Ftruncate { fd: file.raw(), length: 40 }), Ok(0));
        }
    }

    fn a_thread_does_not_leave_its_process(ground) {
        let Some(group) = Group::v2(ground) else { return };
        let born = ground.sleeper();
        let pid = born.pid.to_string();
        assert_eq!(group.write("cgroup.threads", &pid), Err(Errno::EOPNOTSUPP));
        group.write("cgroup.procs", &pid).unwrap();
        assert_eq!(group.write("cgroup.threads", &pid), Ok(()));
    }

    fn a_list_of_no_controllers_is_empty(ground) {
        let Some(group) = Group::v2(ground) else { return };
        assert_eq!(group.read("cgroup.subtree_control").unwrap(), "");
    }

    fn cgroup_kill_ends_everybody(ground) {
        let Some(group) = Group::v2(ground) else { return };
        let born = [group.born(), group.born()];
        group.write("cgroup.kill", "1").unwrap();
        for born in born {
            assert_eq!(born.wait(flags::WEXITED), Ok((2, flags::SIGKILL)));
        }
        group.until("cgroup.events", "populated 0");
        assert_eq!(group.write("cgroup.kill", "2"), Err(Errno::ERANGE));
    }

    fn a_frozen_cgroup_of_v2_still_dies(ground) {
        let Some(group) = Group::v2(ground) else { return };
        let born = group.born();
        group.write("cgroup.freeze", "1").unwrap();
        group.until("cgroup.events", "frozen 1");
        assert_eq!(group.read("cgroup.freeze").unwrap(), "1\n");
        born.signal(flags::SIGKILL).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((2, flags::SIGKILL)));
    }

    fn a_frozen_cgroup_of_v1_dies_after_the_thaw(ground) {
        for signal in [flags::SIGKILL, flags::SIGTERM] {
            let Some(group) = Group::v1(ground) else { return };
            let born = group.born();
            group.write("freezer.state", "FROZEN").unwrap();
            group.until("freezer.state", "FROZEN");
            born.signal(signal).unwrap();
            let seen = ground.kernel.poll([(born.fd.raw(), flags::POLLIN)], 50).unwrap();
            assert_eq!(seen, [0]);
            group.write("freezer.state", "THAWED").unwrap();
            assert_eq!(born.wait(flags::WEXITED), Ok((2, signal)));
            assert_eq!(group.read("freezer.state").unwrap(), "THAWED\n");
        }
    }

    fn a_process_that_goes_on_in_a_frozen_cgroup_feels_nothing_before_the_thaw(ground) {
        let Some(group) = Group::v2(ground) else { return };
        let born = group.born();
        born.signal(flags::SIGSTOP).unwrap();
        until_stopped(ground, born.pid);
        group.write("cgroup.freeze", "1").unwrap();
        group.until("cgroup.events", "frozen 1");
        born.signal(flags::SIGTERM).unwrap();
        born.signal(flags::SIGCONT).unwrap();
        let seen = ground.kernel.poll([(born.fd.raw(), flags::POLLIN)], 50).unwrap();
        assert_eq!(seen, [0]);
        group.write("cgroup.freeze", "0").unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((2, flags::SIGTERM)));
    }

    fn a_child_of_a_frozen_cgroup_is_frozen_by_its_parent(ground) {
        let Some(group) = Group::v1(ground) else { return };
        let inner = group.inner();
        group.write("freezer.state", "FROZEN").unwrap();
        assert_eq!(group.read("inner/freezer.parent_freezing").unwrap(), "1\n");
        assert_eq!(group.read("inner/freezer.self_freezing").unwrap(), "0\n");
        group.write("inner/freezer.state", "THAWED").unwrap();
        assert_ne!(group.read("inner/freezer.state").unwrap(), "THAWED\n");
        group.write("freezer.state", "THAWED").unwrap();
        ground.kernel.unlink(CWD, &inner, flags::AT_REMOVEDIR).unwrap();
    }

    fn an_unknown_state_of_the_freezer_is_einval(ground) {
        let Some(group) = Group::v1(ground) else { return };
        assert_eq!(group.write("freezer.state", "FREEZING"), Err(Errno::EINVAL));
    }

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

    fn a_child_joins_by_the_tasks_file(ground) {
        let Some(group) = Group::v1(ground) else { return };
        let path = format!("{}/tasks", group.path);
        let tasks = ground.open_absolute(&path, flags::O_WRONLY).unwrap();
        let born = ground.spawn(&pause(), How { tasks: &[tasks.raw()], ..How::default() }).unwrap();
        assert_eq!(born.hear(), b"?");
        assert_eq!(group.read("tasks").unwrap(), format!("{}\n", born.pid));
        drop(born);
        group.until_removed();
        let how = How { tasks: &[tasks.raw()], ..How::default() };
        assert_eq!(ground.spawn(&pause(), how).err(), Some(Errno::ENODEV));
    }
}

/// Instructions of a program for devices: an answer of one, and the end.
const ALLOW: [u8; 8] = [0xb7, 0, 0, 0, 1, 0, 0, 0];
const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];

/// A cgroup of the law's own.
struct Group<'g, 'k, K: Kernel> {
    ground: &'g Ground<'k, K>,
    path: String,
}

impl<'g, 'k, K: Kernel> Group<'g, 'k, K> {
    fn new(ground: &'g Ground<'k, K>, top: &str) -> Self {
        Self::begin(ground, top);
        let path = format!("{top}/law");
        ground.kernel.mkdir(CWD, &crate::name(&*path), 0o755).unwrap();
        Self { ground, path }
    }

    /// Makes the directory that the law may have of a tree.
    fn begin(ground: &'g Ground<'k, K>, top: &str) {
        let made = ground.kernel.mkdir(CWD, &crate::name(top), 0o755);
        assert!(matches!(made, Ok(()) | Err(Errno::EEXIST)), "{top}: {made:?}");
    }

    fn v2(ground: &'g Ground<'k, K>) -> Option<Self> {
        let top = ground.place.v2.as_deref();
        if top.is_none() {
            ground.miss("no cgroup v2");
        }
        Some(Self::new(ground, top?))
    }

    fn v1(ground: &'g Ground<'k, K>) -> Option<Self> {
        let top = ground.place.v1.get("freezer");
        if top.is_none() {
            ground.miss("no freezer of cgroup v1");
        }
        Some(Self::new(ground, top?))
    }

    /// Makes a cgroup of each version that there is.
    fn both(ground: &'g Ground<'k, K>) -> impl Iterator<Item = Self> {
        let tops = ground.place.v1.get("freezer").into_iter().chain(&ground.place.v2);
        if tops.clone().next().is_none() {
            ground.miss("no cgroups");
        }
        tops.map(|top| Self::new(ground, top))
    }

    /// Makes a cgroup that has a controller.
    fn tree(ground: &'g Ground<'k, K>, controller: &str) -> Option<Self> {
        if let Some(top) = ground.place.v1.get(controller) {
            return Some(Self::new(ground, top));
        }
        Self::unified(ground, controller)
    }

    /// Makes a cgroup of v2 that has a controller.
    fn unified(ground: &'g Ground<'k, K>, controller: &str) -> Option<Self> {
        let given = ground.place.v2.as_deref().filter(|top| {
            Self::begin(ground, top);
            let file = format!("{top}/cgroup.subtree_control");
            ground.write(&file, &format!("+{controller}")).is_ok()
        });
        if given.is_none() {
            ground.miss(format!("no controller {controller} in cgroup v2"));
        }
        Some(Self::new(ground, given?))
    }

    fn read(&self, file: &str) -> Result<String, Errno> {
        self.ground.read(&format!("{}/{file}", self.path))
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Errno> {
        self.ground.write(&format!("{}/{file}", self.path), text)
    }

    /// Makes a cgroup below; whoever makes it removes it.
    fn inner(&self) -> CString {
        let inner = crate::name(format!("{}/inner", self.path));
        self.ground.kernel.mkdir(CWD, &inner, 0o755).unwrap();
        inner
    }

    /// Makes a child that sleeps in this cgroup.
    fn born(&self) -> Born<'k, K> {
        if self.read("cgroup.events").is_err() {
            let born = self.ground.sleeper();
            self.write("cgroup.procs", &born.pid.to_string()).unwrap();
            return born;
        }
        let directory = self.ground.open_absolute(&self.path, flags::O_DIRECTORY).unwrap();
        let how = How { cgroup: Some(directory.raw()), ..How::default() };
        self.ground.spawn(&sleep(), how).unwrap()
    }

    fn remove(&self) -> Result<(), Errno> {
        self.ground.kernel.unlink(CWD, &crate::name(&*self.path), flags::AT_REMOVEDIR)
    }

    /// Waits until a file begins with, or has a line of, that text.
    fn until(&self, file: &str, text: &str) {
        for _ in 0..1000 {
            if self.read(file).unwrap().lines().any(|line| line == text) {
                return;
            }
            self.ground.kernel.poll([], 5).unwrap();
        }
        panic!("{file} never says {text}");
    }

    fn until_removed(&self) {
        for _ in 0..1000 {
            match self.remove() {
                Ok(()) => return,
                Err(errno) => assert_eq!(errno, Errno::EBUSY),
            }
            self.ground.kernel.poll([], 5).unwrap();
        }
        panic!("{} is never removed", self.path);
    }
}

impl<K: Kernel> Drop for Group<'_, '_, K> {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.ground.open_absolute(&self.path, flags::O_PATH).is_ok()
        {
            self.until_removed();
        }
    }
}
