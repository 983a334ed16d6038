//! All pairs of requests on one container, in every interleaving, with a death anywhere.
//!
//! The clients run the library's own methods on the fake kernel; the bounds and counts are pinned.

mod explore;
mod stage;

use std::collections::HashSet;
use std::sync::LazyLock;

use cofferdam::backend::fake::{Profile, Replay, World};
use cofferdam::spec::{Namespace, NamespaceKind, Process, Spec};
use cofferdam::sys::Kernel;
use cofferdam::{Container, Create, Error, Exec, Runtime, Status};

use explore::{Body, Count, End, Scene, State, digest};
use stage::world;

const ROOT: &str = "/run/cofferdam";
const ID: &str = "a";

/// The smallest container: what is explored here is the lifecycle, not the mounts.
static SMALL: LazyLock<Create> = LazyLock::new(|| {
    let mut spec = Spec::usual("/bundle/rootfs", ["/bin/sleep"]);
    spec.mounts.clear();
    spec.masked_paths.clear();
    spec.readonly_paths.clear();
    spec.rootfs.readonly = false;
    spec.hostname = None;
    spec.namespaces.retain(|namespace| namespace.kind == NamespaceKind::Pid);
    let process = spec.process.as_mut().expect("a container with a program");
    process.capabilities = None;
    process.rlimits.clear();
    process.env = vec!["HOME=/".to_owned()];
    process.no_new_privs = false;
    Create { bundle: "/bundle".to_owned(), spec, ..Create::default() }
});

fn told<T>(answer: Result<T, Error>) -> String {
    answer.map_or_else(|error| error.to_string(), |_| "done".to_owned())
}

