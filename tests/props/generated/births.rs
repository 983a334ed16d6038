//! What a program can do with processes and cgroups.

use cofferdam::sys::flags;

use super::grammar::{At, CHILDREN, Dice, Group, Life, Step, Tree};

/// Files of cgroups of version 1 that are read.
const ONE: [&str; 6] = [
    "cgroup.procs",
    "tasks",
    "freezer.state",
    "freezer.self_freezing",
    "freezer.parent_freezing",
    "cgroup.kill",
];

/// Files of cgroups of version 2 that are read.
const TWO: [&str; 11] = [
    "cgroup.procs",
    "cgroup.threads",
    "cgroup.events",
    "cgroup.freeze",
    "cgroup.kill",
    "cgroup.controllers",
    "cgroup.subtree_control",
    "cgroup.type",
    "pids.max",
    "pids.current",
    "memory.max",
];

/// What is written to `cgroup.subtree_control`.
const CONTROL: [&str; 8] =
    ["+memory", "-memory", "+pids", "+pids", "-pids", "+memory -pids", "+nothing", "pids"];

impl Dice {
    /// Makes children and ends them.
    pub(super) fn living(&mut self) -> Step {
        let (fd, child) = (self.slot(), self.below(CHILDREN));
        match self.below(9) {
            0..3 => Step::Spawn { child, life: self.life(), group: None, to: self.slots() },
            3 => Step::PidfdOpen { child, to: fd },
            4 => Step::Kill { child, signal: self.signal() },
            5 | 6 => Step::Signal { fd, signal: self.signal() },
            _ => {
                let ended = flags::WEXITED | flags::WNOHANG;
                let options = self.pick(&[ended, ended, ended | flags::WNOWAIT, flags::WNOHANG]);
                Step::Wait { fd, options }
            }
        }
    }

    fn life(&mut self) -> Life {
        self.pick(&[Life::Exits, Life::Pauses, Life::Pauses, Life::Sleeps])
    }

    fn signal(&mut self) -> u32 {
        let (stop, go) = (flags::SIGSTOP, flags::SIGCONT);
        self.pick(&[0, flags::SIGKILL, flags::SIGTERM, stop, go, flags::SIGWINCH, 65])
    }

    /// Makes cgroups, fills and empties them.
    pub(super) fn grouping(&mut self, tree: Tree) -> Step {
        let name = self.pick(&["a", "a", "a", "b", "a/b", "a/b", ""]);
        let (group, child) = (Group { tree, name }, self.below(CHILDREN));
        match self.below(16) {
            0..4 => Step::Mkdir { at: At::Group(group, self.pick(&["", "", "", "cgroup.procs"])) },
            4 if !name.is_empty() => {
                let file = self.pick(&["", "", "", "", "cgroup.procs"]);
                let flags = self.pick(&[flags::AT_REMOVEDIR, flags::AT_REMOVEDIR, 0]);
                Step::Unlink { at: At::Group(group, file), flags }
            }
            5..7 => Step::Spawn { child, life: self.life(), group: Some(group), to: self.slots() },
            7..9 => {
                let file = match tree {
                    Tree::One => self.pick(&["cgroup.procs", "tasks"]),
                    Tree::Two => self.pick(&["cgroup.procs", "cgroup.procs", "cgroup.threads"]),
                };
                Step::Join { group, file, child }
            }
            9..11 => Step::Get { group, file: self.group_file(tree) },
            11..15 if !name.is_empty() => self.putting(group),
            _ => self.group_opening(group),
        }
    }

    fn group_file(&mut self, tree: Tree) -> &'static str {
        match tree {
            Tree::One => self.pick(&ONE),
            Tree::Two => self.pick(&TWO),
        }
    }

    /// Writes to a file of a cgroup; never a number of a process.
    fn putting(&mut self, group: Group) -> Step {
        let (file, text) = match group.tree {
            Tree::One => {
                let state = self.pick(&["FROZEN", "FROZEN", "THAWED", "THAWED", "FREEZING", "x"]);
                ("freezer.state", state)
            }
            Tree::Two => match self.below(8) {
                0..3 => ("cgroup.freeze", self.pick(&["1", "1", "0", "0", "2", "x", ""])),
                3 | 4 => ("cgroup.kill", self.pick(&["1", "1", "1", "0", "x"])),
                5 | 6 => ("cgroup.subtree_control", self.pick(&CONTROL)),
                _ => ("pids.max", self.pick(&["1", "0", "max", "17", "x", "-1"])),
            },
        };
        let file = if self.below(10) == 0 { self.pick(&["cgroup.procs", "nothing"]) } else { file };
        let text = if file == "cgroup.procs" { "x" } else { text };
        Step::Put { group, file, text }
    }

    fn group_opening(&mut self, group: Group) -> Step {
        let (file, flags) = match self.below(3) {
            0 => ("", self.pick(&[flags::O_DIRECTORY, flags::O_PATH, flags::O_RDWR])),
            1 => (self.pick(&["cgroup.procs", "nothing"]), flags::O_WRONLY),
            _ => {
                let file = match group.tree {
                    Tree::One => "freezer.state",
                    Tree::Two => self.pick(&["cgroup.freeze", "cgroup.kill", "cgroup.events"]),
                };
                (file, self.access())
            }
        };
        Step::Open { at: At::Group(group, file), flags, resolve: 0, to: self.slot() }
    }
}
