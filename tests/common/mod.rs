//! What tests of real containers share: a root file system, and a look at this process.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
#![expect(dead_code, reason = "no test binary uses all of it")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A directory with a bundle's root file system and a state directory.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    /// Makes a place with a busybox root file system.
    pub(crate) fn new() -> Self {
        assert_eq!(nix::unistd::geteuid().as_raw(), 0, "containers are tested as root");
        let dir = TempDir::new().unwrap();
        let root = dir.path().join("rootfs");
        for name in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        // By another process: a child born meanwhile to another thread would have the copy open for
        // writing, and nobody could execute it (ETXTBSY).
        let mut copy = Command::new("/bin/busybox");
        copy.args(["cp", "/bin/busybox"]).arg(root.join("bin/busybox"));
        assert!(copy.status().expect("busybox-static is installed").success());
        for name in APPLETS {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
        Self { dir }
    }

    /// The directory of everything.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The bundle.
    pub(crate) fn bundle(&self) -> String {
        self.dir.path().to_str().unwrap().to_owned()
    }

    /// The root file system.
    pub(crate) fn rootfs(&self) -> String {
        format!("{}/rootfs", self.bundle())
    }

    /// The state directory.
    pub(crate) fn state(&self) -> String {
        format!("{}/state", self.bundle())
    }
}

const APPLETS: [&str; 22] = [
    "cat", "chmod", "date", "df", "dd", "echo", "env", "false", "grep", "head", "hostname", "id",
    "ls", "mknod", "mount", "ps", "sh", "sleep", "stat", "true", "touch", "umount",
];

/// What of this process a library must not change.
pub(crate) fn self_portrait() -> BTreeMap<&'static str, String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.unwrap_or_default().to_owned()
    };
    let env: BTreeMap<_, _> = std::env::vars().collect();
    BTreeMap::from([
        ("capabilities", field("CapEff:") + &field("CapBnd:") + &field("CapAmb:")),
        ("cwd", std::env::current_dir().unwrap().display().to_string()),
        ("dumpable", nix::sys::prctl::get_dumpable().unwrap().to_string()),
        ("environment", format!("{env:?}")),
        ("keepcaps", nix::sys::prctl::get_keepcaps().unwrap().to_string()),
        ("oom", fs::read_to_string("/proc/self/oom_score_adj").unwrap()),
        ("seccomp", field("Seccomp:") + &field("NoNewPrivs:")),
        ("signals", field("SigBlk:") + &field("SigIgn:") + &field("SigCgt:")),
        ("subreaper", nix::sys::prctl::get_child_subreaper().unwrap().to_string()),
        ("threads", field("Threads:")),
        ("umask", field("Umask:")),
        ("user", field("Uid:") + &field("Gid:") + &field("Groups:")),
    ])
}

/// How many descriptors this process has open.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The children of this process, zombies too.
pub(crate) fn children() -> Vec<String> {
    let text = fs::read_to_string("/proc/thread-self/children").unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

/// The cgroup directories of that name, below this process's own and beside it.
pub(crate) fn cgroups_named(name: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let mut found = Vec::new();
    for mount in mounts.lines().filter(|line| line.contains(" - cgroup")) {
        let mount = mount.split(' ').nth(4).unwrap();
        for line in own.lines() {
            let own = line.splitn(3, ':').nth(2).unwrap().trim_end_matches('/');
            for base in [own, own.rsplit_once('/').map_or("", |(above, _)| above)] {
                let path = format!("{mount}{base}/{name}");
                if Path::new(&path).exists() && !found.contains(&path) {
                    found.push(path);
                }
            }
        }
    }
    found
}

/// Which of many are to be tried: from the first on, counted from 1, each so many further on. A
/// variable says it as `F/N`; without it all are.
pub(crate) fn sample(variable: &str) -> (usize, usize) {
    let Ok(text) = std::env::var(variable) else { return (1, 1) };
    let parts = text.split_once('/').and_then(|(f, n)| Some((f.parse().ok()?, n.parse().ok()?)));
    parts.unwrap_or_else(|| panic!("{variable} is F/N, two numbers"))
}
