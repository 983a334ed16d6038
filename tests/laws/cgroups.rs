//! Cgroups: birth, moving, killing, removing, and what their files say.

use cofferdam::sys::{CWD, Call, Errno, Syscalls, flags};

use crate::laws::ground::{How, pause};
use crate::laws::groups::Group;

crate::laws! {
    fn mkdir_fills_a_cgroup_with_files(ground) {
        let Some(group) = Group::v2(ground) else { return };
        for file in ["cgroup.procs", "cgroup.events", "cgroup.freeze", "cgroup.subtree_control"] {
            assert!(group.read(file).is_ok(), "{file}");
        }
        assert_eq!(group.read("cgroup.events").unwrap(), "populated 0\nfrozen 0\n");
        assert_eq!(group.read("cgroup.type").unwrap(), "domain\n");
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
