use std::cell::{Cell, RefCell};

use super::{Action, Payload, Profile, World};
use crate::sys::{Builder, CWD, Call, Child, Errno, Handle, Kernel, RawFd, Syscalls, flags};

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
