//! Freezers: who is frozen, what a frozen process feels, and what the files say of it.

use cofferdam::sys::{CWD, Errno, Syscalls, flags};

use crate::laws::groups::Group;
use crate::laws::processes::until_stopped;

crate::laws! {
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
}
