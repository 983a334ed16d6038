//! The command as its users and clients have it: what it prints, and what it does on this kernel.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod cgroups;
#[path = "../common/mod.rs"]
mod common;
mod contract;
mod events;
mod filter;
mod hooks;
mod labels;
mod life;
mod limits;
mod mounts;
mod process;
mod rootless;
mod sandbox;
mod simulate;
mod terminal;
mod text;

use std::fs;
use std::process::{Command, Stdio};

use cofferdam::backend::linux::Linux;
use cofferdam::spec::oci::{Example, example};
use cofferdam::sys::{Call, Syscalls, flags};
use serde_json::{Value, json};

use common::Place;

/// A place with a bundle, and the command.
struct Cli {
    place: Place,
}

/// What the command said.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    status: i32,
    out: String,
    err: String,
}

impl Cli {
    /// A bundle whose container runs a shell script, without a terminal.
    fn new(script: &str) -> Self {
        Self::edited(script, |_| ())
    }

    /// The same, with its `config.json` edited.
    fn edited(script: &str, edit: impl FnOnce(&mut Value)) -> Self {
        let cli = Self { place: Place::new() };
        let mut config: Value = serde_json::from_str(&example(Example::default())).unwrap();
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["sh", "-c", script]);
        edit(&mut config);
        cli.write("config.json", &config.to_string());
        cli
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.place.bundle())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The command with its state directory here, in the bundle.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
        command.args(["--root", &self.place.state()]).args(line.split_whitespace());
        command.current_dir(self.place.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end. What it starts holds its output open, so that goes to a file.
    fn say(&self, line: &str) -> Said {
        self.finish(&mut self.command(line))
    }

    fn finish(&self, command: &mut Command) -> Said {
        let file = |name| fs::File::create(self.path(name)).unwrap();
        let status = command.stdout(file("out")).stderr(file("err")).status().unwrap();
        let status = status.code().expect("the command is not killed");
        Said { status, out: self.read("out"), err: self.read("err") }
    }

    /// Runs it, and expects that it succeeds without a word of complaint.
    fn done(&self, line: &str) -> String {
        let said = self.say(line);
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{line}");
        said.out
    }

    /// The state of a container.
    fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.done(&format!("state {id}"))).unwrap()
    }

    /// Waits until the container's first process has ended.
    fn await_end(&self, id: &str) {
        let Some(pid @ 1..) = self.state(id)["pid"].as_u64() else { return };
        await_death(pid.try_into().unwrap());
    }
}

impl Drop for Cli {
    fn drop(&mut self) {
        let left = self.finish(&mut self.command("list -q")).out;
        for id in left.lines() {
            self.say(&format!("delete --force {id}"));
        }
    }
}

/// Waits until a process, of whomever, has ended.
fn await_death(pid: u32) {
    if let Ok(process) = Linux.give(Call::PidfdOpen { pid, flags: 0 }) {
        // Newer kernels add POLLHUP where somebody has waited for it already.
        let [ready] = Linux.poll([(process.raw(), flags::POLLIN)], 60_000).unwrap();
        assert_ne!(ready & flags::POLLIN, 0, "process {pid} has ended");
    }
}
