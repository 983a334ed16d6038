//! Why documents are refused, word for word.

use cofferdam::spec::{Invalid, Reason, oci};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{FULL, full, refusal, with, without};

#[rstest]
#[case::invalid_json(
    include_str!("oci/bad/invalid-json.json"),
    "not JSON: key must be a string at line 1 column 2"
)]
#[case::hugepage(
    include_str!("oci/bad/linux-hugepage.json"),
    "/linux/resources/hugepageLimits/0/pageSize: not a size such as 64KB, 2MB or 1GB"
)]
#[case::bad_netdevice(
    include_str!("oci/bad/linux-netdevice.json"),
    "/linux/netDevices/eth0: not supported"
)]
#[case::bad_rdma(
    include_str!("oci/bad/linux-rdma.json"),
    "/linux/resources/rdma/mlx5_1: not supported"
)]
#[case::netdevice(
    include_str!("oci/good/linux-netdevice.json"),
    "/linux/netDevices/eth0: not supported"
)]
#[case::rdma(
    include_str!("oci/good/linux-rdma.json"),
    "/linux/resources/rdma/mlx5_1: not supported"
)]
#[case::other_version(
    include_str!("oci/good/spec-example.json"),
    "/ociVersion: version \"0.5.0-dev\" is not 1.x.y"
)]
fn a_document_of_the_oci_suite_is_refused(#[case] json: &str, #[case] expected: &str) {
    assert_eq!(refusal(json), expected);
}

#[rstest]
#[case("/annotations/", r#""x""#, "/annotations/: has an empty name")]
#[case("/domainname", r#""a\u0000b""#, "/domainname: holds a NUL byte")]
#[case("/hooks/prestart/0/path", r#""hook""#, "/hooks/prestart/0/path: not an absolute path")]
#[case(
    "/hooks/poststop/0/timeout",
    "0",
    "/hooks/poststop/0/timeout: not an integer from 1 to 4294967295"
)]
#[case("/hostname", "7", "/hostname: not a string")]
#[case(
    "/hostname",
    r#""0123456789012345678901234567890123456789012345678901234567890123x""#,
    "/hostname: longer than 64 bytes"
)]
#[case("/ociVersion", r#""1.02.0""#, "/ociVersion: version \"1.02.0\" is not 1.x.y")]
#[case("/ociVersion", r#""1.0""#, "/ociVersion: version \"1.0\" is not 1.x.y")]
#[case("/ociVersion", r#""1.0.0-""#, "/ociVersion: version \"1.0.0-\" is not 1.x.y")]
#[case("/ociVersion", r#""2.0.0""#, "/ociVersion: version \"2.0.0\" is not 1.x.y")]
#[case("/root/path", r#""""#, "/root/path: empty")]
#[case("/root/readonly", "1", "/root/readonly: not true or false")]
fn a_wrong_top_is_refused(#[case] at: &str, #[case] value: &str, #[case] expected: &str) {
    let value = serde_json::from_str(value).unwrap();
    assert_eq!(refusal(&with(at, value).to_string()), expected);
}

