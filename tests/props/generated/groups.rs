//! The cgroups of a program: where they lie, how they are, and how they go.

use std::cell::Cell;
use std::ffi::CString;

use cofferdam::sys::{CWD, Errno, Fd, Kernel, Kind, Syscalls, flags};

use super::grammar::{Group, Tree};

/// How many milliseconds a cgroup of a busy machine may count processes that have gone.
const PATIENCE_MS: u32 = 5000;

/// The directories that the cgroups of programs are made in, one for each tree that there is. A
/// program can climb, and so they lie below others of their own, each called `d`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trees {
    pub(crate) v1: Option<String>,
    pub(crate) v2: Option<String>,
}

impl Trees {
    fn base(&self, tree: Tree) -> Option<&str> {
        match tree {
            Tree::One => self.v1.as_deref(),
            Tree::Two => self.v2.as_deref(),
        }
    }
}

/// The cgroups of one run; nothing is asked about them before a step names one.
pub(crate) struct Groups<'k, K: Kernel> {
    kernel: &'k K,
    trees: &'k Trees,
    used: Cell<bool>,
    killed: Cell<bool>,
}

impl<'k, K: Kernel> Groups<'k, K> {
    pub(crate) const fn new(kernel: &'k K, trees: &'k Trees) -> Self {
        Self { kernel, trees, used: Cell::new(false), killed: Cell::new(false) }
    }

    /// Returns the path of a cgroup, or of a file of it.
    pub(crate) fn path(&self, group: Group, file: &str) -> String {
        self.used.set(true);
        let base = self.trees.base(group.tree).unwrap();
        let parts = [base, group.name, file];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }

    pub(crate) fn open(&self, path: &str, how: u64) -> Result<Fd<'k, K>, Errno> {
        self.kernel.open_with(CWD, &CString::new(path).unwrap(), how, 0)
    }

    /// Takes note of a write that may kill.
    pub(crate) fn note(&self, file: &str) {
        self.killed.set(self.killed.get() || file == "cgroup.kill");
    }

    /// Returns whether whoever is born in a cgroup might be taken for one that was to be killed
    /// before: Linux 6.18 compares how often its maker's cgroup was, and not its own.
    pub(crate) fn is_deadly(&self, group: Group) -> bool {
        self.killed.get() && matches!(group.tree, Tree::Two)
    }

    fn read(&self, path: &str) -> Result<String, Errno> {
        let file = self.open(path, flags::O_RDONLY)?;
        self.kernel.read_all(file.raw()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.open(path, flags::O_WRONLY).unwrap();
        self.kernel.write_all(file.raw(), text.as_bytes()).unwrap();
    }

    /// Returns whether whoever is born in a cgroup would be frozen before it is what it is.
    pub(crate) fn is_freezing(&self, group: Group) -> bool {
        let says = |file, text| self.read(&self.path(group, file)).is_ok_and(|said| said == text);
        let above = group.name.rsplit_once('/').map(|(name, _)| Group { name, ..group });
        match group.tree {
            Tree::One => says("freezer.state", "FROZEN\n") || says("freezer.state", "FREEZING\n"),
            Tree::Two => says("cgroup.freeze", "1\n") || above.is_some_and(|g| self.is_freezing(g)),
        }
    }

    /// Says which cgroups there are, who has processes and who is frozen.
    pub(crate) fn state(&self) -> String {
        let mut text = String::new();
        for tree in self.used() {
            let base = self.trees.base(tree).unwrap();
            for path in self.below(base) {
                let name = &path[base.len() + 1..];
                text += &match tree {
                    Tree::One => {
                        let members = self.read(&format!("{path}/cgroup.procs")).unwrap();
                        let state = self.read(&format!("{path}/freezer.state")).unwrap();
                        format!(", one {name} {} {}", !members.is_empty(), state.trim_end())
                    }
                    Tree::Two => {
                        let events = self.read(&format!("{path}/cgroup.events")).unwrap();
                        format!(", two {name} {}", events.trim_end().replace('\n', " "))
                    }
                };
            }
        }
        text
    }

    fn used(&self) -> impl Iterator<Item = Tree> {
        let there = |tree: &Tree| self.used.get() && self.trees.base(*tree).is_some();
        [Tree::One, Tree::Two].into_iter().filter(there)
    }

    /// Returns the cgroups under one, parents first and by name.
    fn below(&self, top: &str) -> Vec<String> {
        let directory = self.open(top, flags::O_DIRECTORY).unwrap();
        let entries = self.kernel.entries(directory.raw()).unwrap();
        let inner = entries.iter().filter(|entry| entry.kind == Kind::Directory);
        let mut names: Vec<&str> = inner.map(|entry| entry.name.as_str()).collect();
        names.retain(|name| ![".", ".."].contains(name));
        names.sort_unstable();
        let paths = names.into_iter().map(|name| format!("{top}/{name}"));
        paths.flat_map(|path| [vec![path.clone()], self.below(&path)].concat()).collect()
    }

    /// Lets everybody go on, so that everybody can end.
    pub(crate) fn thaw(&self) {
        for tree in self.used() {
            for path in self.below(self.trees.base(tree).unwrap()) {
                match tree {
                    Tree::One => self.write(&format!("{path}/freezer.state"), "THAWED"),
                    Tree::Two => self.write(&format!("{path}/cgroup.freeze"), "0"),
                }
            }
        }
    }

    /// Removes the cgroups, which nobody is in any more.
    pub(crate) fn remove(&self) {
        for tree in self.used() {
            let base = self.trees.base(tree).unwrap();
            let made = self.below(base.trim_end_matches("/d")).into_iter().rev();
            for path in made.filter(|path| !format!("{base}/").starts_with(&format!("{path}/"))) {
                let name = CString::new(path).unwrap();
                let removed = (0..PATIENCE_MS).any(|_| {
                    let answer = self.kernel.unlink(CWD, &name, flags::AT_REMOVEDIR);
                    if answer == Err(Errno::EBUSY) {
                        self.kernel.poll([], 1).unwrap();
                    }
                    answer == Ok(())
                });
                assert!(removed, "{name:?} is never removed");
            }
        }
    }
}
