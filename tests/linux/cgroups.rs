//! Children that are born in a cgroup.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::{Born, How, pause, program};

/// A cgroup of the test's own.
struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one in a hierarchy, or says that this host has none such.
    fn new(hierarchy: &str, mark: &str, name: &str) -> Option<Self> {
        let root = Path::new(hierarchy);
        if !root.join(mark).exists() {
            eprintln!("this host has no such hierarchy at {hierarchy}: nothing to test");
            return None;
        }
        let path = root.join(format!("cofferdam-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("a cgroup");
        Some(Self(path))
    }

    fn holds(&self, born: &Born) -> bool {
        let pids = fs::read_to_string(self.0.join("cgroup.procs")).expect("a list");
        pids.lines().any(|pid| pid == born.pid.to_string())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.0).expect("the cgroup is empty");
    }
}

#[test]
fn a_child_joins_cgroups_of_version_one() {
    let Some(cgroup) = Cgroup::new("/sys/fs/cgroup/pids", "tasks", "tasks") else { return };
    let tasks = fs::File::options().write(true).open(cgroup.0.join("tasks")).expect("tasks");
    let born = Born::of(&program(pause), How { tasks: &[tasks.as_raw_fd()], ..How::default() });
    assert!(cgroup.holds(&born));
}

#[test]
fn a_child_is_born_in_a_cgroup_of_version_two() {
    let places = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    let found = places.iter().find_map(|at| Cgroup::new(at, "cgroup.controllers", "into"));
    let Some(cgroup) = found else { return };
    let directory = fs::File::open(&cgroup.0).expect("the directory");
    let cgroup_fd = Some(directory.as_raw_fd());
    let born = Born::of(&program(pause), How { cgroup: cgroup_fd, ..How::default() });
    assert!(cgroup.holds(&born));
}
