//! procfs: what is there, of which type and mode, and what may be written.

use cofferdam::sys::{Builder, CWD, Call, Errno, Handle, Kernel, Live, Stat, Syscalls, flags};

use crate::Ground;
use crate::laws::ground::{How, refuse};

const DIRECTORY: u32 = flags::S_IFDIR | 0o555;
const READ: u32 = flags::S_IFREG | 0o444;
const BOTH: u32 = flags::S_IFREG | 0o644;

crate::laws! {
    fn what_is_there_for_all_has_its_type_and_mode(ground) {
        for (path, mode) in [
            ("", DIRECTORY),
            ("self", flags::S_IFLNK | 0o777),
            ("mounts", flags::S_IFLNK | 0o777),
            ("filesystems", READ),
            ("cmdline", READ),
            ("kcore", flags::S_IFREG | 0o400),
            ("keys", READ),
            ("timer_list", flags::S_IFREG | 0o400),
            ("sysrq-trigger", flags::S_IFREG | 0o200),
            ("bus", DIRECTORY),
            ("fs", DIRECTORY),
            ("irq", DIRECTORY),
            ("sys", DIRECTORY),
            ("sys/kernel", DIRECTORY),
            ("sys/kernel/random", DIRECTORY),
            ("sys/kernel/random/boot_id", READ),
            ("sys/kernel/osrelease", READ),
            ("sys/kernel/pid_max", BOTH),
            ("sys/kernel/cap_last_cap", READ),
            ("sys/kernel/hostname", BOTH),
            ("sys/kernel/domainname", BOTH),
            ("sys/kernel/msgmax", BOTH),
            ("sys/kernel/shmmax", BOTH),
            ("sys/net", DIRECTORY),
            ("sys/net/core", DIRECTORY),
            ("sys/net/core/somaxconn", BOTH),
            ("sys/net/ipv4", DIRECTORY),
            ("sys/net/ipv4/ip_forward", BOTH),
            ("sys/net/ipv4/ping_group_range", BOTH),
            ("sys/net/ipv4/ip_unprivileged_port_start", BOTH),
            ("sys/vm", DIRECTORY),
            ("sys/vm/memfd_noexec", BOTH),
            ("sys/vm/overcommit_memory", BOTH),
            ("sys/user", DIRECTORY),
            ("sys/user/max_user_namespaces", BOTH),
        ] {
            match stat(ground, path) {
                Ok(found) => assert_eq!(found.mode, mode, "{path}: {:o}", found.mode),
                // What a kernel was built without, or is too old for.
                Err(errno) => ground.miss(format!("/proc/{path}: {errno:?}")),
            }
        }
    }

    fn what_every_process_has_has_its_type_and_mode(ground) {
        let born = ground.sleeper();
        for (path, mode) in [
            ("", DIRECTORY),
            ("fd", flags::S_IFDIR | 0o500),
            ("ns", flags::S_IFDIR | 0o511),
            ("ns/mnt", flags::S_IFLNK | 0o777),
            ("fd/0", flags::S_IFLNK | 0o700),
            ("stat", READ),
            ("status", READ),
            ("cgroup", READ),
            ("mountinfo", READ),
            ("mounts", READ),
            ("cmdline", READ),
            ("comm", BOTH),
            ("uid_map", BOTH),
            ("gid_map", BOTH),
            ("setgroups", BOTH),
            ("oom_score_adj", BOTH),
            ("exe", flags::S_IFLNK | 0o777),
            ("cwd", flags::S_IFLNK | 0o777),
            ("root", flags::S_IFLNK | 0o777),
        ] {
            // The first descriptor of a program is both read and written in the fake alone.
            let path = format!("{}/{path}", born.pid);
            let mode = if path.ends_with("fd/0") { mode & flags::S_IFMT } else { mode };
            let found = stat(ground, &path).unwrap().mode;
            assert_eq!(found & (mode | flags::S_IFMT), mode, "{path}: {found:o}");
            assert!(path.ends_with("fd/0") || found == mode, "{path}: {found:o}");
        }
        assert_eq!(stat(ground, &format!("{}/nothing", born.pid)).err(), Some(Errno::ENOENT));
    }

    fn what_a_process_has_is_its_user_s(ground) {
        let born = ground.paused(How::default(), |b| {
            b.call(Call::Setresgid { gid: 7 });
            b.call(Call::Setresuid { uid: 5 });
            b.call(Call::Prctl { option: flags::PR_SET_DUMPABLE, a: 1, b: 0, c: 0, d: 0 });
        });
        let found = stat(ground, &format!("{}/stat", born.pid)).unwrap();
        assert_eq!((found.uid, found.gid), (5, 7));
        let born = ground.paused(How::default(), |b| {
            b.call(Call::Setresgid { gid: 7 });
            b.call(Call::Setresuid { uid: 5 });
            b.call(Call::Prctl { option: flags::PR_SET_DUMPABLE, a: 0, b: 0, c: 0, d: 0 });
        });
        let found = stat(ground, &format!("{}/stat", born.pid)).unwrap();
        assert_eq!((found.uid, found.gid), (0, 0));
    }

    fn a_directory_of_a_process_lists_its_files(ground) {
        let born = ground.sleeper();
        let listed = |path: &str| {
            let dir = ground.open_absolute(&format!("/proc/{path}"), flags::O_DIRECTORY).unwrap();
            let found = ground.kernel.entries(dir.raw()).unwrap();
            found.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
        };
        let pid = born.pid.to_string();
        let all = listed("");
        for name in [&*pid, "self", "sys", "mounts"] {
            assert!(all.iter().any(|other| other == name), "{name}");
        }
        assert!(!all.iter().any(|other| other.contains('/') || other.is_empty()));
        let own = listed(&pid);
        for name in ["fd", "ns", "status", "stat", "root"] {
            assert!(own.iter().any(|other| other == name), "{name}");
        }
        let spaces = listed(&format!("{pid}/ns"));
        for name in ["mnt", "pid", "net", "ipc", "uts", "user", "cgroup"] {
            assert!(spaces.iter().any(|other| other == name), "{name}");
        }
        assert!(listed(&format!("{pid}/fd")).iter().any(|other| other == "1"));
        assert!(listed("sys/kernel").iter().any(|other| other == "hostname"));
        assert!(!listed("sys/kernel").iter().any(|other| other == "somaxconn"));
    }

    fn dot_dot_leads_up(ground) {
        let born = ground.sleeper();
        for (path, same) in [("sys/kernel/..", "sys"), ("sys/..", ""), ("self/fd/../..", "")] {
            let [a, b] = [path, same].map(|path| stat(ground, path).unwrap().inode);
            assert_eq!(a, b, "{path}");
        }
        let pid = born.pid;
        for path in ["ns/..", "fd/.."] {
            let found = stat(ground, &format!("{pid}/{path}")).unwrap().inode;
            assert_eq!(found, stat(ground, &pid.to_string()).unwrap().inode);
        }
    }

    fn the_score_is_kept_within_bounds(ground) {
        let born = ground.sleeper();
        let path = format!("/proc/{}/oom_score_adj", born.pid);
        for (text, answer) in [
            ("500", Ok(())),
            ("1001", Err(Errno::EINVAL)),
            ("-1001", Err(Errno::EINVAL)),
            ("x", Err(Errno::EINVAL)),
            ("400\n", Ok(())),
        ] {
            assert_eq!(ground.write(&path, text), answer, "{text}");
        }
        assert_eq!(ground.read(&path).unwrap(), "400\n");
    }

    fn the_score_is_lowered_by_who_may(ground) {
        // CAP_SYS_RESOURCE
        if !ground.is_capable(24) {
            return;
        }
        let answer = ground.alone(0, |b| {
            let score = |b: &mut Builder, text: &[u8]| {
                let (dir, path) = (Handle::CWD, b.text("/proc/self/oom_score_adj"));
                let flags = flags::O_WRONLY;
                let slot = b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 });
                (Handle::slot(slot.0), b.block(text))
            };
            let (fd, bytes) = score(b, b"500");
            b.call(Call::Write { fd, bytes });
            b.call(Call::Capset { effective: 0, permitted: 0, inheritable: 0 });
            for text in [b"500", b"600"] {
                let (fd, bytes) = score(b, text);
                b.call(Call::Write { fd, bytes });
            }
            let (fd, bytes) = score(b, b"499");
            refuse(b, Call::Write { fd, bytes }, Errno::EACCES);
        });
        assert_eq!(answer, None);
    }

    fn the_name_of_a_program_is_its_file_s(ground) {
        let born = ground.slept(|_| ());
        let read = |file: &str| ground.read(&format!("/proc/{}/{file}", born.pid));
        assert_eq!(read("comm").unwrap(), "sleep\n");
        assert_eq!(read("cmdline").unwrap(), "/bin/sleep\x001000\0");
        let page = read("status").unwrap();
        for line in [
            "Name:\tsleep".to_owned(),
            format!("Pid:\t{}", born.pid),
            format!("PPid:\t{}", ground.call(Call::Getpid {}).unwrap()),
            format!("NSpid:\t{}", born.pid),
            "Threads:\t1".to_owned(),
        ] {
            assert!(page.lines().any(|other| other == line), "{line} in {page}");
        }
        assert!(read("stat").unwrap().starts_with(&format!("{} (sleep) ", born.pid)));
        assert_eq!(read("setgroups").unwrap(), "allow\n");
        assert_eq!(read("fd").err(), Some(Errno::EISDIR));
    }

    fn one_inside_has_two_numbers(ground) {
        let how = How { namespaces: flags::CLONE_NEWPID, ..How::default() };
        let born = ground.paused(how, |_| ());
        let page = ground.read(&format!("/proc/{}/status", born.pid)).unwrap();
        let line = format!("NSpid:\t{}\t1", born.pid);
        assert!(page.lines().any(|other| other == line), "{page}");
    }

    fn the_state_tells_who_is_stopped(ground) {
        let born = ground.sleeper();
        let state = || {
            let page = ground.read(&format!("/proc/{}/status", born.pid)).unwrap();
            let state = page.lines().find_map(|line| line.strip_prefix("State:\t")).unwrap();
            state.chars().next().unwrap()
        };
        let comes = |wanted: char| {
            (0..200).any(|_| state() == wanted || ground.kernel.poll([], 5).is_err())
        };
        assert!(comes('S'));
        born.signal(flags::SIGSTOP).unwrap();
        assert!(comes('T'));
        born.signal(flags::SIGCONT).unwrap();
        assert!(comes('S'));
        for harmless in [flags::SIGCHLD, flags::SIGWINCH, flags::SIGCONT, 23] {
            born.signal(harmless).unwrap();
        }
        assert_eq!(ground.kernel.poll([(born.fd.raw(), flags::POLLIN)], 20), Ok([0]));
        born.signal(10).unwrap();
        assert_eq!(born.wait(flags::WEXITED), Ok((2, 10)));
    }

    fn nobody_makes_anything_in_procfs(ground) {
        let call: Call<Live<'_>> = Call::Mkdirat { dir: CWD, path: c"/proc/x", mode: 0o755 };
        assert_eq!(ground.call(call), Err(Errno::ENOENT));
    }
}

fn stat<K: Kernel>(ground: &Ground<'_, K>, path: &str) -> Result<Stat, Errno> {
    ground.kernel.stat(CWD, &crate::name(format!("/proc/{path}")), flags::AT_SYMLINK_NOFOLLOW)
}
