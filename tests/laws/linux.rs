//! The kernel that runs the tests, as a ground of laws: found, used, and left as it was.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write, stderr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process;

use cofferdam::backend::linux::Linux;
use cofferdam::sys::{Call, Errno, Kernel, Syscalls, flags};
use tempfile::TempDir;

use crate::laws::ground::Place;

/// What the programs do that laws name, in words of sh(1).
const PROGRAMS: [(&str, &str); 7] = [
    ("crashes", "kill -USR1 $$"),
    ("handles", "trap 'exit 3' TERM; while :; do sleep 0.02; done"),
    ("ignores", "trap '' TERM; exec sleep 1000"),
    ("leaves", "sleep 1000 & exit 4"),
    ("reads", "read line; exit 0"),
    ("waits", "true & wait; exec sleep 1000"),
    ("writes", "echo hello 2>/dev/null"),
];

/// Directories of one law on this host; they go with it, and all that lives in its cgroups.
pub(crate) struct Host {
    place: Place,
    _directory: TempDir,
}

impl Host {
    pub(crate) fn new(law: &str) -> Self {
        assert_eq!(Linux.call(Call::Geteuid {}), Ok(0), "laws are witnessed on Linux as root");
        // A law's user enters it too.
        let open = fs::Permissions::from_mode(0o755);
        let directory = tempfile::Builder::new().permissions(open).tempdir().unwrap();
        let path = directory.path().to_str().unwrap().to_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = format!("cofferdam-law-{}-{law}", process::id());
        let argv = |script: &str| ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let programs = PROGRAMS.map(|(name, script)| (name, argv(script)));
        let mut place =
            Place { directory: path, programs: BTreeMap::from(programs), ..Place::default() };
        for (at, kind, options) in mounts.lines().filter_map(mount) {
            let own = format!("{at}/{own}");
            match kind {
                "cgroup" => {
                    for option in options {
                        place.tops.insert(option.to_owned(), at.to_owned());
                        place.v1.insert(option.to_owned(), own.clone());
                    }
                }
                "cgroup2" => {
                    place.tops.insert(String::new(), at.to_owned());
                    place.v2 = Some(own);
                }
                _ => (),
            }
        }
        Self { place, _directory: directory }
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    /// Says something past the harness, which keeps what a passing test prints.
    pub(crate) fn tell(line: &str) {
        stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for path in self.place.v1.values().chain(&self.place.v2) {
            remove(Path::new(path));
        }
    }
}

/// Returns where a line of mountinfo mounts what kind of file system, and with which options.
fn mount(line: &str) -> Option<(&str, &str, impl Iterator<Item = &str>)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut fields = kind.split(' ');
    let (kind, options) = (fields.next()?, fields.nth(1)?);
    Some((place.split(' ').nth(4)?, kind, options.split(',')))
}

/// Removes a cgroup with all that is in it, if it is there.
///
/// A law that holds leaves none with a process; one that fails may.
fn remove(cgroup: &Path) {
    let Ok(entries) = fs::read_dir(cgroup) else { return };
    for entry in entries.map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        remove(&entry.path());
    }
    let frozen = cgroup.join("freezer.state");
    if frozen.exists() {
        fs::write(frozen, "THAWED").unwrap();
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
    Host::tell(&format!("{} is never removed", cgroup.display()));
}
