//! Where a container's cgroups are, and limits that cannot be.

use std::cell::Cell;
use std::collections::BTreeSet;

use super::*;
use cofferdam::Exec;
use cofferdam::backend::trace::Trace;
use cofferdam::spec::{BlockIo, Cpu, DeviceWeight, Limit, Memory, Resources};

#[test]
fn a_cgroup_is_where_it_was_asked_for_and_never_outside() {
    for (asked, expected) in [
        (None, "/a"),
        (Some(""), "/a"),
        (Some("/x/./y"), "/x/y"),
        (Some("/../../x"), "/x"),
        (Some("x//y/../z"), "/x/z"),
    ] {
        for (profile, mount) in [(Profile::default(), ""), (Profile::v1(), "/freezer")] {
            let stage = Stage::new(profile);
            let before = stage.world.borrow().clone();
            let mut create = usual();
            create.spec.cgroup.path = asked.map(str::to_owned);
            let runtime = stage.runtime();
            let container = run(&runtime, &create);
            let home = container.state().expect("is told").cgroups.remove(0);
            assert_eq!(home.path, format!("/sys/fs/cgroup{mount}{expected}"));
            assert!(stage.world.borrow().exists(&home.path));
            container.force_delete().expect("is deleted");
            assert!(!stage.world.borrow().exists(&home.path));
            // Directories above it may be others' too.
            if !expected[1..].contains('/') {
                stage.is_clean(&before);
            }
        }
    }
}

/// Nobody can join a cpuset without processors or memory (cpuset(7)).
#[test]
fn a_cpuset_has_what_those_above_it_have() {
    let set = |path: &str, cpu: Cpu, stage: &Stage, id: &str| {
        let mut create = usual();
        create.spec.cgroup.path = Some(path.to_owned());
        create.spec.cgroup.resources.cpu = cpu;
        stage.runtime().create(id, &create).map(drop).expect("is created");
        ["cpuset.cpus", "cpuset.mems"].map(|file| {
            let path = format!("/sys/fs/cgroup/cpuset{path}/{file}");
            let text = stage.world.borrow().read_file(&path).expect("is there");
            String::from_utf8(text).expect("is text").trim().to_owned()
        })
    };
    let cpus = Cpu { cpus: Some("0".to_owned()), ..Cpu::default() };
    let mems = Cpu { mems: Some("0".to_owned()), ..Cpu::default() };
    let stage = Stage::new(Profile::v1());
    assert_eq!(set("/one/two", cpus, &stage, "two")[0], "0");
    let [all, nodes] = set("/one/three", mems, &stage, "three");
    assert_eq!(nodes, "0");
    let above = stage.world.borrow().read_file("/sys/fs/cgroup/cpuset/cpuset.cpus");
    assert_eq!(all.into_bytes(), above.expect("is there").trim_ascii());
}

/// A kernel without NUMA does not say in `status` which nodes of memory there are.
#[test]
fn the_memory_of_a_cpuset_is_that_above_it_where_the_kernel_names_no_nodes() {
    let stage = Stage::new(Profile::v1());
    stage.world.borrow_mut().write_file("/said/status", b"Uid:\t0\t0\t0\t0\n");
    let below = stage.kernel();
    let answer = elsewhere(&below, "/proc/self/status", c"/said/status");
    let kernel = Odd { kernel: stage.kernel(), answer };
    let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
    let mut create = usual();
    create.spec.cgroup.resources.cpu.cpus = Some("0".to_owned());
    runtime.create(ID, &create).expect("is created");
    let read = |path: &str| stage.world.borrow().read_file(path).expect("is there");
    let own = read("/sys/fs/cgroup/cpuset/a/cpuset.mems");
    assert_eq!(own, read("/sys/fs/cgroup/cpuset/cpuset.mems"));
}

#[test]
fn limits_that_no_cgroup_of_the_host_has_are_refused() {
    let leaf = DeviceWeight { major: 8, minor: 0, weight: None, leaf_weight: Some(10) };
    let [weight, device] = [
        BlockIo { leaf_weight: Some(10), ..BlockIo::default() },
        BlockIo { devices: vec![leaf], ..BlockIo::default() },
    ];
    for block_io in [weight, device] {
        let stage = Stage::new(Profile::default());
        let before = stage.world.borrow().clone();
        let mut create = usual();
        create.spec.cgroup.resources.block_io = block_io;
        let expected = "/linux/resources/blockIO: cgroup v2 has no leaf weights";
        assert_eq!(told(stage.runtime().create(ID, &create)), expected);
        stage.is_clean(&before);
    }
}

/// What an update of memory comes to, and the limit behind it.
fn update(stage: &Stage, memory: Memory) -> (String, Vec<u8>) {
    update_by(&stage.runtime(), stage, memory)
}

fn update_by<K: Kernel>(runtime: &Runtime<K>, stage: &Stage, memory: Memory) -> (String, Vec<u8>) {
    let resources = Resources { memory, ..Resources::default() };
    let container = runtime.container(ID).expect("a name");
    let told = container.update(&resources).map_or_else(|e| e.to_string(), |()| "done".to_owned());
    let limit = stage.world.borrow().read_file("/sys/fs/cgroup/a/memory.max");
    (told, limit.expect("is there"))
}

