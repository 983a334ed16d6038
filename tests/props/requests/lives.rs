//! Names, signals, and who comes second.

use super::*;
use cofferdam::backend::fake::{Action, Payload, Replay};
use cofferdam::spec::{Hook, NamespaceKind};
use cofferdam::sys::flags;
use cofferdam::testing::lifecycle::{Before, set};
use cofferdam::testing::{End, Scene};
use cofferdam::{Exec, Status};

#[test]
fn a_name_is_made_of_letters_digits_and_four_signs() {
    let stage = Stage::new(Profile::default());
    let runtime = stage.runtime();
    let before = stage.world.borrow().clone();
    let long = "a".repeat(201);
    for id in ["", ".", "..", "a/b", "a b", "\u{e9}", "a:", &long] {
        let refused = format!("invalid container ID format: {id:?}");
        assert_eq!(told(runtime.container(id)), refused);
        assert_eq!(told(runtime.create(id, &usual())), refused);
    }
    stage.is_clean(&before);
    for id in ["a", "Z9_+.-", "...", &long[1..]] {
        assert_eq!(runtime.container(id).expect("a name").id(), id);
    }
}

/// Whoever has run a container need not read its record to delete it, but must not take another
/// for it.
#[test]
fn who_has_run_a_container_deletes_that_one_only() {
    let stage = Stage::new(Profile::default());
    let before = stage.world.borrow().clone();
    let runtime = stage.runtime();
    let ended = || {
        let container = run(&runtime, &usual());
        container.kill(9).expect("is killed");
        container.wait().expect("is waited for");
        container
    };
    ended().delete().expect("is deleted");
    let [first, other] = [ended(), runtime.container(ID).expect("a name")];
    other.delete().expect("is deleted");
    assert_eq!(told(first.delete()), "container does not exist");
    let [first, other] = [ended(), runtime.container(ID).expect("a name")];
    other.delete().expect("is deleted");
    let second = ended();
    assert_eq!(told(first.delete()), "container does not exist");
    assert_eq!(second.state().expect("is told").status, Status::Stopped);
    // Asked again, it is asked by name.
    first.delete().expect("is deleted");
    stage.is_clean(&before);
}

/// Without a cgroup and namespaces there is only its first process to be signalled.
#[test]
fn a_signal_reaches_a_container_without_a_cgroup() {
    for (signal, status) in [(flags::SIGTERM, Status::Running), (flags::SIGKILL, Status::Stopped)] {
        let mut world = machine(Profile::default());
        let deaf = [Action::Ignore(flags::SIGTERM), Action::Sleep];
        world.payload("/bundle/rootfs/bin/sleep", Payload::from(deaf));
        let stage = Stage::of(world);
        let before = stage.world.borrow().clone();
        let mut create = usual();
        create.spec.cgroup.disabled = true;
        create.spec.namespaces.retain(|one| one.kind == NamespaceKind::Mount);
        let runtime = stage.runtime();
        let container = run(&runtime, &create);
        World::settle(&stage.world);
        container.kill(signal).expect("is signalled");
        World::settle(&stage.world);
        assert_eq!(container.state().expect("is told").status, status, "signal {signal}");
        container.force_delete().expect("is deleted");
        stage.is_clean(&before);
    }
}

