//! The two kernels, each with an empty directory for every program.

use std::cell::RefCell;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cofferdam::backend::fake::{Cgroups, Payload, Process, Profile, World};
use cofferdam::backend::linux::Linux;
use cofferdam::sys::{CWD, Call, Errno, Kernel, Syscalls, flags};
use tempfile::TempDir;

use super::grammar::{Step, Tree};
use super::groups::Trees;
use super::player::Player;

/// How deep a program's directory lies: a step climbs one level, and one more where a link leads up
/// that an earlier step has put there.
const DEPTH: usize = 48;

/// How deep those of its cgroups lie; there are no links.
const CLIMB: usize = 24;

/// The fake kernel, as it is before a program.
pub(crate) struct Fake {
    world: World,
    client: u32,
    base: String,
    trees: Trees,
}

impl Fake {
    /// Returns one that is laid out as the host is.
    pub(crate) fn new(host: &Host) -> Self {
        let (cgroups, v1, v2) = match (&host.trees.v1, &host.trees.v2) {
            (Some(_), None) => (Cgroups::V1, "freezer/", None),
            (None, Some(_)) if host.gives => (Cgroups::V2, "", Some("")),
            _ => (Cgroups::Hybrid, "freezer/", Some("unified/")),
        };
        let mut fresh = World::new(Profile { cgroups, ..Profile::default() });
        fresh.payload("/bin/sleep", Payload::sleep());
        fresh.mkdir("/run/well");
        let client = fresh.client();
        let world = RefCell::new(fresh);
        let kernel = World::process(&world, client);
        let base = format!("/run/well{}", "/d".repeat(DEPTH));
        if host.is_mounted() {
            let (target, kind) = (c"/run/well", c"tmpfs");
            let call = Call::Mount { source: kind, target, kind, flags: 0, data: c"" };
            kernel.call(call).unwrap();
        }
        for at in (0..DEPTH).map(|depth| base.len() - 2 * depth).rev() {
            kernel.mkdir(CWD, &CString::new(&base[..at]).unwrap(), 0o755).unwrap();
        }
        let top = |place: &str| format!("/sys/fs/cgroup/{place}generated");
        let trees = Trees {
            v1: host.trees.v1.as_ref().map(|_| dig(&kernel, &top(v1), false)),
            v2: v2.filter(|_| host.trees.v2.is_some()).map(|at| dig(&kernel, &top(at), host.gives)),
        };
        Self { world: world.into_inner(), client, base, trees }
    }

    /// Returns what the fake says to each step.
    pub(crate) fn answers(&self, steps: &[Step]) -> Vec<String> {
        let world = RefCell::new(self.world.clone());
        let kernel: Process<'_> = World::process(&world, self.client);
        let settle = || World::settle(&world);
        let ground = (self.base.as_str(), &self.trees);
        let mut player = Player::new(&kernel, ground, (1 << 30) - 100, &settle);
        let answers = steps.iter().map(|step| player.play(step, None)).collect();
        player.leave();
        answers
    }
}

/// Makes a cgroup with others below, each of which gives controllers if any can, and returns the
/// last.
fn dig<K: Kernel>(kernel: &K, top: &str, gives: bool) -> String {
    let mut path = top.to_owned();
    loop {
        kernel.mkdir(CWD, &CString::new(path.as_str()).unwrap(), 0o755).unwrap();
        if gives {
            let file = CString::new(format!("{path}/cgroup.subtree_control")).unwrap();
            let file = kernel.open(CWD, &file, flags::O_WRONLY).unwrap();
            kernel.write_all(file.raw(), b"+memory +pids").unwrap();
        }
        if path.len() == top.len() + 2 * CLIMB {
            return path;
        }
        path += "/d";
    }
}

/// The kernel that runs the tests.
pub(crate) struct Host {
    directory: TempDir,
    trees: Trees,
    /// Whether its cgroups of version 2 have controllers.
    gives: bool,
}

