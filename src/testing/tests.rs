//! Small scenes, each of which has one thing to be found.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::lifecycle::{Before, ID, ROOT, set};
use super::{Count, End, Never, Scene, oracles};
use crate::backend::fake::{Profile, Replay, World};
use crate::sys::{CWD, Call, Errno, Kernel, Syscalls, TABLE};
use crate::{Runtime, Status};

fn world() -> World {
    World::new(Profile::default())
}

#[test]
fn a_fault_is_tried_with_every_error_of_the_call() {
    let body = |kernel: &Replay<'_>| format!("{:?}", kernel.mkdir(CWD, c"/run/a", 0o700));
    let mut told = BTreeSet::new();
    let count = Scene::new(world()).client("a", body).faults(1).walk(&mut |moment| {
        for (_, end) in moment.clients() {
            if let Some(End::Told(text)) = end {
                told.insert(text.to_owned());
            }
        }
        Ok(())
    });
    let row = TABLE.iter().find(|row| row.name == "mkdirat").unwrap();
    let mut expected: BTreeSet<_> =
        row.errnos.iter().map(|errno| format!("Err({errno:?})")).collect();
    expected.insert("Ok(())".to_owned());
    assert_eq!(told, expected);
    assert_eq!(count.map(|count| count.ends), Ok(expected.len()));
}

#[test]
fn who_waits_for_ever_is_told() {
    let body = |kernel: &Replay<'_>| {
        let [mine, _its] = kernel.socketpair().unwrap();
        format!("{:?}", kernel.read(mine.raw(), &mut [0; 8]))
    };
    let failure = Scene::new(world()).client("a", body).walk(&mut |_| Ok(())).unwrap_err();
    assert_eq!(failure.what, "deadlock: a waits for ever");
}

#[test]
fn a_death_is_tried_in_every_state() {
    let body = |kernel: &Replay<'_>| format!("{:?}", kernel.mkdir(CWD, c"/run/a", 0o700));
    let mut killed = 0;
    let count = Scene::new(world()).client("a", body).deaths(1).walk(&mut |moment| {
        killed += moment.clients().filter(|(_, end)| *end == Some(End::Killed)).count();
        Ok(())
    });
    assert_eq!((killed, count.map(|count| (count.states, count.ends))), (1, Ok((3, 2))));
}

/// Two who want the same directory.
fn rivals() -> Scene<'static> {
    let body = |kernel: &Replay<'_>| format!("{:?}", kernel.mkdir(CWD, c"/run/a", 0o700));
    Scene::new(world()).client("a", body).client("b", body)
}

#[test]
fn only_chosen_calls_fail_with_chosen_errors() {
    let mut scene =
        rivals().faults(1).faults_among([("mkdirat", Errno::ENOSPC), ("read", Errno::EIO)]);
    let count = scene.walk(&mut |_| Ok(())).unwrap();
    assert_eq!(count.ends, 4, "either is the first, and the other one fails or is too late");
    let faults: Vec<_> = scene.coverage().iter().map(|client| client.faults).collect();
    assert_eq!(faults, [2, 2]);
}

#[test]
fn coverage_counts_the_states_in_which_a_call_was_answered_so() {
    let mut scene = rivals().deaths(1);
    scene.walk(&mut |_| Ok(())).unwrap();
    let [a, b] = &scene.coverage()[..] else { panic!("two clients") };
    assert_eq!((a.client.as_str(), b.client.as_str()), ("a", "b"));
    // Alone, behind the other one's death, and behind the other one's call.
    let calls = [(("mkdirat", None), 2), (("mkdirat", Some(Errno::EEXIST)), 1)];
    assert_eq!(a.calls, BTreeMap::from(calls));
    let mut one = a.clone();
    one.client = "b".to_owned();
    assert_eq!(&one, b);
    assert_eq!((a.deaths, a.ends["killed"]), (2, 1), "whoever was first, the end is one");
}