#[rstest]
#[case("apparmorProfile", "1", "apparmorProfile: not a string")]
#[case("apparmorProfile", r#""a\u0000""#, "apparmorProfile: holds a NUL byte")]
#[case("args", "[]", "args: empty")]
#[case("args", r#"["a\u0000"]"#, "args/0: holds a NUL byte")]
#[case(
    "capabilities/effective",
    r#"["CAP_KILL", "CAP_CHOWN"]"#,
    "capabilities/effective/1: effective without being permitted"
)]
#[case("consoleSize/height", "65536", "consoleSize/height: not an integer from 0 to 65535")]
#[case("cwd", r#""tmp""#, "cwd: not an absolute path")]
#[case("env/1", r#""A""#, "env/1: not NAME=VALUE")]
#[case("env/1", r#""=A""#, "env/1: not NAME=VALUE")]
#[case("execCPUAffinity", r#"{"initial": "0"}"#, "execCPUAffinity: not supported")]
#[case("ioPriority", r#"{"class": "IOPRIO_CLASS_BE"}"#, "ioPriority: not supported")]
#[case("oomScoreAdj", "1001", "oomScoreAdj: not an integer from -1000 to 1000")]
#[case("rlimits/0/soft", "3", "rlimits/0: the soft limit is above the hard one")]
#[case(
    "rlimits/0/hard",
    "18446744073709551616",
    "rlimits/0/hard: not an integer from 0 to 18446744073709551615"
)]
#[case("rlimits/0/type", r#""RLIMIT_X""#, "rlimits/0/type: unknown resource limit \"RLIMIT_X\"")]
#[case("rlimits/1", r#"{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}"#, "rlimits/1: given twice")]
#[case("scheduler", r#"{"policy": "SCHED_RR"}"#, "scheduler: not supported")]
#[case("selinuxLabel", r#""x""#, "selinuxLabel: not supported")]
#[case("user/additionalGids/1", "-1", "user/additionalGids/1: not an integer from 0 to 4294967294")]
#[case("user/uid", "4294967295", "user/uid: not an integer from 0 to 4294967294")]
#[case("user/uid", "1.0", "user/uid: not an integer from 0 to 4294967294")]
#[case("user/umask", "512", "user/umask: not an integer from 0 to 511")]
fn a_wrong_process_is_refused(#[case] at: &str, #[case] value: &str, #[case] expected: &str) {
    let value = serde_json::from_str(value).unwrap();
    let document = with(&format!("/process/{at}"), value);
    assert_eq!(refusal(&document.to_string()), format!("/process/{expected}"));
    let alone = oci::read_process(document["process"].to_string().as_bytes());
    assert_eq!(alone.unwrap_err().to_string(), format!("/{expected}"));
}

const PROC: &str = "destination: inside /proc, and none of the files that may be covered";

#[rstest]
#[case(
    r#"{"destination": "/", "type": "tmpfs"}"#,
    "destination: covers the root file system itself"
)]
#[case(
    r#"{"destination": "/a/..", "type": "tmpfs"}"#,
    "destination: covers the root file system itself"
)]
#[case(r#"{"destination": "", "type": "tmpfs"}"#, "destination: empty")]
#[case(
    r#"{"destination": "/proc", "type": "tmpfs"}"#,
    "destination: only a procfs can be mounted on /proc"
)]
#[case(r#"{"destination": "//proc/./sys", "type": "tmpfs"}"#, PROC)]
#[case(r#"{"destination": "a/../proc/self", "type": "tmpfs"}"#, PROC)]
#[case(r#"{"destination": "/proc/self", "source": "/a", "options": ["bind"]}"#, PROC)]
#[case(r#"{"destination": "/a"}"#, "type: missing")]
#[case(r#"{"destination": "/a", "options": ["bind"]}"#, "source: missing")]
#[case(
    r#"{"destination": "/a", "source": "/b", "type": "bind", "options": ["ro", "size=1"]}"#,
    "options/1: unknown option of a bind mount \"size=1\""
)]
#[case(
    r#"{"destination": "/a", "type": "tmpfs", "options": ["idmap"]}"#,
    "options/0: not supported"
)]
#[case(
    r#"{"destination": "/a", "type": "tmpfs", "options": ["ridmap"]}"#,
    "options/0: not supported"
)]
#[case(
    r#"{"destination": "/a", "type": "tmpfs",
    "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}"#,
    "uidMappings: not supported"
)]
#[case(r#"{"type": "tmpfs"}"#, "destination: missing")]
fn a_wrong_mount_is_refused(#[case] mount: &str, #[case] expected: &str) {
    let document = with("/mounts/2", serde_json::from_str(mount).unwrap());
    assert_eq!(refusal(&document.to_string()), format!("/mounts/2/{expected}"));
}

