//! Any specification, and any situation around it.

use std::collections::BTreeSet;

use cofferdam::plan::{Feature, Leaving, Stream, Terminal};
use cofferdam::spec::{
    AttrFlags, CapSet, Capabilities, Device, DeviceKind, Hook, Hooks, Mount, MountFlags, MountKind,
    Namespace, NamespaceKind, Process, Propagation, Rlimit, RlimitKind, Rootfs, Sharing, Spec,
    Sysctl, TimeOffset, TimeOffsets, User,
};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

/// What is around a specification.
#[derive(Clone, Debug)]
pub(crate) struct Around {
    pub(crate) unified: bool,
    pub(crate) user: u32,
    pub(crate) missing: BTreeSet<Feature>,
    pub(crate) terminal: Terminal,
    pub(crate) leaving: Leaving,
    pub(crate) preserve_fds: u32,
    pub(crate) filtered: bool,
    pub(crate) streams: BTreeSet<Stream>,
}

pub(crate) fn around() -> impl Strategy<Value = Around> {
    let features = prop::sample::select(vec![
        Feature::CloseRange,
        Feature::MountSetattr,
        Feature::TimeNamespace,
    ]);
    let terminals = prop::sample::select(vec![Terminal::Console, Terminal::None, Terminal::Relay]);
    let streams = prop::sample::select(vec![Stream::Stdin, Stream::Stdout, Stream::Stderr]);
    let host = (any::<bool>(), prop::sample::select(vec![0, 1000]), btree_set(features, 0..4));
    let rest = (any::<(bool, bool)>(), any::<u32>(), terminals, btree_set(streams, 0..4));
    (host, rest).prop_map(|((unified, user, missing), (flags, preserve_fds, terminal, streams))| {
        let (moved, filtered) = flags;
        let leaving = if moved { Leaving::Move } else { Leaving::Pivot };
        Around { unified, user, missing, terminal, leaving, preserve_fds, filtered, streams }
    })
}

pub(crate) fn spec() -> impl Strategy<Value = Spec> {
    let files = (vec(mount(), 0..8), vec(device(), 0..3), vec(path(), 0..4), vec(path(), 0..4));
    let world = (namespaces(), vec(sysctl(), 0..3), hooks(), any::<i64>());
    let names = (option::of("[a-z]{1,8}"), option::of("[a-z]{1,8}"));
    (option::weighted(0.95, process()), rootfs(), files, world, names).prop_map(
        |(process, rootfs, files, world, (hostname, domainname))| {
            let (mounts, devices, masked_paths, readonly_paths) = files;
            let (namespaces, sysctls, hooks, secs) = world;
            let boottime = TimeOffset { secs, nanosecs: 0 };
            let time_offsets = TimeOffsets { boottime, ..TimeOffsets::default() };
            Spec {
                process,
                rootfs,
                mounts,
                devices,
                masked_paths,
                readonly_paths,
                namespaces,
                sysctls,
                hooks,
                time_offsets,
                hostname,
                domainname,
                ..Spec::default()
            }
        },
    )
}

/// A path whose parts meet those of others, climb and double.
fn path() -> impl Strategy<Value = String> {
    let parts = ["dev", "proc", "sys", "run", "a", "b", "..", ".", "", "pts", "kcore", "null"];
    vec(prop::sample::select(parts.to_vec()), 0..5)
        .prop_map(|parts| format!("/{}", parts.join("/")))
}

fn propagation() -> impl Strategy<Value = Propagation> {
    let sharing = [Sharing::Private, Sharing::Shared, Sharing::Slave, Sharing::Unbindable];
    (prop::sample::select(sharing.to_vec()), any::<bool>())
        .prop_map(|(sharing, recursive)| Propagation { sharing, recursive })
}

fn flags() -> impl Strategy<Value = MountFlags> {
    let all = [
        MountFlags::NONE,
        MountFlags::RDONLY,
        MountFlags::NOSUID,
        MountFlags::NOATIME,
        MountFlags::STRICTATIME,
    ];
    vec(prop::sample::select(all.to_vec()), 0..4)
        .prop_map(|flags| flags.into_iter().fold(MountFlags::NONE, |all, one| all | one))
}

fn attributes() -> impl Strategy<Value = AttrFlags> {
    prop::sample::select(vec![AttrFlags::NONE, AttrFlags::RDONLY, AttrFlags::NOATIME])
}

