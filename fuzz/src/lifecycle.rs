//! Whole lives: requests with faults and deaths in them, and what happens between them.
//!
//! | holds behind each request | in words |
//! |---|---|
//! | authority | nobody was signalled whom no client has made |
//! | truth | a container is told to run if and only if its payload does |
//! | descriptors | the client has none that it did not have before |
//! | undone | a container that one fault has kept from being made leaves nothing |
//! | progress | one `delete --force` without a fault leaves nothing |

use std::cell::RefCell;

use arbitrary::Arbitrary;
use cofferdam::backend::fake::{Action, Payload, Pid, Profile, World};
use cofferdam::spec::{Cpu, Hook, Namespace, NamespaceKind, Process, Resources, Spec};
use cofferdam::sys::{Call, Fd, Kernel, Row, flags};
use cofferdam::testing::lifecycle::{ID, ROOT, fit, machine, smallest};
use cofferdam::testing::oracles;
use cofferdam::{Create, Error, Exec, Runtime};

use crate::hurt::{Blow, Hurt};
use crate::made::{Choice, Kernel as Named, whole};

/// The longest life.
const BEATS_MAX: usize = 16;

#[derive(Debug, Arbitrary)]
struct Life {
    kernel: Named,
    shape: Choice,
    program: Choice,
    beats: Vec<Beat>,
}

#[derive(Debug, Arbitrary)]
enum Beat {
    Ask(Asked),
    /// A stranger of the lowest number ends.
    Leave,
    /// The next process gets a number, if it is free.
    Number(u8),
    Pass(u8),
    Reboot,
    /// Somebody signals the container's program.
    Slay(Choice),
    /// A stranger comes.
    Stranger,
}

/// A request, and what befalls it.
#[derive(Debug, Arbitrary)]
struct Asked {
    request: Choice,
    blow: Option<Blow>,
    second: Option<Blow>,
    dies: Option<u8>,
    /// A call of the programs of its children that fails.
    within: Option<Blow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Create,
    Delete,
    Exec,
    Force,
    Kill,
    List,
    Pause,
    Resume,
    Run,
    Start,
    State,
    Term,
    Update,
}

const REQUESTS: [Request; 13] = [
    Request::Create,
    Request::Run,
    Request::Start,
    Request::Kill,
    Request::Delete,
    Request::Force,
    Request::Exec,
    Request::Pause,
    Request::Resume,
    Request::Term,
    Request::Update,
    Request::State,
    Request::List,
];

/// What a container is made of.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Without a cgroup.
    Bare,
    /// Its init is not the first child.
    Forked,
    Hooked,
    /// Without a pid namespace.
    Open,
    Smallest,
    Usual,
}

const SHAPES: [Shape; 6] =
    [Shape::Smallest, Shape::Usual, Shape::Forked, Shape::Hooked, Shape::Open, Shape::Bare];

const PROGRAMS: [&str; 5] = ["/bin/sleep", "/bin/true", "/bin/false", "/bin/forks", "/bin/deaf"];

/// A machine on which a life is lived.
struct Stage {
    world: World,
    clean: World,
    create: Create,
    strangers: Vec<Pid>,
}

/// Performs a case.
pub fn lifecycle(data: &[u8]) {
    let Some(life) = whole::<Life>(data) else { return };
    let mut stage = Stage::new(life.kernel.profile(), &life);
    for (at, beat) in life.beats.iter().take(BEATS_MAX).enumerate() {
        if let Err(what) = stage.live(beat) {
            panic!("beat {at}, {beat:?}: {what}");
        }
    }
}

