//! The world itself: what its processes see of each other, and what it tells of its clients.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Action, Gait, Histories, History, Payload, Pid, Profile, Progress, Time, World};
use crate::sys::{Builder, CWD, Call, Child, Errno, Handle, Kernel, RawFd, Syscalls, flags};

/// One call, however long it waits.
const ONE: (Gait, Time) = (Gait::Step, Time::Passes);

fn world() -> World {
    let mut world = World::new(Profile::default());
    world.payload("/bin/sleep", Payload::sleep());
    world.payload("/bin/three", Payload::exit(3));
    world
}

/// Returns a program that executes a file.
fn exec(path: &str) -> crate::sys::Program {
    let mut builder = Builder::new(1);
    let path_text = builder.text(path);
    let argv = builder.list([path]);
    let envp = builder.list([]);
    builder.call(Call::Execve { path: path_text, argv, envp });
    builder.finish()
}

fn child<'a>(program: &'a crate::sys::Program, given: &'a [RawFd]) -> Child<'a> {
    Child { namespaces: 0, cgroup: None, tasks: &[], given, mapped: false, code: program.code() }
}

fn wait<K: Kernel>(kernel: &K, pid: u32) -> Result<u32, Errno> {
    let status: [Cell<u8>; 4] = Default::default();
    kernel.call(Call::Wait4 { pid, status: &status, options: 0 })?;
    Ok(u32::from_le_bytes(status.each_ref().map(Cell::get)))
}

#[test]
fn a_child_runs_its_program_and_its_status_is_waited_for() {
    let world = RefCell::new(world());
    let pid = world.borrow_mut().client();
    let kernel = World::process(&world, pid);
    let [mine, its] = kernel.socketpair().unwrap();
    let program = exec("/bin/three");
    let (number, pidfd) = kernel.spawn(child(&program, &[its.raw()])).unwrap();
    drop(its);
    assert_eq!(kernel.poll([(pidfd.raw(), flags::POLLIN)], -1).unwrap(), [flags::POLLIN]);
    assert_eq!(wait(&kernel, number), Ok(3 << 8));
    assert_eq!(kernel.read(mine.raw(), &mut [0; 8]).unwrap(), b"");
}

#[test]
fn a_program_that_fails_reports_its_operation_and_its_errno() {
    let world = RefCell::new(world());
    let pid = world.borrow_mut().client();
    let kernel = World::process(&world, pid);
    let [mine, its] = kernel.socketpair().unwrap();
    let program = exec("/bin/nothing");
    let (number, _pidfd) = kernel.spawn(child(&program, &[its.raw()])).unwrap();
    drop(its);
    let mut report = [0; 8];
    assert_eq!(kernel.read(mine.raw(), &mut report).unwrap(), [b'F', 0, 0, 0, 2, 0]);
    assert_eq!(wait(&kernel, number), Ok(1 << 8));
}

#[test]
fn a_program_forks_and_waits() {
    let world = RefCell::new(world());
    let pid = world.borrow_mut().client();
    let kernel = World::process(&world, pid);
    let [mine, its] = kernel.socketpair().unwrap();
    let mut builder = Builder::new(1);
    let slot = builder.take();
    let fork = builder.fork(0, slot);
    builder.call(Call::Exit { status: 7 });
    builder.land(fork);
    builder.push(
        crate::sys::Act::Tell { fd: Handle::slot(0), slot },
        crate::sys::OnError::Fail,
        crate::sys::Slot::NONE,
    );
    let program = builder.finish();
    let (number, _pidfd) = kernel.spawn(child(&program, &[its.raw()])).unwrap();
    drop(its);
    let mut told = [0; 4];
    kernel.read(mine.raw(), &mut told).unwrap();
    assert_eq!(u32::from_le_bytes(told), number + 1);
    assert_eq!(wait(&kernel, number), Ok(0));
    World::settle(&world);
    assert_eq!(world.borrow().pids().len(), 2);
}

