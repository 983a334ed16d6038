//! Births and containers cost a large, busy process what they cost a small one, and never hang.
//!
//! A test binary of its own: what it measures is this process.

#![cfg(all(feature = "linux", target_os = "linux"))]

#[path = "common/mod.rs"]
mod common;

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::backend::linux::Linux;
use cofferdam::spec::Spec;
use cofferdam::sys::{Builder, Call, Child, Handle, Kernel, Program, Syscalls, flags};
use cofferdam::{Create, Exit, Runtime};

const GIBIBYTE: usize = 1 << 30;
const PAGE: usize = 4096;
const SPAWNS: usize = 2000;
const PATIENCE: Duration = Duration::from_secs(55);
/// How many threads make containers at once, and for how long.
const MAKERS: usize = 4;
const LIVES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(20)];

/// What is measured here is measured alone.
static ALONE: Mutex<()> = Mutex::new(());

/// Makes a child and sees it end; returns how long both took.
fn birth(program: &Program) -> Duration {
    let [socket, theirs] = Linux.socketpair().expect("sockets");
    let before = Instant::now();
    let given = [theirs.raw()];
    let (namespaces, cgroup, tasks, mapped) = (0, None, &[][..], false);
    let child = Child { namespaces, cgroup, tasks, given: &given, mapped, code: program.code() };
    let (_, pidfd) = Linux.spawn(child).expect("a child");
    drop(theirs);
    assert_eq!(Linux.read(socket.raw(), &mut [0; 8]), Ok(&b"born"[..]));
    let info = [const { Cell::new(0) }; 128];
    let wait = Call::Waitid { fd: pidfd.raw(), info: &info[..], options: flags::WEXITED };
    assert_eq!(Linux.call(wait), Ok(0));
    assert_eq!(info[24].get(), 0, "the exit status");
    before.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn births(program: &Program, count: usize) -> Duration {
    median((0..count).map(|_| birth(program)).collect())
}

/// Has several threads create, start, await and delete containers for some time; returns how long
/// each container took.
fn lives(runtime: &Runtime<Linux>, create: &Create, time: Duration) -> Vec<Duration> {
    let end = Instant::now() + time;
    let maker = &|name: String| {
        let mut times = Vec::new();
        while Instant::now() < end {
            let before = Instant::now();
            let container = runtime.create(&name, create).expect("a container");
            container.start().expect("a program");
            assert_eq!(container.wait().expect("a child"), Exit::Code(7));
            assert_eq!(container.delete().expect("it has stopped"), [""; 0]);
            times.push(before.elapsed());
        }
        times
    };
    thread::scope(|scope| {
        let makers: Vec<_> =
            (0..MAKERS).map(|n| scope.spawn(move || maker(format!("heap{n}")))).collect();
        makers.into_iter().flat_map(|maker| maker.join().expect("a maker")).collect()
    })
}

/// A gibibyte, every page of it written.
fn dirty() -> Vec<u8> {
    let mut heap = vec![0u8; GIBIBYTE];
    heap.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    heap
}

/// Allocates, opens files and reads the environment until told to stop.
fn bustle(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for size in [10, 1000, 100_000, 1_000_000] {
            black_box(vec![1u8; size]);
        }
        black_box(std::fs::read("/proc/self/stat").expect("a file"));
        black_box(std::env::vars_os().count());
    }
}

/// Runs `work` while three threads are busy.
fn in_bustle<T>(work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| bustle(&stop));
        }
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Ends the whole test when it takes too long: a birth that hangs cannot be waited for.
fn watch(done: &AtomicBool) {
    let start = Instant::now();
    while !done.load(Ordering::Relaxed) {
        if PATIENCE < start.elapsed() {
            eprintln!("a birth or a container hangs");
            std::process::exit(101);
        }
        thread::park_timeout(Duration::from_millis(100));
    }
}

#[test]
fn a_birth_costs_the_same_with_a_gibibyte_of_heap_and_busy_threads() {
    assert_eq!(Linux.call(Call::Geteuid {}), Ok(0), "the tests of the Linux backend need root");
    let _alone = ALONE.lock().expect("the other test has passed");
    let done = AtomicBool::new(false);
    let mut builder = Builder::new(1);
    let bytes = builder.block(b"born");
    builder.call(Call::Write { fd: Handle::slot(0), bytes });
    let program = builder.finish();
    thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&done));
        let small = births(&program, 500);
        let small_busy = in_bustle(|| births(&program, 500));
        let heap = dirty();
        let large = births(&program, 500);
        let large_busy = in_bustle(|| births(&program, SPAWNS));
        black_box(&heap);
        done.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        println!("small {small:?}, busy {small_busy:?}; large {large:?}, busy {large_busy:?}");
        assert!(large < small * 3, "quiet: {large:?} against {small:?}");
        assert!(large_busy < small_busy * 3, "busy: {large_busy:?} against {small_busy:?}");
    });
}

#[test]
fn containers_cost_the_same_with_a_gibibyte_of_heap_and_busy_threads() {
    let _alone = ALONE.lock().expect("the other test has passed");
    let place = common::Place::new();
    let runtime = Runtime::new(Linux, place.state()).expect("a kernel with /proc");
    let spec = Spec::usual(&place.rootfs(), ["sh", "-c", "exit 7"]);
    let create = Create { bundle: place.bundle(), spec, ..Create::default() };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&done));
        let [short, long] = LIVES;
        let small = in_bustle(|| lives(&runtime, &create, short));
        let heap = dirty();
        let large = in_bustle(|| lives(&runtime, &create, long));
        black_box(&heap);
        done.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        let count = large.len();
        let (small, large) = (median(small), median(large));
        println!(
            "figure: containers of {MAKERS} threads of a busy process with 1 GiB of heap, in {} s \
             | {count}, none hung; median {large:.1?}, with a small heap {small:.1?}",
            long.as_secs()
        );
        assert!(large < small * 3, "{large:?} against {small:?}");
    });
}
