//! An adversary owns the root file system, and swaps what is in it between any two calls.
//!
//! Each surface is a small specification with one thing that can be attacked; each attack is two
//! moves or four, there and back, so that the explorer leaves the trap in place for every span of
//! calls of the request and of its child's program. The traps lead out of the root: absolutely,
//! upwards, and by the container's own procfs; within it: to another directory; and nowhere: to a
//! file, or to an empty directory where there was something.

mod pinned;

use std::cell::RefCell;

use cofferdam::backend::fake::{Profile, Replay, World};
use cofferdam::plan::Leaving;
use cofferdam::spec::{
    Device, DeviceKind, Mount, MountFlags, MountKind, Namespace, NamespaceKind, Process, Sysctl,
};
use cofferdam::sys::Kernel;
use cofferdam::testing::adversary::{Judge, Move};
use cofferdam::testing::lifecycle::{ID, ROOT, machine, smallest};
use cofferdam::testing::{Count, Scene};
use cofferdam::{Create, Error, Exec, Exit, Runtime};

use pinned::pinned;

/// What the adversary owns: the container's root, and a volume that is bound from.
const OWNED: [&str; 2] = [ROOTFS, "/vol"];
/// The container's root.
const ROOTFS: &str = "/bundle/rootfs";

/// Where a trap leads that lies beside its victim.
const LINKS: [(&str, &str); 4] = [
    ("absolute", "/host"),
    ("upward", "../../../../../host"),
    ("magic", "/proc/self/root/host"),
    ("inside", "/etc"),
];

/// What is asked of the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Create,
    Exec,
    Run,
    Start,
}

/// Something that can be attacked.
struct Surface {
    name: &'static str,
    create: Create,
    /// What is in the root beside what every machine has: directories end in a slash, links have
    /// an arrow.
    brought: &'static [&'static str],
    /// The names that are swapped, by paths of the host.
    victims: &'static [&'static str],
    requests: &'static [Request],
    /// What has to be so on the machine where a request was told to be done.
    promise: fn(&World) -> bool,
}

impl Surface {
    /// Returns a container with mounts of its own, and nothing else to attack.
    fn new(name: &'static str, victims: &'static [&'static str]) -> Self {
        let mut create = smallest();
        create.spec.namespaces.push(Namespace { kind: NamespaceKind::Mount, path: None });
        let requests = &[Request::Create];
        Self { name, create, brought: &[], victims, requests, promise: |_| true }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Asks for a container that stops at no gate, too.
    fn run(self) -> Self {
        self.with(|surface| surface.requests = &[Request::Create, Request::Run])
    }

    fn mount(self, mount: Mount) -> Self {
        self.with(|surface| surface.create.spec.mounts.push(mount))
    }

    /// Returns the machine before the request comes.
    fn machine(&self, request: Request, profile: &Profile) -> World {
        let mut world = machine(profile.clone());
        world.mkdir("/host/firmware");
        world.write_file("/host/file", b"the host's");
        world.mkdir("/vol/data");
        world.write_file("/vol/file", b"a volume's");
        world.mkdir("/bundle/rootfs/traps/empty");
        world.write_file("/bundle/rootfs/traps/file", b"a file");
        for (name, target) in LINKS {
            world.symlink(target, &format!("{ROOTFS}/traps/{name}"));
        }
        for path in self.brought {
            match (path.strip_suffix('/'), path.split_once(" -> ")) {
                (Some(directory), _) => world.mkdir(&format!("{ROOTFS}{directory}")),
                (None, Some((path, target))) => world.symlink(target, &format!("{ROOTFS}{path}")),
                (None, None) => world.write_file(&format!("{ROOTFS}{path}"), b"the image's"),
            }
        }
        let world = RefCell::new(world);
        let pid = world.borrow_mut().client();
        let kernel = World::process(&world, pid);
        let ready = match request {
            Request::Create | Request::Run => Ok("made".to_owned()),
            Request::Exec => ask(&kernel, Request::Run, &self.create),
            Request::Start => ask(&kernel, Request::Create, &self.create),
        };
        assert!(ready.is_ok(), "{}: {ready:?}", self.name);
        world.borrow_mut().end_client(pid);
        World::settle(&world);
        world.into_inner()
    }

    /// Walks a request beside each adversary that has this surface.
    fn walk(&self, request: Request, profile: &Profile, sum: &mut Sum) {
        for victim in self.victims {
            for (trap, moves) in attacks(victim) {
                let world = self.machine(request, profile);
                let spec = &self.create.spec;
                let mut judge = Judge::new(world.clone(), &OWNED)
                    .covers(&spec.masked_paths, &spec.readonly_paths);
                let create = self.create.clone();
                let body = move |kernel: &Replay<'_>| {
                    ask(kernel, request, &create).unwrap_or_else(|error| error.to_string())
                };
                let mut scene = Scene::new(world)
                    .client(format!("{request:?}"), body)
                    .client("adversary", Move::body(&moves));
                let (mut done, mut refused) = (false, false);
                let count = scene.walk(&mut |moment| {
                    let told = moment.clients().next().and_then(|(_, end)| end);
                    let kept = told.is_some_and(|end| end.is("done"));
                    done |= kept;
                    refused |= told.is_some() && !kept;
                    if moment.is_over() && kept && !(self.promise)(moment.world()) {
                        return Err("promise: told to be done, and is not".to_owned());
                    }
                    judge.ask(moment)
                });
                let count = count.unwrap_or_else(|failure| {
                    panic!("{}, {victim} and {trap}: {failure}", self.name)
                });
                assert!(done, "{}, {victim} and {trap}: nothing came of any request", self.name);
                sum.refused += usize::from(refused);
                sum.attacks += 1;
                sum.ends += count.ends;
                sum.states += count.states;
                sum.transitions += count.transitions;
            }
        }
    }
}

/// What was walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    attacks: usize,
    ends: usize,
    /// How many of the attacks can make a request fail.
    refused: usize,
    states: usize,
    transitions: usize,
}

