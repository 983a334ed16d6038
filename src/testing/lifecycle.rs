//! Requests on one container as clients of a scene, and the machines that they come to.
//!
//! ```
//! use cofferdam::backend::fake::Profile;
//! use cofferdam::testing::Scene;
//! use cofferdam::testing::lifecycle::{Before, Judge, Request, set};
//!
//! let profile = Profile::default();
//! let mut judge = Judge::new(&profile);
//! let mut scene = Scene::new(set(Before::Created, &profile)).deaths(1);
//! for request in [Request::Start, Request::State] {
//!     scene = scene.client(request.name(), request.body());
//! }
//! let count = scene.walk(&mut |moment| judge.ask(moment)).expect("no way ends badly");
//! assert!(count.ends > 0);
//! ```

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};

use super::{End, Moment, oracles};
use crate::backend::fake::{Caller, Digested, Payload, Pid, Profile, Replay, World, digest};
use crate::spec::{IdMap, Namespace, NamespaceKind, Spec};
use crate::sys::Kernel;
use crate::{Create, Error, Runtime};

/// The state directory.
pub const ROOT: &str = "/run/cofferdam";

/// The container's name.
pub const ID: &str = "a";

/// What a client asks of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    /// It is made.
    Create,
    /// It is removed, if it has stopped.
    Delete,
    /// It is removed, whatever it does.
    ForceDelete,
    /// It is killed by SIGKILL.
    Kill,
    /// It is made and started in one go.
    Run,
    /// It is started.
    Start,
    /// It is asked where it is in its life.
    State,
}

impl Request {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Create,
        Self::Run,
        Self::Start,
        Self::Kill,
        Self::Delete,
        Self::ForceDelete,
        Self::State,
    ];

    /// Returns the request in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::ForceDelete => "delete-force",
            Self::Kill => "kill",
            Self::Run => "run",
            Self::Start => "start",
            Self::State => "state",
        }
    }

    /// Returns a client that asks this, and tells what came of it: `done`, a status, or why not.
    pub fn body(self) -> impl Fn(&Replay<'_>) -> String {
        self.body_on(&Profile::default())
    }

    /// Returns the same on a kernel where not everybody may make every container.
    pub fn body_on(self, profile: &Profile) -> impl Fn(&Replay<'_>) -> String + use<> {
        let create = fit(smallest(), profile);
        move |kernel| self.ask(kernel, &create).unwrap_or_else(|error| error.to_string())
    }

    fn ask(self, kernel: &dyn Kernel, create: &Create) -> Result<String, Error> {
        let runtime = Runtime::new(kernel, ROOT)?;
        match self {
            Self::Create => drop(runtime.create(ID, create)?),
            Self::Delete => drop(runtime.container(ID)?.delete()?),
            Self::ForceDelete => drop(runtime.container(ID)?.force_delete()?),
            Self::Kill => runtime.container(ID)?.kill(9)?,
            Self::Run => drop(runtime.run(ID, create)?),
            Self::Start => runtime.container(ID)?.start()?,
            Self::State => return Ok(runtime.container(ID)?.state()?.status.to_string()),
        }
        Ok("done".to_owned())
    }
}

/// Where the container is before the clients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Before {
    /// It is not there.
    Absent,
    /// It waits to be started.
    Created,
    /// It is frozen.
    Paused,
    /// Its program runs.
    Running,
    /// Its program has ended.
    Stopped,
}

impl Before {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 5] =
        [Self::Absent, Self::Created, Self::Running, Self::Paused, Self::Stopped];
}

impl Display for Before {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "absent",
            Self::Created => "created",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::Stopped => "stopped",
        })
    }
}

/// Returns a machine with a bundle whose programs sleep, succeed and fail.
#[must_use]
pub fn machine(profile: Profile) -> World {
    let mut world = World::new(profile);
    for dir in ["dev", "etc", "proc", "sys", "tmp"] {
        world.mkdir(&format!("/bundle/rootfs/{dir}"));
    }
    world.payload("/bundle/rootfs/bin/sleep", Payload::sleep());
    world.payload("/bundle/rootfs/bin/true", Payload::exit(0));
    world.payload("/bundle/rootfs/bin/false", Payload::exit(1));
    world.write_file("/bundle/rootfs/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n");
    world
}

