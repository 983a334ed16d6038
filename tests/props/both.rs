//! One life by one function, on the running kernel and on the fake one.

#![expect(clippy::unwrap_used, reason = "a refusal that is missing fails the test")]

#[path = "../common/mod.rs"]
mod common;

use std::cell::RefCell;

use cofferdam::backend::fake::{AppArmor, Profile, World};
use cofferdam::backend::linux::Linux;
use cofferdam::spec::{BlockIo, Cpu, Limit, Memory, Mount, MountKind, Resources, Spec};
use cofferdam::sys::{CWD, Kernel, Syscalls};
use cofferdam::testing::lifecycle::machine;
use cofferdam::{Create, Error, Exec, Exit, Runtime};

use common::Place;
/// What a life looks like from outside, step by step.
fn life<K: Kernel>(runtime: &Runtime<K>, create: &Create) -> Result<Vec<String>, Error> {
    let mut seen = Vec::new();
    let container = runtime.create("life", create)?;
    seen.push(container.state()?.status.to_string());
    seen.push(runtime.create("life", create).map(drop).unwrap_err().to_string());
    seen.push(container.delete().map(|_| String::new()).unwrap_or_default());
    let container = runtime.create("life", create)?;
    container.start()?;
    seen.push(container.state()?.status.to_string());
    seen.push(container.start().unwrap_err().to_string());
    seen.push(container.delete().map(drop).unwrap_err().to_string());
    let process = container.process()?.0.unwrap_or_default();
    let process = cofferdam::spec::Process { args: vec!["/bin/false".to_owned()], ..process };
    let added = container.exec(&Exec { process, ..Exec::default() })?;
    seen.push(format!("{:?}", added.wait()));
    seen.push(container.processes()?.len().to_string());
    container.pause()?;
    seen.push(container.state()?.status.to_string());
    container.resume()?;
    container.kill(9)?;
    assert_eq!(container.wait()?, Exit::Signal(9));
    seen.push(container.state()?.status.to_string());
    seen.push(container.kill(9).unwrap_err().to_string());
    container.delete()?;
    seen.push(container.start().unwrap_err().to_string());
    container.force_delete()?;
    seen.push(runtime.list()?.len().to_string());
    Ok(seen)
}

/// Binds a file to where a link of the image leads.
fn bound<K: Kernel>(runtime: &Runtime<K>, create: &Create) -> Result<(), Error> {
    let mut create = create.clone();
    let mut mount = Mount::new(MountKind::Bind { recursive: true }, "/etc/conf");
    mount.source = Some("/etc/passwd".to_owned());
    create.spec.mounts.push(mount);
    let container = runtime.create("bound", &create)?;
    container.start()?;
    container.force_delete().map(drop)
}

fn sleeper(bundle: &str, rootfs: &str) -> Create {
    let spec = Spec::usual(rootfs, ["/bin/sleep", "1000"]);
    Create { bundle: bundle.to_owned(), spec, ..Create::default() }
}

const SEEN: &[&str] = &[
    "created",
    "container with given ID already exists",
    "",
    "running",
    "cannot start an already running container",
    "container is not stopped: running",
    "Ok(Code(1))",
    "1",
    "paused",
    "stopped",
    "container not running",
    "container does not exist",
    "0",
];

#[test]
fn a_target_is_made_where_its_links_lead_on_linux() {
    let place = Place::new();
    std::os::unix::fs::symlink("../run/made/conf", place.rootfs() + "/etc/conf").unwrap();
    let runtime = Runtime::new(Linux, place.state()).unwrap();
    bound(&runtime, &sleeper(&place.bundle(), &place.rootfs())).unwrap();
    assert_eq!(std::fs::read(place.rootfs() + "/run/made/conf").unwrap(), b"");
}

#[test]
fn a_target_is_made_where_its_links_lead_on_the_fake_kernel() {
    let mut fresh = machine(Profile::default());
    fresh.symlink("../run/made/conf", "/bundle/rootfs/etc/conf");
    fresh.write_file("/etc/passwd", b"");
    let world = RefCell::new(fresh);
    let pid = world.borrow_mut().client();
    let runtime = Runtime::new(World::process(&world, pid), "/run/cofferdam").unwrap();
    bound(&runtime, &sleeper("/bundle", "/bundle/rootfs")).unwrap();
    assert_eq!(world.borrow().read_file("/bundle/rootfs/run/made/conf"), Some(Vec::new()));
}

#[test]
fn a_life_on_linux() {
    let place = Place::new();
    let runtime = Runtime::new(Linux, place.state()).unwrap();
    let seen = life(&runtime, &sleeper(&place.bundle(), &place.rootfs())).unwrap();
    assert_eq!(seen, SEEN);
}

