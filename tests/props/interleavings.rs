//! All pairs of requests on one container, in every interleaving, with a death anywhere.
//!
//! The clients run the library's own methods on the fake kernel; the bounds and counts are pinned.

mod pinned;
mod stage;

use std::collections::HashSet;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use cofferdam::backend::fake::{Profile, Replay, World, digest};
use cofferdam::spec::{Namespace, NamespaceKind, Process, Spec};
use cofferdam::sys::Kernel;
use cofferdam::testing::{Count, End, Moment, Scene, oracles};
use cofferdam::{Container, Create, Error, Exec, Runtime};

use pinned::pinned;
use stage::world;

/// What a client does, and what came of it in words.
type Body = fn(&Replay<'_>) -> String;

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
fn judge(clean: &World, end: &World) -> Result<(), String> {
    oracles::authority(end)?;
    oracles::truth(end, ROOT, ID)?;
    oracles::residue(&oracles::progress(end, ROOT, ID)?, clean, ROOT)
}

fn pair(a: usize, b: usize, before: Before, profile: &Profile, deaths: u8) -> Count {
    let clean = set(Before::Absent, profile.clone());
    let world = set(before, profile.clone());
    let scene = Scene::new(world).deaths(deaths);
    let mut scene = [a, b].into_iter().fold(scene, |scene, request| {
        let (name, body) = REQUESTS[request];
        scene.client(name, body)
    });
    let mut judged = HashSet::new();
    let count = scene.walk(&mut |moment| {
        // What is judged is the world alone.
        if !moment.is_over() || !judged.insert(digest(moment.world())) {
            return Ok(());
        }
        judge(&clean, moment.world())
            .map_err(|what| format!("{before:?}, {}: {what}", ends(moment)))
    });
    count.unwrap_or_else(|failure| panic!("{failure}"))
}

fn ends(moment: &Moment<'_, '_>) -> String {
    let ends: Vec<_> = moment
        .clients()
        .map(|(name, end)| match end {
            Some(End::Told(told)) => format!("{name}: {told}"),
            Some(End::Killed) => format!("{name}: killed"),
            None => format!("{name}: not over"),
        })
        .collect();
    ends.join(", ")
}

/// What one of several threads has walked.
#[derive(Clone, Copy, Default)]
struct Part {
    count: Count,
    largest: usize,
    seconds: Option<f64>,
}

/// Walks all pairs, a request with itself too, from everything that a container can be before.
fn all_pairs(profile: &Profile) -> Count {
    let pairs: Vec<(Before, usize, usize)> = [Before::Absent, Before::Created, Before::Running]
        .into_iter()
        .flat_map(|before| (0..REQUESTS.len()).map(move |a| (before, a)))
        .flat_map(|(before, a)| (a..REQUESTS.len()).map(move |b| (before, a, b)))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut part = Part::default();
        while let Some((before, a, b)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let count = pair(*a, *b, *before, profile, 1);
            let names = [REQUESTS[*a].0, REQUESTS[*b].0].join(" || ");
            println!("{before:?}, {names}: {count:?}");
            part.count = sum(part.count, count);
            part.largest = part.largest.max(count.states);
        }
        Part { seconds: busy_seconds(), ..part }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<Part> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a walk that ends well")).collect()
    });
    let all = parts.iter().fold(Count::default(), |all, part| sum(all, part.count));
    let Count { ends, states, transitions } = all;
    let name = format!("explored: all pairs, one death anywhere, cgroup {:?}", profile.cgroups);
    let oracles = "0 oracle failures";
    println!("figure: {name} | {states} states, {transitions} transitions, {ends} ends, {oracles}");
    if let Some(seconds) = parts.iter().map(|part| part.seconds).sum::<Option<f64>>() {
        let speed = (states as f64 / seconds).round();
        let name = format!("explorer: speed, oracles included, cgroup {:?}", profile.cgroups);
        println!("figure: {name} | {speed} states per second and core");
    }
    if let Some(peak) = peak_mb() {
        let largest = parts.iter().map(|part| part.largest).max().unwrap_or(0);
        let name = format!("explorer: memory of all walks at once, cgroup {:?}", profile.cgroups);
        println!("figure: {name} | {peak} MB at most, the largest has {largest} states");
    }
    all
}

fn sum(a: Count, b: Count) -> Count {
    Count {
        ends: a.ends + b.ends,
        states: a.states + b.states,
        transitions: a.transitions + b.transitions,
    }
}

/// Returns how long this thread has computed, where the kernel says so (proc_pid_schedstat(5)).
fn busy_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}

/// Returns how much memory this process had at most (proc_pid_status(5)).
fn peak_mb() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1000)
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
            let mut scene = Scene::new(set(before, profile.clone())).client(body.0, body.1);
            let count = scene.walk(&mut |moment| match moment.clients().next() {
                Some((_, Some(End::Told(told)))) if told != expected => {
                    Err(format!("told: {told}"))
                }
                Some((_, Some(End::Told(_)))) => Ok(()),
                _ if moment.is_over() => Err("it has no end".to_owned()),
                _ => Ok(()),
            });
            let count = count.unwrap_or_else(|failure| panic!("{failure}"));
            assert!(count.ends > 0, "{count:?}");
        }
    }
}

#[test]
fn all_pairs_with_a_death_anywhere_end_well_on_cgroup_v2() {
    let expected = Count { ends: 74_503, states: 1_735_684, transitions: 3_620_299 };
    pinned(all_pairs(&Profile::default()), expected);
}

#[test]
fn all_pairs_with_a_death_anywhere_end_well_on_cgroup_v1() {
    let expected = Count { ends: 100_689, states: 2_574_398, transitions: 5_221_661 };
    pinned(all_pairs(&Profile::v1()), expected);
}
