//! Every kind of program as it is printed, and that every program which can be compiled is sound.
//!
//! | test           | what it fixes                                                             |
//! |----------------|---------------------------------------------------------------------------|
//! | snapshots      | the calls of a child, one a line: a difference is a change of behaviour   |
//! | counts         | how many calls the usual container makes, and that it stays so            |
//! | explanations   | what users and their tools are told of a failure                          |
//! | `words`        | what single words of a specification change, and which are refused        |
//! | `any_spec`     | compiling never panics, and what comes out passes the lint                |

#[path = "programs/any.rs"]
mod any;
#[path = "programs/counting.rs"]
mod counting;
#[path = "programs/words.rs"]
mod words;

use std::collections::{BTreeMap, BTreeSet};

use cofferdam::plan::{
    self, CgroupDir, Feature, Filter, Given, Hierarchy, Host, Joined, Leaving, Plan, Situation,
    Source, Start, Stream, Terminal, Version,
};
use cofferdam::spec::oci::{self, Example, Owner};
use cofferdam::spec::{
    Hook, Invalid, Mount, MountFlags, MountKind, Namespace, NamespaceKind, Propagation, Reason,
    Sharing, Spec, Sysctl, TimeOffset,
};
use cofferdam::sys::{Act, Call, Errno, flags, lint};
use proptest::prelude::*;

/// A filter that allows everything: `return SECCOMP_RET_ALLOW`.
const ALLOW: &[u8] = &[6, 0, 0, 0, 0, 0, 0xff, 0x7f];
/// A filter that kills everything.
#[cfg(feature = "linux")]
const KILL: &[u8] = &[6, 0, 0, 0, 0, 0, 0, 0x80];

/// What a situation borrows from.
struct World {
    host: Host,
    cgroups: Vec<CgroupDir>,
    sources: BTreeMap<String, Source>,
    streams: BTreeSet<Stream>,
}

impl World {
    fn new(hierarchies: Vec<Hierarchy>) -> Self {
        let place =
            |one: &Hierarchy| CgroupDir { mount: one.mount.clone(), path: "/box".to_owned() };
        let cgroups = hierarchies.iter().map(place).collect();
        let host = Host {
            bounding: (1 << 41) - 1,
            ignored_signals: 1 << 12,
            hierarchies,
            ..Host::default()
        };
        Self { host, cgroups, sources: BTreeMap::new(), streams: BTreeSet::new() }
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            host: &self.host,
            bundle: "/bundle",
            cgroups: &self.cgroups,
            rootfs_mount: "/",
            filter: None,
            sources: &self.sources,
            leaving: Leaving::Pivot,
            start: Start::AtTheGate,
            terminal: Terminal::None,
            streams: &self.streams,
            preserve_fds: 0,
            home: Some("/root"),
        }
    }
}

fn hierarchy(name: &str, version: Version) -> Hierarchy {
    let controllers = match name {
        "systemd" => vec!["name=systemd".to_owned()],
        names => names.split(',').map(str::to_owned).collect(),
    };
    let mount = match version {
        Version::V1 => format!("/sys/fs/cgroup/{name}"),
        Version::V2 => "/sys/fs/cgroup".to_owned(),
    };
    let options = match version {
        Version::V1 => String::new(),
        Version::V2 => "nsdelegate".to_owned(),
    };
    Hierarchy { mount, controllers, version, own: "/".to_owned(), root: "/".to_owned(), options }
}

/// A host with nine hierarchies of cgroup v1.
fn v1() -> World {
    let names = [
        "cpu,cpuacct",
        "cpuset",
        "memory",
        "devices",
        "freezer",
        "blkio",
        "pids",
        "perf_event",
        "systemd",
    ];
    World::new(names.iter().map(|name| hierarchy(name, Version::V1)).collect())
}

fn v2() -> World {
    World::new(vec![hierarchy("", Version::V2)])
}

fn example(example: Example) -> Spec {
    oci::read(oci::example(example).as_bytes()).expect("the example can be read").value
}

/// The usual container, without a terminal.
fn usual() -> Spec {
    example(Example::default())
}