fn with<T>(
    kernel: &Replay<'_>,
    request: impl FnOnce(&Runtime<&Replay<'_>>) -> Result<T, Error>,
) -> String {
    told(Runtime::new(kernel, ROOT).and_then(|runtime| request(&runtime)))
}

fn create(kernel: &Replay<'_>) -> String {
    with(kernel, |runtime| runtime.create(ID, &SMALL).map(drop))
}

fn run(kernel: &Replay<'_>) -> String {
    with(kernel, |runtime| runtime.run(ID, &SMALL).map(drop))
}

fn start(kernel: &Replay<'_>) -> String {
    with(kernel, |runtime| runtime.container(ID)?.start())
}

fn kill(kernel: &Replay<'_>) -> String {
    with(kernel, |runtime| runtime.container(ID)?.kill(9))
}

fn delete(kernel: &Replay<'_>) -> String {
    with(kernel, |runtime| runtime.container(ID)?.delete().map(drop))
}

fn force(kernel: &Replay<'_>) -> String {
    with(kernel, |runtime| runtime.container(ID)?.force_delete().map(drop))
}

fn state(kernel: &Replay<'_>) -> String {
    match Runtime::new(kernel, ROOT).and_then(|runtime| runtime.container(ID)?.state()) {
        Ok(state) => state.status.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Adds a process, and waits for its end; without a mount namespace it has the host's root.
fn exec(kernel: &Replay<'_>) -> String {
    let ended = Runtime::new(kernel, ROOT).and_then(|runtime| {
        let process = SMALL.spec.process.clone().unwrap_or_default();
        let args = vec!["/bundle/rootfs/bin/false".to_owned()];
        let process = Process { args, ..process };
        let added = runtime.container(ID)?.exec(&Exec { process, ..Exec::default() })?;
        Ok(format!("{:?}", added.wait()))
    });
    ended.unwrap_or_else(|error| error.to_string())
}

/// A container whose init is not the first child: clocks are for the next one only.
static FORKED: LazyLock<Create> = LazyLock::new(|| {
    let mut create = SMALL.clone();
    create.spec.namespaces.push(Namespace { kind: NamespaceKind::Time, path: None });
    create
});

fn create_forked(kernel: &Replay<'_>) -> String {
    forked(Runtime::new(kernel, ROOT).as_ref(), Runtime::create)
}

fn run_forked(kernel: &Replay<'_>) -> String {
    forked(Runtime::new(kernel, ROOT).as_ref(), Runtime::run)
}

/// Says where such a container is in its life, and whether its init is the child that was made.
fn forked<'r, K: Kernel>(
    runtime: Result<&'r Runtime<K>, &Error>,
    make: impl FnOnce(&'r Runtime<K>, &str, &Create) -> Result<Container<'r, K>, Error>,
) -> String {
    let made = runtime.map_err(Clone::clone).and_then(|runtime| {
        let container = make(runtime, ID, &FORKED)?;
        let state = container.state()?;
        let own = state.pid == container.init().map(cofferdam::Process::pid);
        Ok(format!("{}, {own}", state.status))
    });
    made.unwrap_or_else(|error| error.to_string())
}

const REQUESTS: [(&str, Body); 7] = [
    ("create", create),
    ("run", run),
    ("start", start),
    ("kill", kill),
    ("delete", delete),
    ("delete --force", force),
    ("state", state),
];

/// Where a container is before the clients come.
#[derive(Clone, Copy, Debug)]
enum Before {
    Absent,
    Created,
    Running,
}

fn set(before: Before, profile: Profile) -> World {
    let world = std::cell::RefCell::new(world(profile));
    let pid = world.borrow_mut().client();
    {
        let kernel = World::process(&world, pid);
        let runtime = Runtime::new(kernel, ROOT).expect("a kernel with /proc");
        let made = match before {
            Before::Absent => return fresh(&world, pid),
            Before::Created => runtime.create(ID, &SMALL),
            Before::Running => runtime.run(ID, &SMALL),
        };
        drop(made.expect("a container on the fake kernel"));
    }
    fresh(&world, pid)
}

/// Ends the client that has set the scene.
fn fresh(world: &std::cell::RefCell<World>, pid: cofferdam::backend::fake::Pid) -> World {
    world.borrow_mut().end_client(pid);
    World::settle(world);
    world.borrow().clone()
}

/// What holds at every end: nobody else was signalled, and one `delete --force` leaves nothing.
fn judge(clean: &World, state: &State) -> Result<(), String> {
    if let Some(signal) = state.world.signals().iter().find(|signal| signal.maker == 0) {
        return Err(format!("authority: a stranger was signalled: {signal:?}"));
    }
    truth(state)?;
    let world = std::cell::RefCell::new(state.world.clone());
    let pid = world.borrow_mut().client();
    {
        let kernel = World::process(&world, pid);
        let runtime = Runtime::new(kernel, ROOT).map_err(|error| error.to_string())?;
        let container = runtime.container(ID).map_err(|error| error.to_string())?;
        container.force_delete().map_err(|error| format!("progress: {error}"))?;
        match container.state() {
            Err(error) if error.is_not_found() => (),
            other => return Err(format!("progress: it is still there: {other:?}")),
        }
    }
    let end = fresh(&world, pid);
    let left: Vec<_> = end
        .residue(clean)
        .into_iter()
        .filter(|line| !line.starts_with("left: /run/cofferdam: directory"))
        .collect();
    if left.is_empty() { Ok(()) } else { Err(format!("residue: {left:?}")) }
}

/// The status that is told at the end is the kernel's: running if and only if a payload runs.
fn truth(state: &State) -> Result<(), String> {
    let world = std::cell::RefCell::new(state.world.clone());
    let pid = world.borrow_mut().client();
    let kernel = World::process(&world, pid);
    let runtime = Runtime::new(kernel, ROOT).map_err(|error| error.to_string())?;
    let told = runtime.container(ID).and_then(|container| container.state());
    let runs = state.world.pids().into_iter().any(|pid| state.world.is_payload(pid));
    match told {
        Ok(told) if (told.status == Status::Running) != runs => {
            Err(format!("truth: told {}, a payload runs: {runs}", told.status))
        }
        Err(error) if !error.is_not_found() => Err(format!("truth: {error}")),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn pair(a: usize, b: usize, before: Before, profile: &Profile, deaths: u8) -> Count {
    let clean = set(Before::Absent, profile.clone());
    let world = set(before, profile.clone());
    let scene = Scene { bodies: vec![REQUESTS[a], REQUESTS[b]], deaths, world };
    let mut judged = HashSet::new();
    scene.walk(&mut |state| {
        // What is judged is the world alone.
        if !judged.insert(digest(&state.world)) {
            return Ok(());
        }
        let both = state.actors.iter().all(|actor| actor.end.is_some());
        assert!(both, "an end is where all have ended");
        judge(&clean, state).map_err(|what| {
            let names: Vec<_> = state
                .actors
                .iter()
                .map(|actor| match &actor.end {
                    Some(End::Told(told)) => format!("{}: {told}", actor.name),
                    Some(End::Killed) | None => format!("{}: killed", actor.name),
                })
                .collect();
            format!("{before:?}, {}: {what}", names.join(", "))
        })
    })
}

/// Walks all pairs, a request with itself too, from everything that a container can be before.
fn all_pairs(profile: &Profile) -> Count {
    let mut all = Count::default();
    for before in [Before::Absent, Before::Created, Before::Running] {
        for (a, first) in REQUESTS.iter().enumerate() {
            for (b, second) in REQUESTS.iter().enumerate().skip(a) {
                let count = pair(a, b, before, profile, 1);
                println!("{before:?}, {} || {}: {count:?}", first.0, second.0);
                all.states += count.states;
                all.transitions += count.transitions;
                all.ends += count.ends;
            }
        }
    }
    let Count { ends, states, transitions } = all;
    let name = format!("explored: all pairs, one death anywhere, cgroup {:?}", profile.cgroups);
    let oracles = "0 oracle failures";
    println!("figure: {name} | {states} states, {transitions} transitions, {ends} ends, {oracles}");
    all
}

/// Whoever is forked on the way may speak before the one that has forked it.
#[test]
fn whoever_goes_on_is_known_in_every_order_of_its_makers() {
    for profile in [Profile::default(), Profile::v1()] {
        for (before, body, expected) in [
            (Before::Absent, ("create", create_forked as Body), "created, true"),
            (Before::Absent, ("run", run_forked), "running, true"),
            (Before::Running, ("exec", exec), "Ok(Code(1))"),
        ] {
            let world = set(before, profile.clone());
            let scene = Scene { bodies: vec![body], deaths: 0, world };
            let count = scene.walk(&mut |state| match &state.actors[0].end {
                Some(End::Told(told)) if told == expected => Ok(()),
                Some(End::Told(told)) => Err(format!("told: {told}")),
                Some(End::Killed) | None => Err("it has no end".to_owned()),
            });
            assert!(count.ends > 0, "{count:?}");
        }
    }
}

/// The walk is the same on every machine: a count that differs is a change of behaviour, to be
/// looked at and pinned anew.
#[test]
fn all_pairs_with_a_death_anywhere_end_well_on_cgroup_v2() {
    let expected = Count { ends: 74_503, states: 1_735_684, transitions: 3_620_299 };
    assert_eq!(all_pairs(&Profile::default()), expected);
}

#[test]
fn all_pairs_with_a_death_anywhere_end_well_on_cgroup_v1() {
    let expected = Count { ends: 100_689, states: 2_574_398, transitions: 5_221_661 };
    assert_eq!(all_pairs(&Profile::v1()), expected);
}
