//! The machine goes down at any moment of any request, and comes up with what its disk has kept.
//!
//! Nothing is synced, since the state directory is a tmpfs on most machines; where it is on a disk,
//! a power cut may take any of what was written: [`Loss`]. The numbers of the container's processes
//! are strangers' then, and so are cgroups of its names.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod pinned;

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::{CStr, CString};

use cofferdam::backend::fake::{Payload, Profile, Replay, World};
use cofferdam::state::Record;
use cofferdam::sys::{CWD, Call, Errno, Kernel, Syscalls, flags};
use cofferdam::testing::lifecycle::{Before, ID, Judge, ROOT, Request, set, smallest};
use cofferdam::testing::{Count, End, Scene, oracles};
use cofferdam::{Error, Runtime};

use pinned::pinned;

/// What the disk has lost of a container.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Nothing,
    /// The state directory is on no disk.
    Everything,
    Gate,
    Record,
    /// Its length was written, and no byte of it.
    Zeroed,
    /// As much of the record is there, in parts of eight.
    Torn(usize),
    /// The home is under the name under which it is made.
    Unmoved,
    /// The home is under the name under which it is taken down.
    Removed,
}

impl Loss {
    const ALL: [Self; 11] = [
        Self::Nothing,
        Self::Everything,
        Self::Gate,
        Self::Record,
        Self::Zeroed,
        Self::Torn(0),
        Self::Torn(2),
        Self::Torn(5),
        Self::Torn(7),
        Self::Unmoved,
        Self::Removed,
    ];

    /// Returns the machine after its next start; none where there was nothing to be lost.
    fn of(self, world: &World) -> Option<World> {
        let record = world.read_file(&format!("{ROOT}/{ID}/record.json"));
        let mut next = world.clone();
        next.reboot(if matches!(self, Self::Everything) { &["/run"] } else { &[] });
        match self {
            Self::Nothing | Self::Everything => Some(next),
            Self::Gate => performed(next, |kernel| kernel.unlink(CWD, c"/run/cofferdam/a/gate", 0)),
            Self::Record => {
                performed(next, |kernel| kernel.unlink(CWD, c"/run/cofferdam/a/record.json", 0))
            }
            Self::Zeroed => rewritten(next, record?, |record| record.fill(0)),
            Self::Torn(eighths) => {
                rewritten(next, record?, |record| record.truncate(record.len() * eighths / 8))
            }
            Self::Unmoved => moved(next, c"/run/cofferdam/~new~a"),
            Self::Removed => moved(next, c"/run/cofferdam/~old~a"),
        }
    }
}

/// Returns the machine after what somebody has done, if that could be done.
fn performed<T>(world: World, deed: impl FnOnce(&dyn Kernel) -> Result<T, Errno>) -> Option<World> {
    let world = RefCell::new(world);
    let pid = world.borrow_mut().client();
    let done = deed(&World::process(&world, pid));
    world.borrow_mut().end_client(pid);
    done.is_ok().then(|| world.into_inner())
}

fn moved(world: World, to: &CStr) -> Option<World> {
    let from = c"/run/cofferdam/a";
    let rename =
        Call::Renameat2 { from_dir: CWD, from, to_dir: CWD, to, flags: flags::RENAME_NOREPLACE };
    performed(world, |kernel| kernel.call(rename))
}

fn rewritten(world: World, mut record: Vec<u8>, deed: impl FnOnce(&mut Vec<u8>)) -> Option<World> {
    deed(&mut record);
    performed(world, |kernel| {
        let how = flags::O_WRONLY | flags::O_TRUNC;
        let file = kernel.open(CWD, c"/run/cofferdam/a/record.json", how)?;
        kernel.write_all(file.raw(), &record)
    })
}

/// The directories that a container's record names.
fn cgroups(world: &World) -> Vec<String> {
    let text = world.read_file(&format!("{ROOT}/{ID}/record.json")).unwrap();
    let line = text.split(|byte| *byte == b'\n').next().unwrap();
    let record: Record = serde_json::from_slice(line).unwrap();
    record.manifest.cgroups.into_iter().map(|dir| dir.path).collect()
}

/// Gives numbers that were in use to strangers, the last of whom is in those cgroups.
fn peopled(mut world: World, numbers: usize, cgroups: &[String]) -> World {
    world.next_pid(2);
    let stranger = (0..numbers).map(|_| world.stranger(Payload::sleep())).last().unwrap();
    let made = performed(world, |kernel| {
        for dir in cgroups {
            let name = CString::new(dir.as_str()).unwrap();
            kernel.mkdir(CWD, &name, 0o755)?;
            for file in ["cpuset.cpus", "cpuset.mems"].iter().filter(|_| dir.contains("cpuset")) {
                put(kernel, &format!("{dir}/{file}"), "0");
            }
            put(kernel, &format!("{dir}/cgroup.procs"), &stranger.to_string());
        }
        Ok(())
    });
    made.expect("cgroups can be made")
}

