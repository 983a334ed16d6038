//! A container's number comes back as somebody else's, at any moment of any request.
//!
//! The number of a dead init is the next that is given, and a neighbour's child takes it.

mod pinned;

use cofferdam::backend::fake::{Action, Payload, Profile, World};
use cofferdam::testing::lifecycle::{Before, ID, ROOT, Request, set};
use cofferdam::testing::{Count, Scene, oracles};

use pinned::pinned;

/// Returns a machine with a neighbour who makes one child, which stays. It gets the number of the
/// container's init, if that is free: those before it are for so many clients.
fn machine(before: Before, profile: &Profile, clients: u32) -> World {
    let mut world = set(before, profile);
    world.stranger(Payload::from([Action::Fork(1), Action::Sleep, Action::Sleep]));
    let before_init = 2..init(profile);
    let taken = clients.saturating_sub(u32::try_from(before_init.len()).unwrap_or(0));
    world.next_pid(if taken == 0 { before_init.end - clients } else { profile.pid_max - taken });
    world
}

/// Returns the number that the container's init has, or has had.
fn init(profile: &Profile) -> u32 {
    let world = set(Before::Running, profile);
    let number = world.pids().into_iter().find(|pid| world.is_payload(*pid));
    number.expect("a container that runs has a payload")
}

/// Walks requests beside the neighbour.
fn walk(before: Before, requests: &[Request], profile: &Profile) -> Count {
    let clients = u32::try_from(requests.len()).unwrap_or(u32::MAX);
    let mut scene = Scene::new(machine(before, profile, clients)).deaths(1);
    for request in requests {
        scene = scene.client(request.name(), request.body());
    }
    let number = init(profile);
    let mut came_back = false;
    let count = scene.walk(&mut |moment| {
        let world = moment.world();
        came_back |= before == Before::Stopped && world.is_payload(number);
        oracles::authority(world)?;
        if moment.is_over() {
            oracles::authority(&oracles::progress(world, ROOT, ID)?)?;
        }
        Ok(())
    });
    let count = count.unwrap_or_else(|failure| panic!("{before}, {failure}"));
    assert_eq!(came_back, before == Before::Stopped, "{requests:?}: the number of init");
    count
}

/// Walks every request on a dead container, and beside a kill on one that lives.
fn all(profile: Profile) -> Count {
    let all: Count = Request::ALL
        .into_iter()
        .flat_map(|request| {
            [
                walk(Before::Stopped, &[request], &profile),
                walk(Before::Running, &[Request::Kill, request], &profile),
            ]
        })
        .sum();
    let Count { states, transitions, ends, .. } = all;
    println!(
        "figure: explored: numbers that come back, cgroup {:?} | {states} states, {transitions} \
         transitions, {ends} ends, 0 oracle failures",
        profile.cgroups
    );
    all
}

#[test]
fn a_number_that_comes_back_is_a_stranger_s_on_cgroup_v2() {
    let expected = Count { ends: 14_097, states: 148_921, transitions: 359_240, cut: 0 };
    pinned(all(Profile::default()), expected);
}

#[test]
fn a_number_that_comes_back_is_a_stranger_s_on_cgroup_v1() {
    let expected = Count { ends: 10_256, states: 142_411, transitions: 359_649, cut: 0 };
    pinned(all(Profile::v1()), expected);
}