fn mount() -> impl Strategy<Value = Mount> {
    let kind = prop_oneof![
        any::<bool>().prop_map(|recursive| MountKind::Bind { recursive }),
        Just(MountKind::Cgroup),
        prop::sample::select(vec!["tmpfs", "proc", "sysfs", "mqueue", "devpts", "ext4"])
            .prop_map(|kind| MountKind::Filesystem(kind.to_owned())),
    ];
    let tree = (attributes(), attributes());
    let how = (flags(), flags(), vec(propagation(), 0..3), tree);
    (kind, path(), option::weighted(0.9, path()), how).prop_map(
        |(kind, target, source, (set, clear, propagation, (set_tree, clear_tree)))| Mount {
            tmpcopyup: clear.contains(MountFlags::NOSUID),
            source,
            set,
            clear,
            set_tree,
            clear_tree,
            propagation,
            ..Mount::new(kind, target)
        },
    )
}

fn device() -> impl Strategy<Value = Device> {
    let kind = prop_oneof![
        (0u32..4096, 0u32..1 << 20).prop_map(|(major, minor)| DeviceKind::Block { major, minor }),
        (0u32..4096, 0u32..1 << 20).prop_map(|(major, minor)| DeviceKind::Char { major, minor }),
        Just(DeviceKind::Fifo),
    ];
    (path(), kind, 0u32..0o10000, any::<(u32, u32)>())
        .prop_map(|(path, kind, mode, (uid, gid))| Device { path, kind, mode, uid, gid })
}

fn namespaces() -> impl Strategy<Value = Vec<Namespace>> {
    let kinds = vec![
        NamespaceKind::Cgroup,
        NamespaceKind::Ipc,
        NamespaceKind::Mount,
        NamespaceKind::Network,
        NamespaceKind::Pid,
        NamespaceKind::Time,
        NamespaceKind::User,
        NamespaceKind::Uts,
    ];
    let some = prop::sample::subsequence(kinds, 0..=8);
    (some, vec(option::weighted(0.3, path()), 8)).prop_map(|(kinds, paths)| {
        kinds.into_iter().zip(paths).map(|(kind, path)| Namespace { kind, path }).collect()
    })
}

fn sysctl() -> impl Strategy<Value = Sysctl> {
    "[a-z]{1,4}\\.[a-z]{1,4}".prop_filter_map("names no file", |name| Sysctl::new(&name, "1"))
}

fn hook() -> impl Strategy<Value = Hook> {
    (path(), option::weighted(0.1, Just(1))).prop_map(|(path, timeout_secs)| Hook {
        args: vec![path.clone()],
        path,
        env: None,
        timeout_secs,
    })
}

fn hooks() -> impl Strategy<Value = Hooks> {
    (vec(hook(), 0..2), vec(hook(), 0..3), vec(hook(), 0..2)).prop_map(
        |(create_runtime, create_container, start_container)| Hooks {
            create_runtime,
            create_container,
            start_container,
            ..Hooks::default()
        },
    )
}

fn rootfs() -> impl Strategy<Value = Rootfs> {
    (path(), any::<bool>(), option::of(propagation()), option::weighted(0.2, path())).prop_map(
        |(path, readonly, propagation, overlaid)| Rootfs { path, readonly, propagation, overlaid },
    )
}

fn process() -> impl Strategy<Value = Process> {
    let args = vec(prop_oneof!["[a-z]{0,4}", path()], 1..4);
    let env = vec(prop_oneof![Just("PATH=/bin:/usr/bin::x".to_owned()), "[A-Z]=[a-z]{0,3}"], 0..3);
    let user = (any::<(u32, u32)>(), vec(any::<u32>(), 0..3), any::<bool>());
    let label = option::of(prop_oneof!["[a-z]{0,3}", Just("unconfined".to_owned())]);
    let rest = (option::of(any::<[u64; 5]>()), any::<bool>(), option::of(-1000..1000), label);
    (args, env, path(), user, rest).prop_map(
        |(args, env, cwd, ((uid, gid), groups, root), rest)| {
            let (sets, no_new_privs, oom_score_adj, apparmor_profile) = rest;
            let uid = if root { 0 } else { uid };
            let capabilities = sets.map(|sets| {
                let [bounding, effective, permitted, inheritable, ambient] =
                    sets.map(CapSet::from_bits);
                Capabilities { bounding, effective, permitted, inheritable, ambient }
            });
            let limit = Rlimit { kind: RlimitKind::Nofile, soft: 1, hard: 2 };
            Process {
                args,
                env,
                cwd,
                user: User { uid, gid, umask: None, groups },
                capabilities,
                rlimits: vec![limit],
                no_new_privs,
                oom_score_adj,
                apparmor_profile,
                ..Process::default()
            }
        },
    )
}