fn put(kernel: &dyn Kernel, path: &str, text: &str) {
    let name = CString::new(path).unwrap();
    let file = kernel.open(CWD, &name, flags::O_WRONLY).unwrap();
    kernel.write_all(file.raw(), text.as_bytes()).unwrap();
}

/// Every machine that comes up after it went down at some moment of some request.
fn after(profile: &Profile) -> HashSet<World> {
    let mut found = HashSet::new();
    for (before, request) in
        Before::ALL.into_iter().flat_map(|before| Request::ALL.map(|request| (before, request)))
    {
        let mut scene =
            Scene::new(set(before, profile)).client(request.name(), request.body_on(profile));
        let count = scene.walk(&mut |moment| {
            found.extend(Loss::ALL.into_iter().filter_map(|loss| loss.of(moment.world())));
            Ok(())
        });
        count.unwrap_or_else(|failure| panic!("{before}, {failure}"));
    }
    found
}

/// Asks for each request, by a client that may die at any call, and for the removal after it.
fn all(profile: &Profile) -> Count {
    let number = set(Before::Running, profile).pids().into_iter().max().unwrap();
    let dirs = cgroups(&set(Before::Created, profile));
    let machines = after(profile);
    let mut clean = set(Before::Absent, profile);
    clean.reboot(&["/run"]);
    let clean = peopled(clean, number as usize, &dirs);
    let mut all = Count::default();
    for machine in &machines {
        let world = peopled(machine.clone(), number as usize, &dirs);
        for request in Request::ALL {
            let mut scene = Scene::new(world.clone())
                .client(request.name(), request.body_on(profile))
                .deaths(1);
            let count = scene.walk(&mut |moment| {
                oracles::authority(moment.world())?;
                if !moment.is_over() {
                    return Ok(());
                }
                if let Some((_, Some(End::Told(told)))) = moment.clients().next() {
                    honest(request, told)?;
                }
                let removed = oracles::progress(moment.world(), ROOT, ID)?;
                oracles::authority(&removed)?;
                oracles::residue(&removed, &clean, ROOT)
            });
            let count = count.unwrap_or_else(|failure| panic!("{request:?}: {failure}"));
            all = [all, count].into_iter().sum();
        }
    }
    let Count { states, transitions, ends, .. } = all;
    println!(
        "figure: power cuts at any moment, cgroup {:?} | {} machines after it, {states} states, \
         {transitions} transitions, {ends} ends, 0 oracle failures",
        profile.cgroups,
        machines.len()
    );
    all
}

/// Nothing of a container lives after a restart.
fn honest(request: Request, told: &str) -> Result<(), String> {
    let lies = match request {
        Request::State => matches!(told, "creating" | "created" | "running" | "paused"),
        Request::Start | Request::Kill => told == "done",
        Request::Create | Request::Run | Request::Delete | Request::ForceDelete => false,
    };
    if lies { Err(format!("truth: {request:?} told {told} after a restart")) } else { Ok(()) }
}

/// Two remove what is left of a home, and one of them makes another container of that name.
#[test]
fn who_removes_a_damaged_home_removes_no_newer_one() {
    let profile = Profile::default();
    let damaged = Loss::Record.of(&set(Before::Running, &profile)).unwrap();
    let (create, mut judge) = (smallest(), Judge::new(&profile));
    let anew = |kernel: &Replay<'_>| {
        let told = || {
            let runtime = Runtime::new(kernel, ROOT)?;
            runtime.container(ID)?.force_delete()?;
            runtime.create(ID, &create).map(drop)
        };
        told().map_or_else(|error: Error| error.to_string(), |()| "done".to_owned())
    };
    let force = Request::ForceDelete;
    let scene = Scene::new(damaged).client("anew", anew).client(force.name(), force.body());
    let count = scene.deaths(1).walk(&mut |moment| judge.ask(moment));
    let expected = Count { ends: 14_460, states: 320_007, transitions: 582_771, cut: 0 };
    pinned(count.unwrap_or_else(|failure| panic!("{failure}")), expected);
}

#[test]
fn nothing_that_a_restart_leaves_is_taken_for_a_container_on_cgroup_v2() {
    let expected = Count { ends: 39_027, states: 74_603, transitions: 71_152, cut: 0 };
    pinned(all(&Profile::default()), expected);
}

#[test]
fn nothing_that_a_restart_leaves_is_taken_for_a_container_on_cgroup_v1() {
    let expected = Count { ends: 37_554, states: 71_804, transitions: 68_500, cut: 0 };
    pinned(all(&Profile::v1()), expected);
}