fn ask(kernel: &dyn Kernel, request: Request, create: &Create) -> Result<String, Error> {
    let runtime = Runtime::new(kernel, ROOT)?;
    match request {
        Request::Create => drop(runtime.create(ID, create)?),
        Request::Exec => {
            let process = create.spec.process.clone().unwrap_or_default();
            let process = Process { args: vec!["/bin/true".to_owned()], ..process };
            let added = runtime.container(ID)?.exec(&Exec { process, ..Exec::default() })?;
            let ended = added.wait();
            if !matches!(ended, Ok(Exit::Code(0))) {
                return Ok(format!("{ended:?}"));
            }
        }
        Request::Run => drop(runtime.run(ID, create)?),
        Request::Start => runtime.container(ID)?.start()?,
    }
    Ok("done".to_owned())
}

/// Returns what an adversary does to a name: each trap takes its place, and gives it back.
fn attacks(victim: &str) -> Vec<(String, Vec<Move>)> {
    let mut attacks: Vec<_> = LINKS
        .iter()
        .map(|(name, _)| *name)
        .chain(["empty", "file"])
        .map(|trap| {
            let swap = Move::exchange(victim, format!("{ROOTFS}/traps/{trap}"));
            (trap.to_owned(), vec![swap.clone(), swap])
        })
        .collect();
    let aside = format!("{ROOTFS}/traps/aside");
    attacks.push((
        "moved aside".to_owned(),
        vec![
            Move::Rename(victim.to_owned(), aside.clone()),
            Move::Link("/host".to_owned(), victim.to_owned()),
            Move::Unlink(victim.to_owned()),
            Move::Rename(aside, victim.to_owned()),
        ],
    ));
    attacks
}

fn filesystem(kind: &str, target: &str) -> Mount {
    Mount::new(MountKind::Filesystem(kind.to_owned()), target)
}

fn bind(source: &str, target: &str) -> Mount {
    let source = Some(source.to_owned());
    Mount { source, ..Mount::new(MountKind::Bind { recursive: true }, target) }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|&text| text.to_owned()).collect()
}

