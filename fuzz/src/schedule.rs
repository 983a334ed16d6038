//! Bytes choose which of some clients, or what of the world, moves next.

use arbitrary::Arbitrary;
use cofferdam::backend::fake::{Action, Payload};
use cofferdam::testing::lifecycle::{Before, ID, Judge, ROOT, Request, try_set};
use cofferdam::testing::{Moment, Scene, oracles};

use crate::made::{Choice, Kernel, whole};

/// No way of three requests is as long.
const STEPS_MAX: usize = 20_000;

#[derive(Debug, Arbitrary)]
struct Case<'a> {
    kernel: Kernel,
    before: Choice,
    clients: [Choice; 3],
    third: bool,
    deaths: Choice,
    faults: Choice,
    /// Somebody outside who has a child, and the number that one tries to get.
    stranger: Option<u8>,
    choices: &'a [u8],
}

/// Performs a case.
pub fn schedule(data: &[u8]) {
    let Some(case) = whole::<Case<'_>>(data) else { return };
    let profile = case.kernel.profile();
    // Without a freezer nothing is paused.
    let Ok(mut world) = try_set(case.before.of(&Before::ALL), &profile) else { return };
    if let Some(number) = case.stranger {
        world.stranger(Payload::from([Action::Fork(1), Action::Sleep, Action::Sleep]));
        world.next_pid(2 + u32::from(number) % (profile.pid_max - 2));
    }
    let deaths = case.deaths.of(&[0, 1, 2, 3]);
    let faults = case.faults.of(&[0, 0, 1, 2]);
    let mut scene = Scene::new(world).deaths(deaths).faults(faults);
    for choice in &case.clients[..if case.third { 3 } else { 2 }] {
        let request = choice.of(&Request::ALL);
        scene = scene.client(request.name(), request.body_on(&profile));
    }
    let mut steps = 0;
    let mut choices = case.choices.iter();
    let mut choose = |_: usize| {
        steps += 1;
        assert!(steps < STEPS_MAX, "it goes on for ever");
        // Behind the bytes everybody moves in turn.
        choices.next().map_or(steps, |choice| usize::from(*choice))
    };
    let mut judge = Judge::new(&profile);
    let alone = case.stranger.is_none();
    let way = scene.wander(&mut choose, &mut |moment| {
        oracles::authority(moment.world())?;
        if alone { judge.ask(moment) } else { among_strangers(moment) }
    });
    if let Err(failure) = way {
        panic!("{failure}");
    }
}

/// With a stranger on the machine, a program that runs is nobody's in particular.
fn among_strangers(moment: &Moment<'_, '_>) -> Result<(), String> {
    if !moment.is_over() {
        return Ok(());
    }
    oracles::authority(&oracles::progress(moment.world(), ROOT, ID)?)
}