const KIB: u64 = 1 << 10;

fn limited() -> Stage {
    let stage = Stage::new(Profile::default());
    let mut create = usual();
    create.spec.cgroup.resources.memory.limit = Some(Limit::Value(64 * KIB));
    run(&stage.runtime(), &create);
    stage
}

#[test]
fn less_of_memory_and_swap_than_of_memory_is_refused_by_what_is_there() {
    let stage = limited();
    let both = Memory { swap: Some(Limit::Value(32 * KIB)), ..Memory::default() };
    let expected = "allow 65536 bytes of memory, but 32768 of memory and swap: invalid argument";
    assert_eq!(update(&stage, both), (expected.to_owned(), b"65536\n".to_vec()));
}

#[test]
fn a_limit_below_what_is_in_use_is_refused_where_that_is_asked_for() {
    let stage = limited();
    let memory = |limit, check_before_update| Memory {
        limit: Some(Limit::Value(limit)),
        check_before_update,
        ..Memory::default()
    };
    let expected = "allow 1024 bytes of memory, of which 4096 are in use: \
                    device or resource busy";
    assert_eq!(update(&stage, memory(KIB, true)), (expected.to_owned(), b"65536\n".to_vec()));
    assert_eq!(update(&stage, memory(8 * KIB, true)), ("done".to_owned(), b"8192\n".to_vec()));
    // A kernel that does not say what is in use refuses nothing.
    stage.world.borrow_mut().write_file("/said/nothing", b"");
    let below = stage.kernel();
    let answer = elsewhere(&below, "/sys/fs/cgroup/a/memory.current", c"/said/nothing");
    let kernel = Odd { kernel: stage.kernel(), answer };
    let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
    let done = update_by(&runtime, &stage, memory(2 * KIB, true));
    assert_eq!(done, ("done".to_owned(), b"2048\n".to_vec()));
    assert_eq!(update(&stage, memory(KIB, false)), ("done".to_owned(), b"1024\n".to_vec()));
}

/// Only cgroup v1 refuses a limit below what is in use.
#[test]
fn a_limit_that_the_kernel_finds_too_low_is_told_with_what_is_in_use() {
    let stage = Stage::new(Profile::v1());
    run(&stage.runtime(), &usual());
    let answer = |call: &Call<Live<'_>>| match call {
        Call::Write { bytes: b"1024", .. } => Some(Err(Errno::EBUSY)),
        _ => None,
    };
    let kernel = Odd { kernel: stage.kernel(), answer };
    let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
    let container = runtime.container(ID).expect("a name");
    let mut resources = Resources::default();
    resources.memory.limit = Some(Limit::Value(KIB));
    let expected = "unable to set memory limit to 1024 (current usage: 4096, peak usage: 4096): \
                    device or resource busy";
    assert_eq!(told(container.update(&resources)), expected);
    // Of other files the kernel's word is told.
    let shares = Cpu { shares: Some(KIB), ..Cpu::default() };
    let told = told(container.update(&Resources { cpu: shares, ..Resources::default() }));
    assert!(told.starts_with("write \"1024\" to /sys/fs/cgroup/cpu"), "{told}");
}

/// Whoever has only just been made cannot be moved by others for a moment (EINVAL): he is born in
/// his cgroup, or moves himself by a door that is open before.
#[test]
fn nobody_is_put_into_a_cgroup_by_another() {
    for (profile, doors) in [(Profile::default(), 0), (Profile::v1(), 14), (Profile::hybrid(), 14)]
    {
        let stage = Stage::new(profile);
        let (open, opened) = (RefCell::new(BTreeSet::new()), Cell::new(0));
        let see = |call: &Call<Live<'_>>, answer: &Result<u64, Errno>| match (*call, answer) {
            (Call::Openat2 { path, .. }, Ok(fd)) => {
                let path = path.to_string_lossy();
                let (_, name) = path.rsplit_once('/').unwrap_or(("", &path));
                let writes = matches!(*call, Call::Openat2 { flags, .. } if flags & 3 != 0);
                if writes && ["cgroup.procs", "cgroup.threads", "tasks"].contains(&name) {
                    open.borrow_mut().insert(*fd);
                    opened.set(opened.get() + 1);
                } else {
                    open.borrow_mut().remove(fd);
                }
            }
            (Call::Write { fd, .. }, _) => {
                let door = u64::try_from(fd).is_ok_and(|fd| open.borrow().contains(&fd));
                assert!(!door, "somebody else is put into a cgroup");
            }
            _ => (),
        };
        let kernel = Trace { kernel: stage.kernel(), see };
        let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
        let container = run(&runtime, &usual());
        let process = usual().spec.process.expect("a process");
        container.exec(&Exec { process, ..Exec::default() }).expect("is added");
        assert_eq!(opened.get(), doors);
    }
}