/// File systems of the kernel's own, and what is covered and set in them.
fn kernels_own() -> Vec<Surface> {
    let proc = || filesystem("proc", "/proc");
    vec![
        Surface::new("proc", &["/bundle/rootfs/proc", "/bundle/rootfs/dev/null"])
            .run()
            .mount(proc())
            .with(|surface| {
                let spec = &mut surface.create.spec;
                spec.masked_paths = texts(&["/proc/kcore", "/proc/timer_list", "/proc/bus"]);
                spec.readonly_paths = texts(&["/proc/sys", "/proc/sysrq-trigger"]);
                surface.brought = &["/dev/null"];
            }),
        Surface::new("sysfs", &["/bundle/rootfs/sys"])
            .run()
            .mount(filesystem("sysfs", "/sys"))
            .with(|surface| {
                surface.create.spec.masked_paths = texts(&["/sys/firmware"]);
                surface.create.spec.readonly_paths = texts(&["/sys/kernel"]);
            }),
        Surface::new("the host's sysfs", &["/bundle/rootfs/sys"])
            .mount(bind("/sys", "/sys"))
            .with(|surface| surface.create.spec.masked_paths = texts(&["/sys/firmware"])),
        Surface::new("a kernel parameter", &["/bundle/rootfs/proc"]).mount(proc()).with(
            |surface| {
                let spec = &mut surface.create.spec;
                spec.namespaces.push(Namespace { kind: NamespaceKind::Ipc, path: None });
                spec.sysctls = Sysctl::new("kernel.msgmax", "4096").into_iter().collect();
                surface.promise = |world| {
                    let set = world.read_file("/proc/sys/kernel/msgmax");
                    set.is_some_and(|text| text.starts_with(b"4096"))
                };
            },
        ),
        Surface::new("a program", &["/bundle/rootfs/bin", "/bundle/rootfs/bin/true"])
            .mount(proc())
            .with(|surface| surface.requests = &[Request::Start, Request::Exec]),
    ]
}

/// What is mounted or made in what the adversary owns.
fn his_own() -> Vec<Surface> {
    vec![
        Surface::new("tmpfs", &["/bundle/rootfs/var", "/bundle/rootfs/var/run"])
            .mount(filesystem("tmpfs", "/var/run/lock"))
            .with(|surface| surface.brought = &["/var/run/"]),
        Surface::new("copied tmpfs", &["/bundle/rootfs/data", "/bundle/rootfs/data/file"])
            .mount(Mount { tmpcopyup: true, ..filesystem("tmpfs", "/data") })
            .with(|surface| surface.brought = &["/data/file"]),
        Surface::new("devices in the image", &["/bundle/rootfs/dev", "/bundle/rootfs/dev/net"])
            .with(|surface| {
                surface.brought = &["/dev/net/"];
                surface.create.spec.devices = vec![tun()];
            }),
        Surface::new("devices in a tmpfs", &["/bundle/rootfs/dev"])
            .mount(filesystem("tmpfs", "/dev"))
            .mount(filesystem("mqueue", "/dev/mqueue"))
            .with(|surface| surface.create.spec.devices = vec![tun()]),
        Surface::new("a volume", &["/bundle/rootfs/mnt", "/bundle/rootfs/mnt/data", "/vol/data"])
            .run()
            .mount(bind("/vol/data", "/mnt/data"))
            .with(|surface| surface.brought = &["/mnt/data/"]),
        Surface::new("a file of a volume", &["/bundle/rootfs/etc/hosts", "/vol/file"])
            .mount(bind("/vol/file", "/etc/hosts"))
            .with(|surface| surface.brought = &["/etc/hosts"]),
        Surface::new("a link of the image", &["/bundle/rootfs/etc/conf", "/bundle/rootfs/run"])
            .run()
            .mount(bind("/vol/file", "/etc/conf"))
            .with(|surface| surface.brought = &["/etc/conf -> ../run/new/conf", "/run/"]),
        Surface::new("a read-only root", &["/bundle/rootfs/run"])
            .mount(Mount { set: MountFlags::RDONLY, ..filesystem("tmpfs", "/run") })
            .with(|surface| surface.create.spec.rootfs.readonly = true),
        Surface::new("a moved root", &["/bundle/rootfs/proc", "/bundle/rootfs/var"])
            .mount(filesystem("tmpfs", "/var/tmp"))
            .mount(filesystem("proc", "/proc"))
            .with(|surface| {
                surface.brought = &["/var/"];
                surface.create.leaving = Leaving::Move;
                surface.create.spec.masked_paths = texts(&["/proc/kcore"]);
            }),
        Surface::new("a path of the image", &["/bundle/rootfs/opt/secret", "/bundle/rootfs/opt"])
            .with(|surface| {
                surface.brought = &["/opt/secret/", "/opt/seal"];
                surface.create.spec.masked_paths = texts(&["/opt/secret"]);
                surface.create.spec.readonly_paths = texts(&["/opt/seal"]);
            }),
        Surface::new("a directory to be made", &["/bundle/rootfs/work"]).with(|surface| {
            surface.brought = &["/work/"];
            works_in(surface, "/work/in/it");
        }),
    ]
}

