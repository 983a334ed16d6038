//! Files of cgroups: which there are, whose they are, what they say and take.

use cofferdam::sys::{CWD, Call, Errno, Kernel, Kind, Syscalls, flags};

use crate::laws::groups::Group;

const POLLPRI: u32 = 2;

crate::laws! {
    fn a_file_of_a_cgroup_has_a_mode(ground) {
        for group in Group::both(ground) {
            let own = if is_v1(&group) {
                [("tasks", 0o644), ("freezer.state", 0o644), ("freezer.self_freezing", 0o444)]
            } else {
                [("cgroup.freeze", 0o644), ("cgroup.events", 0o444), ("cgroup.kill", 0o200)]
            };
            for (file, mode) in own.into_iter().chain([("cgroup.procs", 0o644)]) {
                assert_eq!(stat(&group, file).mode, flags::S_IFREG | mode, "{file}");
            }
            let top = stat(&group, ".");
            assert_eq!((top.mode, top.uid, top.gid), (flags::S_IFDIR | 0o755, 0, 0));
            assert_eq!(stat(&group, "cgroup.procs").links, 1);
        }
    }

    fn a_cgroup_lists_its_files_and_those_below(ground) {
        for group in Group::both(ground) {
            let inner = group.inner();
            let directory = ground.open_absolute(&group.path, flags::O_DIRECTORY).unwrap();
            let entries = ground.kernel.entries(directory.raw()).unwrap();
            let kind = |name: &str| entries.iter().find(|e| e.name == name).map(|e| e.kind);
            assert_eq!(kind("cgroup.procs"), Some(Kind::Regular));
            assert_eq!(kind("inner"), Some(Kind::Directory));
            assert_eq!(kind("freezer.state"), is_v1(&group).then_some(Kind::Regular));
            assert_eq!(kind("cgroup.events"), (!is_v1(&group)).then_some(Kind::Regular));
            assert_eq!(kind("memory.nothing"), None);
            ground.kernel.unlink(CWD, &inner, flags::AT_REMOVEDIR).unwrap();
        }
    }

    fn each_tree_of_cgroups_is_a_file_system(ground) {
        let Some(freezer) = Group::v1(ground) else { return };
        let Some(pids) = ground.place.v1.get("pids") else { return ground.miss("no pids of v1") };
        let pids = Group::new(ground, pids);
        let inner = freezer.inner();
        let [one, below, other] = [(&freezer, "."), (&freezer, "inner"), (&pids, ".")]
            .map(|(group, path)| stat(group, path));
        assert_eq!(one.device, below.device);
        assert_ne!(one.device, other.device);
        assert_ne!(one.inode, below.inode);
        assert_eq!(stat(&freezer, "inner/..").inode, one.inode);
        assert_eq!(stat(&freezer, "cgroup.procs").device, one.device);
        assert_ne!(stat(&freezer, "cgroup.procs").inode, stat(&freezer, "tasks").inode);
        ground.kernel.unlink(CWD, &inner, flags::AT_REMOVEDIR).unwrap();
    }

    fn a_removed_cgroup_has_nothing(ground) {
        for group in Group::both(ground) {
            let directory = ground.open_absolute(&group.path, flags::O_DIRECTORY).unwrap();
            group.remove().unwrap();
            // Its number of links is told as before.
            let found = ground.kernel.stat(directory.raw(), c"", flags::AT_EMPTY_PATH).unwrap();
            assert_ne!(found.links, 0);
            let dir = directory.raw();
            assert_eq!(ground.kernel.entries(dir).err(), Some(Errno::ENOENT));
            assert_eq!(ground.kernel.mkdir(dir, c"x", 0o755), Err(Errno::ENOENT));
            assert_eq!(ground.kernel.stat(dir, c"tasks", 0).err(), Some(Errno::ENOENT));
        }
    }

    fn the_first_cgroup_is_not_limited(ground) {
        for (file, tree) in [
            ("freezer.state", "freezer"),
            ("pids.max", "pids"),
            ("cgroup.events", ""),
            ("cgroup.freeze", ""),
            ("cgroup.kill", ""),
            ("cgroup.type", ""),
        ] {
            let Some(top) = ground.place.tops.get(tree) else { continue };
            let there = |file| ground.kernel.stat(CWD, &crate::name(format!("{top}/{file}")), 0);
            assert_eq!(there(file).err(), Some(Errno::ENOENT), "{file}");
            assert!(there("cgroup.procs").is_ok());
        }
    }

    fn the_first_cgroup_is_not_removed(ground) {
        for top in ground.place.tops.values() {
            let removed = ground.kernel.unlink(CWD, &crate::name(&**top), flags::AT_REMOVEDIR);
            assert_eq!(removed, Err(Errno::EBUSY));
        }
    }

    fn a_cgroup_is_removed_as_a_directory(ground) {
        for group in Group::both(ground) {
            let [path, file] = ["", "/cgroup.procs"]
                .map(|name| crate::name(format!("{}{name}", group.path)));
            assert_eq!(ground.kernel.unlink(CWD, &path, 0), Err(Errno::EISDIR));
            let removed = ground.kernel.unlink(CWD, &file, flags::AT_REMOVEDIR);
            assert_eq!(removed, Err(Errno::ENOTDIR));
            assert!(group.read("cgroup.procs").is_ok());
        }
    }

    fn a_name_of_two_lines_is_no_cgroup_s(ground) {
        for group in Group::both(ground) {
            let path = crate::name(format!("{}/a\nb", group.path));
            assert_eq!(ground.kernel.mkdir(CWD, &path, 0o755), Err(Errno::EINVAL));
        }
    }

    fn a_cgroup_is_given_away_without_its_files(ground) {
        for group in Group::both(ground) {
            let owner = |path: &str| (stat(&group, path).uid, stat(&group, path).gid);
            own(&group, ".", (5, 6));
            assert_eq!((owner("."), owner("cgroup.procs")), ((5, 6), (0, 0)));
            own(&group, "cgroup.procs", (7, 8));
            assert_eq!((owner("."), owner("cgroup.procs")), ((5, 6), (7, 8)));
            own(&group, ".", (9, 9));
            assert_eq!((owner("."), owner("cgroup.procs")), ((9, 9), (7, 8)));
        }
    }

    fn a_cgroup_is_its_maker_s(ground) {
        for group in Group::both(ground) {
            own(&group, ".", (5, 6));
            let inner = format!("{}/inner", group.path);
            let answer = ground.alone(0, |b| {
                let (dir, path) = (cofferdam::sys::Handle::CWD, b.text(&inner));
                b.call(Call::Setresgid { gid: 6 });
                b.call(Call::Setresuid { uid: 5 });
                b.call(Call::Mkdirat { dir, path, mode: 0o755 });
            });
            assert_eq!(answer, None);
            let owner = |path: &str| (stat(&group, path).uid, stat(&group, path).gid);
            assert_eq!((owner("inner"), owner("inner/cgroup.procs")), ((5, 6), (5, 6)));
            ground.kernel.unlink(CWD, &crate::name(inner), flags::AT_REMOVEDIR).unwrap();
        }
    }

    fn a_switch_takes_one_and_nothing_else(ground) {
        let Some(group) = Group::v2(ground) else { return };
        for (text, errno) in [("0", Errno::ERANGE), ("x", Errno::EINVAL)] {
            assert_eq!(group.write("cgroup.kill", text), Err(errno));
        }
        for (text, errno) in [("2", Errno::ERANGE), ("-1", Errno::ERANGE), ("x", Errno::EINVAL)] {
            assert_eq!(group.write("cgroup.freeze", text), Err(errno), "{text}");
        }
        assert_eq!(group.read("cgroup.freeze").unwrap(), "0\n");
        assert_eq!(group.write("cgroup.subtree_control", "nothing"), Err(Errno::EINVAL));
    }

    fn a_list_is_no_word(ground) {
        for group in Group::both(ground) {
            for bytes in [&b"\xff\xfe"[..], b"1 2", b"-1", b"\n"] {
                let path = format!("{}/cgroup.procs", group.path);
                let file = ground.open_absolute(&path, flags::O_WRONLY).unwrap();
                let written = ground.kernel.write(file.raw(), bytes);
                assert_eq!(written, Err(Errno::EINVAL), "{bytes:?}");
            }
        }
    }

    fn who_is_in_a_cgroup_is_listed_by_his_number(ground) {
        for group in Group::both(ground) {
            let born = [group.born(), group.born()];
            let list = if is_v1(&group) { "tasks" } else { "cgroup.threads" };
            for file in ["cgroup.procs", list] {
                let text = group.read(file).unwrap();
                let mut found: Vec<u32> = text.lines().map(|pid| pid.parse().unwrap()).collect();
                found.sort_unstable();
                let mut wanted = born.each_ref().map(|born| born.pid);
                wanted.sort_unstable();
                assert_eq!(found, wanted);
            }
        }
    }

    fn the_process_that_writes_zero_moves_itself(ground) {
        for group in Group::both(ground) {
            let path = format!("{}/cgroup.procs", group.path);
            let born = ground.paused(crate::laws::ground::How::default(), |b| {
                let (dir, path) = (cofferdam::sys::Handle::CWD, b.text(&path));
                let flags = flags::O_WRONLY;
                let slot = b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 });
                let bytes = b.block(b"0");
                b.call(Call::Write { fd: cofferdam::sys::Handle::slot(slot.0), bytes });
            });
            assert_eq!(group.read("cgroup.procs").unwrap(), format!("{}\n", born.pid));
        }
    }

    fn a_zombie_s_cgroup_may_be_gone(ground) {
        for group in Group::both(ground) {
            let (v1, born) = (is_v1(&group), group.born());
            born.signal(flags::SIGKILL).unwrap();
            born.poll();
            group.until_removed();
            let page = ground.read(&format!("/proc/{}/cgroup", born.pid)).unwrap();
            // A zombie is at the top of a tree of v1 for who asks (cgroups(7)).
            assert_eq!(page.contains("/law (deleted)\n"), !v1, "{page}");
        }
    }

    fn every_file_of_a_cgroup_is_another(ground) {
        for group in Group::both(ground) {
            let inner = group.inner();
            let mut inodes = Vec::new();
            for path in ["", "/inner"] {
                let path = format!("{}{path}", group.path);
                let directory = ground.open_absolute(&path, flags::O_DIRECTORY).unwrap();
                for entry in ground.kernel.entries(directory.raw()).unwrap() {
                    let path = crate::name(format!("{path}/{}", entry.name));
                    inodes.push(ground.kernel.stat(CWD, &path, 0).unwrap().inode);
                }
            }
            let all = inodes.len();
            inodes.sort_unstable();
            inodes.dedup();
            assert_eq!(inodes.len(), all);
            ground.kernel.unlink(CWD, &inner, flags::AT_REMOVEDIR).unwrap();
        }
    }

    fn who_remembers_a_removed_cgroup_does_not_see_the_next(ground) {
        for mut group in Group::both(ground) {
            let path = group.path.clone();
            let directory = ground.open_absolute(&path, flags::O_DIRECTORY).unwrap();
            let file = ground.open_absolute(&format!("{path}/cgroup.procs"), 0).unwrap();
            let born = ground.paused(crate::laws::ground::How::default(), |b| {
                let path = b.text(&path);
                b.call(Call::Chdir { path });
            });
            group.remove().unwrap();
            for number in 0..3 {
                group.path = format!("{path}{number}");
                ground.kernel.mkdir(CWD, &crate::name(&*group.path), 0o755).unwrap();
                assert_eq!(ground.kernel.read(file.raw(), &mut [0; 8]), Err(Errno::ENODEV));
                let dir = directory.raw();
                assert_eq!(ground.kernel.entries(dir).err(), Some(Errno::ENOENT));
                let mode = flags::S_IFIFO | 0o600;
                let made = ground.call(Call::Mknodat { dir, path: c"x", mode, device: 0 });
                assert_eq!(made, Err(Errno::ENOENT));
                let cwd = format!("/proc/{}/cwd/cgroup.procs", born.pid);
                assert_eq!(ground.read(&cwd), Err(Errno::ENOENT));
                group.remove().unwrap();
            }
        }
    }

    fn a_file_is_refused_in_another_way_than_what_only_mknod_makes(ground) {
        for group in Group::both(ground) {
            let directory = ground.open_absolute(&group.path, flags::O_DIRECTORY).unwrap();
            for (mode, errno) in [
                (0o600, Errno::EACCES),
                (flags::S_IFREG | 0o600, Errno::EACCES),
                (flags::S_IFIFO | 0o600, Errno::EPERM),
            ] {
                let dir = directory.raw();
                let made = ground.call(Call::Mknodat { dir, path: c"x", mode, device: 0 });
                assert_eq!(made, Err(errno), "{mode:o}");
            }
        }
    }

    fn what_changes_is_told_until_it_is_read(ground) {
        let Some(group) = Group::v2(ground) else { return };
        let path = format!("{}/cgroup.events", group.path);
        let file = ground.open_absolute(&path, 0).unwrap();
        let poll = |patience_ms| {
            ground.kernel.poll([(file.raw(), POLLPRI)], patience_ms).unwrap()[0]
        };
        let read = || {
            ground.call(Call::Lseek { fd: file.raw(), offset: 0, whence: 0 }).unwrap();
            ground.kernel.read_all(file.raw()).unwrap()
        };
        assert_eq!(read(), b"populated 0\nfrozen 0\n");
        assert_eq!(poll(0), 0);
        let born = group.born();
        assert_eq!(poll(1000), POLLPRI | flags::POLLERR);
        assert_eq!(read(), b"populated 1\nfrozen 0\n");
        assert_eq!(poll(0), 0);
        drop(born);
        group.until("cgroup.events", "populated 0");
        assert_eq!(poll(1000), POLLPRI | flags::POLLERR);
    }

    fn an_empty_list_is_not_taken_note_of(ground) {
        for group in Group::both(ground) {
            let path = format!("{}/cgroup.procs", group.path);
            let told = || {
                let file = ground.open_absolute(&path, 0).unwrap();
                ground.kernel.read_all(file.raw()).unwrap();
                ground.kernel.poll([(file.raw(), flags::POLLIN)], 0).unwrap()
            };
            assert_eq!(told(), [flags::POLLIN | flags::POLLERR]);
            let _born = group.born();
            assert_eq!(told(), [flags::POLLIN]);
        }
    }

    fn where_a_process_is_is_told_tree_by_tree(ground) {
        let Some(group) = Group::v1(ground) else { return };
        let born = group.born();
        let page = ground.read(&format!("/proc/{}/cgroup", born.pid)).unwrap();
        let numbers: Vec<u32> =
            page.lines().map(|line| line.split(':').next().unwrap().parse().unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| b < a), "{page}");
        let at = |name: &str| {
            let mut lines = page.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
            lines.find(|line| line[1] == name).unwrap()[2].to_owned()
        };
        assert!(at("freezer").ends_with("/law"), "{page}");
        assert!(!at("memory").ends_with("/law"), "{page}");
        let own = ground.read("/proc/self/cgroup").unwrap();
        assert!(own.lines().any(|line| line.ends_with(&format!(":memory:{}", at("memory")))));
    }
}

fn is_v1<K: Kernel>(group: &Group<'_, '_, K>) -> bool {
    group.read("cgroup.events").is_err()
}

fn stat<K: Kernel>(group: &Group<'_, '_, K>, path: &str) -> cofferdam::sys::Stat {
    let path = crate::name(format!("{}/{path}", group.path));
    group.ground.kernel.stat(CWD, &path, flags::AT_SYMLINK_NOFOLLOW).unwrap()
}

fn own<K: Kernel>(group: &Group<'_, '_, K>, path: &str, ids: (u32, u32)) {
    let path = crate::name(format!("{}/{path}", group.path));
    let (uid, gid) = ids;
    group.ground.call(Call::Fchownat { dir: CWD, path: &*path, uid, gid, flags: 0 }).unwrap();
}
