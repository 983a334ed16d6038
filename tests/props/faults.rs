//! Each call of each request fails, with each errno of its row, once and for good; then two do.
//!
//! The matrix is derived: a run without a fault says which calls there are, the table of calls with
//! which errnos each can fail, and a run with one fault which calls can fail after it.
//!
//! | holds after every run | in words |
//! |---|---|
//! | authority | nobody was signalled whom this library has not made |
//! | truth | a container is told to run if and only if its payload does |
//! | descriptors | the client has none that it did not have before |
//! | untouched | a request that is not to end a container leaves its payload alone |
//! | undone | a request to make a container that one fault has failed leaves nothing |
//! | progress | one `delete --force` without a fault leaves nothing |

mod pinned;

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use cofferdam::backend::fake::{AppArmor, Caller, Profile, World};
use cofferdam::backend::fault::{Extent, Fault};
use cofferdam::backend::trace::Trace;
use cofferdam::spec::{Cpu, NamespaceKind, Process, Resources, Spec};
use cofferdam::sys::{Call, Errno, Kernel, Live, Row};
use cofferdam::testing::faults::errors;
use cofferdam::testing::lifecycle::{fit, machine};
use cofferdam::testing::oracles;
use cofferdam::{Create, Error, Exec, Runtime};

use pinned::pinned;

const ROOT: &str = "/run/cofferdam";
const ID: &str = "a";
/// An AppArmor profile that is loaded.
const LABEL: &str = "confined";

/// What a kernel does not answer for ever: it is interrupted, or has told of a reset.
const MOMENTARY: [Errno; 2] = [Errno::ECONNRESET, Errno::EINTR];

/// No request asks as much.
const CALLS_MAX: usize = 5_000;

/// A request, and where the container is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Create,
    Run,
    Start,
    Kill,
    Delete,
    Force(Before),
    State(Before),
    Exec,
    Pause,
    Resume,
    Update,
    List,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Absent,
    Created,
    Running,
    Paused,
    Stopped,
}

const REQUESTS: [Request; 16] = [
    Request::Create,
    Request::Run,
    Request::Start,
    Request::Kill,
    Request::Delete,
    Request::Force(Before::Created),
    Request::Force(Before::Running),
    Request::Force(Before::Paused),
    Request::Force(Before::Stopped),
    Request::State(Before::Created),
    Request::State(Before::Running),
    Request::Exec,
    Request::Pause,
    Request::Resume,
    Request::Update,
    Request::List,
];

impl Request {
    const fn before(self) -> Before {
        match self {
            Self::Create | Self::Run => Before::Absent,
            Self::Start => Before::Created,
            Self::Delete => Before::Stopped,
            Self::Exec | Self::Kill | Self::List | Self::Pause | Self::Update => Before::Running,
            Self::Resume => Before::Paused,
            Self::Force(before) | Self::State(before) => before,
        }
    }

    const fn makes(self) -> bool {
        matches!(self, Self::Create | Self::Run)
    }

    fn ask(self, kernel: &dyn Kernel, profile: &Profile) -> Result<(), String> {
        self.told(kernel, &fit(create(), profile)).map_err(|error| error.to_string())
    }

    fn told(self, kernel: &dyn Kernel, create: &Create) -> Result<(), Error> {
        let runtime = Runtime::new(kernel, ROOT)?;
        match self {
            Self::Create => runtime.create(ID, create).map(drop),
            Self::Run => runtime.run(ID, create).map(drop),
            Self::Start => runtime.container(ID)?.start(),
            Self::Kill => runtime.container(ID)?.kill(9),
            Self::Delete => runtime.container(ID)?.delete().map(drop),
            Self::Force(_) => runtime.container(ID)?.force_delete().map(drop),
            Self::State(_) => runtime.container(ID)?.state().map(drop),
            Self::Exec => {
                let process = create.spec.process.clone().unwrap_or_default();
                let args = vec!["/bin/false".to_owned()];
                let exec = Exec { process: Process { args, ..process }, ..Exec::default() };
                // Whoever cannot wait for the process has no reason to complain of the container.
                runtime.container(ID)?.exec(&exec).map(|process| process.wait().is_ok()).map(drop)
            }
            Self::Pause => runtime.container(ID)?.pause(),
            Self::Resume => runtime.container(ID)?.resume(),
            Self::Update => {
                let cpu = Cpu { shares: Some(512), ..Cpu::default() };
                let limits = Resources { cpu, ..Resources::default() };
                runtime.container(ID)?.update(&limits)
            }
            Self::List => runtime.list().map(drop),
        }
    }
}

