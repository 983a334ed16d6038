//! What single words of a specification change in a program, and which are refused.

use super::*;
use cofferdam::spec::{AttrFlags, Device, DeviceKind, Rlimit, RlimitKind};

fn tmpfs(target: &str) -> Mount {
    Mount::new(MountKind::Filesystem("tmpfs".to_owned()), target)
}

fn mounts(mounts: Vec<Mount>) -> Spec {
    Spec { mounts, ..bare() }
}

/// What is compiled, as it is printed.
fn said(spec: &Spec, world: &World) -> String {
    compiled(spec, &world.situation()).program.to_string()
}

/// Where a text begins that is said once.
fn place(said: &str, text: &str) -> usize {
    let places: Vec<_> = said.match_indices(text).map(|(at, _)| at).collect();
    let [at] = places[..] else { panic!("{text:?} is there {} times:\n{said}", places.len()) };
    at
}

#[test]
fn what_cannot_be_had_is_refused() {
    let world = v2();
    let situation = world.situation();
    let with = |mount| plan::init(&Spec { mounts: vec![mount], ..bare() }, &situation);
    assert_eq!(at(with(bind("/x", "/.."))), "/mounts/0/destination: the root itself");
    let mut filled = bind("/x", "/y");
    filled.tmpcopyup = true;
    let copy = "/mounts/0/options: only a tmpfs is filled with a copy";
    assert_eq!(at(with(filled)), copy);
    let proc = "/mounts/0/destination: only a proc belongs on /proc";
    assert_eq!(at(with(bind("/x", "/proc"))), proc);
    assert_eq!(at(with(bind("/x", "/proc/sys"))), proc);
    let spec = Spec { process: None, ..bare() };
    assert_eq!(at(plan::init(&spec, &situation)), "/process: missing");
}

#[test]
fn what_an_older_kernel_does_not_have_is_refused() {
    let mut world = v2();
    world.host.missing = [Feature::MountSetattr, Feature::TimeNamespace].into();
    let with = |spec: &Spec| at(plan::init(spec, &world.situation()));
    let tree = Mount { set_tree: AttrFlags::RDONLY, ..bind("/x", "/y") };
    assert_eq!(with(&mounts(vec![tree])), "/mounts/0/options: not supported");
    let mut spec = bare();
    spec.namespaces.push(Namespace { kind: NamespaceKind::Time, path: None });
    assert_eq!(with(&spec), "/linux/namespaces/1/type: not supported");
}

#[test]
fn a_bind_mount_needs_a_source_and_no_options() {
    let with = |mount| at(plan::init(&mounts(vec![mount]), &v2().situation()));
    let nothing = Mount { source: None, ..bind("", "/y") };
    assert_eq!(with(nothing), "/mounts/0/source: missing");
    let sized = Mount { data: "size=1m".to_owned(), ..bind("/x", "/y") };
    assert_eq!(with(sized), "/mounts/0/options: a bind mount has no file system options");
}

#[test]
fn a_program_that_grows_too_long_is_refused() {
    let mut spec = bare();
    let limit = Rlimit { kind: RlimitKind::Nofile, soft: 1, hard: 2 };
    spec.process.as_mut().expect("has a process").rlimits = vec![limit; 70_000];
    assert_eq!(at(plan::init(&spec, &v2().situation())), "more than one program can hold");
}

/// Close-on-exec descriptors cost nothing, but there are only so many of them.
#[test]
fn many_mounts_leave_a_bounded_number_of_descriptors() {
    let closes = |count: usize| {
        let binds = (0..count).map(|i| bind("/x", &format!("/{i}"))).collect();
        said(&mounts(binds), &v2()).matches("  close(").count()
    };
    assert_eq!(closes(50), 0);
    // Of each both its copy and its target.
    assert_eq!(closes(200) - closes(150), 100);
}

#[test]
fn what_is_mounted_in_proc_or_sys_is_covered_where_it_is_mounted() {
    let cgroup = Mount::new(MountKind::Cgroup, "/sys/fs/cgroup");
    let kernels = ["proc", "sysfs"].map(|kind| MountKind::Filesystem(kind.to_owned()));
    let [proc, sysfs] = kernels;
    let (proc, sysfs) = (Mount::new(proc, "/proc"), Mount::new(sysfs, "/sys"));
    let mut spec = mounts(vec![proc, sysfs, bind("/lxcfs/cpuinfo", "/proc/cpuinfo"), cgroup]);
    let masked = ["/proc/cpuinfo", "/proc/kcore", "/sys/fs", "/sys/firmware"];
    spec.masked_paths = masked.map(str::to_owned).to_vec();
    let said = said(&spec, &v2());
    let [cpuinfo, kcore, fs, firmware] =
        masked.map(|path| place(&said, &format!("# mask {path}\n")));
    let entered = place(&said, "# enter the root\n");
    assert!(kcore < entered && firmware < entered, "{said}");
    assert!(entered < cpuinfo && entered < fs, "{said}");
}