#[rstest]
#[case("cgroupsPath", "1", "cgroupsPath: not a string")]
#[case("devices/0/fileMode", "1048576", "devices/0/fileMode: not an integer from 0 to 65535")]
#[case("devices/0/major", "4096", "devices/0/major: not an integer from 0 to 4095")]
#[case("devices/0/path", r#""fuse""#, "devices/0/path: not an absolute path")]
#[case("devices/0/type", r#""x""#, "devices/0/type: unknown device type \"x\"")]
#[case("gidMappings", "[]", "gidMappings: a new user namespace needs id maps")]
#[case("intelRdt", r#"{"closID": "x"}"#, "intelRdt: not supported")]
#[case("maskedPaths/0", r#""proc""#, "maskedPaths/0: not an absolute path")]
#[case("memoryPolicy", r#"{"mode": "MPOL_BIND"}"#, "memoryPolicy: not supported")]
#[case("mountLabel", r#""x""#, "mountLabel: not supported")]
#[case("namespaces/3/type", r#""foo""#, "namespaces/3/type: unknown namespace \"foo\"")]
#[case("namespaces/7/path", r#""net""#, "namespaces/7/path: not an absolute path")]
#[case("namespaces/8", r#"{"type": "pid"}"#, "namespaces/8: given twice")]
#[case("netDevices", r#"{"a/b": {}}"#, "netDevices/a~1b: not supported")]
#[case("personality", r#"{"domain": "LINUX32"}"#, "personality/domain: not supported")]
#[case("readonlyPaths", r#"{}"#, "readonlyPaths: not a list")]
#[case("rootfsPropagation", r#""up""#, "rootfsPropagation: unknown propagation \"up\"")]
#[case(
    "sysctl/kernel.hostname",
    r#""x""#,
    "sysctl/kernel.hostname: is what the property hostname sets"
)]
#[case("sysctl/kernel.panic", r#""1""#, "sysctl/kernel.panic: belongs to no namespace")]
#[case("sysctl/net..x", r#""1""#, "sysctl/net..x: not named after a file of /proc/sys")]
#[case("sysctl/net~1..~1x", r#""1""#, "sysctl/net~1..~1x: not named after a file of /proc/sys")]
#[case(
    "timeOffsets/boottime/nanosecs",
    "1000000000",
    "timeOffsets/boottime/nanosecs: not an integer from 0 to 999999999"
)]
#[case("uidMappings/0/size", "0", "uidMappings/0/size: not an integer from 1 to 4294967295")]
#[case("uidMappings/0/hostID", "4294967294", "uidMappings/0: reaches past the largest id")]
fn a_wrong_linux_is_refused(#[case] at: &str, #[case] value: &str, #[case] expected: &str) {
    let value = serde_json::from_str(value).unwrap();
    let document = with(&format!("/linux/{at}"), value);
    assert_eq!(refusal(&document.to_string()), format!("/linux/{expected}"));
}