/// As little as can be: a program in a root.
fn bare() -> Spec {
    let usual = usual();
    let mut spec = Spec { rootfs: usual.rootfs, process: usual.process, ..Spec::default() };
    spec.rootfs.readonly = false;
    spec.namespaces = vec![Namespace { kind: NamespaceKind::Mount, path: None }];
    spec
}

fn bind(source: &str, target: &str) -> Mount {
    let kind = MountKind::Bind { recursive: true };
    Mount { source: Some(source.to_owned()), ..Mount::new(kind, target) }
}

fn a_hook(path: &str) -> Hook {
    let args = vec![path.to_owned(), "now".to_owned()];
    Hook { path: path.to_owned(), args, env: Some(vec!["A=B".to_owned()]), timeout_secs: None }
}

fn show(plan: &Plan) -> String {
    let executed = plan.program.code().ops.len();
    format!(
        "given {:?}\nnamespaces {:#x} forks {} mapped {} hooks_stop {} operations {executed}\n\n{}",
        plan.given, plan.namespaces, plan.forks, plan.mapped, plan.hooks_stop, plan.program
    )
}

fn compiled(spec: &Spec, situation: &Situation<'_>) -> Plan {
    let plan = plan::init(spec, situation).expect("compiles");
    assert_eq!(lint(&plan.program), []);
    plan
}

fn at(invalid: Result<Plan, Invalid>) -> String {
    invalid.expect_err("is refused").to_string()
}

#[test]
fn the_usual_container_on_cgroup_v1() {
    insta::assert_snapshot!(show(&compiled(&usual(), &v1().situation())));
}

#[test]
fn the_usual_container_on_cgroup_v2() {
    let spec = example(Example { unified_cgroups: true, rootless: None });
    insta::assert_snapshot!(show(&compiled(&spec, &v2().situation())));
}

#[test]
fn a_rootless_container() {
    let rootless = Some(Owner { uid: 1000, gid: 1000 });
    let spec = example(Example { rootless, unified_cgroups: true });
    let mut world = v2();
    world.host.user = 1000;
    world.sources.insert("/sys".to_owned(), Source::Directory);
    insta::assert_snapshot!(show(&compiled(&spec, &world.situation())));
}

#[test]
fn a_container_in_the_namespaces_of_others() {
    let mut spec = bare();
    let join = |kind, name: &str| Namespace { kind, path: Some(format!("/proc/7/ns/{name}")) };
    spec.namespaces.push(join(NamespaceKind::User, "user"));
    spec.namespaces.push(join(NamespaceKind::Network, "net"));
    spec.namespaces.push(join(NamespaceKind::Pid, "pid"));
    insta::assert_snapshot!(show(&compiled(&spec, &v2().situation())));
}

#[test]
fn clocks_are_set_before_the_first_process_lives_by_them() {
    let mut spec = bare();
    for kind in [NamespaceKind::Pid, NamespaceKind::Time] {
        spec.namespaces.push(Namespace { kind, path: None });
    }
    spec.time_offsets.boottime = TimeOffset { secs: 7, nanosecs: 1 };
    insta::assert_snapshot!(show(&compiled(&spec, &v2().situation())));
}

#[test]
fn a_terminal() {
    let mut spec = bare();
    let process = spec.process.as_mut().expect("has a process");
    process.console_size = Some(cofferdam::spec::ConsoleSize { rows: 24, columns: 80 });
    process.user.uid = 1000;
    let world = v2();
    let situation = Situation { terminal: Terminal::Console, ..world.situation() };
    insta::assert_snapshot!(show(&compiled(&spec, &situation)));
}

#[test]
fn a_root_that_is_moved() {
    let world = v2();
    let situation = Situation { leaving: Leaving::Move, ..world.situation() };
    insta::assert_snapshot!(show(&compiled(&bare(), &situation)));
}

#[test]
fn a_container_that_stops_at_no_gate() {
    let mut spec = bare();
    spec.hooks.start_container.push(a_hook("/bin/within"));
    let world = v2();
    let situation = Situation { start: Start::AtOnce, ..world.situation() };
    insta::assert_snapshot!(show(&compiled(&spec, &situation)));
}