fn described(shape: Shape, program: &str) -> Create {
    let mut create = match shape {
        Shape::Usual | Shape::Hooked => {
            let spec = Spec::usual("/bundle/rootfs", [program]);
            Create { bundle: "/bundle".to_owned(), spec, ..Create::default() }
        }
        Shape::Bare | Shape::Forked | Shape::Open | Shape::Smallest => smallest(),
    };
    let spec = &mut create.spec;
    if let Some(process) = &mut spec.process {
        process.args = vec![program.to_owned()];
    }
    let path = "/bundle/rootfs/bin/true".to_owned();
    let hook =
        || Hook { args: vec![path.clone()], path: path.clone(), env: None, timeout_secs: None };
    match shape {
        Shape::Bare => spec.cgroup.disabled = true,
        Shape::Forked => {
            spec.namespaces.push(Namespace { kind: NamespaceKind::Time, path: None });
        }
        Shape::Hooked => {
            spec.hooks.create_runtime.push(hook());
            spec.hooks.create_container.push(hook());
            spec.hooks.poststart.push(hook());
            spec.hooks.poststop.push(hook());
        }
        Shape::Open => spec.namespaces.clear(),
        Shape::Smallest | Shape::Usual => (),
    }
    create
}

impl Stage {
    fn new(profile: Profile, life: &Life) -> Self {
        let create = described(life.shape.of(&SHAPES), life.program.of(&PROGRAMS));
        let create = fit(create, &profile);
        let mut world = machine(profile);
        let forks = Payload::from([Action::Fork(1), Action::Sleep, Action::Sleep]);
        world.payload("/bundle/rootfs/bin/forks", forks);
        let deaf = Payload::from([Action::Ignore(flags::SIGTERM), Action::Sleep]);
        world.payload("/bundle/rootfs/bin/deaf", deaf);
        Self { clean: world.clone(), world, create, strangers: Vec::new() }
    }

    fn live(&mut self, beat: &Beat) -> Result<(), String> {
        match beat {
            Beat::Ask(asked) => return self.ask(asked),
            Beat::Leave => {
                if let Some(pid) = self.strangers.pop() {
                    self.world.kill_client(pid);
                }
            }
            Beat::Number(number) => self.world.next_pid((*number).into()),
            Beat::Pass(seconds) => self.world.pass_ms(u64::from(*seconds) * 1000),
            Beat::Reboot => {
                self.world.reboot(&["/run", "/tmp"]);
                self.strangers.clear();
            }
            Beat::Slay(choice) => self.slay(choice.of(&[flags::SIGKILL, flags::SIGTERM])),
            // Others need numbers too.
            Beat::Stranger if self.strangers.len() < 3 => {
                self.strangers.push(self.world.stranger(Payload::sleep()));
            }
            Beat::Stranger => (),
        }
        self.judge()
    }

    /// Performs a request, and judges what came of it.
    fn ask(&mut self, asked: &Asked) -> Result<(), String> {
        let request = asked.request.of(&REQUESTS);
        let (rows, succeeds) = self.unharmed(request);
        let within = asked.within.and_then(|blow| {
            let at = usize::from(blow.at).checked_rem(rows.len())?;
            Some((at, blow.errno(&rows[at])?))
        });
        let blows: Vec<_> = asked.blow.into_iter().chain(asked.second).collect();
        let before = self.world.clone();
        let world = RefCell::new(before.clone());
        world.borrow_mut().watch_programs(within);
        let pid = world.borrow_mut().client();
        let kernel = Hurt::new(&world, pid, &blows, asked.dies);
        let told = kernel.run(|kernel| self.told(request, kernel));
        let open = world.borrow().clone();
        world.borrow_mut().end_client(pid);
        World::settle(&world);
        self.world = world.into_inner();
        if let Some(first) = open.violations().first() {
            return Err(format!("violation: {first}"));
        }
        let left = open.residue(&before);
        let left = left.iter().find(|line| line.starts_with("left: descriptor"));
        if let (Some(line), Some(_)) = (left, &told) {
            return Err(format!("descriptors: {line}"));
        }
        let makes = matches!(request, Request::Create | Request::Run);
        let single = blows.len() + usize::from(within.is_some()) == 1
            && blows.iter().all(|blow| !blow.lasting);
        if makes && succeeds && single && matches!(told, Some(Err(_))) && self.is_clean(&before) {
            let (now, then) = (self.alone(&self.world), self.alone(&before));
            oracles::residue(&now, &then, ROOT)
                .map_err(|what| format!("undone: {what}; told {told:?}"))?;
        }
        self.judge().map_err(|what| format!("{what}; told {told:?}"))
    }

