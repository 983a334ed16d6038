//! All pairs of requests on one container, in every interleaving, with a death anywhere.
//!
//! The clients run the library's own methods on the fake kernel; the bounds and counts are pinned.

mod pinned;
mod shared;

use cofferdam::backend::fake::{Profile, Replay};
use cofferdam::spec::{Namespace, NamespaceKind, Process};
use cofferdam::sys::Kernel;
use cofferdam::testing::lifecycle::{Before, ID, Judge, ROOT, Request, set, smallest};
use cofferdam::testing::{Count, End, Scene};
use cofferdam::{Container, Create, Error, Exec, Runtime};

use pinned::pinned;
use shared::shared;

/// What a client does, and what came of it in words.
type Body = fn(&Replay<'_>) -> String;

/// Adds a process, and waits for its end; without a mount namespace it has the host's root.
fn exec(kernel: &Replay<'_>) -> String {
    let ended = Runtime::new(kernel, ROOT).and_then(|runtime| {
        let process = smallest().spec.process.unwrap_or_default();
        let args = vec!["/bundle/rootfs/bin/false".to_owned()];
        let process = Process { args, ..process };
        let added = runtime.container(ID)?.exec(&Exec { process, ..Exec::default() })?;
        Ok(format!("{:?}", added.wait()))
    });
    ended.unwrap_or_else(|error| error.to_string())
}

/// A container whose init is not the first child: clocks are for the next one only.
fn of_forked() -> Create {
    let mut create = smallest();
    create.spec.namespaces.push(Namespace { kind: NamespaceKind::Time, path: None });
    create
}

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
        let container = make(runtime, ID, &of_forked())?;
        let state = container.state()?;
        let own = state.pid == container.init().map(cofferdam::Process::pid);
        Ok(format!("{}, {own}", state.status))
    });
    made.unwrap_or_else(|error| error.to_string())
}

/// Walks two requests on one container, one of which may be killed anywhere.
fn pair(a: Request, b: Request, before: Before, profile: &Profile) -> Count {
    let scene = Scene::new(set(before, profile)).deaths(1);
    let mut scene =
        [a, b].into_iter().fold(scene, |scene, one| scene.client(one.name(), one.body_on(profile)));
    let mut judge = Judge::new(profile);
    let count = scene.walk(&mut |moment| judge.ask(moment));
    count.unwrap_or_else(|failure| panic!("{before}, {failure}"))
}

/// What one of several threads has walked.
#[derive(Clone, Copy, Default)]
struct Part {
    count: Count,
    largest: usize,
    seconds: Option<f64>,
}

/// Walks all pairs, a request with itself too, from everything that a container can be before.
fn all_pairs(kernel: &str, profile: &Profile) -> Count {
    let all = Request::ALL;
    let pairs: Vec<(Before, Request, Request)> = [Before::Absent, Before::Created, Before::Running]
        .into_iter()
        .flat_map(|before| all.iter().enumerate().map(move |(at, a)| (before, at, *a)))
        .flat_map(|(before, at, a)| all[at..].iter().map(move |b| (before, a, *b)))
        .collect();
    let parts = shared(&pairs, |pairs| {
        let mut part = Part::default();
        for (before, a, b) in pairs {
            let count = pair(*a, *b, *before, profile);
            println!("{before}, {} || {}: {count:?}", a.name(), b.name());
            part.count = [part.count, count].into_iter().sum();
            part.largest = part.largest.max(count.states);
        }
        Part { seconds: busy_seconds(), ..part }
    });
    let all: Count = parts.iter().map(|part| part.count).sum();
    let Count { ends, states, transitions, .. } = all;
    let name = format!("explored: all pairs, one death anywhere, kernel {kernel}");
    let oracles = "0 oracle failures";
    println!("figure: {name} | {states} states, {transitions} transitions, {ends} ends, {oracles}");
    if let Some(seconds) = parts.iter().map(|part| part.seconds).sum::<Option<f64>>() {
        let speed = (states as f64 / seconds).round();
        let name = format!("explorer: speed, oracles included, kernel {kernel}");
        println!("figure: {name} | {speed} states per second and core");
    }
    if let Some(peak) = peak_mb() {
        let largest = parts.iter().map(|part| part.largest).max().unwrap_or(0);
        let name = format!("explorer: memory of all walks at once, kernel {kernel}");
        println!("figure: {name} | {peak} MB at most, the largest has {largest} states");
    }
    all
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
            let mut scene = Scene::new(set(before, &profile)).client(body.0, body.1);
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

/// Walks all pairs on a kernel that has a name.
fn on(kernel: &str, expected: [usize; 3]) {
    let [states, transitions, ends] = expected;
    let profile = Profile::NAMED.into_iter().find(|(name, _)| *name == kernel);
    let (_, profile) = profile.expect("a kernel of that name");
    pinned(all_pairs(kernel, &profile()), Count { ends, states, transitions, cut: 0 });
}

#[test]
fn all_pairs_with_a_death_anywhere_end_well_on_cgroup_v2() {
    on("v2", [1_802_324, 3_730_748, 77_019]);
}

#[test]
fn all_pairs_with_a_death_anywhere_end_well_on_cgroup_v1() {
    on("v1", [2_561_819, 5_156_822, 105_344]);
}

#[test]
fn all_pairs_with_a_death_anywhere_end_well_on_a_hybrid_host() {
    on("hybrid", [1_503_571, 3_003_103, 58_151]);
}

#[test]
fn all_pairs_with_a_death_anywhere_end_well_on_the_oldest_kernel() {
    on("oldest", [1_885_287, 3_947_615, 77_019]);
}

#[test]
fn all_pairs_with_a_death_anywhere_end_well_without_a_freezer() {
    on("without-freezer", [2_326_050, 4_707_919, 90_216]);
}

#[test]
fn all_pairs_with_a_death_anywhere_end_well_where_everything_is_short() {
    on("narrow", [1_082_417, 2_233_600, 40_766]);
}

#[test]
fn all_pairs_with_a_death_anywhere_end_well_for_a_user() {
    on("rootless", [2_815_974, 5_721_873, 109_924]);
}

#[test]
fn all_pairs_with_a_death_anywhere_end_well_for_a_user_without_cgroups() {
    on("rootless-without-cgroups", [1_669_157, 3_336_706, 54_134]);
}

#[test]
fn all_pairs_with_a_death_anywhere_end_well_in_a_container() {
    on("nested", [1_815_121, 3_752_886, 77_722]);
}