#[test]
fn a_root_whose_mounts_are_shared() {
    let mut spec = bare();
    spec.rootfs.propagation = Some(Propagation { sharing: Sharing::Shared, recursive: true });
    let world = v2();
    let situation = Situation { rootfs_mount: "/bundle/rootfs", ..world.situation() };
    insta::assert_snapshot!(show(&compiled(&spec, &situation)));
}

#[test]
fn a_root_in_the_mount_namespace_of_the_host() {
    let spec = Spec { namespaces: Vec::new(), ..bare() };
    insta::assert_snapshot!(show(&compiled(&spec, &v2().situation())));
}

#[test]
fn kernel_parameters_are_set_though_no_mount_is_made() {
    let mut spec = Spec { mounts: usual().mounts, sysctls: mounting().sysctls, ..bare() };
    spec.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Mount);
    assert!(show(&compiled(&spec, &v2().situation())).contains("# set net.ipv4.ip_forward to 1"));
}

#[test]
fn hooks_within_and_without() {
    let mut spec = bare();
    spec.hooks.create_runtime = vec![a_hook("/bin/runtime")];
    spec.hooks.create_container = vec![a_hook("/bin/one"), a_hook("/bin/two")];
    let limited = Hook { timeout_secs: Some(2), ..a_hook("/bin/three") };
    spec.hooks.start_container = vec![limited];
    let process = spec.process.as_mut().expect("has a process");
    process.apparmor_profile = Some("confined".to_owned());
    let mut world = v2();
    world.streams = [Stream::Stdin, Stream::Stdout, Stream::Stderr].into();
    insta::assert_snapshot!(show(&compiled(&spec, &world.situation())));
}

#[test]
fn a_filter_with_no_new_privs_comes_last() {
    let world = v2();
    let filter = Some(Filter { code: ALLOW, flags: flags::SECCOMP_FILTER_FLAG_LOG });
    let situation = Situation { filter, ..world.situation() };
    let plan = compiled(&bare(), &situation);
    let is_filter = |act: &Act| matches!(act, Act::Call(Call::Seccomp { .. }));
    let ops = plan.program.code().ops;
    let after = ops.iter().rev().take_while(|op| !is_filter(&op.act));
    assert!(after.clone().all(|op| matches!(op.act, Act::Call(Call::Execve { .. }))));
    assert_eq!(after.count(), 6);
}

#[test]
fn a_filter_without_no_new_privs() {
    let mut spec = bare();
    let process = spec.process.as_mut().expect("has a process");
    process.no_new_privs = false;
    process.user.uid = 1000;
    process.user.groups = vec![10, 20];
    let world = v2();
    let situation =
        Situation { filter: Some(Filter { code: ALLOW, flags: 0 }), ..world.situation() };
    insta::assert_snapshot!(show(&compiled(&spec, &situation)));
}

/// Every way to mount what a user brings: read-only, writable again, shared, a single file.
fn mounting() -> Spec {
    let mut spec = bare();
    let mut readonly = bind("/data", "/data");
    readonly.set = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOATIME;
    let mut shared = bind("relative", "/deep/er/shared");
    shared.clear = MountFlags::RDONLY;
    shared.propagation = vec![Propagation { sharing: Sharing::Shared, recursive: true }];
    let mut file = bind("/etc/hosts", "/etc/hosts");
    file.set = MountFlags::RDONLY;
    let mut tmpfs = Mount::new(MountKind::Filesystem("tmpfs".to_owned()), "/run");
    tmpfs.set = MountFlags::RDONLY | MountFlags::NODEV;
    let mut filled = Mount::new(MountKind::Filesystem("tmpfs".to_owned()), "/var/tmp");
    filled.tmpcopyup = true;
    filled.data = "size=1m,mode=0700".to_owned();
    filled.propagation = vec![Propagation { sharing: Sharing::Private, recursive: true }];
    spec.mounts = vec![readonly, shared, file, tmpfs, bind("/x", "/run/x"), filled];
    spec.masked_paths = vec!["/proc/kcore".to_owned(), "/sys/firmware".to_owned()];
    spec.readonly_paths = vec!["/proc/sys".to_owned()];
    spec.sysctls = vec![Sysctl::new("net.ipv4.ip_forward", "1").expect("is a name")];
    spec
}