/// A container with a root of its own and two mounts.
fn create() -> Create {
    let mut spec = Spec::usual("/bundle/rootfs", ["/bin/sleep"]);
    spec.mounts.truncate(2);
    spec.masked_paths.clear();
    spec.readonly_paths.clear();
    spec.namespaces
        .retain(|namespace| matches!(namespace.kind, NamespaceKind::Mount | NamespaceKind::Pid));
    spec.hostname = None;
    let process = spec.process.get_or_insert_default();
    process.apparmor_profile = Some(LABEL.to_owned());
    Create { bundle: "/bundle".to_owned(), spec, ..Create::default() }
}

/// A call that is to fail.
#[derive(Clone, Copy, Debug)]
struct Blow {
    at: usize,
    errno: Errno,
    extent: Extent,
}

impl Blow {
    const NONE: Self = Self { at: usize::MAX, errno: Errno::EIO, extent: Extent::Once };
}

/// Everything that is to fail.
#[derive(Clone, Copy, Debug)]
struct Blows {
    /// Calls of the client's.
    calls: [Blow; 2],
    /// A call of its children's programs.
    within: Option<(usize, Errno)>,
}

impl Blows {
    const NONE: Self = Self { calls: [Blow::NONE; 2], within: None };
}

/// What came of a request.
struct Outcome {
    result: Result<(), String>,
    /// The calls that it asked, and those of its children's programs.
    asked: [Vec<Row>; 2],
    /// The world before its client has ended, and after.
    open: World,
    end: World,
}

fn perform(trial: (Request, &Profile), start: &World, blows: Blows) -> Outcome {
    let (request, profile) = trial;
    let world = RefCell::new(start.clone());
    let pid = world.borrow_mut().client();
    world.borrow_mut().watch_programs(blows.within);
    let [one, two] = blows.calls;
    let asked = RefCell::new(Vec::new());
    let kernel = Fault::new(World::process(&world, pid), one.at, one.extent, one.errno);
    let kernel = Fault::new(kernel, two.at, two.extent, two.errno);
    let see = |call: &Call<Live<'_>>, _: &Result<u64, Errno>| {
        asked.borrow_mut().push(call.row());
        let bounded = asked.borrow().len() < CALLS_MAX || std::thread::panicking();
        assert!(bounded, "it goes on for ever");
    };
    let result = request.ask(&Trace { kernel, see }, profile);
    let open = world.borrow().clone();
    let asked = [asked.into_inner(), open.asked_by_programs().to_vec()];
    let end = ended(&world, pid);
    Outcome { result, asked, open, end }
}

fn ended(world: &RefCell<World>, pid: u32) -> World {
    world.borrow_mut().end_client(pid);
    World::settle(world);
    world.borrow().clone()
}

/// Returns the world with a container that has come so far, if there can be one: without a freezer
/// nothing is paused.
fn set(before: Before, profile: &Profile) -> Option<World> {
    let apparmor = AppArmor::On([LABEL].into());
    let world = RefCell::new(machine(Profile { apparmor, ..profile.clone() }));
    let pid = world.borrow_mut().client();
    let asks: &[Request] = match before {
        Before::Absent => &[],
        Before::Created => &[Request::Create],
        Before::Running => &[Request::Run],
        Before::Paused => &[Request::Run, Request::Pause],
        Before::Stopped => &[Request::Run, Request::Kill],
    };
    for request in asks {
        match request.ask(&World::process(&world, pid), profile) {
            Err(_) if *request == Request::Pause => return None,
            told => told.expect("a request without a fault"),
        }
    }
    Some(ended(&world, pid))
}

/// Whoever is not asked to end a container has not ended it, whatever has failed.
fn untouched(request: Request, start: &World, end: &World) -> Result<(), String> {
    let ends = matches!(request, Request::Delete | Request::Force(_) | Request::Kill);
    let payload = |world: &World| world.pids().into_iter().find(|pid| world.is_payload(*pid));
    match (payload(start), payload(end)) {
        (Some(before), after) if !ends && after != Some(before) => {
            Err(format!("untouched: the payload was process {before}, and is {after:?} now"))
        }
        (Some(_) | None, _) => Ok(()),
    }
}

