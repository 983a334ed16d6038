//! One life by one function, on the running kernel and on the fake one.

#![expect(clippy::unwrap_used, reason = "a refusal that is missing fails the test")]

#[path = "../common/mod.rs"]
mod common;
mod stage;

use std::cell::RefCell;

use cofferdam::backend::fake::{Profile, World};
use cofferdam::backend::linux::Linux;
use cofferdam::spec::{Mount, MountKind, Spec};
use cofferdam::sys::Kernel;
use cofferdam::{Create, Error, Exec, Exit, Runtime};

use common::Place;
use stage::world;

/// What a life looks like from outside, step by step.
fn life<K: Kernel>(runtime: &Runtime<K>, create: &Create) -> Result<Vec<String>, Error> {
    let mut seen = Vec::new();
    let container = runtime.create("life", create)?;
    seen.push(container.state()?.status.to_string());
    seen.push(runtime.create("life", create).map(drop).unwrap_err().to_string());
    seen.push(container.delete().map(|_| String::new()).unwrap_or_default());
    let container = runtime.create("life", create)?;
    container.start()?;
    seen.push(container.state()?.status.to_string());
    seen.push(container.start().unwrap_err().to_string());
    seen.push(container.delete().map(drop).unwrap_err().to_string());
    let process = container.process()?.0.unwrap_or_default();
    let process = cofferdam::spec::Process { args: vec!["/bin/false".to_owned()], ..process };
    let added = container.exec(&Exec { process, ..Exec::default() })?;
    seen.push(format!("{:?}", added.wait()));
    seen.push(container.processes()?.len().to_string());
    container.pause()?;
    seen.push(container.state()?.status.to_string());
    container.resume()?;
    container.kill(9)?;
    assert_eq!(container.wait()?, Exit::Signal(9));
    seen.push(container.state()?.status.to_string());
    seen.push(container.kill(9).unwrap_err().to_string());
    container.delete()?;
    seen.push(container.start().unwrap_err().to_string());
    container.force_delete()?;
    seen.push(runtime.list()?.len().to_string());
    Ok(seen)
}

/// Binds a file to where a link of the image leads.
fn bound<K: Kernel>(runtime: &Runtime<K>, create: &Create) -> Result<(), Error> {
    let mut create = create.clone();
    let mut mount = Mount::new(MountKind::Bind { recursive: true }, "/etc/conf");
    mount.source = Some("/etc/passwd".to_owned());
    create.spec.mounts.push(mount);
    let container = runtime.create("bound", &create)?;
    container.start()?;
    container.force_delete().map(drop)
}

fn sleeper(bundle: &str, rootfs: &str) -> Create {
    let spec = Spec::usual(rootfs, ["/bin/sleep", "1000"]);
    Create { bundle: bundle.to_owned(), spec, ..Create::default() }
}

const SEEN: &[&str] = &[
    "created",
    "container with given ID already exists",
    "",
    "running",
    "cannot start an already running container",
    "container is not stopped: running",
    "Ok(Code(1))",
    "1",
    "paused",
    "stopped",
    "container not running",
    "container does not exist",
    "0",
];

#[test]
fn a_target_is_made_where_its_links_lead_on_linux() {
    let place = Place::new();
    std::os::unix::fs::symlink("../run/made/conf", place.rootfs() + "/etc/conf").unwrap();
    let runtime = Runtime::new(Linux, place.state()).unwrap();
    bound(&runtime, &sleeper(&place.bundle(), &place.rootfs())).unwrap();
    assert_eq!(std::fs::read(place.rootfs() + "/run/made/conf").unwrap(), b"");
}

#[test]
fn a_target_is_made_where_its_links_lead_on_the_fake_kernel() {
    let mut fresh = world(Profile::default());
    fresh.symlink("../run/made/conf", "/bundle/rootfs/etc/conf");
    fresh.write_file("/etc/passwd", b"");
    let world = RefCell::new(fresh);
    let pid = world.borrow_mut().client();
    let runtime = Runtime::new(World::process(&world, pid), "/run/cofferdam").unwrap();
    bound(&runtime, &sleeper("/bundle", "/bundle/rootfs")).unwrap();
    assert_eq!(world.borrow().read_file("/bundle/rootfs/run/made/conf"), Some(Vec::new()));
}

#[test]
fn a_life_on_linux() {
    let place = Place::new();
    let runtime = Runtime::new(Linux, place.state()).unwrap();
    let seen = life(&runtime, &sleeper(&place.bundle(), &place.rootfs())).unwrap();
    assert_eq!(seen, SEEN);
}

#[test]
fn the_same_life_on_the_fake_kernel() {
    for profile in [Profile::default(), Profile::v1(), Profile::hybrid()] {
        let world = RefCell::new(world(profile));
        let pid = world.borrow_mut().client();
        let before = world.borrow().clone();
        let kernel = World::process(&world, pid);
        let runtime = Runtime::new(kernel, "/run/cofferdam").unwrap();
        let seen = life(&runtime, &sleeper("/bundle", "/bundle/rootfs")).unwrap();
        assert_eq!(seen, SEEN);
        drop(runtime);
        World::settle(&world);
        assert_eq!(world.borrow().residue(&before), ["left: /run/cofferdam: directory, 711 0:0"]);
    }
}