#[test]
fn who_ignores_that_a_container_is_frozen_waits_for_its_thaw() {
    let exec = |kernel: &Replay<'_>| {
        let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
        let container = runtime.container(ID).expect("a name");
        let (process, _) = container.process().expect("is told");
        let mut process = process.expect("has a process");
        process.args = vec!["/bundle/rootfs/bin/false".to_owned()];
        let exec = Exec { process, ignore_paused: true, ..Exec::default() };
        let added = container.exec(&exec).map(|added| added.wait());
        added.map_or_else(|error| error.to_string(), |exit| format!("{exit:?}"))
    };
    let thaw = |kernel: &Replay<'_>| {
        let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
        let thawed = runtime.container(ID).and_then(|container| container.resume());
        thawed.map_or_else(|error| error.to_string(), |()| "done".to_owned())
    };
    let world = set(Before::Paused, &Profile::default());
    let mut scene = Scene::new(world).client("exec", exec).client("resume", thaw);
    let told = |end: Option<End<'_>>, text| end.is_none_or(|end| end.is(text));
    let walked = scene.walk(&mut |moment| {
        let ends: Vec<_> = moment.clients().map(|(_, end)| end).collect();
        let frozen = moment.world().read_file("/sys/fs/cgroup/a/cgroup.freeze");
        match ends[..] {
            [Some(_), _] if frozen.is_some_and(|said| said == b"1\n") => {
                Err("it has run in a frozen container".to_owned())
            }
            [exec, thaw] if told(exec, "Ok(Code(1))") && told(thaw, "done") => Ok(()),
            _ => Err(format!("{ends:?}")),
        }
    });
    let count = walked.unwrap_or_else(|failure| panic!("{}", failure.what));
    assert!(count.ends > 0);
}

/// The hooks behind a start run without the lock; what is undone behind them takes it again.
#[test]
fn a_hook_behind_the_start_that_fails_leaves_nothing() {
    let stage = Stage::new(Profile::default());
    let before = stage.world.borrow().clone();
    let mut create = usual();
    let path = "/bundle/rootfs/bin/false".to_owned();
    let args = vec![path.clone()];
    create.spec.hooks.poststart = vec![Hook { path, args, env: None, timeout_secs: None }];
    let runtime = stage.runtime();
    let refused = told(runtime.run(ID, &create));
    let expected = "error running poststart hook #0: exit status 1, stdout: , stderr: ";
    assert_eq!(refused, expected);
    stage.is_clean(&before);
}

/// Undoing stops at what the kernel keeps, so that its name is not lost.
#[test]
fn what_the_kernel_keeps_is_named_until_it_is_gone() {
    let stage = Stage::new(Profile::default());
    let before = stage.world.borrow().clone();
    let answer = |call: &Call<Live<'_>>| match call {
        Call::Spawn { .. } => Some(Err(Errno::EAGAIN)),
        Call::Unlinkat { path, .. } if path.to_bytes() == b"/sys/fs/cgroup/a" => {
            Some(Err(Errno::EBUSY))
        }
        _ => None,
    };
    let kernel = Odd { kernel: stage.kernel(), answer };
    let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
    let kept = "remove cgroup /sys/fs/cgroup/a: device or resource busy";
    let refused = told(runtime.create(ID, &usual()));
    assert!(refused.starts_with("make the container's first process: "), "{refused}");
    assert!(refused.ends_with(&format!("; then, undoing it: {kept}")), "{refused}");
    let container = runtime.container(ID).expect("a name");
    for _ in 0..2 {
        assert_eq!(told(container.force_delete()), kept);
        assert!(stage.world.borrow().exists("/run/cofferdam/a/record.json"));
    }
    stage.runtime().container(ID).expect("a name").force_delete().expect("is deleted");
    stage.is_clean(&before);
}

/// Without a pid namespace the end of init ends nobody else (pid_namespaces(7)).
#[test]
fn who_shares_the_host_s_numbers_is_ended_with_all_its_children() {
    for profile in [Profile::default(), Profile::v1(), Profile::oldest()] {
        for forced in [false, true] {
            let mut world = machine(profile.clone());
            let forks = Payload::from([Action::Fork(1), Action::Sleep, Action::Sleep]);
            world.payload("/bundle/rootfs/bin/sleep", forks);
            let stage = Stage::of(world);
            let before = stage.world.borrow().clone();
            let mut create = usual();
            create.spec.namespaces.retain(|one| one.kind != NamespaceKind::Pid);
            let runtime = stage.runtime();
            let container = run(&runtime, &create);
            World::settle(&stage.world);
            let all = container.processes().expect("is told");
            assert_eq!(all.len(), 2);
            if !forced {
                container.kill(flags::SIGKILL).expect("is killed");
                World::settle(&stage.world);
                assert!(!all.iter().any(|pid| stage.world.borrow().is_alive(*pid)));
            }
            container.force_delete().expect("is deleted");
            stage.is_clean(&before);
        }
    }
}
