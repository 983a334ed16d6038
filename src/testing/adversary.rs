//! Who owns the root file system of a container, and changes it between any two calls.
//!
//! In reality that is a container which shares the root or a volume with another, or one whose
//! programs still run while a process is added to it. He writes below some directories of the host
//! and nowhere else; a [`Move`] is one call of his, and the explorer puts it between any two calls
//! of the clients and of their children.
//!
//! ```
//! use cofferdam::backend::fake::Profile;
//! use cofferdam::testing::Scene;
//! use cofferdam::testing::adversary::{Judge, Move};
//! use cofferdam::testing::lifecycle::{Before, Request, set};
//!
//! let mut world = set(Before::Absent, &Profile::default());
//! world.mkdir("/host");
//! world.symlink("/host", "/bundle/rootfs/trap");
//! let moves = [Move::exchange("/bundle/rootfs/dev", "/bundle/rootfs/trap")];
//!
//! let mut judge = Judge::new(world.clone(), &["/bundle/rootfs"]);
//! let count = Scene::new(world)
//!     .client("create", Request::Create.body())
//!     .client("adversary", Move::body(&moves))
//!     .walk(&mut |moment| judge.ask(moment))
//!     .expect("nothing outside is touched");
//! assert!(count.ends > 0);
//! ```
//!
//! **Invariant:** he changes names alone and writes to no file: what the explorer takes for
//! private stays so.

use std::ffi::CString;

use super::lifecycle::{ID, Judged, ROOT, ends};
use super::{Moment, oracles};
use crate::backend::fake::{Replay, World, is_below};
use crate::sys::{CWD, Call, Errno, Kernel, flags};

/// One call of the adversary's, by paths of the host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// Each of two names gets what the other had.
    Exchange(String, String),
    /// A symbolic link is made: where it leads, and its path.
    Link(String, String),
    /// A directory is made.
    Make(String),
    /// An empty directory is removed.
    Remove(String),
    /// A name is moved, over what the other had.
    Rename(String, String),
    /// A file or a link is removed.
    Unlink(String),
}

impl Move {
    /// Returns an exchange of two names.
    #[must_use]
    pub fn exchange(one: impl Into<String>, other: impl Into<String>) -> Self {
        Self::Exchange(one.into(), other.into())
    }

    /// Returns a client that makes these moves one after the other, and tells how many succeeded.
    ///
    /// A move that fails is passed over: what it would have changed was in use, or not there.
    pub fn body(moves: &[Self]) -> impl Fn(&Replay<'_>) -> String + use<> {
        let moves = moves.to_vec();
        move |kernel| {
            let made = moves.iter().filter(|one| one.make(kernel).is_ok()).count();
            format!("{made} moves")
        }
    }

    /// Makes the move.
    ///
    /// # Errors
    ///
    /// Whatever the call says; `EINVAL` for a path with a NUL in it.
    pub fn make(&self, kernel: &dyn Kernel) -> Result<(), Errno> {
        let text = |text: &str| CString::new(text).map_err(|_| Errno::EINVAL);
        let rename = |from: &str, to: &str, flags| {
            let (from, to) = (text(from)?, text(to)?);
            let (from_dir, to_dir) = (CWD, CWD);
            kernel.call(Call::Renameat2 { from_dir, from: &from, to_dir, to: &to, flags })
        };
        let made = match self {
            Self::Exchange(one, other) => rename(one, other, flags::RENAME_EXCHANGE),
            Self::Link(target, path) => {
                let (target, path) = (text(target)?, text(path)?);
                kernel.call(Call::Symlinkat { target: &target, dir: CWD, path: &path })
            }
            Self::Make(path) => {
                kernel.call(Call::Mkdirat { dir: CWD, path: &text(path)?, mode: 0o755 })
            }
            Self::Remove(path) => {
                let flags = flags::AT_REMOVEDIR;
                kernel.call(Call::Unlinkat { dir: CWD, path: &text(path)?, flags })
            }
            Self::Rename(from, to) => rename(from, to, 0),
            Self::Unlink(path) => {
                kernel.call(Call::Unlinkat { dir: CWD, path: &text(path)?, flags: 0 })
            }
        };
        made.map(drop)
    }
}

/// Asks at every end whether the adversary got anything that is not his: all of [`oracles`] but
/// truth, and:
///
/// | oracle  | says |
/// |---------|------|
/// | outside | the host's files and mounts are as before, but for his and the state directory |
/// | covers  | no procfs or sysfs of a container shows bare what its specification masks |
#[derive(Debug)]
pub struct Judge {
    before: World,
    clean: World,
    owned: Vec<String>,
    masked: Vec<String>,
    readonly: Vec<String>,
    judged: Judged,
}

impl Judge {
    /// Returns a judge of scenes that begin with that world, in which the adversary owns these
    /// directories: paths without links.
    #[must_use]
    pub fn new(before: World, owned: &[&str]) -> Self {
        let owned = owned.iter().map(|&path| path.to_owned()).collect();
        let (masked, readonly) = (Vec::new(), Vec::new());
        let clean = oracles::progress(&before, ROOT, ID).unwrap_or_else(|_| before.clone());
        Self { before, clean, owned, masked, readonly, judged: Judged::default() }
    }

    /// Asks for these paths of procfs and sysfs, too.
    #[must_use]
    pub fn covers(mut self, masked: &[String], readonly: &[String]) -> Self {
        self.masked = masked.to_vec();
        self.readonly = readonly.to_vec();
        self
    }

    /// Returns how many different ends it has judged.
    #[must_use]
    pub fn ends(&self) -> usize {
        self.judged.count()
    }

    /// Judges a state of a scene; those that are no ends pass.
    ///
    /// # Errors
    ///
    /// What is wrong, and how the clients ended.
    pub fn ask(&mut self, moment: &Moment<'_, '_>) -> Result<(), String> {
        let Some(end) = self.judged.next(moment) else { return Ok(()) };
        self.judge(end).map_err(|what| format!("{what} ({})", ends(moment)))
    }

    fn judge(&self, end: &World) -> Result<(), String> {
        oracles::authority(end)?;
        let within: Vec<_> = self.owned.iter().map(String::as_str).chain([ROOT]).collect();
        let tampered = end.tampered(&self.before, &within);
        if !tampered.is_empty() {
            return Err(format!("outside: {tampered:?}"));
        }
        let bare = end.bare(&self.masked, &self.readonly);
        if !bare.is_empty() {
            return Err(format!("covers: {bare:?}"));
        }
        let removed = oracles::progress(end, ROOT, ID)?;
        let mut left = oracles::left(&removed, &self.clean, ROOT);
        left.retain(|line| !self.is_owned(line));
        if left.is_empty() { Ok(()) } else { Err(format!("residue: {left:?}")) }
    }

    /// Returns whether a line of what is left or lost tells of what the adversary owns.
    fn is_owned(&self, line: &str) -> bool {
        let what = line.split_once(": ").map_or(line, |(_, what)| what);
        self.owned.iter().any(|above| is_below(what, above))
    }
}
