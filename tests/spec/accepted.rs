//! What documents become.

use cofferdam::spec::ThrottleKind::WriteOperations;
use cofferdam::spec::oci::{Example, Owner, words};
use cofferdam::spec::{
    Action, AttrFlags, CapSet, Capability, Comparison, DeviceKind, DeviceRuleKind, FilterFlags,
    Limit, Mount, MountFlags, MountKind, NamespaceKind, Sharing, oci,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{CRUN, DOCKER, FULL, PODMAN, RUNC, RUNC_ROOTLESS, read, with};

#[rstest]
#[case::docker(DOCKER, "")]
#[case::full(
    FULL,
    "/linux/resources/memory/kernel: obsolete, ignored\n\
                    /linux/resources/memory/kernelTCP: obsolete, ignored"
)]
#[case::minimal(include_str!("oci/good/minimal.json"), "")]
#[case::minimal_for_start(include_str!("oci/good/minimal-for-start.json"), "")]
#[case::podman(PODMAN, "")]
#[case::runc(RUNC, AMBIENT)]
#[case::runc_rootless(RUNC_ROOTLESS, AMBIENT)]
#[case::crun(CRUN, AMBIENT)]
fn a_real_document_is_read(#[case] json: &str, #[case] warnings: &str) {
    assert_eq!(read(json).unwrap().1, warnings);
}

/// The older examples ask for ambient capabilities that nothing could make ambient.
const AMBIENT: &str = "\
/process/capabilities/ambient/0: dropped, since it is not both permitted and inheritable
/process/capabilities/ambient/1: dropped, since it is not both permitted and inheritable
/process/capabilities/ambient/2: dropped, since it is not both permitted and inheritable";

#[test]
fn a_file_of_docker_becomes_what_docker_meant() {
    let spec = read(DOCKER).unwrap().0;
    let fuse = &spec.devices[0];
    assert_eq!(fuse.kind, DeviceKind::Char { major: 10, minor: 229 });
    assert_eq!(fuse.mode, 0o666, "the file type is no part of the mode");
    let resources = &spec.cgroup.resources;
    assert_eq!(resources.memory.limit, Some(Limit::Value(128 << 20)));
    assert_eq!(resources.cpu.shares, None, "0 is no wish");
    assert_eq!(resources.devices[0].kind, DeviceRuleKind::All);
    let seccomp = spec.seccomp.as_ref().unwrap();
    assert_eq!(seccomp.default_action, Action::Errno(1));
    assert!(seccomp.flags.spec_allow, "without flags it is on");
    let clone = seccomp.rules.iter().find(|rule| rule.names == ["clone"]).unwrap();
    assert_eq!(clone.conditions[0].comparison, Comparison::MaskedEqual);
    let clone3 = seccomp.rules.iter().find(|rule| rule.names == ["clone3"]).unwrap();
    assert_eq!(clone3.action, Action::Errno(38));
    assert_eq!(spec.process.unwrap().rlimits[1].hard, u64::MAX);
}

#[test]
fn a_file_of_podman_becomes_what_podman_meant() {
    let spec = read(PODMAN).unwrap().0;
    let network = spec.namespace(NamespaceKind::Network).unwrap();
    assert_eq!(network.path.as_deref(), Some("/run/user/1000/netns/netns-1f2e"));
    assert!(spec.makes(NamespaceKind::User) && !spec.makes(NamespaceKind::Network));
    let ids: u64 = spec.uid_maps.iter().map(|map| u64::from(map.count)).sum();
    assert_eq!(ids, 65537);
    let tmp = spec.mounts.iter().find(|mount| mount.target == "/tmp").unwrap();
    assert!(tmp.tmpcopyup && tmp.clear == MountFlags::RDONLY && tmp.data.is_empty());
    let propagation = spec.rootfs.propagation.unwrap();
    assert_eq!((propagation.sharing, propagation.recursive), (Sharing::Slave, false));
    assert_eq!(spec.seccomp.unwrap().flags, FilterFlags::default(), "an empty list is none");
}

/// A tmpfs at `/a` with those options.
fn tmpfs(options: &[&str]) -> Mount {
    let mount = json!({ "destination": "/a", "type": "tmpfs", "options": options });
    read(&with("/mounts/2", mount).to_string()).unwrap().0.mounts.remove(2)
}