#[test]
fn mounts_of_the_user() {
    let mut world = v2();
    world.sources.insert("/etc/hosts".to_owned(), Source::File);
    insta::assert_snapshot!(show(&compiled(&mounting(), &world.situation())));
}

#[test]
fn mounts_of_the_user_on_an_older_kernel() {
    let mut world = v2();
    world.host.missing = Feature::missing_before((5, 10));
    world.sources.insert("/etc/hosts".to_owned(), Source::File);
    insta::assert_snapshot!(show(&compiled(&mounting(), &world.situation())));
}

#[test]
fn a_process_that_joins() {
    let mut process = usual().process.expect("has a process");
    process.oom_score_adj = Some(100);
    process.cwd = "/tmp".to_owned();
    process.apparmor_profile = Some("unconfined".to_owned());
    let namespaces = [NamespaceKind::User, NamespaceKind::Mount, NamespaceKind::Pid];
    let world = v2();
    let situation = Situation { terminal: Terminal::Relay, ..world.situation() };
    let joined = Joined { namespaces: namespaces.to_vec() };
    let plan = plan::exec(&process, &joined, &situation).expect("compiles");
    assert_eq!(plan.given, [Given::Sync, Given::Init]);
    insta::assert_snapshot!(show(&plan));
}

#[test]
fn a_hook_of_the_runtime() {
    let plan = plan::hook(&a_hook("/bin/hook"), &v2().host, "/bundle", &[]).expect("compiles");
    insta::assert_snapshot!(show(&plan));
}

/// The program's own part of the budget: what it asks a kernel on which all is as usual.
#[test]
fn the_usual_container_makes_few_calls() {
    for (world, spec, calls) in [
        (v1(), usual(), 156),
        (v2(), example(Example { unified_cgroups: true, rootless: None }), 134),
    ] {
        let plan = compiled(&spec, &world.situation());
        let made = counting::calls(&plan.program);
        println!("{} operations, {made} calls", plan.program.code().ops.len());
        assert_eq!(made, calls);
    }
}