#[test]
fn files_keep_what_is_written() {
    let world = RefCell::new(world());
    let pid = world.borrow_mut().client();
    let kernel = World::process(&world, pid);
    kernel.mkdir(CWD, c"/run/c", 0o700).unwrap();
    let how = flags::O_CREAT | flags::O_EXCL | flags::O_RDWR;
    let file = kernel.open_with(CWD, c"/run/c/state", how, 0o600).unwrap();
    kernel.write_all(file.raw(), b"hello").unwrap();
    assert_eq!(world.borrow().read_file("/run/c/state").unwrap(), b"hello");
    let stat = kernel.read_all(kernel.open(CWD, c"/proc/self/stat", 0).unwrap().raw()).unwrap();
    let stat = String::from_utf8(stat).unwrap();
    assert_eq!(stat.split(' ').nth(21), Some("100"));
}

#[test]
fn a_file_takes_more_than_a_pipe_holds() {
    let world = RefCell::new(World::new(Profile::narrow()));
    let pid = world.borrow_mut().client();
    let kernel = World::process(&world, pid);
    let name = c"state";
    let file = kernel.give(Call::MemfdCreate { name, flags: flags::MFD_CLOEXEC }).unwrap();
    assert_eq!(kernel.write(file.raw(), b"more than a byte"), Ok(16));
}

#[test]
fn an_ignored_signal_does_not_kill_and_a_sigkill_does() {
    let mut fresh = world();
    fresh.payload("/bin/stubborn", Payload::from([Action::Ignore(15), Action::Sleep]));
    let world = RefCell::new(fresh);
    let pid = world.borrow_mut().client();
    let kernel = World::process(&world, pid);
    let [_mine, its] = kernel.socketpair().unwrap();
    let program = exec("/bin/stubborn");
    let (number, pidfd) = kernel.spawn(child(&program, &[its.raw()])).unwrap();
    World::settle(&world);
    for signal in [flags::SIGTERM, flags::SIGKILL] {
        kernel.call(Call::PidfdSendSignal { fd: pidfd.raw(), signal }).unwrap();
    }
    assert_eq!(wait(&kernel, number), Ok(9));
    assert_eq!(world.borrow().signals().len(), 2);
    let again = kernel.call(Call::PidfdSendSignal { fd: pidfd.raw(), signal: flags::SIGTERM });
    assert_eq!(again, Err(Errno::ESRCH));
}

/// Takes the lock, counts one up in the file, leaves the lock by closing.
fn count_up(kernel: &super::Replay<'_>) -> Result<(), Errno> {
    let lock = kernel.open_with(CWD, c"/run/lock", flags::O_CREAT | flags::O_RDWR, 0o600)?;
    kernel.call(Call::Flock { fd: lock.raw(), operation: flags::LOCK_EX })?;
    let file = kernel.open_with(CWD, c"/run/count", flags::O_CREAT | flags::O_RDWR, 0o600)?;
    let mut block = [0; 8];
    let count = kernel.read(file.raw(), &mut block)?.len();
    drop(file);
    let file = kernel.open(CWD, c"/run/count", flags::O_WRONLY)?;
    kernel.write_all(file.raw(), &vec![b'x'; count + 1])
}

/// Explores every interleaving of the clients, each of which may be killed where `kills` says so.
fn explore(kills: bool) -> HashSet<(World, Vec<(Pid, History)>)> {
    let mut fresh = world();
    let mut histories = Histories::default();
    let first = histories.add(Box::new(|kernel| format!("{:?}", count_up(kernel))));
    let clients = vec![(fresh.client(), first), (fresh.client(), first)];
    let mut todo = vec![(fresh, clients)];
    let mut seen = HashSet::new();
    while let Some(state) = todo.pop() {
        if !seen.insert(state.clone()) {
            continue;
        }
        for at in 0..state.1.len() {
            let (mut world, mut clients) = state.clone();
            let (pid, history) = clients[at];
            match histories.advance(&mut world, (pid, history), ONE) {
                Progress::Asked(next) if histories.told(next).is_some() => {
                    assert_eq!(histories.told(next), Some("Ok(())"));
                    clients.remove(at);
                    world.end_client(pid);
                }
                Progress::Asked(next) => clients[at].1 = next,
                Progress::Blocked => (),
                Progress::Killed => unreachable!("only this test kills"),
            }
            todo.push((world, clients));
            if kills {
                let (mut world, mut clients) = state.clone();
                world.kill_client(clients.remove(at).0);
                todo.push((world, clients));
            }
        }
    }
    seen
}