#[rstest]
#[case(&["ro", "nosuid"], MountFlags::RDONLY | MountFlags::NOSUID, MountFlags::NONE)]
#[case(&["ro", "rw"], MountFlags::NONE, MountFlags::RDONLY)]
#[case(&["rw", "ro", "defaults"], MountFlags::RDONLY, MountFlags::NONE)]
#[case(&["noatime", "atime", "loud"], MountFlags::NONE, MountFlags::NOATIME | MountFlags::SILENT)]
fn the_later_of_two_flags_holds(
    #[case] options: &[&str],
    #[case] set: MountFlags,
    #[case] clear: MountFlags,
) {
    let mount = tmpfs(options);
    assert_eq!((mount.set, mount.clear), (set, clear));
}

#[rstest]
#[case(&["rro"], AttrFlags::RDONLY, AttrFlags::NONE)]
#[case(&["rro", "rrw"], AttrFlags::NONE, AttrFlags::RDONLY)]
#[case(&["rnoatime"], AttrFlags::NOATIME, AttrFlags::ATIME)]
#[case(&["rnoatime", "rstrictatime"], AttrFlags::STRICTATIME, AttrFlags::ATIME)]
#[case(&["rnoatime", "rrelatime"], AttrFlags::NONE, AttrFlags::ATIME)]
#[case(&["rnoatime", "ratime"], AttrFlags::NONE, AttrFlags::ATIME)]
#[case(&["rnorelatime"], AttrFlags::NONE, AttrFlags::NONE)]
fn the_later_of_two_tree_attributes_holds(
    #[case] options: &[&str],
    #[case] set: AttrFlags,
    #[case] clear: AttrFlags,
) {
    let mount = tmpfs(options);
    assert_eq!((mount.set_tree, mount.clear_tree), (set, clear));
}

#[test]
fn options_of_the_file_system_are_joined_in_order() {
    assert_eq!(tmpfs(&["size=1m", "ro", "", "mode=755"]).data, "size=1m,mode=755");
}

#[test]
fn propagations_are_kept_in_order() {
    let found: Vec<_> = tmpfs(&["rslave", "shared"])
        .propagation
        .iter()
        .map(|propagation| (propagation.sharing, propagation.recursive))
        .collect();
    assert_eq!(found, [(Sharing::Slave, true), (Sharing::Shared, false)]);
}

#[test]
fn no_known_mount_option_reaches_the_file_system() {
    for (option, _) in words::MOUNT_OPTIONS.iter().filter(|(option, _)| !option.ends_with("idmap"))
    {
        let mount = json!({ "destination": "/a", "source": "/b", "options": ["bind", option] });
        let spec = read(&with("/mounts/2", mount).to_string()).unwrap().0;
        assert_eq!(spec.mounts[2].data, "", "{option}");
    }
}

#[rstest]
#[case(json!({"destination": "/a", "type": "cgroup", "source": "x"}), MountKind::Cgroup)]
#[case(json!({"destination": "/a", "type": "bind", "source": "x"}),
    MountKind::Bind { recursive: false })]
#[case(json!({"destination": "/a", "type": "ext4", "source": "x", "options": ["rbind", "bind"]}),
    MountKind::Bind { recursive: true })]
#[case(json!({"destination": "/proc", "type": "none", "source": "/proc", "options": ["rbind"]}),
    MountKind::Bind { recursive: true })]
#[case(json!({"destination": "/proc/uptime", "source": "/x", "options": ["bind"]}),
    MountKind::Bind { recursive: false })]
#[case(json!({"destination": "/a", "options": ["remount", "ro"]}),
    MountKind::Filesystem(String::new()))]
#[case(json!({"destination": "/process", "type": "cgroup2"}),
    MountKind::Filesystem("cgroup2".to_owned()))]
fn a_mount_is_of_one_kind(#[case] mount: Value, #[case] kind: MountKind) {
    let spec = read(&with("/mounts/2", mount).to_string()).unwrap().0;
    assert_eq!(spec.mounts[2].kind, kind);
}

