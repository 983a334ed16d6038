//! Containers of a user who is not root, with nobody's help.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Cli, Said, await_death};

/// A user who has nothing on any host.
const USER: u32 = 54_321;

/// A bundle and a copy of the command that are a user's own.
struct User {
    cli: Cli,
}

impl User {
    fn new(args: &[&str]) -> Self {
        let cli = Cli::new("");
        // By another process: nobody here has the copy open for writing (ETXTBSY).
        let mut copy = Command::new("/bin/busybox");
        copy.args(["cp", env!("CARGO_BIN_EXE_cofferdam"), &cli.path("cofferdam")]);
        assert!(copy.status().unwrap().success());
        fs::create_dir(cli.path("run")).unwrap();
        // Where root looks for what a failure has left.
        std::os::unix::fs::symlink("run/cofferdam", cli.place.state()).unwrap();
        fs::remove_file(cli.path("config.json")).unwrap();
        give(cli.place.path());
        let user = Self { cli };
        assert_eq!(user.done("spec --rootless"), "");
        user.edit(|config| {
            config["process"]["terminal"] = json!(false);
            config["process"]["args"] = json!(args);
        });
        user
    }

    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let mut config = serde_json::from_str(&self.cli.read("config.json")).unwrap();
        edit(&mut config);
        self.cli.write("config.json", &config.to_string());
    }

    fn say(&self, line: &str) -> Said {
        let mut command = Command::new(self.cli.path("cofferdam"));
        command.args(line.split_whitespace()).uid(USER).gid(USER).stdin(Stdio::null());
        command.env("XDG_RUNTIME_DIR", self.cli.path("run")).current_dir(self.cli.place.path());
        self.cli.finish(&mut command)
    }

    fn done(&self, line: &str) -> String {
        let said = self.say(line);
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{line}");
        said.out
    }
}

/// Gives a tree to the user.
fn give(path: &Path) {
    lchown(path, Some(USER), Some(USER)).unwrap();
    if fs::symlink_metadata(path).unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

#[test]
fn a_user_who_is_not_root_has_containers_below_the_runtime_directory() {
    let user = User::new(&["cat", "/proc/self/uid_map"]);
    let map = user.done("run rootless-run");
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "54321", "1"]);
    user.edit(|config| config["process"]["args"] = json!(["sleep", "100"]));
    user.done("create --pid-file pid rootless-life");
    let home = fs::metadata(user.cli.path("run/cofferdam")).unwrap();
    assert_eq!((home.uid(), home.mode() & 0o7777), (USER, 0o1700));
    user.done("start rootless-life");
    assert_eq!(user.done("exec rootless-life id -u"), "0\n");
    assert!(user.done("list").contains(&format!("#{USER}")));
    user.done("kill rootless-life KILL");
    await_death(user.cli.read("pid").parse().unwrap());
    user.done("delete rootless-life");
    assert_eq!(user.done("list -q"), "");
}

#[test]
fn a_limit_that_a_user_cannot_set_is_told_and_nothing_is_left() {
    let user = User::new(&["true"]);
    user.edit(|config| config["linux"]["resources"] = json!({ "pids": { "limit": 17 } }));
    let said = user.say("run rootless-limit");
    assert_eq!(said.status, 1);
    assert!(said.err.starts_with("cofferdam run failed: make cgroup /sys/fs/cgroup/"), "{said:?}");
    assert!(said.err.ends_with("/rootless-limit: permission denied\n"), "{said:?}");
    assert_eq!(user.done("list -q"), "");
}
