//! Whole lives of containers, as proptest makes them up, on the kernel in memory.
//!
//! [`lifecycles`] is a strategy: take it into your own tests, and put your own requests into it.
//! What proptest finds it makes smaller, down to a shortest life that still goes wrong.
//!
//! `cargo run --example lifecycles` prints one such life, and lives a thousand.

use std::cell::RefCell;
use std::process::ExitCode;

use cofferdam::backend::fake::{Payload, Profile, World};
use cofferdam::spec::Spec;
use cofferdam::testing::oracles;
use cofferdam::{Create, Error, Runtime};
use proptest::prelude::{Just, Strategy, TestCaseError, prop_oneof};
use proptest::test_runner::{Config, TestRunner};

const ROOT: &str = "/run/lifecycles";
const ID: &str = "life";

/// What can be asked of a container.
#[derive(Clone, Copy, Debug)]
enum Request {
    Create,
    Delete,
    ForceDelete,
    Kill,
    Pause,
    Resume,
    Run,
    Start,
}

/// Makes up lives of up to so many requests; more of them begin than end.
fn lifecycles(longest: usize) -> impl Strategy<Value = Vec<Request>> {
    let request = prop_oneof![
        3 => Just(Request::Create),
        2 => Just(Request::Run),
        3 => Just(Request::Start),
        2 => Just(Request::Pause),
        2 => Just(Request::Resume),
        2 => Just(Request::Kill),
        2 => Just(Request::Delete),
        1 => Just(Request::ForceDelete),
    ];
    proptest::collection::vec(request, 1..=longest)
}

/// A machine with a bundle, and what it is asked for.
fn machine(profile: Profile) -> (World, Create) {
    let mut world = World::new(profile);
    for directory in ["dev", "proc", "sys"] {
        world.mkdir(&format!("/bundle/rootfs/{directory}"));
    }
    world.payload("/bundle/rootfs/bin/sleep", Payload::sleep());
    let spec = Spec::usual("/bundle/rootfs", ["/bin/sleep"]);
    (world, Create { bundle: "/bundle".to_owned(), spec, ..Create::default() })
}

/// Lives a life by one client, and returns the machine behind each request, at rest.
fn live(life: &[Request], world: World, create: &Create) -> Vec<World> {
    let world = RefCell::new(world);
    let mut behind = Vec::new();
    for request in life {
        let pid = world.borrow_mut().client();
        // Many are refused where they come: what counts is the machine behind them.
        drop(ask(*request, &world, pid, create));
        world.borrow_mut().end_client(pid);
        World::settle(&world);
        behind.push(world.borrow().clone());
    }
    behind
}

fn ask(request: Request, world: &RefCell<World>, pid: u32, create: &Create) -> Result<(), Error> {
    let runtime = Runtime::new(World::process(world, pid), ROOT)?;
    let container = runtime.container(ID)?;
    match request {
        Request::Create => runtime.create(ID, create).map(drop),
        Request::Delete => container.delete().map(drop),
        Request::ForceDelete => container.force_delete().map(drop),
        Request::Kill => container.kill(9),
        Request::Pause => container.pause(),
        Request::Resume => container.resume(),
        Request::Run => runtime.run(ID, create).map(drop),
        Request::Start => container.start(),
    }
}

/// Lives so many lives; each oracle has to agree with the machine behind each request.
fn check(lives: u32, profile: &Profile) -> Result<(), String> {
    let config = Config { cases: lives, failure_persistence: None, ..Config::default() };
    let (clean, create) = machine(profile.clone());
    let result = TestRunner::new(config).run(&lifecycles(12), |life| {
        for world in live(&life, clean.clone(), &create) {
            oracles::authority(&world)
                .and_then(|()| oracles::progress(&world, ROOT, ID))
                .and_then(|end| oracles::residue(&end, &clean, ROOT))
                .map_err(TestCaseError::fail)?;
        }
        Ok(())
    });
    result.map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    match check(1000, &Profile::default()) {
        Ok(()) => {
            println!("a thousand lives, and one delete --force leaves nothing of each");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lifecycles: {error}");
            ExitCode::FAILURE
        }
    }
}

#[test]
fn whatever_a_life_was_like_one_deletion_by_force_leaves_nothing() {
    for profile in [Profile::default(), Profile::v1()] {
        assert_eq!(check(50, &profile), Ok(()));
    }
}