#[test]
fn the_last_value_of_a_variable_holds_where_it_stands() {
    let document = with("/process/env", json!(["A=1", "B=2", "A=3", "C=", "D==x"]));
    let env = read(&document.to_string()).unwrap().0.process.unwrap().env;
    assert_eq!(env, ["B=2", "A=3", "C=", "D==x"]);
}

#[rstest]
#[case("/extension", json!({"a": 1}), "/extension: unknown property, ignored")]
#[case("/linux/seccomp/x~y", json!(1), "/linux/seccomp/x~0y: unknown property, ignored")]
#[case("/windows", json!({}), "/windows: of another platform, ignored")]
#[case("/process/commandLine", json!("x"), "/process/commandLine: of another platform, ignored")]
#[case("/process/capabilities/bounding/1", json!("CAP_FLY"),
    "/process/capabilities/bounding/1: unknown capability \"CAP_FLY\" is ignored")]
#[case("/process/capabilities/bounding/1", json!("kill"),
    "/process/capabilities/bounding/1: unknown capability \"kill\" is ignored")]
#[case("/mounts/1/destination", json!("mnt"), "/mounts/1/destination: relative, taken from /")]
#[case("/linux/resources/memory/useHierarchy", json!(false),
    "/linux/resources/memory/useHierarchy: obsolete, ignored")]
fn an_oddity_is_told_and_ignored(#[case] at: &str, #[case] value: Value, #[case] expected: &str) {
    let (changed, warnings) = read(&with(at, value).to_string()).unwrap();
    assert!(warnings.lines().any(|line| line == expected), "{warnings}");
    assert_eq!(changed.version, read(FULL).unwrap().0.version);
}

#[rstest]
#[case("/linux/intelRdt", json!({}))]
#[case("/linux/memoryPolicy", json!({"mode": "", "flags": []}))]
#[case("/linux/mountLabel", json!(""))]
#[case("/linux/netDevices", json!({}))]
#[case("/linux/personality", json!({"domain": "LINUX", "flags": []}))]
#[case("/linux/resources/blockIO", json!({"weight": 0, "throttleReadBpsDevice": []}))]
#[case("/linux/resources/network", json!({"classID": 0, "priorities": null}))]
#[case("/linux/resources/rdma", json!({}))]
#[case("/linux/seccomp/listenerPath", json!(""))]
#[case("/mounts/0/uidMappings", json!([]))]
#[case("/process/apparmorProfile", json!(""))]
#[case("/process/scheduler", json!(null))]
fn what_asks_for_nothing_changes_nothing(#[case] at: &str, #[case] value: Value) {
    assert_eq!(read(&with(at, value).to_string()).unwrap(), read(FULL).unwrap());
}

#[test]
fn mounts_without_a_mount_namespace_are_told() {
    let mut document: Value = serde_json::from_str(FULL).unwrap();
    let linux = &mut document["linux"];
    linux["namespaces"].as_array_mut().unwrap().retain(|one| one["type"] != "mount");
    (linux["maskedPaths"], linux["readonlyPaths"]) = (json!([]), json!([]));
    let (_, warnings) = read(&document.to_string()).unwrap();
    assert!(
        warnings.contains("/mounts: not made, since there is no mount namespace"),
        "{warnings}"
    );
}

#[test]
fn block_devices_and_huge_pages_are_read() {
    let resources = json!({
        "blockIO": {
            "weight": 10,
            "weightDevice": [{ "major": 8, "minor": 1, "weight": 0, "leafWeight": 20 }],
            "throttleWriteIOPSDevice": [{ "major": 8, "minor": 0, "rate": 600 }],
        },
        // As kubelet writes it: a limit all the same.
        "hugepageLimits": [{ "pageSize": "2MB", "limit": 0 }, { "pageSize": "1GB", "limit": 1 }],
    });
    let resources = oci::read_resources(resources.to_string().as_bytes()).unwrap().value;
    let block = &resources.block_io;
    assert_eq!((block.weight, block.leaf_weight), (Some(10), None));
    assert_eq!((block.devices[0].weight, block.devices[0].leaf_weight), (None, Some(20)));
    assert_eq!((block.throttles[0].kind, block.throttles[0].rate), (WriteOperations, 600));
    let pages: Vec<_> = resources.hugepages.iter().map(|(size, limit)| (&**size, *limit)).collect();
    assert_eq!(pages, [("1GB", 1), ("2MB", 0)]);
}