#[test]
fn the_same_life_on_the_fake_kernel() {
    for profile in [Profile::default(), Profile::v1(), Profile::hybrid()] {
        let world = RefCell::new(machine(profile));
        let pid = world.borrow_mut().client();
        let before = world.borrow().clone();
        let kernel = World::process(&world, pid);
        let runtime = Runtime::new(kernel, "/run/cofferdam").unwrap();
        let seen = life(&runtime, &sleeper("/bundle", "/bundle/rootfs")).unwrap();
        assert_eq!(seen, SEEN);
        drop(runtime);
        World::settle(&world);
        assert_eq!(world.borrow().residue(&before), ["left: /run/cofferdam: directory, 711 0:0"]);
    }
}

/// The labels of a container's first process and of one that joins, or why there is none.
fn labels(apparmor: AppArmor, profile: &str, other: &str) -> Result<[String; 2], String> {
    let world = RefCell::new(machine(Profile { apparmor, ..Profile::default() }));
    let pid = world.borrow_mut().client();
    let runtime = Runtime::new(World::process(&world, pid), "/run/cofferdam").unwrap();
    let mut create = sleeper("/bundle", "/bundle/rootfs");
    create.spec.process.as_mut().unwrap().apparmor_profile = Some(profile.to_owned());
    let label = |pid: u32| {
        let said = world.borrow().read_file(&format!("/proc/{pid}/attr/apparmor/current"));
        String::from_utf8(said.unwrap_or_default()).unwrap()
    };
    let container = runtime.run("labels", &create).map_err(|error| error.to_string())?;
    let mut process = container.process().unwrap().0.unwrap();
    process.apparmor_profile = Some(other.to_owned());
    let added = container.exec(&Exec { process, ..Exec::default() });
    let added = added.map_err(|error| error.to_string())?;
    Ok([label(container.state().unwrap().pid.unwrap()), label(added.pid())])
}

#[test]
fn a_program_is_under_the_profile_that_was_asked_for() {
    let loaded = || AppArmor::On(["one", "two"].into());
    let found = labels(loaded(), "one", "two").unwrap();
    assert_eq!(found, ["one (enforce)\n", "two (enforce)\n"]);
    let found = labels(loaded(), "unconfined", "one").unwrap();
    assert_eq!(found, ["unconfined\n", "one (enforce)\n"]);
    let told = labels(loaded(), "three", "one").unwrap_err();
    assert!(told.contains("apparmor profile three: it is not loaded: no such file"), "{told}");
    let told = labels(loaded(), "one", "three").unwrap_err();
    assert!(told.contains("apparmor profile three: it is not loaded: no such file"), "{told}");
}

#[test]
fn under_no_profile_needs_no_apparmor() {
    for apparmor in [AppArmor::Absent, AppArmor::Off] {
        let told = labels(apparmor.clone(), "one", "one").unwrap_err();
        assert!(told.contains("apparmor profile one") && told.contains("not in use"), "{told}");
        assert_eq!(labels(apparmor, "unconfined", "unconfined").unwrap(), ["", ""]);
    }
}

