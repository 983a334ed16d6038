//! Rights: capabilities, limits, filters, users and groups, and who may not change them.

use cofferdam::sys::{Builder, Call, Compiled, Errno, Kernel, flags};

use crate::Ground;
use crate::laws::ground::{How, refuse};

const SETGID: u64 = 1 << 6;
const SETUID: u64 = 1 << 7;
const SETPCAP: u64 = 1 << 8;
const SYS_RESOURCE: u32 = 24;
/// A filter that allows everything.
const ALLOW: &[u8] = &[6, 0, 0, 0, 0, 0, 0xff, 0x7f];

crate::laws! {
    fn the_sets_are_what_they_were_set_to(ground) {
        let page = page(ground, |b| b.call(capset(0b0001, 0b0111, 0b0010)));
        for (name, set) in [("CapEff", 1), ("CapPrm", 7), ("CapInh", 2), ("CapAmb", 0)] {
            assert_eq!(set_of(&page, name), set, "{name}");
        }
    }

    fn what_is_effective_is_permitted(ground) {
        let answer = ground.alone(0, |b| {
            refuse(b, capset(0b11, 0b01, 0), Errno::EPERM);
            b.call(capset(0b11, 0b11, 0));
            refuse(b, capset(0b01, 0b101, 0), Errno::EPERM);
            b.call(capset(0, 0, 0));
            refuse(b, capset(0, 1, 0), Errno::EPERM);
        });
        assert_eq!(answer, None);
    }

    fn what_is_inheritable_was_so_or_is_permitted(ground) {
        let answer = ground.alone(0, |b| {
            b.call(capset(SETPCAP | 1, SETPCAP | 3, 4));
            b.call(capset(0, 1, 4));
            b.call(capset(0, 1, 5));
            b.call(capset(0, 0, 5));
            b.call(capset(0, 0, 1));
            refuse(b, capset(0, 0, 5), Errno::EPERM);
            refuse(b, capset(0, 0, 2), Errno::EPERM);
        });
        assert_eq!(answer, None);
    }

    fn what_is_inheritable_is_bounded(ground) {
        let answer = ground.alone(0, |b| {
            b.call(capset(SETPCAP, SETPCAP | 3, 1));
            for a in [0, 1] {
                b.call(prctl(flags::PR_CAPBSET_DROP, a, 0));
            }
            b.call(capset(SETPCAP, SETPCAP | 3, 1));
            b.call(capset(SETPCAP, SETPCAP | 3, 5));
            refuse(b, capset(SETPCAP, SETPCAP | 3, 3), Errno::EPERM);
        });
        assert_eq!(answer, None);
    }

    fn what_is_ambient_is_permitted_and_inheritable(ground) {
        let page = page(ground, |b| {
            b.call(capset(0, 0b1111, 0b0111));
            for bit in 0..3 {
                b.call(prctl(flags::PR_CAP_AMBIENT, flags::PR_CAP_AMBIENT_RAISE, bit));
            }
            refuse(
                b,
                prctl(flags::PR_CAP_AMBIENT, flags::PR_CAP_AMBIENT_RAISE, 3),
                Errno::EPERM,
            );
            b.call(capset(0, 0b0011, 0b0110));
        });
        assert_eq!(set_of(&page, "CapAmb"), 0b0010);
    }

    fn what_is_ambient_is_cleared_at_once(ground) {
        let page = page(ground, |b| {
            b.call(capset(0, 1, 1));
            b.call(prctl(flags::PR_CAP_AMBIENT, flags::PR_CAP_AMBIENT_RAISE, 0));
            b.call(prctl(flags::PR_CAP_AMBIENT, flags::PR_CAP_AMBIENT_CLEAR_ALL, 0));
        });
        assert_eq!((set_of(&page, "CapAmb"), set_of(&page, "CapPrm")), (0, 1));
    }

    fn a_bound_is_dropped_by_who_may(ground) {
        let page = page(ground, |b| {
            b.call(prctl(flags::PR_CAPBSET_DROP, 5, 0));
            refuse(b, prctl(flags::PR_CAPBSET_DROP, 64, 0), Errno::EINVAL);
            b.call(capset(1, 1, 0));
            refuse(b, prctl(flags::PR_CAPBSET_DROP, 6, 0), Errno::EPERM);
        });
        assert_eq!(set_of(&page, "CapBnd") & 0b111_0000, 0b101_0000);
    }

    fn an_unknown_way_of_prctl_is_einval(ground) {
        let answer = ground.alone(0, |b| {
            for (option, a, b_word) in [
                (0x7fff_fff0, 0, 0),
                (flags::PR_SET_DUMPABLE, 2, 0),
                (flags::PR_SET_KEEPCAPS, 2, 0),
                (flags::PR_SET_NO_NEW_PRIVS, 0, 0),
                (flags::PR_SET_PDEATHSIG, 65, 0),
                (flags::PR_CAP_AMBIENT, 9, 0),
                (flags::PR_CAP_AMBIENT, flags::PR_CAP_AMBIENT_RAISE, 64),
            ] {
                refuse(b, prctl(option, a, b_word), Errno::EINVAL);
            }
            for (option, a) in [
                (flags::PR_SET_DUMPABLE, 0),
                (flags::PR_SET_DUMPABLE, 1),
                (flags::PR_SET_PDEATHSIG, 64),
                (flags::PR_SET_PDEATHSIG, 0),
                (flags::PR_SET_CHILD_SUBREAPER, 1),
            ] {
                b.call(prctl(option, a, 0));
            }
        });
        assert_eq!(answer, None);
    }

    fn another_user_keeps_what_it_was_told_to(ground) {
        for (keep, permitted) in [(1, 3), (0, 0)] {
            let page = page(ground, |b| {
                b.call(capset(SETUID, SETUID | 3, 1));
                b.call(prctl(flags::PR_CAP_AMBIENT, flags::PR_CAP_AMBIENT_RAISE, 0));
                b.call(prctl(flags::PR_SET_KEEPCAPS, 1, 0));
                b.call(prctl(flags::PR_SET_KEEPCAPS, keep, 0));
                b.call(Call::Setresuid { uid: 1000 });
            });
            assert_eq!(set_of(&page, "CapPrm") & 3, permitted);
            assert_eq!((set_of(&page, "CapEff"), set_of(&page, "CapAmb")), (0, 0));
            assert_eq!(field(&page, "Uid"), "1000\t1000\t1000\t1000");
        }
    }

    fn the_user_who_stays_keeps_everything(ground) {
        let page = page(ground, |b| {
            b.call(capset(3, 3, 0));
            b.call(Call::Setresuid { uid: 0 });
            b.call(Call::Setresgid { gid: 0 });
        });
        assert_eq!((set_of(&page, "CapPrm"), set_of(&page, "CapEff")), (3, 3));
    }

    fn ids_are_changed_by_who_may(ground) {
        let answer = ground.alone(0, |b| {
            b.call(capset(SETUID, SETUID | SETGID, 0));
            let groups = b.block(&5_u32.to_le_bytes());
            refuse(b, Call::Setgroups { groups }, Errno::EPERM);
            refuse(b, Call::Setresgid { gid: 5 }, Errno::EPERM);
            b.call(Call::Setresgid { gid: 0 });
            b.call(capset(SETGID, SETGID, 0));
            b.call(Call::Setgroups { groups });
            b.call(Call::Setresgid { gid: 5 });
            refuse(b, Call::Setresuid { uid: 5 }, Errno::EPERM);
        });
        assert_eq!(answer, None);
    }

    fn the_status_names_the_groups(ground) {
        let page = page(ground, |b| {
            let groups = b.block(&[5, 0, 0, 0, 7, 0, 0, 0]);
            b.call(Call::Setgroups { groups });
            b.call(Call::Setresgid { gid: 9 });
        });
        assert_eq!(field(&page, "Groups").trim_end(), "5 7");
        assert_eq!(field(&page, "Gid"), "9\t9\t9\t9");
    }

    fn a_filter_needs_power_or_a_vow(ground) {
        let page = page(ground, |b| {
            b.call(capset(0, 0, 0));
            let filter = b.block(ALLOW);
            refuse(b, Call::Seccomp { flags: 0, filter }, Errno::EACCES);
            let nothing = b.block(b"");
            refuse(b, Call::Seccomp { flags: 0, filter: nothing }, Errno::EINVAL);
            b.call(prctl(flags::PR_SET_NO_NEW_PRIVS, 1, 0));
            b.call(Call::Seccomp { flags: 0, filter });
        });
        assert_eq!((field(&page, "NoNewPrivs"), field(&page, "Seccomp")), ("1", "2"));
        let page = self::page(ground, |b| {
            let filter = b.block(ALLOW);
            b.call(Call::Seccomp { flags: 0, filter });
        });
        assert_eq!((field(&page, "NoNewPrivs"), field(&page, "Seccomp")), ("0", "2"));
        let page = self::page(ground, |_| ());
        assert_eq!(field(&page, "Seccomp"), "0");
    }

    fn a_limit_is_raised_by_who_may(ground) {
        if !ground.is_capable(SYS_RESOURCE) {
            return;
        }
        let set = |soft, hard| Call::Prlimit { pid: 0, resource: 4, soft, hard };
        let answer = ground.alone(0, |b| {
            b.call(set(10, 10));
            b.call(set(11, 11));
            b.call(capset(0, 0, 0));
            refuse(b, set(10, 12), Errno::EPERM);
        });
        assert_eq!(answer, None);
    }

    fn a_limit_is_lowered_by_everybody(ground) {
        // The time without a wait, which is the last, and the size of core files.
        let set = |resource, soft, hard| Call::Prlimit { pid: 0, resource, soft, hard };
        let answer = ground.alone(0, |b| {
            refuse(b, set(16, 1, 1), Errno::EINVAL);
            refuse(b, set(4, 2, 1), Errno::EINVAL);
            b.call(set(15, 1, 1));
            b.call(capset(0, 0, 0));
            b.call(set(4, 11, 11));
            b.call(set(4, 11, 11));
            refuse(b, set(4, 10, 12), Errno::EPERM);
            b.call(set(4, 0, 11));
            b.call(set(4, 0, 5));
            refuse(b, set(4, 0, 6), Errno::EPERM);
        });
        assert_eq!(answer, None);
    }

    fn a_user_executes_without_capabilities_but_ambient_ones(ground) {
        let born = ground.slept(|b| {
            b.call(capset(SETUID, SETUID | 7, 3));
            b.call(prctl(flags::PR_SET_KEEPCAPS, 1, 0));
            b.call(Call::Setresuid { uid: 1000 });
            b.call(prctl(flags::PR_CAP_AMBIENT, flags::PR_CAP_AMBIENT_RAISE, 1));
        });
        let page = ground.read(&format!("/proc/{}/status", born.pid)).unwrap();
        assert_eq!((set_of(&page, "CapPrm"), set_of(&page, "CapEff")), (2, 2));
        assert_eq!(set_of(&page, "CapInh"), 3);
    }

    fn root_executes_with_all_that_is_bounded_or_inherited(ground) {
        let born = ground.slept(|b| {
            b.call(capset(SETPCAP, SETPCAP | 7, 2));
            for a in [0, 1] {
                b.call(prctl(flags::PR_CAPBSET_DROP, a, 0));
            }
        });
        let page = ground.read(&format!("/proc/{}/status", born.pid)).unwrap();
        assert_eq!(set_of(&page, "CapPrm") & 0b1_1111, 0b1_1110);
        assert_eq!(set_of(&page, "CapEff"), set_of(&page, "CapPrm"));
    }
}

fn capset(effective: u64, permitted: u64, inheritable: u64) -> Call<Compiled> {
    Call::Capset { effective, permitted, inheritable }
}

const fn prctl(option: u32, a: u64, b: u64) -> Call<Compiled> {
    Call::Prctl { option, a, b, c: 0, d: 0 }
}

/// Returns the status of a child that has performed a program.
fn page<K: Kernel>(ground: &Ground<'_, K>, write: impl FnOnce(&mut Builder)) -> String {
    let born = ground.paused(How::default(), write);
    ground.read(&format!("/proc/{}/status", born.pid)).unwrap()
}

fn field<'p>(page: &'p str, name: &str) -> &'p str {
    let value = |line: &'p str| line.strip_prefix(name)?.strip_prefix(":\t");
    page.lines().find_map(value).unwrap()
}

fn set_of(page: &str, name: &str) -> u64 {
    u64::from_str_radix(field(page, name), 16).unwrap()
}