fn works_in(surface: &mut Surface, cwd: &str) {
    if let Some(process) = &mut surface.create.spec.process {
        cwd.clone_into(&mut process.cwd);
    }
}

/// A device whose owner has to be set.
fn tun() -> Device {
    let kind = DeviceKind::Char { major: 10, minor: 200 };
    Device { path: "/dev/net/tun".to_owned(), kind, mode: 0o660, uid: 5, gid: 5 }
}

fn all(surfaces: &[Surface], profile: &Profile) -> Sum {
    let mut all = Sum::default();
    for surface in surfaces {
        for request in surface.requests {
            let mut sum = Sum::default();
            surface.walk(*request, profile, &mut sum);
            println!("{}, {request:?}: {sum:?}", surface.name);
            all.attacks += sum.attacks;
            all.ends += sum.ends;
            all.refused += sum.refused;
            all.states += sum.states;
            all.transitions += sum.transitions;
        }
    }
    all
}

/// Walks what these surfaces have, and tells what there was.
fn figure(name: &str, surfaces: &[Surface], profile: &Profile) -> Sum {
    let sum = all(surfaces, profile);
    let Sum { attacks, ends, refused, states, transitions } = sum;
    println!(
        "figure: explored: an adversary who owns the root, {name} | {attacks} attacks on requests, \
         {refused} of which can make one fail, {states} states, {transitions} transitions, \
         {ends} ends, 0 oracle failures"
    );
    sum
}

#[test]
fn what_the_kernel_shows_is_covered_whatever_is_swapped() {
    let expected =
        Sum { attacks: 84, ends: 1_228, refused: 53, states: 137_501, transitions: 311_439 };
    pinned(figure("the kernel's file systems", &kernels_own(), &Profile::default()), expected);
}

/// Without mount_setattr(2) a cover is made read-only by a remount.
#[test]
fn what_the_oldest_kernel_shows_is_covered_too() {
    let name = "the file systems of the oldest kernel";
    let expected =
        Sum { attacks: 84, ends: 1_822, refused: 53, states: 185_677, transitions: 409_019 };
    pinned(figure(name, &kernels_own(), &Profile::oldest()), expected);
}

#[test]
fn whoever_owns_the_root_gets_nothing_outside() {
    let expected =
        Sum { attacks: 175, ends: 4_449, refused: 92, states: 470_917, transitions: 969_513 };
    pinned(figure("his own files", &his_own(), &Profile::default()), expected);
}

/// Containers may share a root, and what one makes in it is not what the other fails of.
#[test]
fn whoever_makes_the_same_meanwhile_is_no_adversary() {
    let surface = Surface::new("a directory to be made", &[])
        .mount(bind("/vol/file", "/work/in/file"))
        .with(|surface| works_in(surface, "/work/in/it"));
    let made = ["/bundle/rootfs/work", "/bundle/rootfs/work/in", "/bundle/rootfs/work/in/it"];
    let moves = made.map(|path| Move::Make(path.to_owned()));
    let world = surface.machine(Request::Create, &Profile::default());
    let mut judge = Judge::new(world.clone(), &OWNED);
    let mut scene = Scene::new(world)
        .client("create", |kernel: &Replay<'_>| {
            let told = ask(kernel, Request::Create, &surface.create);
            told.unwrap_or_else(|error| error.to_string())
        })
        .client("neighbour", Move::body(&moves));
    let count = scene.walk(&mut |moment| {
        let told = moment.clients().next().and_then(|(_, end)| end);
        match told.filter(|end| !end.is("done")) {
            Some(end) => Err(format!("promise: it is not made: {end:?}")),
            None => judge.ask(moment),
        }
    });
    let Count { ends, states, transitions, .. } =
        count.unwrap_or_else(|failure| panic!("{failure}"));
    pinned([ends, states, transitions], [15, 2_628, 5_859]);
}