/// The new limits, and what the files of cgroup v1 and v2 say then; each from where the one before
/// has left them.
fn changes() -> Vec<(Resources, [&'static str; 4])> {
    let memory = |limit, swap| {
        let [limit, swap] = [limit, swap].map(|value| match value {
            0 => None,
            -1 => Some(Limit::Max),
            value => Some(Limit::Value(u64::try_from(value).unwrap() << 20)),
        });
        let memory = Memory { limit, swap, ..Memory::default() };
        Resources { memory, ..Resources::default() }
    };
    let cpu = |quota: Option<u64>, period| {
        let cpu = Cpu { quota: quota.map(Limit::Value), period, ..Cpu::default() };
        Resources { cpu, ..Resources::default() }
    };
    const NONE: &str = "9223372036854771712";
    // memory and memsw of v1, memory and swap of v2
    vec![
        (memory(64, 96), ["67108864", "100663296", "67108864", "33554432"]),
        (memory(256, 512), ["268435456", "536870912", "268435456", "268435456"]),
        (memory(128, 128), ["134217728", "134217728", "134217728", "0"]),
        (memory(0, 160), ["134217728", "167772160", "134217728", "33554432"]),
        (memory(144, 0), ["150994944", "167772160", "150994944", "16777216"]),
        (memory(-1, 0), [NONE, NONE, "max", "max"]),
        (memory(64, 0), ["67108864", NONE, "67108864", "max"]),
        // period and quota of v1, both of v2
        (cpu(Some(20_000), Some(50_000)), ["50000", "20000", "20000 50000", ""]),
        (cpu(Some(10_000), None), ["50000", "10000", "10000 50000", ""]),
        (cpu(None, Some(80_000)), ["80000", "10000", "10000 80000", ""]),
    ]
}

#[test]
fn limits_of_a_running_container_change_both_ways_on_either_version() {
    for profile in [Profile::default(), Profile::v1()] {
        let world = RefCell::new(machine(profile));
        let pid = world.borrow_mut().client();
        let runtime = Runtime::new(World::process(&world, pid), "/run/cofferdam").unwrap();
        let container = runtime.create("limits", &sleeper("/bundle", "/bundle/rootfs")).unwrap();
        container.start().unwrap();
        let dirs = container.state().unwrap().cgroups;
        let read = |tree: &str, file: &str| {
            let dir = dirs.iter().find(|dir| dir.version == 2 || dir.path.contains(tree)).unwrap();
            let path = std::ffi::CString::new(format!("{}/{file}", dir.path)).unwrap();
            let file = runtime.kernel().open(CWD, &path, 0).unwrap();
            let text = runtime.kernel().read_all(file.raw()).unwrap();
            String::from_utf8(text).unwrap().trim_end().to_owned()
        };
        let v2 = dirs[0].version == 2;
        for (resources, [first, second, third, fourth]) in changes() {
            container.update(&resources).unwrap();
            match (v2, resources.memory == Memory::default()) {
                (false, false) => {
                    assert_eq!(read("memory", "memory.limit_in_bytes"), first);
                    assert_eq!(read("memory", "memory.memsw.limit_in_bytes"), second);
                }
                (false, true) => {
                    assert_eq!(read("cpu,", "cpu.cfs_period_us"), first);
                    assert_eq!(read("cpu,", "cpu.cfs_quota_us"), second);
                }
                (true, false) => {
                    assert_eq!(read("", "memory.max"), third);
                    assert_eq!(read("", "memory.swap.max"), fourth);
                }
                (true, true) => assert_eq!(read("", "cpu.max"), third),
            }
        }
        container.force_delete().unwrap();
    }
}

#[test]
fn weights_and_huge_pages_are_limited_where_there_are_files_for_it() {
    let resources = Resources {
        block_io: BlockIo { weight: Some(500), ..BlockIo::default() },
        hugepages: [("2MB".to_owned(), 0)].into(),
        ..Resources::default()
    };
    let mut create = sleeper("/bundle", "/bundle/rootfs");
    create.spec.cgroup.resources = resources.clone();
    let bfq = ["io.bfq.weight", "hugetlb.2MB.max"];
    let plain = ["io.weight", "hugetlb.2MB.max"];
    for (missing, files, expected) in [("", bfq, ["500", "0"]), (bfq[0], plain, ["4950", "0"])] {
        let missing_files = [missing].into();
        let world = RefCell::new(machine(Profile { missing_files, ..Profile::default() }));
        let pid = world.borrow_mut().client();
        let runtime = Runtime::new(World::process(&world, pid), "/run/cofferdam").unwrap();
        let container = runtime.create("limits", &create).unwrap();
        let dir = container.state().unwrap().cgroups.remove(0).path;
        let says = files.map(|file| {
            let path = std::ffi::CString::new(format!("{dir}/{file}")).unwrap();
            let file = runtime.kernel().open(CWD, &path, 0).unwrap();
            String::from_utf8(runtime.kernel().read_all(file.raw()).unwrap()).unwrap()
        });
        assert_eq!(says.each_ref().map(|text| text.trim_end()), expected);
        container.force_delete().unwrap();
    }
    // Without a hierarchy for them, they cannot be had: at the start or later.
    let world = RefCell::new(machine(Profile::v1()));
    let pid = world.borrow_mut().client();
    let runtime = Runtime::new(World::process(&world, pid), "/run/cofferdam").unwrap();
    let told =
        "set blkio.bfq.weight: the container has no cgroup of blkio: operation not supported";
    assert_eq!(runtime.create("limits", &create).map(drop).unwrap_err().to_string(), told);
    let plain = sleeper("/bundle", "/bundle/rootfs");
    let container = runtime.create("limits", &plain).unwrap();
    assert_eq!(container.update(&resources).unwrap_err().to_string(), told);
    container.force_delete().unwrap();
}

#[test]
fn limits_that_cannot_be_are_refused_with_their_place() {
    for (profile, expected) in [
        (Profile::default(), "write \"x\" to /sys/fs/cgroup/limits/pids.peek: no such file"),
        (Profile::v1(), "/linux/resources/unified: needs cgroup v2"),
    ] {
        let world = RefCell::new(machine(profile));
        let pid = world.borrow_mut().client();
        let runtime = Runtime::new(World::process(&world, pid), "/run/cofferdam").unwrap();
        let container = runtime.create("limits", &sleeper("/bundle", "/bundle/rootfs")).unwrap();
        let unified = [("pids.peek".to_owned(), "x".to_owned())].into();
        let unknown = Resources { unified, ..Resources::default() };
        let told = container.update(&unknown).unwrap_err().to_string();
        assert!(told.starts_with(expected), "{told}");
        let memory = Memory {
            limit: Some(Limit::Value(2 << 20)),
            swap: Some(Limit::Value(1 << 20)),
            ..Memory::default()
        };
        let less = Resources { memory, ..Resources::default() };
        let told = container.update(&less).unwrap_err().to_string();
        assert_eq!(told, "/linux/resources/memory/swap: less than the limit of memory alone");
        container.kill(9).unwrap();
        container.wait().unwrap();
        let told = container.update(&Resources::default()).unwrap_err().to_string();
        assert_eq!(told, "container not running");
        container.delete().unwrap();
    }
}
