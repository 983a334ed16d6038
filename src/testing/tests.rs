//! Small scenes, each of which has one thing to be found.

use std::collections::BTreeSet;

use super::{End, Scene};
use crate::backend::fake::{Profile, Replay, World};
use crate::sys::{CWD, Syscalls, TABLE};

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
