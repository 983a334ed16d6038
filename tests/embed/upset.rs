//! What a kernel may answer at any time, and what others may do meanwhile.

use std::cell::Cell;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use cofferdam::backend::linux::Linux;
use cofferdam::spec::{Hook, Spec};
use cofferdam::sys::{Call, Errno, Kernel, Live, flags};
use cofferdam::{Create, Exit, Runtime, Status};

use super::common::Place;
use super::{runtime, script};

/// Linux for a caller who gets a signal every ten milliseconds.
#[derive(Debug)]
struct Signalled;

impl Kernel for Signalled {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        const OFTEN_MS: i32 = 10;
        match call {
            Call::Poll { fds, timeout_ms } if !(0..OFTEN_MS).contains(&timeout_ms) => {
                match Linux.call(Call::Poll { fds, timeout_ms: OFTEN_MS }) {
                    Ok(0) => Err(Errno::EINTR),
                    answer => answer,
                }
            }
            Call::Poll { fds: [], .. } => Err(Errno::EINTR),
            call => Linux.call(call),
        }
    }
}

/// Linux, which for some number of times does not open what links may lead to.
#[derive(Debug)]
struct Unresolved {
    times: Cell<u32>,
    errno: Errno,
}

impl Kernel for Unresolved {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        match (call, self.times.get()) {
            (Call::Openat2 { resolve, .. }, 1..) if resolve & flags::RESOLVE_IN_ROOT != 0 => {
                self.times.set(self.times.get() - 1);
                Err(self.errno)
            }
            (call, _) => Linux.call(call),
        }
    }
}

fn sleeping(seconds: &str, timeout_secs: Option<u32>) -> Hook {
    let args = vec!["sleep".to_owned(), seconds.to_owned()];
    Hook { path: "/bin/sleep".to_owned(), args, env: None, timeout_secs }
}

#[test]
fn signals_for_the_caller_change_nothing() {
    let place = Place::new();
    let runtime = Runtime::new(Signalled, place.state()).unwrap();
    let mut create = script(&place, "sleep 100");
    create.spec.hooks.create_runtime = vec![sleeping("0.1", None), sleeping("0.1", Some(10))];
    let container = runtime.create("signals", &create).unwrap();
    container.start().unwrap();
    container.pause().unwrap();
    container.resume().unwrap();
    container.force_delete().unwrap();
    assert!(container.state().unwrap_err().is_not_found());
}

#[test]
fn signals_for_the_caller_give_no_hook_more_time() {
    let place = Place::new();
    let runtime = Runtime::new(Signalled, place.state()).unwrap();
    let mut create = script(&place, "true");
    create.spec.hooks.create_runtime = vec![sleeping("100", Some(1))];
    let before = Instant::now();
    let error = runtime.create("late-hook", &create).unwrap_err().to_string();
    assert!(error.contains("ran past specified timeout of 1.0s"), "{error}");
    assert!(before.elapsed() < Duration::from_secs(20));
}

#[test]
fn the_home_of_a_user_is_looked_for_until_it_can_be_said() {
    let place = Place::new();
    let etc = format!("{}/etc", place.rootfs());
    std::fs::rename(format!("{etc}/passwd"), format!("{etc}/users")).unwrap();
    symlink("/etc/users", format!("{etc}/passwd")).unwrap();
    let program = ["sh", "-c", r#"[ "$HOME" = /root ]"#];
    let mut spec = Spec::usual(&place.rootfs(), program);
    spec.process.as_mut().unwrap().env.retain(|entry| !entry.starts_with("HOME="));
    let create = Create { bundle: place.bundle(), spec, ..Create::default() };
    let run = |times, errno| {
        let kernel = Unresolved { times: Cell::new(times), errno };
        let runtime = Runtime::new(kernel, place.state()).unwrap();
        let container = runtime.run("home", &create).map_err(|error| error.to_string())?;
        let ended = container.wait();
        container.delete().unwrap();
        ended.map_err(|error| error.to_string())
    };
    // openat2(2): a link met a change of the tree, anywhere.
    assert_eq!(run(3, Errno::EAGAIN), Ok(Exit::Code(0)));
    assert_eq!(run(1, Errno::ENOENT), Ok(Exit::Code(1)), "nobody is known");
    let error = run(1, Errno::EMFILE).unwrap_err();
    assert!(error.ends_with("/etc/passwd: too many open files"), "{error}");
}

#[test]
fn whoever_has_run_a_container_removes_no_other_of_its_name() {
    let place = Place::new();
    let runtime = runtime(&place);
    let container = runtime.run("replaced", &script(&place, "true")).unwrap();
    container.wait().unwrap();
    runtime.container("replaced").unwrap().force_delete().unwrap();
    let other = runtime.run("replaced", &script(&place, "true")).unwrap();
    other.wait().unwrap();
    assert!(container.delete().unwrap_err().is_not_found());
    assert_eq!(other.state().unwrap().status, Status::Stopped);
    other.delete().unwrap();
}