/// Only where something is done before it has a name does it lie over the root first.
#[test]
fn a_sysfs_with_nothing_to_cover_is_mounted_where_it_belongs() {
    let sysfs = Mount::new(MountKind::Filesystem("sysfs".to_owned()), "/sys");
    let sysctls = vec![Sysctl::new("net.ipv4.ip_forward", "1").expect("is a name")];
    let mut spec = Spec { sysctls, ..mounts(vec![sysfs]) };
    place(&said(&spec, &v2()), r#"mount("sysfs", ".", "sysfs", 0, "")"#);
    spec.masked_paths = vec!["/sys/firmware".to_owned()];
    place(&said(&spec, &v2()), r#"mount("sysfs", "/bundle/rootfs", "sysfs", 0, "")"#);
}

#[test]
fn attributes_of_a_tree_are_set_on_all_of_it() {
    let read = AttrFlags::RDONLY | AttrFlags::NOATIME;
    for target in ["/data", "/dev/shm"] {
        let tree = Mount { set_tree: read, clear_tree: AttrFlags::ATIME, ..tmpfs(target) };
        let said = said(&mounts(vec![tmpfs("/dev"), tree]), &v2());
        place(&said, "EMPTY_PATH|RECURSIVE, RDONLY|NOATIME, ATIME, 0)");
    }
}

#[test]
fn a_file_system_in_dev_is_read_only_when_all_is_in_it() {
    let shm = Mount { set: MountFlags::RDONLY | MountFlags::NOSUID, ..tmpfs("/dev/shm") };
    // In the image's own directory a name is not as good as a descriptor.
    let image = said(&mounts(vec![shm.clone()]), &v2());
    place(&image, r#"mount("tmpfs", ".", "tmpfs", NOSUID, "")"#);
    let said = said(&mounts(vec![tmpfs("/dev"), shm, bind("/x", "/dev/shm/x")]), &v2());
    let made = place(&said, r#"mount("tmpfs", "shm", "tmpfs", NOSUID, "")"#);
    let filled = place(&said, "# bind /x to /dev/shm/x\n");
    let sealed = place(&said, "# make /dev/shm read-only\n");
    assert!(made < filled && filled < sealed, "{said}");
}

#[test]
fn what_is_mounted_over_dev_is_opened_anew() {
    let queue = Mount::new(MountKind::Filesystem("mqueue".to_owned()), "/dev/mqueue");
    let said = said(&mounts(vec![tmpfs("/dev"), queue, tmpfs("/dev")]), &v2());
    let again = said.rfind("# mount tmpfs on /dev\n").expect("is mounted twice");
    let nodes = place(&said, "# make /dev/null\n");
    assert!(said[again..nodes].contains("# open /dev\n"), "{said}");
}

#[test]
fn nodes_are_those_of_the_document_and_none_where_dev_is_the_host_s() {
    let kind = DeviceKind::Char { major: 1, minor: 3 };
    let null = Device { path: "/dev/null".to_owned(), kind, mode: 0o600, uid: 1, gid: 2 };
    let spec = Spec { devices: vec![null], ..bare() };
    place(&said(&spec, &v2()), r#""null", 0o20600, 259)"#);
    let spec = Spec { mounts: vec![bind("/dev", "/dev")], ..spec };
    let bound = said(&spec, &v2());
    assert!(!bound.contains("mknodat") && !bound.contains("make the links"), "{bound}");
}

#[test]
fn who_has_no_cgroup_in_a_hierarchy_sees_the_maker_s() {
    let cgroup = Mount::new(MountKind::Cgroup, "/sys/fs/cgroup");
    let mut world = v1();
    world.host.hierarchies.iter_mut().for_each(|one| one.own = "/maker".to_owned());
    world.cgroups.retain(|dir| !dir.mount.ends_with("pids"));
    let bind = |path: &str, name: &str| format!(r#"mount("{path}", "{name}", "", BIND|REC, "")"#);
    let (own, maker) = ("/sys/fs/cgroup/memory/box", "/sys/fs/cgroup/memory/maker");
    for (user, nested) in [(0, false), (0, true), (1000, false)] {
        (world.host.user, world.host.user_namespace) = (user, nested);
        let said = said(&mounts(vec![cgroup.clone()]), &world);
        place(&said, &(bind("/sys/fs/cgroup/pids/maker", "pids") + "\n"));
        place(&said, &bind(own, "memory"));
        // Who is not root of the host may have been let have none.
        assert_eq!(said.contains(&bind(maker, "memory")), nested || user != 0, "{said}");
    }
}

#[test]
fn a_program_is_looked_for_once_in_each_directory() {
    let mut spec = bare();
    let process = spec.process.as_mut().expect("has a process");
    process.args = vec!["serve".to_owned()];
    process.env = vec!["PATH=/bin:relative:/usr/bin:/bin/:/".to_owned()];
    let said = said(&spec, &v2());
    let places = said.split("execve(").skip(1).filter_map(|call| call.split('"').nth(1));
    assert_eq!(places.collect::<Vec<_>>(), ["/bin/serve", "/usr/bin/serve", "/serve"]);
}

#[test]
fn a_capability_that_the_host_has_not_is_dropped_where_it_may_be_there() {
    let mut spec = bare();
    let mut world = v2();
    world.host.bounding &= !(1 << 36);
    assert!(!said(&spec, &world).contains("PR_CAPBSET_DROP, 36,"));
    spec.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    place(&said(&spec, &world), "PR_CAPBSET_DROP, 36, 0, 0, 0)  accept EINVAL\n");
}

/// Without mount_setattr(2) it takes a mount more, which is made only where it changes something.
#[test]
fn the_tree_of_cgroups_is_read_only_where_that_is_asked_for() {
    let mut world = v1();
    world.host.missing = [Feature::MountSetattr].into();
    for (set, remounts) in [(MountFlags::NOSUID, 0), (MountFlags::RDONLY, 1)] {
        let cgroup = Mount { set, ..Mount::new(MountKind::Cgroup, "/sys/fs/cgroup") };
        let said = said(&mounts(vec![cgroup]), &world);
        let whole = |line: &&str| line.contains(r#", ".", "", "#) && line.contains("REMOUNT");
        assert_eq!(said.lines().filter(whole).count(), remounts, "{said}");
    }
}