impl Host {
    pub(crate) fn new() -> Self {
        // On a disk, to make and to remove directories takes most of the time.
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let directory = tempfile::tempdir_in(place).unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = format!("cofferdam-generated-{}", std::process::id());
        let (mut trees, mut gives) = (Trees::default(), false);
        for (at, kind, options) in mounts.lines().filter_map(mount) {
            let top = format!("{at}/{own}");
            if kind == "cgroup" && options.split(',').any(|option| option == "freezer") {
                trees.v1 = Some(dig(&Linux, &top, false));
            } else if kind == "cgroup2" {
                let given = fs::read_to_string(format!("{at}/cgroup.subtree_control")).unwrap();
                let has = |name| given.split_whitespace().any(|given| given == name);
                gives = has("memory") && has("pids");
                trees.v2 = Some(dig(&Linux, &top, gives));
            }
        }
        Self { directory, trees, gives }
    }

    /// Returns the trees that programs have cgroups of.
    pub(crate) fn trees(&self) -> Vec<Tree> {
        let (one, two) = (&self.trees.v1, &self.trees.v2);
        one.iter().map(|_| Tree::One).chain(two.iter().map(|_| Tree::Two)).collect()
    }

    /// Says what programs cannot have here.
    pub(crate) fn lacks(&self) -> Vec<&'static str> {
        let v1 = self.trees.v1.is_none().then_some("no freezer of cgroup v1");
        let v2 = self.trees.v2.is_none().then_some("no cgroup v2");
        let controllers = !self.gives && self.trees.v2.is_some();
        let controllers = controllers.then_some("no controllers memory and pids in cgroup v2");
        [v1, v2, controllers].into_iter().flatten().collect()
    }

    /// Returns whether the directories are on another file system than the root is.
    fn is_mounted(&self) -> bool {
        let device = |path: &Path| fs::metadata(path).unwrap().dev();
        device(self.directory.path()) != device(Path::new("/"))
    }

    /// Returns the version of the kernel.
    pub(crate) fn release(&self) -> String {
        let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        text.split('.').take(2).collect::<Vec<_>>().join(".")
    }

    /// Returns what Linux says to each step, of which that is expected.
    pub(crate) fn answers(&self, steps: &[Step], expected: &[String]) -> Vec<String> {
        let well: PathBuf = self.directory.path().join("well");
        let base = format!("{}{}", well.to_str().unwrap(), "/d".repeat(DEPTH));
        fs::create_dir_all(&base).unwrap();
        let mut player = Player::new(&Linux, (&base, &self.trees), 900, &|| ());
        let both = steps.iter().zip(expected);
        let answers = both.map(|(step, text)| player.play(step, Some(text))).collect();
        player.leave();
        fs::remove_dir_all(&well).unwrap();
        answers
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for base in self.trees.v1.iter().chain(&self.trees.v2) {
            remove(Path::new(base.trim_end_matches("/d")));
        }
    }
}

/// Returns where a line of mountinfo mounts what kind of file system, and with which options.
fn mount(line: &str) -> Option<(&str, &str, &str)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut fields = kind.split(' ');
    let (kind, options) = (fields.next()?, fields.nth(1)?);
    Some((place.split(' ').nth(4)?, kind, options))
}

/// Removes a cgroup with all that is in it, which is somebody only after a failure.
fn remove(cgroup: &Path) {
    for (file, text) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        if cgroup.join(file).exists() {
            fs::write(cgroup.join(file), text).unwrap();
        }
    }
    for entry in fs::read_dir(cgroup).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            remove(&entry.path());
        }
    }
    for pid in fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default().lines() {
        let pid = pid.parse().unwrap();
        let killed = Linux.call(Call::Kill { pid, signal: flags::SIGKILL });
        assert!(matches!(killed, Ok(_) | Err(Errno::ESRCH)), "{pid}: {killed:?}");
    }
    for _ in 0..1000 {
        if fs::remove_dir(cgroup).is_ok() {
            return;
        }
        Linux.poll([], 5).unwrap();
    }
    println!("{} is never removed", cgroup.display());
}
