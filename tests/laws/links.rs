//! procfs: where its links lead, who sees what of a process, and what a mount of it shows.

use cofferdam::sys::{CWD, Call, Errno, Handle, Kernel, Room, Syscalls, flags};

use crate::Ground;
use crate::laws::ground::{Born, How, refuse};

crate::laws! {
    fn the_links_of_a_process_lead_to_its_files(ground) {
        ground.directory("root");
        ground.directory("root/dir");
        let path = ground.at("root").into_string().unwrap();
        let born = ground.paused(How::default(), |b| {
            let root = b.text(&path);
            b.call(Call::Chroot { path: root });
            let dir = b.text("/dir");
            b.call(Call::Chdir { path: dir });
        });
        let link = |name: &str| crate::name(format!("/proc/{}/{name}", born.pid));
        let read = |name: &str| ground.kernel.read_link(CWD, &link(name)).unwrap();
        assert_eq!(read("root"), path.as_bytes());
        assert_eq!(read("cwd"), format!("{path}/dir").into_bytes());
        let inode = |path: &std::ffi::CStr| ground.kernel.stat(CWD, path, 0).unwrap().inode;
        assert_eq!(inode(&link("root/dir")), inode(&ground.at("root/dir")));
        assert_eq!(inode(&link("cwd/..")), inode(&ground.at("root")));
    }

    fn a_program_s_file_is_what_it_executes(ground) {
        let born = ground.slept(|_| ());
        let exe = crate::name(format!("/proc/{}/exe", born.pid));
        let inode = |path: &std::ffi::CStr| ground.kernel.stat(CWD, path, 0).unwrap().inode;
        assert_eq!(inode(&exe), inode(c"/bin/sleep"));
    }

    fn a_zombie_s_links_lead_nowhere(ground) {
        let born = ground.sleeper();
        born.signal(flags::SIGKILL).unwrap();
        born.poll();
        for name in ["exe", "ns/net", "ns/uts"] {
            let path = crate::name(format!("/proc/{}/{name}", born.pid));
            assert_eq!(ground.kernel.read_link(CWD, &path).err(), Some(Errno::ENOENT), "{name}");
        }
        assert_eq!(ground.read(&format!("/proc/{}/cmdline", born.pid)).unwrap(), "");
        let info = ground.read(&format!("/proc/{}/mountinfo", born.pid));
        assert_eq!(info.err(), Some(Errno::EINVAL));
    }

    fn a_link_of_a_descriptor_tells_what_it_is(ground) {
        ground.directory("d");
        let text = |fd: i32| {
            let path = crate::name(format!("/proc/self/fd/{fd}"));
            String::from_utf8(ground.kernel.read_link(CWD, &path).unwrap()).unwrap()
        };
        let stat = |fd| ground.kernel.stat(fd, c"", flags::AT_EMPTY_PATH).unwrap();
        let directory = ground.open("d", flags::O_DIRECTORY).unwrap();
        assert_eq!(text(directory.raw()), ground.at("d").into_string().unwrap());
        let [read, write] = ground.kernel.pipe().unwrap();
        assert_eq!(text(read.raw()), format!("pipe:[{}]", stat(read.raw()).inode));
        assert_eq!(text(read.raw()), text(write.raw()));
        let [a, b] = ground.kernel.socketpair().unwrap();
        assert_eq!(text(a.raw()), format!("socket:[{}]", stat(a.raw()).inode));
        assert_ne!(text(a.raw()), text(b.raw()));
        assert_eq!(stat(a.raw()).mode, flags::S_IFSOCK | 0o777);
        let space = ground.open_absolute("/proc/self/ns/uts", 0).unwrap();
        assert_eq!(text(space.raw()), format!("uts:[{}]", stat(space.raw()).inode));
        assert_eq!(stat(space.raw()).mode, flags::S_IFREG | 0o444);
        // Numbers of namespaces are the highest of 32 bits.
        assert!((0xefff_fff0..=0xffff_ffff).contains(&stat(space.raw()).inode));
        let born = ground.sleeper();
        assert_eq!(text(born.fd.raw()), "anon_inode:[pidfd]");
        ground.file("d/f", b"");
        let file = ground.open("d/f", 0).unwrap();
        assert_eq!(text(file.raw()), ground.at("d/f").into_string().unwrap());
        let proc = ground.open_absolute("/proc/sys/kernel", 0).unwrap();
        assert_eq!(text(proc.raw()), "/proc/sys/kernel");
    }

    fn what_is_reached_through_a_descriptor_is_the_same(ground) {
        ground.directory("d");
        ground.file("d/f", b"in");
        let dir = ground.open("d", flags::O_PATH).unwrap();
        let path = format!("/proc/self/fd/{}/f", dir.raw());
        assert_eq!(ground.read(&path).unwrap(), "in");
        let gone = format!("/proc/self/fd/{}/f", 2_147_483_000);
        assert_eq!(ground.read(&gone), Err(Errno::ENOENT));
        assert_eq!(ground.read("/proc/self/fd/x"), Err(Errno::ENOENT));
        assert_eq!(ground.read("/proc/self/ns/x").err(), Some(Errno::ENOENT));
        assert_eq!(ground.read("/proc/self/status/x"), Err(Errno::ENOTDIR));
        assert_eq!(ground.read("/proc/4194303/status"), Err(Errno::ENOENT));
    }

    fn every_file_of_a_process_is_another(ground) {
        let born = [ground.sleeper(), ground.sleeper()];
        let mut inodes = Vec::new();
        for name in ["stat", "status", "cgroup", "comm", "fd", "ns", "exe", "cwd", "root", "."] {
            for born in &born {
                let path = crate::name(format!("/proc/{}/{name}", born.pid));
                let how = flags::AT_SYMLINK_NOFOLLOW;
                inodes.push(ground.kernel.stat(CWD, &path, how).unwrap().inode);
            }
        }
        let all = inodes.len();
        inodes.sort_unstable();
        inodes.dedup();
        assert_eq!(inodes.len(), all);
    }

    fn who_may_not_look_into_a_process_sees_no_links(ground) {
        let own = ground.call(Call::Getpid {}).unwrap();
        let other = ground.paused(How::default(), |b| {
            b.call(Call::Setresgid { gid: 5 });
            b.call(Call::Setresuid { uid: 5 });
            b.call(Call::Prctl { option: flags::PR_SET_DUMPABLE, a: 1, b: 0, c: 0, d: 0 });
        });
        let secret = ground.paused(How::default(), |b| {
            b.call(Call::Setresgid { gid: 5 });
            b.call(Call::Setresuid { uid: 5 });
            b.call(Call::Prctl { option: flags::PR_SET_DUMPABLE, a: 0, b: 0, c: 0, d: 0 });
        });
        let answer = ground.alone(0, |b| {
            b.call(Call::Setresgid { gid: 5 });
            b.call(Call::Setresuid { uid: 5 });
            for (pid, seen) in [
                (own.to_string(), false),
                (other.pid.to_string(), true),
                (secret.pid.to_string(), false),
                ("self".to_owned(), true),
            ] {
                for name in ["cwd", "root", "ns/uts"] {
                    let (dir, path) = (Handle::CWD, b.text(&format!("/proc/{pid}/{name}")));
                    let flags = flags::O_PATH;
                    let call = Call::Openat2 { dir, path, flags, mode: 0, resolve: 0 };
                    if seen {
                        b.call(call);
                    } else {
                        refuse(b, call, Errno::EACCES);
                    }
                }
            }
        });
        assert_eq!(answer, None);
    }

    fn a_mount_of_procfs_shows_one_pid_namespace(ground) {
        ground.directory("p");
        let target = ground.at("p").into_string().unwrap();
        let namespaces = flags::CLONE_NEWPID | flags::CLONE_NEWNS;
        let born = ground.paused(How { namespaces, ..How::default() }, |b| {
            let [none, root] = ["", "/"].map(|text| b.text(text));
            let flags = flags::MS_PRIVATE | flags::MS_REC;
            b.call(Call::Mount { source: none, target: root, kind: none, flags, data: none });
            let [target, kind] = [&*target, "proc"].map(|text| b.text(text));
            b.call(Call::Mount { source: kind, target, kind, flags: 0, data: none });
        });
        let inside = |path: &str| format!("/proc/{}/root{target}/{path}", born.pid);
        assert!(ground.read(&inside("1/cmdline")).is_ok());
        assert_eq!(ground.read(&inside("2/cmdline")), Err(Errno::ENOENT));
        let own = crate::name(inside("self"));
        assert_eq!(ground.kernel.read_link(CWD, &own).err(), Some(Errno::ENOENT));
        let dir = ground.open_absolute(&inside(""), flags::O_DIRECTORY).unwrap();
        let entries = ground.kernel.entries(dir.raw()).unwrap();
        let number = |name: &str| name.starts_with(|first: char| first.is_ascii_digit());
        let numbers = entries.into_iter().map(|entry| entry.name).filter(|name| number(name));
        assert_eq!(numbers.collect::<Vec<_>>(), ["1"]);
    }

    fn a_process_knows_others_by_the_numbers_of_its_namespace(ground) {
        let how = How { namespaces: flags::CLONE_NEWPID, ..How::default() };
        let born = ground.paused(how, |b| {
            let pid = b.take();
            let child = b.fork(0, pid);
            b.call(Call::Kill { pid: 1, signal: 0 });
            b.call(Call::Exit { status: 0 });
            b.land(child);
            b.call(Call::Wait4 { pid, status: Room { len: 4 }, options: 0 });
            refuse(b, Call::Kill { pid: 2, signal: 0 }, Errno::ESRCH);
        });
        assert!(stands(ground, &born));
    }

    fn a_host_name_is_written_by_who_may(ground) {
        let before = ground.read("/proc/sys/kernel/hostname").unwrap();
        for (namespaces, capable, errno) in [
            (flags::CLONE_NEWUTS, true, None),
            (flags::CLONE_NEWUTS, false, Some(Errno::EPERM)),
        ] {
            let answer = ground.alone(namespaces, |b| {
                if !capable {
                    b.call(Call::Capset { effective: 0, permitted: 0, inheritable: 0 });
                }
                let [host, domain] = [b"inside", b"domain"].map(|name| b.block(name));
                let calls =
                    [Call::Sethostname { name: host }, Call::Setdomainname { name: domain }];
                for call in calls {
                    match errno {
                        Some(errno) => refuse(b, call, errno),
                        None => b.call(call),
                    }
                }
                let long = b.block(&[b'n'; 65]);
                let name = b.block(&[b'n'; 64]);
                if capable {
                    refuse(b, Call::Setdomainname { name: long }, Errno::EINVAL);
                    b.call(Call::Sethostname { name });
                }
            });
            assert_eq!(answer, None);
        }
        assert_eq!(ground.read("/proc/sys/kernel/hostname").unwrap(), before);
    }
}

/// Returns whether a process is still there and no zombie.
fn stands<K: Kernel>(ground: &Ground<'_, K>, born: &Born<'_, K>) -> bool {
    ground.kernel.poll([(born.fd.raw(), flags::POLLIN)], 0) == Ok([0])
}