#[test]
fn a_bounded_walk_tells_how_much_it_has_left_out() {
    let whole = rivals().walk(&mut |_| Ok(())).unwrap();
    assert_eq!(whole, Count { cut: 0, ends: 2, states: 5, transitions: 4 });
    let shallow = rivals().depth(1).walk(&mut |_| Ok(())).unwrap();
    assert_eq!(shallow, Count { cut: 2, ends: 0, states: 3, transitions: 2 });
    let few = rivals().states(2).walk(&mut |_| Ok(())).unwrap();
    assert_eq!(few, Count { cut: 2, ends: 0, states: 3, transitions: 2 });
}

#[test]
fn what_never_happens_is_found_again_on_its_way() {
    let mut scene = rivals();
    let mut never = Never::new(["b: mkdirat \"/run/a\" = EEXIST"]);
    let failure = scene.walk(&mut |moment| never.ask(moment)).unwrap_err();
    assert_eq!(failure.what, "never: b: mkdirat \"/run/a\" = EEXIST");
    let again = scene.replay(&failure.story.choices, &mut |moment| never.ask(moment));
    assert_eq!(again, Err(failure));
    let fine = scene.replay("0", &mut |moment| never.ask(moment)).unwrap();
    assert_eq!(fine.lines(), ["a: mkdirat = 0, then: Ok(())"]);
    let astray = scene.replay("0 7", &mut |_| Ok(())).unwrap_err();
    assert_eq!(astray.what, "no choice 7 here: this is another scene");
    assert_eq!(astray.story, fine);
    assert!(scene.replay("x", &mut |_| Ok(())).is_err());
}

#[test]
fn whoever_wanders_goes_one_way_to_its_end() {
    let mut scene = rivals();
    let story = scene.wander(&mut |_| 3, &mut |_| Ok(())).unwrap();
    assert_eq!(
        story.lines(),
        ["b: mkdirat = 0, then: Ok(())", "a: mkdirat = EEXIST, then: Err(EEXIST)"]
    );
    assert_eq!(scene.replay(&story.choices, &mut |_| Ok(())), Ok(story));
    let failure = rivals().deaths(1).wander(&mut |count| count - 1, &mut |moment| {
        let killed = moment.clients().any(|(_, end)| end == Some(End::Killed));
        if killed { Err("somebody is killed".to_owned()) } else { Ok(()) }
    });
    let failure = failure.unwrap_err();
    assert_eq!(failure.what, "somebody is killed");
    assert_eq!(failure.story.lines(), ["b is killed"]);
}

#[test]
fn it_is_true_that_one_is_paused_who_waits_to_be_started() {
    let world = RefCell::new(set(Before::Created, &Profile::default()));
    let pid = world.borrow_mut().client();
    let runtime = Runtime::new(World::process(&world, pid), ROOT).unwrap();
    let container = runtime.container(ID).unwrap();
    container.pause().unwrap();
    assert_eq!(container.state().unwrap().status, Status::Paused);
    assert_eq!(oracles::truth(&world.borrow(), ROOT, ID), Ok(()));
}

#[test]
fn a_diagram_has_a_column_for_each_client_and_ends_with_him() {
    let pid = |kernel: &Replay<'_>| format!("<{:?}> & gone", kernel.call(Call::Getpid {}));
    let mut scene = rivals().deaths(1).client("c", pid);
    let failure = scene.walk(&mut |moment| {
        let first = moment.clients().next().and_then(|(_, end)| end);
        if first == Some(End::Killed) && moment.is_over() {
            Err("it is over".to_owned())
        } else {
            Ok(())
        }
    });
    let story = failure.unwrap_err().story;
    insta::assert_snapshot!(story.diagram(), @r#"
    a           b                      c
    |           |                      |
    |           mkdirat "/run/a" = 0   |
    |           then: Ok(())           |
    |                                  getpid = 4
    |                                  then: <Ok(4)> & gone
    is killed
    "#);
    let svg = story.diagram().svg();
    assert!(svg.contains("&gt; &amp; gone</text>"), "{svg}");
    assert!(svg.contains("<text class=\"death\""), "{svg}");
}