#[test]
fn a_lock_makes_two_clients_count_to_two_in_every_interleaving() {
    let seen = explore(false);
    let ends: Vec<_> = seen.iter().filter(|(_, clients)| clients.is_empty()).collect();
    assert!(seen.len() > 20, "there is something to interleave: {}", seen.len());
    for (world, _) in ends {
        assert_eq!(world.read_file("/run/count").unwrap(), b"xx");
        assert_eq!(world.violations(), [""; 0]);
    }
}

#[test]
fn a_client_killed_anywhere_leaves_neither_lock_nor_descriptor() {
    let before = world();
    for (world, clients) in explore(true) {
        if clients.is_empty() {
            let left = world.residue(&before);
            assert!(!left.iter().any(|line| line.contains("lock E")), "{left:?}");
            assert_eq!(world.pids().len(), 1);
        }
    }
}

#[test]
fn a_number_comes_back_only_after_all_others_and_names_another_life() {
    let mut world = World::new(Profile { pid_max: 8, ..Profile::default() });
    let first = world.stranger(Payload::exit(0));
    let started = world.task(first).started;
    world.quiesce();
    assert!(!world.pids().contains(&first));
    let mut others = Vec::new();
    loop {
        let pid = world.stranger(Payload::exit(0));
        if pid == first {
            break;
        }
        world.quiesce();
        others.push(pid);
    }
    assert_eq!(others, [3, 4, 5, 6, 7]);
    assert_ne!(world.task(first).started, started);
}

#[test]
fn a_descriptor_of_a_process_that_is_gone_does_not_reach_the_next_of_its_number() {
    let world = RefCell::new(World::new(Profile { pid_max: 4, ..Profile::default() }));
    let pid = world.borrow_mut().client();
    let kernel = World::process(&world, pid);
    let victim = world.borrow_mut().stranger(Payload::exit(0));
    let pidfd = kernel.give(Call::PidfdOpen { pid: victim, flags: 0 }).unwrap();
    let stat = kernel.open(CWD, c"/proc/3/stat", 0).unwrap();
    World::settle(&world);
    assert_eq!(world.borrow_mut().stranger(Payload::sleep()), victim);
    let signal = flags::SIGKILL;
    let sent = kernel.call(Call::PidfdSendSignal { fd: pidfd.raw(), signal });
    assert_eq!(sent, Err(Errno::ESRCH));
    assert_eq!(kernel.read_all(stat.raw()), Err(Errno::ESRCH));
}