#[test]
fn a_missing_program_is_explained_as_clients_match_it() {
    let explained = |name: &str, errno| {
        let mut spec = bare();
        spec.process.as_mut().expect("has a process").args = vec![name.to_owned()];
        let plan = compiled(&spec, &v2().situation());
        let about = format!("exec: {name:?}");
        let ops = 0..u16::try_from(plan.program.code().ops.len()).expect("fits");
        let probe = ops.into_iter().find(|op| plan.program.about(*op) == about);
        plan.explain(probe.expect("the program is looked for"), errno)
    };
    assert_eq!(
        explained("nosuch", Errno::ENOENT),
        r#"exec: "nosuch": executable file not found in $PATH"#
    );
    assert_eq!(
        explained("/no/such", Errno::ENOENT),
        r#"exec: "/no/such": stat /no/such: no such file or directory"#
    );
    assert_eq!(explained("/etc", Errno::EACCES), r#"exec: "/etc": permission denied"#);
}

#[test]
fn a_failed_mount_is_explained_by_what_it_was_to_be() {
    let plan = compiled(&usual(), &v1().situation());
    let ops = 0..u16::try_from(plan.program.code().ops.len()).expect("fits");
    let mount = ops.into_iter().find(|op| plan.program.about(*op).starts_with("mount proc"));
    let text = plan.explain(mount.expect("proc is mounted"), Errno::EPERM);
    assert_eq!(text, "mount proc on /proc: operation not permitted");
}

#[test]
fn a_profile_that_cannot_be_had_is_explained_by_what_is_missing() {
    let mut spec = bare();
    let process = spec.process.as_mut().expect("has a process");
    process.apparmor_profile = Some("confined".to_owned());
    let plan = compiled(&spec, &v2().situation());
    let about = |op: &u16| plan.program.about(*op).contains("apparmor");
    let ops = 0..u16::try_from(plan.program.code().ops.len()).expect("fits");
    let ops: Vec<_> = ops.into_iter().filter(about).collect();
    let told = |at: usize, errno| plan.explain(ops[at], errno);
    let begin = "unable to apply apparmor profile confined";
    assert_eq!(
        told(0, Errno::ENOENT),
        format!(
            "{begin}: open /proc/self/attr/apparmor/exec: AppArmor is not in use: \
             no such file or directory"
        )
    );
    assert_eq!(
        told(1, Errno::ENOENT),
        format!("{begin}: it is not loaded: no such file or directory")
    );
    assert_eq!(
        told(1, Errno::EINVAL),
        format!("{begin}: AppArmor is not in use: invalid argument")
    );
    assert_eq!(told(1, Errno::EACCES), format!("{begin}: permission denied"));
}

#[test]
fn a_hook_that_ends_badly_is_named() {
    let mut spec = bare();
    spec.hooks.create_container = vec![a_hook("/bin/one")];
    let plan = compiled(&spec, &v2().situation());
    let is_check = |op: &cofferdam::sys::Op| matches!(op.act, Act::Check);
    let check = plan.program.code().ops.iter().position(is_check).expect("its end is checked");
    let about = plan.program.about(u16::try_from(check).expect("fits"));
    assert_eq!(about, "error running createContainer hook #0");
    let endings = [0x0300, 0x0009, 0x008b, 0x000a].map(plan::ending);
    let expected =
        ["exit status 3", "signal: killed", "signal: segmentation fault", "signal: signal 10"];
    assert_eq!(endings, expected);
}

#[cfg(feature = "linux")]
#[test]
fn a_filter_that_denies_the_start_is_refused() {
    let world = v2();
    let filter = Some(Filter { code: KILL, flags: 0 });
    let refused = plan::init(&bare(), &Situation { filter, ..world.situation() });
    let why = Reason::Malformed("denies what it takes to start the program");
    assert_eq!(refused, Err(Invalid { pointer: "/linux/seccomp".to_owned(), why }));
}

#[test]
fn a_nul_is_refused_wherever_it_stands() {
    let mut spec = bare();
    spec.process.as_mut().expect("has a process").args.push("a\0b".to_owned());
    let refused = plan::init(&spec, &v2().situation());
    assert_eq!(refused, Err(Invalid { pointer: String::new(), why: Reason::Nul }));
    let process = spec.process.as_mut().expect("has a process");
    process.args.pop();
    process.apparmor_profile = Some("a\0b".to_owned());
    assert_eq!(plan::init(&spec, &v2().situation()), refused);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_spec_compiles_soundly_or_is_refused(spec in any::spec(), around in any::around()) {
        let world = World { streams: around.streams, ..if around.unified { v2() } else { v1() } };
        let host = Host { user: around.user, missing: around.missing, ..world.host.clone() };
        let situation = Situation {
            host: &host,
            terminal: around.terminal,
            leaving: around.leaving,
            preserve_fds: around.preserve_fds,
            filter: around.filtered.then_some(Filter { code: ALLOW, flags: 0 }),
            ..world.situation()
        };
        if let Ok(plan) = plan::init(&spec, &situation) {
            prop_assert_eq!(lint(&plan.program), []);
            prop_assert_eq!(plan.given.first(), Some(&Given::Sync));
            // Older kernels refuse that for a moment, to whoever is looked at meanwhile (EINVAL).
            let program = plan.program.to_string();
            let late = |op: &&str| op.contains(" unshare(") && op.contains("NEWUSER");
            prop_assert_eq!(program.lines().find(late), None);
        }
        if let Some(process) = &spec.process {
            let namespaces = spec.namespaces.iter().map(|one| one.kind).collect();
            if let Ok(plan) = plan::exec(process, &Joined { namespaces }, &situation) {
                prop_assert_eq!(lint(&plan.program), []);
            }
        }
    }
}
