//! Two copies of a small orchestrator on one machine, walked through every interleaving.
//!
//! Each keeps one container running: whoever has the lease makes it. One kind of lease is a file
//! that nobody else can have made, and every test in which nobody dies is happy with it. The
//! explorer is not: it kills the leader behind its claim, and nobody ever leads again. A lock is
//! gone with whoever held it, and the walk of that kind ends well.
//!
//! `cargo run --example orchestrator` prints both.

use std::ffi::CStr;
use std::process::ExitCode;
use std::sync::LazyLock;

use cofferdam::backend::fake::{Payload, Profile, Replay, World};
use cofferdam::sys::{CWD, Call, Errno, Fd, Kernel, Syscalls, flags};
use cofferdam::testing::lifecycle::smallest;
use cofferdam::testing::{Count, Counterexample, Moment, Scene, oracles};
use cofferdam::{Create, Error, Runtime, Status};

const ROOT: &str = "/run/orchestrator";
const ID: &str = "web";
/// Is there once the container was started.
const STARTED: &CStr = c"/run/started";

/// How an orchestrator becomes the one who leads.
#[derive(Clone, Copy)]
enum Lease {
    File,
    Lock,
}

#[derive(Debug)]
enum Trouble {
    /// The lease.
    Lease(#[expect(dead_code, reason = "it is printed")] Errno),
    /// The container.
    Container(#[expect(dead_code, reason = "it is printed")] Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Container(error)
    }
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        Self::Lease(errno)
    }
}

static WEB: LazyLock<Create> = LazyLock::new(|| {
    let mut create = smallest();
    if let Some(process) = &mut create.spec.process {
        process.args = vec!["/bin/web".to_owned()];
    }
    create
});

/// Leads if it can make the file of the lease. This is the bug: who takes it away again?
fn with_a_file<K: Kernel>(kernel: &K) -> Result<&'static str, Trouble> {
    let new = flags::O_CREAT | flags::O_EXCL | flags::O_WRONLY;
    match kernel.open_with(CWD, c"/run/lease", new, 0o600) {
        Ok(_lease) => ensure(kernel),
        Err(Errno::EEXIST) => Ok("follows"),
        Err(errno) => Err(errno.into()),
    }
}

/// Leads when it has the lock on the file of the lease, for as long as it lives.
fn with_a_lock<K: Kernel>(kernel: &K) -> Result<&'static str, Trouble> {
    let lease: Fd<_> =
        kernel.open_with(CWD, c"/run/lease", flags::O_CREAT | flags::O_RDWR, 0o600)?;
    kernel.call(Call::Flock { fd: lease.raw(), operation: flags::LOCK_EX })?;
    ensure(kernel)
}

/// What an orchestrator does, on any kernel.
fn turn<K: Kernel>(lease: Lease, kernel: &K) -> Result<&'static str, Trouble> {
    match lease {
        Lease::File => with_a_file(kernel),
        Lease::Lock => with_a_lock(kernel),
    }
}

/// Makes the container, unless it runs; what another has left of it is removed.
fn ensure<K: Kernel>(kernel: &K) -> Result<&'static str, Trouble> {
    let runtime = Runtime::new(kernel, ROOT)?;
    let container = runtime.container(ID)?;
    // An init whose maker has just died has left its gate as a running one has, so the status
    // alone is not enough: the explorer finds it.
    if kernel.stat(CWD, STARTED, 0).is_ok() && container.state()?.status == Status::Running {
        return Ok("it runs");
    }
    match kernel.call(Call::Unlinkat { dir: CWD, path: STARTED, flags: 0 }) {
        Ok(_) | Err(Errno::ENOENT) => (),
        Err(errno) => return Err(errno.into()),
    }
    if !matches!(container.state(), Err(error) if error.is_not_found()) {
        container.force_delete()?;
    }
    runtime.create(ID, &WEB)?.start()?;
    kernel.open_with(CWD, STARTED, flags::O_CREAT | flags::O_WRONLY, 0o600)?;
    Ok("leads")
}

/// Walks two orchestrators, one of which may be killed anywhere.
fn walk(lease: Lease) -> Result<Count, Box<Counterexample>> {
    let mut world = World::new(Profile::default());
    world.payload("/bundle/rootfs/bin/web", Payload::sleep());
    let body = move |kernel: &Replay<'_>| match turn(lease, kernel) {
        Ok(role) => role.to_owned(),
        Err(trouble) => format!("{trouble:?}"),
    };
    let mut scene = Scene::new(world).deaths(1).client("alice", body).client("bob", body);
    scene.walk(&mut |moment| if moment.is_over() { judge(moment) } else { Ok(()) })
}

/// What the owner of the machine expects, beside what every container owes him.
fn judge(moment: &Moment<'_, '_>) -> Result<(), String> {
    let world = moment.world();
    oracles::authority(world)?;
    oracles::truth(world, ROOT, ID)?;
    if world.pids().into_iter().any(|pid| world.is_payload(pid)) {
        Ok(())
    } else {
        Err("nobody runs the container".to_owned())
    }
}

fn main() -> ExitCode {
    match walk(Lease::File) {
        Ok(count) => println!("with a file: {count:?}"),
        Err(failure) => println!("with a file: {failure}\n"),
    }
    match walk(Lease::Lock) {
        Ok(count) => println!("with a lock: {count:?}"),
        Err(failure) => println!("with a lock: {failure}"),
    }
    ExitCode::SUCCESS
}

#[test]
fn a_lease_that_outlives_its_holder_is_found_by_a_short_trace() {
    let failure = walk(Lease::File).expect_err("there is a bug");
    assert_eq!(failure.what, "nobody runs the container");
    assert!(failure.story.steps.len() <= 10, "{failure}");
    assert!(failure.story.lines().iter().any(|line| line.ends_with("is killed")), "{failure}");
}

#[test]
fn a_lease_that_dies_with_its_holder_leads_to_a_running_container_in_every_interleaving() {
    let count = walk(Lease::Lock).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(count.ends > 0, "{count:?}");
}