#[test]
fn a_body_that_changes_its_mind_is_found_out() {
    type Ask = fn(&super::Replay<'_>, bool) -> Result<u64, Errno>;
    let asks: [Ask; 5] = [
        |kernel, first| kernel.stat(CWD, if first { c"/run" } else { c"/tmp" }, 0).map(|_| 0),
        |kernel, first| kernel.stat(CWD, c"/run", u32::from(first)).map(|_| 0),
        |kernel, first| kernel.write(1, if first { b"a" } else { b"ab" }).map(|_| 0),
        |kernel, first| kernel.read(0, &mut [0; 8][..4 + usize::from(first)]).map(|_| 0),
        |kernel, first| kernel.call(if first { Call::Getpid {} } else { Call::Geteuid {} }),
    ];
    for ask in asks {
        let mut world = world();
        let pid = world.client();
        let times = Cell::new(0);
        let mut histories = Histories::default();
        let first = histories.add(Box::new(|kernel| {
            times.set(times.get() + 1);
            format!("{:?}", (ask(kernel, times.get() == 1), kernel.stat(CWD, c"/dev", 0)))
        }));
        let said = complaint(|| histories.advance(&mut world, (pid, first), ONE));
        assert!(said.contains("not deterministic"), "{said}");
    }
}

#[test]
fn a_body_goes_on_over_what_is_nobody_elses_concern() {
    let mut world = world();
    let pid = world.client();
    let times = Cell::new(0);
    let mut histories = Histories::default();
    let first = histories.add(Box::new(|kernel| {
        times.set(times.get() + 1);
        let user = kernel.call(Call::Geteuid {});
        let files = [(); 2].map(|()| kernel.open(CWD, c"/proc/self/stat", 0).is_ok());
        format!("{:?}", (user, files))
    }));
    let at = match histories.advance(&mut world, (pid, first), (Gait::Stride, Time::Stands)) {
        Progress::Asked(at) => at,
        other => panic!("{other:?}"),
    };
    let asked: Vec<_> = histories.since(at, first).iter().map(|asked| asked.name).collect();
    assert_eq!(asked, ["geteuid", "openat2", "close", "openat2", "close"]);
    assert_eq!(histories.told(at), Some("(Ok(0), [true, true])"));
    // To its first call, to its end, and in debug builds there once more.
    assert_eq!(times.get(), 2 + u64::from(cfg!(debug_assertions)));
}

#[test]
fn a_body_is_run_once_for_each_history_and_performed_from_then_on() {
    let fresh = world();
    let times = Cell::new(0);
    let mut histories = Histories::default();
    let first = histories.add(Box::new(|kernel| {
        times.set(times.get() + 1);
        let fd = kernel.open(CWD, c"/proc/self/stat", 0);
        format!("{:?}", fd.map(|fd| kernel.read_all(fd.raw()).map(|bytes| bytes.len())))
    }));
    let mut ends = HashSet::new();
    for _ in 0..3 {
        let mut world = fresh.clone();
        let (pid, mut at) = (world.client(), first);
        while histories.told(at).is_none() {
            let Progress::Asked(next) = histories.advance(&mut world, (pid, at), ONE) else {
                panic!("nothing blocks here")
            };
            at = next;
        }
        ends.insert((world, at));
    }
    assert_eq!(ends.len(), 1);
    // In debug builds an end is looked at twice.
    assert_eq!(times.get(), histories.len() + usize::from(cfg!(debug_assertions)));
}

#[test]
fn closing_what_is_not_open_is_written_down() {
    let world = RefCell::new(world());
    let pid = world.borrow_mut().client();
    let kernel = World::process(&world, pid);
    assert_eq!(kernel.call(Call::Close { fd: 77 }), Err(Errno::EBADF));
    assert_eq!(world.borrow().violations().len(), 1);
}

#[test]
fn a_wait_that_nobody_can_end_is_found_out() {
    let world = RefCell::new(world());
    let pid = world.borrow_mut().client();
    let kernel = World::process(&world, pid);
    let [mine, _its] = kernel.socketpair().unwrap();
    let said = complaint(|| kernel.read(mine.raw(), &mut [0; 1]).map(<[u8]>::len));
    assert!(said.contains("deadlock"), "{said}");
}

/// Returns what a panic says; nothing if there is none.
fn complaint<R>(body: impl FnOnce() -> R) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(body)) else { return String::new() };
    panic.downcast::<String>().map_or_else(|_| String::new(), |text| *text)
}

/// Returns whether the caller of a profile makes a directory there.
fn makes(profile: Profile, path: &str) -> Result<(), Errno> {
    let mut world = World::new(profile);
    let pid = world.client();
    let world = RefCell::new(world);
    let path = std::ffi::CString::new(path).unwrap();
    World::process(&world, pid).mkdir(CWD, &path, 0o755)
}

#[test]
fn a_caller_has_what_its_profile_says() {
    let cgroups = "/sys/fs/cgroup";
    for (profile, refused, given) in [
        (Profile::rootless(), cgroups.to_owned(), Some(format!("{cgroups}/user"))),
        (Profile::nested(), cgroups.to_owned(), Some(format!("{cgroups}/user"))),
        (Profile::rootless_without_cgroups(), format!("{cgroups}/freezer"), None),
    ] {
        assert_eq!(makes(profile.clone(), &format!("{refused}/a")), Err(Errno::EACCES));
        assert_eq!(makes(profile.clone(), "/run/a"), Ok(()));
        if let Some(given) = given {
            assert_eq!(makes(profile.clone(), &format!("{given}/a")), Ok(()));
            let mut world = World::new(profile);
            let pid = world.client();
            let world = RefCell::new(world);
            let kernel = World::process(&world, pid);
            let limit = std::ffi::CString::new(format!("{given}/memory.max")).unwrap();
            let opened = kernel.open(CWD, &limit, flags::O_WRONLY).map(drop);
            assert_eq!(opened, Err(Errno::EACCES), "the limits of the whole are another's");
        }
    }
    assert_eq!(makes(Profile::rootless(), "/bin/a"), Err(Errno::EACCES));
    assert_eq!(makes(Profile::nested(), "/bin/a"), Ok(()), "its files are its own");
}