/// Returns what the smallest container is made from: what is explored is the lifecycle, not the
/// mounts.
#[must_use]
pub fn smallest() -> Create {
    let mut spec = Spec::usual("/bundle/rootfs", ["/bin/sleep"]);
    spec.mounts.clear();
    spec.masked_paths.clear();
    spec.readonly_paths.clear();
    spec.rootfs.readonly = false;
    spec.hostname = None;
    spec.namespaces.retain(|namespace| namespace.kind == NamespaceKind::Pid);
    if let Some(process) = &mut spec.process {
        process.capabilities = None;
        process.rlimits.clear();
        process.env = vec!["HOME=/".to_owned()];
        process.no_new_privs = false;
    }
    Create { bundle: "/bundle".to_owned(), spec, ..Create::default() }
}

/// Returns the same container as the caller of a kernel may make it: a user needs a user namespace,
/// which has that user alone.
#[must_use]
pub fn fit(mut create: Create, profile: &Profile) -> Create {
    if let Caller::User(_) = profile.caller {
        let own = IdMap { inside: 0, outside: Caller::USER, count: 1 };
        let spec = &mut create.spec;
        spec.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
        spec.uid_maps = vec![own];
        spec.gid_maps = vec![own];
    }
    create
}

/// Returns a machine whose smallest container has come so far, at rest.
///
/// # Panics
///
/// Panics if the container cannot be made: on a profile without the calls that it takes.
#[must_use]
pub fn set(before: Before, profile: &Profile) -> World {
    match try_set(before, profile) {
        Ok(world) => world,
        Err(error) => panic!("a container that is {before} cannot be had: {error}"),
    }
}

/// Returns the same, where it can be had.
///
/// # Errors
///
/// Why it cannot: without a freezer, say, nothing is paused.
pub fn try_set(before: Before, profile: &Profile) -> Result<World, Error> {
    let world = RefCell::new(machine(profile.clone()));
    let pid = world.borrow_mut().client();
    bring(&world, pid, before, &fit(smallest(), profile))?;
    world.borrow_mut().end_client(pid);
    World::settle(&world);
    Ok(world.into_inner())
}

fn bring(world: &RefCell<World>, pid: Pid, before: Before, create: &Create) -> Result<(), Error> {
    let kernel = World::process(world, pid);
    let runtime = Runtime::new(&kernel as &dyn Kernel, ROOT)?;
    let container = match before {
        Before::Absent => return Ok(()),
        Before::Created => return runtime.create(ID, create).map(drop),
        Before::Paused | Before::Running | Before::Stopped => runtime.run(ID, create)?,
    };
    match before {
        Before::Absent | Before::Created | Before::Running => Ok(()),
        Before::Paused => container.pause(),
        Before::Stopped => container.kill(9),
    }
}

/// Asks at every end whether nobody else was signalled, the status is the truth, and one
/// `delete --force` leaves nothing: all [`oracles`].
///
/// What is judged is the world alone, so each is judged once.
#[derive(Debug)]
pub struct Judge {
    clean: World,
    judged: Judged,
}

impl Judge {
    /// Returns a judge of scenes on machines of that profile.
    #[must_use]
    pub fn new(profile: &Profile) -> Self {
        Self { clean: set(Before::Absent, profile), judged: Judged::default() }
    }

    /// Judges a state of a scene; those that are no ends pass.
    ///
    /// # Errors
    ///
    /// What is wrong, and how the clients ended.
    pub fn ask(&mut self, moment: &Moment<'_, '_>) -> Result<(), String> {
        let Some(end) = self.judged.next(moment) else { return Ok(()) };
        self.judge(end).map_err(|what| format!("{what} ({})", ends(moment)))
    }

    fn judge(&self, end: &World) -> Result<(), String> {
        oracles::authority(end)?;
        oracles::truth(end, ROOT, ID)?;
        oracles::residue(&oracles::progress(end, ROOT, ID)?, &self.clean, ROOT)
    }
}

/// The ends that were judged.
#[derive(Debug, Default)]
pub(super) struct Judged(HashSet<u64, Digested>);

impl Judged {
    /// Returns the machine of an end that is a new one.
    pub(super) fn next<'s>(&mut self, moment: &Moment<'s, '_>) -> Option<&'s World> {
        let end = moment.world();
        (moment.is_over() && self.0.insert(digest(end))).then_some(end)
    }

    /// Returns how many there were.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

pub(super) fn ends(moment: &Moment<'_, '_>) -> String {
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