fn judge(
    (request, start): (Request, &World),
    outcome: &Outcome,
    clean: &World,
    undone: bool,
) -> Result<(), String> {
    oracles::authority(&outcome.end)?;
    if let Some(first) = outcome.open.violations().first() {
        return Err(format!("violation: {first}"));
    }
    let open = outcome.open.residue(clean);
    if let Some(line) = open.iter().find(|line| line.starts_with("left: descriptor")) {
        return Err(format!("descriptors: {line}"));
    }
    oracles::truth(&outcome.end, ROOT, ID)?;
    untouched(request, start, &outcome.end)?;
    if undone {
        oracles::residue(&outcome.end, clean, ROOT).map_err(|what| format!("undone: {what}"))?;
    }
    oracles::residue(&oracles::progress(&outcome.end, ROOT, ID)?, clean, ROOT)
}

/// How much was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    calls: usize,
    /// Calls of children's programs, and faults in them.
    program: usize,
    within: usize,
    once: usize,
    onward: usize,
    double: usize,
    /// How many of the double ones were tried.
    tried: usize,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, program, within, once, onward, double, tried } = self;
        write!(f, "{calls} calls of clients, {once} single faults, {onward} lasting, ")?;
        write!(f, "{tried} of {double} double ones; {program} of programs, {within} single faults")
    }
}

/// Everything about one request on one machine.
struct Trial<'p> {
    request: Request,
    profile: &'p Profile,
    start: World,
    clean: World,
    /// The ends that were judged, as hashes.
    judged: HashSet<u64>,
    failures: Vec<String>,
    count: Count,
}

impl<'p> Trial<'p> {
    fn new(request: Request, profile: &'p Profile) -> Option<Self> {
        let start = set(request.before(), profile)?;
        let clean = set(Before::Absent, profile)?;
        let (judged, failures) = (HashSet::new(), Vec::new());
        Some(Self { request, profile, start, clean, judged, failures, count: Count::default() })
    }

    /// Runs the request with some faults and judges what came of it; returns what it asked.
    fn strike(&mut self, blows: Blows) -> [Vec<Row>; 2] {
        let [one, two] = blows.calls;
        let single = two.at == usize::MAX && one.extent == Extent::Once;
        let (request, profile) = (self.request, self.profile);
        let (start, clean) = (&self.start, &self.clean);
        let seen = &mut self.judged;
        let tried = catch_unwind(AssertUnwindSafe(|| {
            let outcome = perform((request, profile), start, blows);
            let undone = single && request.makes() && outcome.result.is_err();
            let mut hasher = DefaultHasher::new();
            (&outcome.open, &outcome.end, undone).hash(&mut hasher);
            if !seen.insert(hasher.finish()) {
                return (Ok(()), outcome.asked);
            }
            let judged = judge((request, start), &outcome, clean, undone);
            (judged.map_err(|what| format!("{what}; told: {:?}", outcome.result)), outcome.asked)
        }));
        let (what, asked) = match tried {
            Ok((Ok(()), asked)) => return asked,
            Ok((Err(what), asked)) => (what, asked),
            Err(_) => ("a panic".to_owned(), Default::default()),
        };
        let name = |asked: &[Row], at: usize| asked.get(at).map_or("?", |row| row.name);
        let blows_told = blows.calls.iter().filter(|blow| blow.at != usize::MAX).map(|blow| {
            let name = name(&asked[0], blow.at);
            format!("call {} ({name}) {:?} {:?}", blow.at, blow.errno, blow.extent)
        });
        let within = blows.within.map(|(at, errno)| {
            format!("call {at} ({}) of a program {errno:?}", name(&asked[1], at))
        });
        let told: Vec<_> = blows_told.chain(within).collect();
        self.failures.push(format!("{request:?}: {}: {what}", told.join(", ")));
        asked
    }

    /// Every single fault, and behind each of a client's every second one of every `nth`.
    fn all(&mut self, nth: usize) {
        let [calls, program] = self.strike(Blows::NONE);
        self.count.calls += calls.len();
        self.count.program += program.len();
        for (at, row) in program.iter().enumerate() {
            for errno in errors(row) {
                self.count.within += 1;
                self.strike(Blows { within: Some((at, errno)), ..Blows::NONE });
            }
        }
        for (at, row) in calls.iter().enumerate() {
            for errno in self.errors(row) {
                let blow = Blow { at, errno, extent: Extent::Once };
                if !MOMENTARY.contains(&errno) {
                    self.count.onward += 1;
                    self.calls([Blow { extent: Extent::Onward, ..blow }, Blow::NONE]);
                }
                self.count.once += 1;
                let then = self.calls([blow, Blow::NONE]);
                self.second(blow, &then, nth);
            }
        }
    }