#[rstest]
#[case("blockIO", r#"{"weight": 9}"#, "blockIO/weight: not an integer from 10 to 1000")]
#[case("blockIO", r#"{"leafWeight": 1001}"#, "blockIO/leafWeight: not an integer from 10 to 1000")]
#[case("blockIO", r#"{"weightDevice": [{"major": 8}]}"#, "blockIO/weightDevice/0/minor: missing")]
#[case(
    "blockIO",
    r#"{"throttleReadBpsDevice": [{"major": 8, "minor": 0}]}"#,
    "blockIO/throttleReadBpsDevice/0/rate: missing"
)]
#[case("cpu/cpus", r#""0-a""#, "cpu/cpus: not a list of ranges")]
#[case("cpu/idle", "2", "cpu/idle: not an integer from 0 to 1")]
#[case("cpu/shares", "-1", "cpu/shares: not an integer from 0 to 18446744073709551615")]
#[case("devices/0/access", r#""""#, "devices/0/access: empty")]
#[case("devices/0/access", r#""x""#, "devices/0/access: other letters than r, w and m")]
#[case("devices/0/type", r#""p""#, "devices/0/type: unknown device type \"p\"")]
#[case("hugepageLimits", r#"[{"pageSize": "2MB"}]"#, "hugepageLimits/0/limit: missing")]
#[case("hugepageLimits", r#"[{"limit": 1}]"#, "hugepageLimits/0/pageSize: missing")]
#[case(
    "hugepageLimits",
    r#"[{"pageSize": "../2MB", "limit": 1}]"#,
    "hugepageLimits/0/pageSize: not a size such as 64KB, 2MB or 1GB"
)]
#[case(
    "hugepageLimits",
    r#"[{"pageSize": "2MB", "limit": 1}, {"pageSize": "2MB", "limit": 1}]"#,
    "hugepageLimits/1: given twice"
)]
#[case("memory/limit", "-2", "memory/limit: not an integer from -1 to 9223372036854775807")]
#[case("memory/swappiness", "101", "memory/swappiness: not an integer from 0 to 100")]
#[case("network", r#"{"classID": 1}"#, "network: not supported")]
#[case("pids/limit", "1e3", "pids/limit: not an integer from -1 to 9223372036854775807")]
#[case("unified/memory", r#""1""#, "unified/memory: not named CONTROLLER.FILE")]
#[case("unified/..~1memory.max", r#""1""#, "unified/..~1memory.max: not named CONTROLLER.FILE")]
fn wrong_resources_are_refused(#[case] at: &str, #[case] value: &str, #[case] expected: &str) {
    let value = serde_json::from_str(value).unwrap();
    let document = with(&format!("/linux/resources/{at}"), value);
    assert_eq!(refusal(&document.to_string()), format!("/linux/resources/{expected}"));
    let alone = oci::read_resources(document["linux"]["resources"].to_string().as_bytes());
    assert_eq!(alone.unwrap_err().to_string(), format!("/{expected}"));
}

#[rstest]
#[case(
    "architectures/0",
    r#""SCMP_ARCH_VAX""#,
    "architectures/0: unknown architecture \"SCMP_ARCH_VAX\""
)]
#[case("defaultAction", r#""SCMP_ACT_NOTIFY""#, "defaultAction: not supported")]
#[case("defaultAction", r#""SCMP_ACT_KILL""#, "defaultErrnoRet: the action takes no errno")]
#[case("defaultErrnoRet", "4096", "defaultErrnoRet: not an integer from 0 to 4095")]
#[case("flags/0", r#""SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV""#, "flags/0: not supported")]
#[case("flags/0", r#""LOG""#, "flags/0: unknown flag \"LOG\"")]
#[case("listenerPath", r#""/run/x""#, "listenerPath: not supported")]
#[case("syscalls/0/action", r#""SCMP_ACT_X""#, "syscalls/0/action: unknown action \"SCMP_ACT_X\"")]
#[case("syscalls/0/action", r#""SCMP_ACT_NOTIFY""#, "syscalls/0/action: not supported")]
#[case("syscalls/0/args/0/index", "6", "syscalls/0/args/0/index: not an integer from 0 to 5")]
#[case("syscalls/0/args/0/op", r#""==""#, "syscalls/0/args/0/op: unknown comparison \"==\"")]
#[case("syscalls/0/names", "[]", "syscalls/0/names: empty")]
fn a_wrong_filter_is_refused(#[case] at: &str, #[case] value: &str, #[case] expected: &str) {
    let value = serde_json::from_str(value).unwrap();
    let document = with(&format!("/linux/seccomp/{at}"), value);
    assert_eq!(refusal(&document.to_string()), format!("/linux/seccomp/{expected}"));
}