    /// What children's programs ask in a request that nothing befalls, and whether it succeeds.
    fn unharmed(&self, request: Request) -> (Vec<Row>, bool) {
        let world = RefCell::new(self.world.clone());
        world.borrow_mut().watch_programs(None);
        let pid = world.borrow_mut().client();
        let succeeds = self.told(request, &World::process(&world, pid)).is_ok();
        (world.into_inner().asked_by_programs().to_vec(), succeeds)
    }

    fn told(&self, request: Request, kernel: &dyn Kernel) -> Result<(), Error> {
        let runtime = Runtime::new(kernel, ROOT)?;
        match request {
            Request::Create => runtime.create(ID, &self.create).map(drop),
            Request::Run => runtime.run(ID, &self.create).map(drop),
            Request::Delete => runtime.container(ID)?.delete().map(drop),
            Request::Exec => {
                let process = self.create.spec.process.clone().unwrap_or_default();
                // Without a mount namespace it has the host's root.
                let kinds = &self.create.spec.namespaces;
                let own = kinds.iter().any(|one| one.kind == NamespaceKind::Mount);
                let path = if own { "/bin/false" } else { "/bundle/rootfs/bin/false" };
                let args = vec![path.to_owned()];
                let exec = Exec { process: Process { args, ..process }, ..Exec::default() };
                let added = runtime.container(ID)?.exec(&exec)?;
                // Whoever cannot wait for it has no reason to complain of the container.
                added.wait().map(drop).or(Ok(()))
            }
            Request::Force => runtime.container(ID)?.force_delete().map(drop),
            Request::Kill => runtime.container(ID)?.kill(flags::SIGKILL),
            Request::List => runtime.list().map(drop),
            Request::Pause => runtime.container(ID)?.pause(),
            Request::Resume => runtime.container(ID)?.resume(),
            Request::Start => runtime.container(ID)?.start(),
            Request::State => runtime.container(ID)?.state().map(drop),
            Request::Term => runtime.container(ID)?.kill(flags::SIGTERM),
            Request::Update => {
                let cpu = Cpu { shares: Some(512), ..Cpu::default() };
                let limits = Resources { cpu, ..Resources::default() };
                runtime.container(ID)?.update(&limits)
            }
        }
    }

    fn slay(&mut self, signal: u32) {
        let ours = |pid: &Pid| self.world.is_payload(*pid) && !self.strangers.contains(pid);
        let Some(victim) = self.world.pids().into_iter().find(ours) else { return };
        let world = RefCell::new(self.world.clone());
        let pid = world.borrow_mut().client();
        {
            let kernel = World::process(&world, pid);
            let fd = kernel.call(Call::PidfdOpen { pid: victim, flags: 0 });
            let fd = fd.ok().and_then(|fd| i32::try_from(fd).ok()).expect("it is there");
            let fd = Fd::new(fd, &kernel);
            kernel.call(Call::PidfdSendSignal { fd: fd.raw(), signal }).expect("root may");
        }
        world.borrow_mut().end_client(pid);
        World::settle(&world);
        self.world = world.into_inner();
    }

    /// A machine without its strangers.
    fn alone(&self, world: &World) -> World {
        let mut world = world.clone();
        for pid in &self.strangers {
            world.kill_client(*pid);
        }
        world
    }

    fn is_clean(&self, world: &World) -> bool {
        oracles::residue(&self.alone(world), &self.clean, ROOT).is_ok()
    }

    fn judge(&self) -> Result<(), String> {
        oracles::authority(&self.world)?;
        if let Some(pid) = self.strangers.iter().find(|pid| !self.world.is_payload(**pid)) {
            return Err(format!("authority: stranger {pid} is gone"));
        }
        oracles::truth(&self.alone(&self.world), ROOT, ID)?;
        let end = oracles::progress(&self.world, ROOT, ID)?;
        oracles::authority(&end)?;
        oracles::residue(&self.alone(&end), &self.clean, ROOT)
    }
}