    /// What a call of the client's can fail with. That a process is gone is no failure but an
    /// answer; one that is not true is withstood where there are cgroups to ask too.
    fn errors(&self, row: &Row) -> Vec<Errno> {
        let alone = self.profile.caller == Caller::User(&[]);
        let gone: &[Errno] = match row.name {
            "openat2" if alone => &[Errno::ENOENT],
            "pidfd_open" if alone => &[Errno::EINVAL, Errno::ESRCH],
            "read" if alone => &[Errno::ESRCH],
            _ => &[],
        };
        errors(row).filter(|errno| !gone.contains(errno)).collect()
    }

    fn second(&mut self, blow: Blow, then: &[Row], nth: usize) {
        for (at, row) in then.iter().enumerate().skip(blow.at + 1) {
            for errno in self.errors(row) {
                self.count.double += 1;
                if self.count.double.is_multiple_of(nth) {
                    self.count.tried += 1;
                    self.calls([blow, Blow { at, errno, extent: Extent::Once }]);
                }
            }
        }
    }

    /// Strikes calls of the client's, and returns what it asked.
    fn calls(&mut self, calls: [Blow; 2]) -> Vec<Row> {
        let [asked, _] = self.strike(Blows { calls, ..Blows::NONE });
        asked
    }
}

/// Strikes every request; of the double faults every 24th, or all with `COFFERDAM_FAULTS=all`.
fn all(name: &str, profile: &Profile) -> Count {
    let whole = std::env::var("COFFERDAM_FAULTS").is_ok_and(|how| how == "all");
    let mut all = Count::default();
    let mut failures = Vec::new();
    for mut trial in REQUESTS.into_iter().filter_map(|request| Trial::new(request, profile)) {
        trial.all(if whole { 1 } else { 24 });
        println!("{name}: {:?}: {}", trial.request, trial.count);
        all.calls += trial.count.calls;
        all.program += trial.count.program;
        all.within += trial.count.within;
        all.once += trial.count.once;
        all.onward += trial.count.onward;
        all.double += trial.count.double;
        all.tried += trial.count.tried;
        failures.extend(trial.failures);
    }
    println!(
        "figure: faults in the runtime, kernel {name} | {all}, {} oracle failures",
        failures.len()
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    Count { tried: 0, ..all }
}

/// Counts of a kernel: calls, single faults, lasting ones and double ones; calls of programs, and
/// faults in them.
fn on(kernel: &str, [calls, once, onward, double]: [usize; 4], [program, within]: [usize; 2]) {
    let profile = Profile::NAMED.into_iter().find(|(name, _)| *name == kernel);
    let (_, profile) = profile.expect("a kernel of that name");
    let expected = Count { calls, program, within, once, onward, double, tried: 0 };
    pinned(all(kernel, &profile()), expected);
}

#[test]
fn faults_end_well_on_cgroup_v2() {
    on("v2", [591, 6_533, 5_933, 406_186], [230, 1_785]);
}

#[test]
fn faults_end_well_on_cgroup_v1() {
    on("v1", [654, 7_702, 7_052, 656_053], [230, 1_785]);
}

#[test]
fn faults_end_well_on_a_hybrid_host() {
    on("hybrid", [600, 7_174, 6_557, 571_115], [230, 1_785]);
}

#[test]
fn faults_end_well_on_the_oldest_kernel() {
    on("oldest", [591, 6_533, 5_933, 445_307], [233, 1_821]);
}

#[test]
fn faults_end_well_without_a_freezer() {
    on("without-freezer", [517, 6_222, 5_710, 525_303], [230, 1_785]);
}

#[test]
fn faults_end_well_where_everything_is_short() {
    on("narrow", [537, 6_005, 5_438, 328_282], [230, 1_785]);
}

#[test]
fn faults_end_well_for_a_user() {
    on("rootless", [626, 6_994, 6_361, 634_987], [253, 2_022]);
}

#[test]
fn faults_end_well_for_a_user_without_cgroups() {
    on("rootless-without-cgroups", [482, 5_581, 5_121, 443_327], [253, 2_022]);
}

#[test]
fn faults_end_well_in_a_container() {
    on("nested", [589, 6_571, 5_967, 429_768], [254, 2_025]);
}
