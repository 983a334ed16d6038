//! The two kernels, each with an empty directory for every program.

use std::cell::RefCell;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cofferdam::backend::fake::{Payload, Process, Profile, World};
use cofferdam::backend::linux::Linux;
use cofferdam::sys::{CWD, Call, Kernel, Syscalls};
use tempfile::TempDir;

use super::grammar::Step;
use super::player::Player;

/// How deep a program's directory lies: a step climbs one level, and one more where a link leads up
/// that an earlier step has put there.
const DEPTH: usize = 48;

/// The fake kernel, as it is before a program.
pub(crate) struct Fake {
    world: World,
    client: u32,
    base: String,
}

impl Fake {
    /// Returns one that is laid out as the host is.
    pub(crate) fn new(host: &Host) -> Self {
        let mut fresh = World::new(Profile::default());
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
        Self { world: world.into_inner(), client, base }
    }

    /// Returns what the fake says to each step.
    pub(crate) fn answers(&self, steps: &[Step]) -> Vec<String> {
        let world = RefCell::new(self.world.clone());
        let kernel: Process<'_> = World::process(&world, self.client);
        let settle = || World::settle(&world);
        let mut player = Player::new(&kernel, &self.base, (1 << 30) - 100, &settle);
        let answers = steps.iter().map(|step| player.play(step, None)).collect();
        player.leave();
        answers
    }
}

/// The kernel that runs the tests.
pub(crate) struct Host {
    directory: TempDir,
}

impl Host {
    pub(crate) fn new() -> Self {
        // On a disk, to make and to remove directories takes most of the time.
        let memory = PathBuf::from("/dev/shm");
        let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
        Self { directory: tempfile::tempdir_in(place).unwrap() }
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
        let mut player = Player::new(&Linux, &base, 900, &|| ());
        let both = steps.iter().zip(expected);
        let answers = both.map(|(step, text)| player.play(step, Some(text))).collect();
        player.leave();
        fs::remove_dir_all(&well).unwrap();
        answers
    }
}
