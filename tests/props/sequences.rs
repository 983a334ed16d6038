//! All lives of three requests, on the running kernel and on the fake one: they read the same.
//!
//! One function asks, over any kernel, and writes down each answer with the status that is told
//! behind it. Lives of one and two requests are the beginnings of these.
//!
//! `COFFERDAM_SEQUENCES=F/N` lives each N-th from the F-th on, where all would take too long.

#[path = "../common/mod.rs"]
mod common;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;

use cofferdam::backend::fake::{Cgroups, Profile, World};
use cofferdam::backend::linux::Linux;
use cofferdam::spec::{Limit, Process, Resources, Spec};
use cofferdam::sys::Kernel;
use cofferdam::testing::lifecycle::machine;
use cofferdam::{Container, Create, Error, Exec, Runtime};

use common::{Place, cgroups_named, children, descriptors, sample};
const LENGTH: usize = 3;

/// What is asked of a container.
#[derive(Clone, Copy, Debug)]
enum Request {
    Create,
    Delete,
    Exec,
    ForceDelete,
    Kill,
    Pause,
    Resume,
    Run,
    Start,
    State,
    Update,
}

const REQUESTS: [Request; 11] = [
    Request::Create,
    Request::Run,
    Request::Start,
    Request::Kill,
    Request::Pause,
    Request::Resume,
    Request::Exec,
    Request::Delete,
    Request::ForceDelete,
    Request::State,
    Request::Update,
];

/// A container that is asked by name, and what holds its init.
struct Life<'r, K: Kernel> {
    runtime: &'r Runtime<K>,
    create: &'r Create,
    id: &'r str,
    made: Option<Container<'r, K>>,
}

impl<'r, K: Kernel> Life<'r, K> {
    /// Lives through the requests and is removed; returns what was told, a line for each request.
    fn transcript(mut self, requests: &[Request]) -> Vec<String> {
        let asked = requests.iter().chain([&Request::ForceDelete]);
        asked
            .map(|&request| {
                let answer = told(self.ask(request));
                let status =
                    told(self.named().and_then(|container| container.state()).map(|state| {
                        format!("{}, with a process: {}", state.status, state.pid.is_some())
                    }));
                format!("{request:?}: {answer}; then {status}")
            })
            .collect()
    }

    fn ask(&mut self, request: Request) -> Result<String, Error> {
        let done = |()| "done".to_owned();
        match request {
            Request::Create => {
                self.made = Some(self.runtime.create(self.id, self.create)?);
                Ok(done(()))
            }
            Request::Run => {
                self.made = Some(self.runtime.run(self.id, self.create)?);
                Ok(done(()))
            }
            Request::Delete => self.named()?.delete().map(|told| format!("{told:?}")),
            Request::Exec => self.exec(),
            Request::ForceDelete => self.named()?.force_delete().map(|told| format!("{told:?}")),
            Request::Kill => {
                self.named()?.kill(9)?;
                // Until it is over: how long it takes to die is the kernel's own affair.
                let init = self.made.as_ref().map(Container::wait);
                init.transpose().map(|exit| format!("{exit:?}"))
            }
            Request::Pause => self.named()?.pause().map(done),
            Request::Resume => self.named()?.resume().map(done),
            Request::Start => self.named()?.start().map(done),
            Request::State => self
                .named()?
                .state()
                .map(|state| state.bundle == self.create.bundle)
                .map(|same| format!("of this bundle: {same}")),
            Request::Update => {
                let resources = Resources { pids: Some(Limit::Value(64)), ..Resources::default() };
                self.named()?.update(&resources).map(done)
            }
        }
    }

    /// Adds a process, and waits for its end.
    fn exec(&self) -> Result<String, Error> {
        let container = self.named()?;
        let process = self.create.spec.process.clone().unwrap_or_default();
        let process = Process { args: vec!["/bin/false".to_owned()], ..process };
        let added = container.exec(&Exec { process, ..Exec::default() })?;
        let exit = added.wait();
        Ok(format!("{exit:?}, {} left", container.processes()?.len()))
    }

    /// The container as somebody else finds it.
    fn named(&self) -> Result<Container<'r, K>, Error> {
        self.runtime.container(self.id)
    }
}

/// An answer in words that name no number or path of a kernel's own.
fn told(answer: Result<String, Error>) -> String {
    match answer {
        Ok(told) => told,
        Err(Error::Failed(failure)) => {
            let undo = failure.undo.map(|undo| (undo.step, undo.errno));
            format!("failed: {:?}, {}, undo {undo:?}", failure.step, failure.errno)
        }
        Err(error) => error.to_string(),
    }
}

