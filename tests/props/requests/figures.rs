//! What a container is said to use, in the words of either version of cgroups.

use super::*;
use cofferdam::run::{Amount, BlockEntry, Stats};

/// What the files of a container's cgroups say; of other files there are none.
fn stats(profile: Profile, files: &[(&str, &str)]) -> Stats {
    let stage = Stage::new(profile);
    run(&stage.runtime(), &usual());
    for (name, text) in files {
        stage.world.borrow_mut().write_file(&format!("/said/{name}"), text.as_bytes());
    }
    let kernel = stage.kernel();
    let answer = |call: &Call<Live<'_>>| match *call {
        Call::Openat2 { dir, path, flags, mode, resolve } => {
            let path = path.to_str().ok()?.strip_prefix("/sys/fs/cgroup/")?;
            let file = path.rsplit('/').next()?;
            let counts = ["blkio.", "cpu.stat", "cpuacct.", "io.stat", "memory.", "pids."];
            counts.iter().any(|kind| file.starts_with(kind)).then(|| {
                let path = std::ffi::CString::new(format!("/said/{file}")).expect("no NUL");
                kernel.call(Call::Openat2 { dir, path: &path, flags, mode, resolve })
            })
        }
        _ => None,
    };
    let kernel = Odd { kernel: stage.kernel(), answer };
    let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
    let container = runtime.container(ID).expect("a name");
    container.stats().expect("is told")
}

#[test]
fn what_the_kernel_does_not_count_is_nothing() {
    for profile in [Profile::default(), Profile::v1()] {
        assert_eq!(stats(profile, &[]), Stats::default());
    }
}

fn entry(minor: u64, op: &str, value: u64) -> BlockEntry {
    BlockEntry { major: 8, minor, op: op.to_owned(), value }
}

#[test]
fn what_cgroup_v2_counts_is_told() {
    let files = [
        ("pids.current", "3\n"),
        ("pids.max", "max\n"),
        (
            "cpu.stat",
            "usage_usec 7\nuser_usec 4\nsystem_usec 3\n\
             nr_periods 9\nnr_throttled 2\nthrottled_usec 5\n",
        ),
        ("memory.current", "4096\n"),
        ("memory.max", "65536\n"),
        ("memory.peak", "8192\n"),
        ("memory.swap.current", "1024\n"),
        ("memory.swap.max", "2048\n"),
        ("memory.events", "low 0\nmax 6\noom_kill 1\n"),
        ("memory.stat", "anon 10\nfile 20\n"),
        ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5\n\n8:1 rbytes=x\n7 rbytes=1\n"),
    ];
    let stats = stats(Profile::default(), &files);
    assert_eq!((stats.pids.current, stats.pids.limit), (3, 0));
    let usage = &stats.cpu.usage;
    assert_eq!([usage.total, usage.kernel, usage.user], [7000, 3000, 4000]);
    let throttling = &stats.cpu.throttling;
    assert_eq!((throttling.periods, throttling.throttled_periods), (9, 2));
    assert_eq!(throttling.throttled_time, 5000);
    let memory = &stats.memory;
    assert_eq!(memory.usage, Amount { limit: 65536, usage: 4096, max: 8192, failcnt: 6 });
    assert_eq!(memory.swap, Amount { limit: 67584, usage: 5120, ..Amount::default() });
    assert_eq!((memory.cache, memory.oom_kills, memory.raw["anon"]), (20, 1, 10));
    let block = &stats.blkio;
    assert_eq!(block.io_service_bytes_recursive, [entry(0, "Read", 1), entry(0, "Write", 2)]);
    assert_eq!(block.io_serviced_recursive, [entry(0, "Read", 3), entry(0, "Write", 4)]);
}

#[test]
fn what_cgroup_v1_counts_is_told() {
    let files = [
        ("cpuacct.usage", "7\n"),
        ("cpuacct.usage_percpu", "3 4 \n"),
        ("cpuacct.usage_user", "5\n"),
        ("cpu.stat", "nr_periods 9\nnr_throttled 2\nthrottled_time 5\n"),
        ("memory.limit_in_bytes", "65536\n"),
        ("memory.usage_in_bytes", "4096\n"),
        ("memory.max_usage_in_bytes", "8192\n"),
        ("memory.failcnt", "6\n"),
        ("memory.stat", "cache 20\nrss 10\n"),
        ("memory.oom_control", "oom_kill_disable 0\noom_kill 1\n"),
        ("pids.current", "3\n"),
        ("pids.max", "64\n"),
        ("blkio.throttle.io_serviced", "8:0 Read 3\n8:0 Discard 1\nTotal 4\n"),
        ("blkio.throttle.io_service_bytes_recursive", "8:1 Write 2\n"),
        ("blkio.throttle.io_service_bytes", "8:0 Write 1\n"),
    ];
    // Each hierarchy is asked everything: on a kernel none has files of others.
    let missing = ["blkio", "cpuset", "devices", "freezer", "memory", "perf_event", "pids"];
    let profile = Profile { missing_hierarchies: missing.into(), ..Profile::v1() };
    let stats = stats(profile, &files);
    assert_eq!((stats.pids.current, stats.pids.limit), (3, 64));
    let usage = &stats.cpu.usage;
    assert_eq!([usage.total, usage.kernel, usage.user], [7, 0, 5]);
    assert_eq!(usage.percpu, [3, 4]);
    assert_eq!(stats.cpu.throttling.throttled_time, 5);
    let memory = &stats.memory;
    assert_eq!(memory.usage, Amount { limit: 65536, usage: 4096, max: 8192, failcnt: 6 });
    // Swap is not counted there.
    assert_eq!(memory.swap, Amount::default());
    assert_eq!((memory.cache, memory.oom_kills, memory.raw["rss"]), (20, 1, 10));
    let block = &stats.blkio;
    assert_eq!(block.io_service_bytes_recursive[0], entry(1, "Write", 2));
    assert_eq!(block.io_serviced_recursive[..2], [entry(0, "Read", 3), entry(0, "Discard", 1)]);
}