/// The full document without the namespaces of those types, and without those properties.
fn less(types: &[&str], properties: &[&str]) -> String {
    let mut document = full();
    let namespaces = document["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| !types.contains(&namespace["type"].as_str().unwrap()));
    for property in properties {
        document.as_object_mut().unwrap().remove(*property);
        document["linux"].as_object_mut().unwrap().remove(*property);
    }
    document.to_string()
}

#[rstest]
#[case(&["uts"], &[], "/hostname: needs a uts namespace")]
#[case(&["uts"], &["hostname"], "/domainname: needs a uts namespace")]
#[case(&["mount"], &[], "/linux/maskedPaths: needs a mount namespace")]
#[case(&["mount"], &["maskedPaths"], "/linux/readonlyPaths: needs a mount namespace")]
#[case(&["user"], &[], "/linux/uidMappings: needs a user namespace")]
#[case(&["user"], &["uidMappings"], "/linux/gidMappings: needs a user namespace")]
#[case(&[], &["uidMappings"], "/linux/uidMappings: a new user namespace needs id maps")]
#[case(&["time"], &[], "/linux/timeOffsets: needs a new time namespace")]
#[case(&["ipc"], &[], "/linux/sysctl/kernel.shmmax: needs its own ipc namespace")]
#[case(&["network"], &[], "/linux/sysctl/net.ipv4.ip_forward: needs its own network namespace")]
fn what_excludes_each_other_is_refused(
    #[case] types: &[&str],
    #[case] properties: &[&str],
    #[case] expected: &str,
) {
    assert_eq!(refusal(&less(types, properties)), expected);
}

#[test]
fn a_joined_time_namespace_is_not_set() {
    let joined = with("/linux/namespaces/6/path", json!("/proc/1/ns/time"));
    assert_eq!(refusal(&joined.to_string()), "/linux/timeOffsets: needs a new time namespace");
}

#[rstest]
#[case("/ociVersion")]
#[case("/root")]
#[case("/root/path")]
#[case("/process/args")]
#[case("/process/cwd")]
#[case("/process/rlimits/0/type")]
#[case("/process/rlimits/0/soft")]
#[case("/process/rlimits/0/hard")]
#[case("/mounts/0/destination")]
#[case("/mounts/0/type")]
#[case("/mounts/1/source")]
#[case("/hooks/prestart/0/path")]
#[case("/linux/namespaces/0/type")]
#[case("/linux/uidMappings/0/containerID")]
#[case("/linux/uidMappings/0/hostID")]
#[case("/linux/uidMappings/0/size")]
#[case("/linux/devices/0/path")]
#[case("/linux/devices/0/type")]
#[case("/linux/devices/0/major")]
#[case("/linux/devices/0/minor")]
#[case("/linux/resources/devices/0/allow")]
#[case("/linux/resources/devices/0/access")]
#[case("/linux/seccomp/defaultAction")]
#[case("/linux/seccomp/syscalls/0/names")]
#[case("/linux/seccomp/syscalls/0/action")]
#[case("/linux/seccomp/syscalls/0/args/0/index")]
#[case("/linux/seccomp/syscalls/0/args/0/value")]
#[case("/linux/seccomp/syscalls/0/args/0/op")]
fn what_must_be_there_is_missed(#[case] at: &str) {
    assert_eq!(refusal(&without(at).to_string()), format!("{at}: missing"));
    assert_eq!(refusal(&with(at, Value::Null).to_string()), format!("{at}: missing"));
}

#[test]
fn a_property_given_twice_is_refused() {
    let twice = FULL.replacen(r#""hostname":"#, r#""domainname": "x", "hostname":"#, 1);
    assert_eq!(refusal(&twice), "/domainname: given twice");
}

#[rstest]
#[case("[]", Reason::Type { expected: "an object" })]
#[case("null", Reason::Type { expected: "an object" })]
fn a_document_that_is_no_object_is_refused_as_a_whole(#[case] json: &str, #[case] why: Reason) {
    assert_eq!(oci::read(json.as_bytes()), Err(Invalid { pointer: String::new(), why }));
}
