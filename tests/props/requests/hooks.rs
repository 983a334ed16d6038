//! Programs on the way: what they write, how long they take, and what they are told of.

use super::*;
use std::cell::Cell;

use cofferdam::Status;
use cofferdam::backend::fake::{Action, Payload};
use cofferdam::spec::{Hook, Hooks};

/// A machine whose `/bin/loud` writes that and fails, within the image and outside of it.
fn loud(text: &[u8]) -> Stage {
    let mut world = machine(Profile::default());
    let payload = Payload::from([Action::WriteOut(text.into()), Action::Exit(3)]);
    world.payload("/bundle/rootfs/bin/loud", payload.clone());
    world.payload("/bin/loud", payload);
    world.payload("/bin/slow", Payload::sleep());
    world.payload("/bin/true", Payload::exit(0));
    world.payload("/bundle/rootfs/bin/slow", Payload::sleep());
    Stage::of(world)
}

fn hook(path: &str, timeout_secs: Option<u32>) -> Vec<Hook> {
    vec![Hook { path: path.to_owned(), args: vec![path.to_owned()], env: None, timeout_secs }]
}

fn with(hooks: Hooks) -> Create {
    let mut create = usual();
    create.spec.hooks = hooks;
    create
}

#[test]
fn what_a_hook_wrote_is_told_with_its_failure() {
    let long = [&[b'x'; 4000][..], &[b'y'; 4000]].concat();
    let end = format!("... {}{}", "x".repeat(96), "y".repeat(4000));
    for (text, told) in [(&b"no"[..], "no"), (&long, &end)] {
        let said = format!("exit status 3, stdout: {told}, stderr: ");
        let stage = loud(text);
        let before = stage.world.borrow().clone();
        let runtime = stage.runtime();
        let outside = with(Hooks { create_runtime: hook("/bin/loud", None), ..Hooks::default() });
        let refused = super::told(runtime.create(ID, &outside));
        assert_eq!(refused, format!("error running createRuntime hook #0: {said}"));
        stage.is_clean(&before);
        // Whoever starts a container is not who has opened the files of its hooks.
        let within = with(Hooks { start_container: hook("/bin/loud", None), ..Hooks::default() });
        runtime.create(ID, &within).expect("is created");
        let container = runtime.container(ID).expect("a name");
        let refused = super::told(container.start());
        assert_eq!(refused, format!("error running startContainer hook #0: {said}"));
        World::settle(&stage.world);
        assert_eq!(container.state().expect("is told").status, Status::Stopped);
        container.delete().expect("is deleted");
        stage.is_clean(&before);
    }
}

#[test]
fn a_hook_that_takes_too_long_says_so() {
    let stage = loud(b"");
    let before = stage.world.borrow().clone();
    let runtime = stage.runtime();
    let late = "hook ran past specified timeout of 2.0s";
    let outside = with(Hooks { prestart: hook("/bin/slow", Some(2)), ..Hooks::default() });
    assert_eq!(
        told(runtime.create(ID, &outside)),
        format!("error running prestart hook #0: {late}")
    );
    let within = with(Hooks { start_container: hook("/bin/slow", Some(2)), ..Hooks::default() });
    let container = runtime.create(ID, &within).expect("is created");
    assert_eq!(told(container.start()), format!("error running startContainer hook #0: {late}"));
    container.force_delete().expect("is deleted");
    stage.is_clean(&before);
}

#[test]
fn signals_to_the_maker_cut_no_hook_short() {
    for timeout in [None, Some(2)] {
        let stage = loud(b"no");
        let before = stage.world.borrow().clone();
        let interrupted = Cell::new(false);
        let answer = |call: &Call<Live<'_>>| {
            let asked = matches!(call, Call::Poll { .. });
            (asked && !interrupted.replace(!interrupted.get())).then_some(Err(Errno::EINTR))
        };
        let kernel = Odd { kernel: stage.kernel(), answer };
        let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
        let hooks = |path| Hooks { create_runtime: hook(path, timeout), ..Hooks::default() };
        let refused = told(runtime.create(ID, &with(hooks("/bin/loud"))));
        assert!(refused.ends_with("exit status 3, stdout: no, stderr: "), "{refused}");
        let container = runtime.create(ID, &with(hooks("/bin/true"))).expect("is created");
        container.force_delete().expect("is deleted");
        stage.is_clean(&before);
    }
}