#[test]
fn a_joined_user_namespace_keeps_its_own_id_maps() {
    let joined = with("/linux/namespaces/4/path", json!("/proc/1/ns/user"));
    let (spec, warnings) = read(&joined.to_string()).unwrap();
    assert!(spec.uid_maps.is_empty() && spec.gid_maps.is_empty());
    for property in ["uidMappings", "gidMappings"] {
        let expected = "ignored, since the user namespace joined by path has its own";
        assert!(warnings.contains(&format!("/linux/{property}: {expected}")), "{warnings}");
    }
}

#[rstest]
#[case("1.0.0")]
#[case("1.0.2-dev")]
#[case("1.3.0-rc.1")]
#[case("1.2.1+dev")]
#[case("1.10.0-a-b+c.d")]
fn any_version_1_is_read(#[case] version: &str) {
    let document = with("/ociVersion", json!(version));
    assert_eq!(read(&document.to_string()).unwrap().0.version, version);
}

#[test]
fn a_hook_without_arguments_is_its_own_name() {
    let document = with("/hooks/poststop/0", json!({ "path": "/bin/x" }));
    let hooks = read(&document.to_string()).unwrap().0.hooks;
    assert_eq!(hooks.poststop[0].args, ["/bin/x"]);
}

#[test]
fn resources_stand_alone_too() {
    let json = br#"{"memory": {"limit": -1}, "pids": {"limit": 0}, "cpu": {"quota": 0}}"#;
    let resources = oci::read_resources(json).unwrap().value;
    assert_eq!(resources.memory.limit, Some(Limit::Max));
    assert_eq!(resources.pids, None, "0 is no limit, as in runc");
    assert_eq!(resources.cpu.quota, None);
}

#[test]
fn capabilities_bear_the_numbers_of_the_kernel() {
    let kernel = [("CAP_CHOWN", 0), ("CAP_SYS_ADMIN", 21), ("CAP_SETFCAP", 31)];
    for (name, number) in kernel.into_iter().chain([("CAP_CHECKPOINT_RESTORE", 40)]) {
        assert_eq!(Capability::from_name(name).map(Capability::number), Some(number), "{name}");
    }
    let all: CapSet = Capability::all().collect();
    assert_eq!(all.bits(), (1 << 41) - 1);
    assert!(Capability::all().all(|one| Capability::from_name(&one.name()) == Some(one)));
}

#[test]
fn every_hook_of_the_list_is_read() {
    let document: Value = serde_json::from_str(FULL).unwrap();
    let mut known: Vec<_> = document["hooks"].as_object().unwrap().keys().collect();
    let mut listed = words::HOOKS.to_vec();
    known.sort();
    listed.sort_unstable();
    assert_eq!(known, listed);
}

#[rstest]
#[case::v1(Example::default())]
#[case::v2(Example { rootless: None, unified_cgroups: true })]
#[case::rootless(Example { rootless: Some(Owner { uid: 7, gid: 8 }), unified_cgroups: true })]
fn the_example_is_read_without_a_warning(#[case] wanted: Example) {
    let (spec, warnings) = read(&oci::example(wanted)).unwrap();
    assert_eq!(warnings, "");
    assert_eq!(spec.makes(NamespaceKind::Cgroup), wanted.unified_cgroups);
    assert_eq!(spec.makes(NamespaceKind::Network), wanted.rootless.is_none());
    let owner = spec.uid_maps.first().zip(spec.gid_maps.first());
    let owner = owner.map(|(uid, gid)| Owner { uid: uid.outside, gid: gid.outside });
    assert_eq!(owner, wanted.rootless);
}

#[rstest]
#[case(DOCKER)]
#[case(FULL)]
#[case(PODMAN)]
fn what_was_read_can_be_remembered(#[case] json: &str) {
    let spec = read(json).unwrap().0;
    let remembered = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<cofferdam::spec::Spec>(&remembered).unwrap(), spec);
}