/// All sequences of requests, or those that are asked for.
fn sequences() -> Vec<[Request; LENGTH]> {
    let mut all = Vec::new();
    for a in REQUESTS {
        for b in REQUESTS {
            all.extend(REQUESTS.map(|c| [a, b, c]));
        }
    }
    let (first, step) = sample("COFFERDAM_SEQUENCES");
    all.into_iter().skip(first - 1).step_by(step).collect()
}

/// Containers of one name, on the running kernel.
struct Native {
    place: Place,
    runtime: Runtime<Linux>,
    create: Create,
    id: String,
}

impl Native {
    fn new(id: &str) -> Self {
        let place = Place::new();
        let runtime = Runtime::new(Linux, place.state()).expect("a kernel with /proc");
        let create = sleeper(&place.bundle(), &place.rootfs());
        Self { place, runtime, create, id: id.to_owned() }
    }

    fn live(&self, requests: &[Request]) -> Vec<String> {
        let Self { runtime, create, id, .. } = self;
        let mut seen = Life { runtime, create, id, made: None }.transcript(requests);
        let homes = fs::read_dir(self.place.state()).into_iter().flatten();
        seen.extend(homes.map(|home| format!("left: {home:?}")));
        seen.extend(cgroups_named(id).into_iter().map(|path| format!("left: {path}")));
        seen.extend(children().into_iter().map(|pid| format!("left: process {pid}")));
        seen
    }
}

/// The same on the fake kernel, in a world of its own.
fn fake(profile: &Profile, requests: &[Request]) -> Vec<String> {
    let world = RefCell::new(machine(profile.clone()));
    let pid = world.borrow_mut().client();
    let before = world.borrow().clone();
    let mut seen = {
        let runtime = Runtime::new(World::process(&world, pid), "/run/cofferdam")
            .expect("a kernel with /proc");
        let create = sleeper("/bundle", "/bundle/rootfs");
        Life { runtime: &runtime, create: &create, id: "life", made: None }.transcript(requests)
    };
    World::settle(&world);
    let left = world.borrow().residue(&before);
    seen.extend(left.into_iter().filter(|line| !line.starts_with("left: /run/cofferdam: ")));
    seen
}

fn sleeper(bundle: &str, rootfs: &str) -> Create {
    let spec = Spec::usual(rootfs, ["/bin/sleep", "1000"]);
    Create { bundle: bundle.to_owned(), spec, ..Create::default() }
}

/// The fake that has its cgroups as this machine has.
fn like_this_machine() -> Profile {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("a kernel with /proc");
    let types: BTreeSet<_> = mounts
        .lines()
        .filter_map(|line| line.split_once(" - ")?.1.split(' ').next())
        .filter(|kind| kind.starts_with("cgroup"))
        .collect();
    match (types.contains("cgroup"), types.contains("cgroup2")) {
        (true, true) => Profile::hybrid(),
        (true, false) => Profile::v1(),
        (false, _) => Profile::default(),
    }
}

/// Lives through every `step`-th sequence from `first` on, and returns the first difference.
fn difference(profile: &Profile, first: usize, step: usize) -> Option<String> {
    let native = Native::new(&format!("sequence-{}-{first}", std::process::id()));
    for requests in sequences().iter().skip(first).step_by(step) {
        let (linux, fake) = (native.live(requests), fake(profile, requests));
        if linux != fake {
            // What is left now would be in the way of all that follow.
            return Some(format!("{requests:?}\nLinux: {linux:#?}\nfake: {fake:#?}"));
        }
    }
    None
}

#[test]
fn every_life_of_three_requests_reads_the_same_on_both_kernels() {
    let profile = like_this_machine();
    let (mounts, open) = (fs::read_to_string("/proc/self/mountinfo"), descriptors());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let found: Vec<String> = std::thread::scope(|scope| {
        let profile = &profile;
        let threads: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || difference(profile, first, threads)))
            .collect();
        let found = threads.into_iter().map(|thread| thread.join().expect("lives that end"));
        found.flatten().collect()
    });
    let version = match profile.cgroups {
        Cgroups::Hybrid | Cgroups::V1 => "v1",
        Cgroups::V2 => "v2",
    };
    let (lives, wrong) = (sequences().len(), found.len());
    let all = REQUESTS.len().pow(3);
    let name = "transcripts of lifecycles of three requests, Linux against the fake, cgroup";
    println!("figure: {name} {version} | {lives} of {all} sequences, {wrong} differences");
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    assert_eq!(descriptors(), open);
    let after = fs::read_to_string("/proc/self/mountinfo").expect("a kernel with /proc");
    assert_eq!(after, mounts.expect("a kernel with /proc"));
}
