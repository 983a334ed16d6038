//! A program in the making, with what the parts of the compiler share.
//!
//! **Invariant:** every path of the container is opened by a walk that cannot leave its root, and
//! is used by descriptor from then on.

use std::collections::{BTreeMap, BTreeSet};

use super::host::{Feature, Given, Situation, Source};
use super::paths::Cover;
use crate::spec::{Invalid, Reason};
use crate::sys::flags::{
    AT_EMPTY_PATH, MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH, O_CLOEXEC, O_DIRECTORY,
    O_PATH, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE, PROC_SUPER_MAGIC, RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, S_IFDIR, S_IFREG,
};
use crate::sys::{
    Act, Builder, Call, Compiled, Errno, Handle, List, OnError, Program, Room, Slot, Span, Text,
};

/// After so many descriptors are left open, each further one is closed at once.
const LEAVES: u32 = 200;
/// The mode of directories made on the way to a target.
const DIRECTORY_MODE: u32 = 0o755;
/// The mode of directories made for everybody.
const SHARED_MODE: u32 = 0o1777;
/// The mode of files made as targets.
const FILE_MODE: u32 = 0o644;

/// What a target has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    /// A directory, even in a procfs that only links lead to.
    Anywhere,
    /// A directory.
    Directory,
    /// Anything but a directory; made as an empty file.
    File,
    /// A directory that no symbolic link leads to.
    PlainDirectory,
    /// A directory; made as one that anybody may write to.
    Shared,
}

impl From<Source> for Leaf {
    fn from(source: Source) -> Self {
        match source {
            Source::Directory => Self::Directory,
            Source::File => Self::File,
        }
    }
}

/// The operands of mount(2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mounting<'t> {
    pub(super) source: &'t str,
    pub(super) target: &'t str,
    pub(super) kind: &'t str,
    pub(super) flags: u64,
    pub(super) data: &'t str,
}

/// A program in the making.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    /// What the program depends on beside the specification.
    pub(super) situation: &'a Situation<'a>,
    /// Where the operations go.
    pub(super) b: Builder,
    /// The container's root, once it is open.
    pub(super) root: Handle,
    /// Whether the child is the root of a user namespace made or joined for it.
    pub(super) user_namespace: bool,
    /// Whether the resource limits are set.
    pub(super) limited: bool,
    /// The paths that are covered before their procfs or sysfs has a name.
    pub(super) early: BTreeSet<String>,
    /// What covers masked files, and how many paths there are that may still need it.
    pub(super) cover: Option<Cover>,
    pub(super) to_cover: usize,
    given: Vec<Given>,
    left: u32,
    nul: bool,
    /// What was mounted so far, by target, and whether it began empty.
    mounted: BTreeMap<String, bool>,
    /// What was made so far below mounts that began empty.
    made: BTreeSet<String>,
    /// The mount at `/dev`, if it began empty and was opened since.
    dev: Option<Slot>,
    /// Behind which operation the working directory is that mount for sure.
    pub(super) within_dev: Option<u16>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(situation: &'a Situation<'a>, given: Vec<Given>) -> Self {
        Self {
            situation,
            b: Builder::new(u8::try_from(given.len()).unwrap_or(u8::MAX)),
            root: Handle::NONE,
            user_namespace: false,
            limited: false,
            early: BTreeSet::new(),
            cover: None,
            to_cover: 0,
            given,
            left: 0,
            nul: false,
            mounted: BTreeMap::new(),
            made: BTreeSet::new(),
            dev: None,
            within_dev: None,
        }
    }

    /// Returns the descriptor of that kind, which must have been asked for.
    pub(super) fn given(&self, wanted: Given) -> Handle {
        let slot = self.given.iter().position(|given| *given == wanted);
        assert!(slot.is_some(), "{wanted:?} is asked for before it is used");
        slot.and_then(|slot| u8::try_from(slot).ok()).map_or(Handle::NONE, Handle::slot)
    }

    /// Returns every descriptor that is given and kept: a console's socket is closed once the
    /// terminal has been sent.
    pub(super) fn all_given(&self) -> Vec<Handle> {
        let kept = (0_u8..).zip(&self.given).filter(|(_, given)| **given != Given::Console);
        kept.map(|(slot, _)| Handle::slot(slot)).collect()
    }

    pub(super) fn lacks(&self, feature: Feature) -> bool {
        self.situation.host.missing.contains(&feature)
    }

    pub(super) fn about(&mut self, about: impl Into<String>) {
        self.b.about(about);
    }

    pub(super) fn text(&mut self, text: &str) -> Text {
        self.nul |= text.contains('\0');
        self.b.text(text)
    }

    pub(super) fn list<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) -> List {
        let texts: Vec<_> = texts.into_iter().collect();
        self.nul |= texts.iter().any(|text| text.contains('\0'));
        self.b.list(texts)
    }

    /// Keeps a text that a file takes, which may be no shorter than it looks.
    pub(super) fn block(&mut self, text: &str) -> Span {
        self.nul |= text.contains('\0');
        self.b.block(text.as_bytes())
    }

    /// Gives a slot back; what it holds is closed only when too much is left open already, since
    /// all of it is close-on-exec and below the container's own root.
    pub(super) fn done(&mut self, slot: Slot) {
        if self.left < LEAVES {
            self.left += 1;
            self.b.leave(slot);
        } else {
            self.b.close(slot);
        }
    }

    /// Opens a path of the host.
    pub(super) fn open_host(&mut self, path: &str, flags: u64) -> Slot {
        let path = self.text(path);
        let flags = flags | O_CLOEXEC;
        let dir = Handle::CWD;
        self.b.open(Call::Openat2 { dir, path, flags, mode: 0, resolve: RESOLVE_NO_MAGICLINKS })
    }

    pub(super) fn mount(&mut self, mounting: Mounting<'_>) {
        let call = self.mounting(mounting);
        self.b.call(call);
    }

    pub(super) fn mounting(&mut self, mounting: Mounting<'_>) -> Call<Compiled> {
        Call::Mount {
            source: self.text(mounting.source),
            target: self.text(mounting.target),
            kind: self.text(mounting.kind),
            flags: mounting.flags,
            data: self.text(mounting.data),
        }
    }

    /// Makes a detached copy of the mount at `path`; `flags` may be `AT_RECURSIVE`.
    pub(super) fn copy(&mut self, dir: Handle, path: &str, flags: u32) -> Slot {
        let call = self.copying(dir, path, flags);
        self.b.open(call)
    }

    pub(super) fn copying(&mut self, dir: Handle, path: &str, flags: u32) -> Call<Compiled> {
        let empty = if path.is_empty() { AT_EMPTY_PATH } else { 0 };
        let path = self.text(path);
        let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags | empty;
        Call::OpenTree { dir, path, flags }
    }

    /// Attaches a detached mount to what an open descriptor names.
    pub(super) fn attach(&mut self, mount: Slot, target: Slot) {
        let call = self.onto(handle(mount), handle(target));
        self.b.call(call);
    }

    /// Returns the call that attaches a mount to what an open descriptor names.
    pub(super) fn onto(&mut self, from_dir: Handle, to_dir: Handle) -> Call<Compiled> {
        let empty = self.text("");
        let (from_path, to_path) = (empty, empty);
        let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
        Call::MoveMount { from_dir, from_path, to_dir, to_path, flags }
    }

    /// Attaches a detached mount by the name of its target.
    pub(super) fn attaching(&mut self, mount: Slot, dir: Handle, path: &str) -> Call<Compiled> {
        Call::MoveMount {
            from_dir: handle(mount),
            from_path: self.text(""),
            to_dir: dir,
            to_path: self.text(path),
            flags: MOVE_MOUNT_F_EMPTY_PATH,
        }
    }

    /// Reads one byte, which must be there: end-of-file means that its writer died.
    pub(super) fn await_byte(&mut self, fd: Handle) {
        self.b.call(Call::Read { fd, buf: Room { len: 1 } });
    }

    pub(super) fn write(&mut self, fd: Handle, bytes: &[u8]) {
        let bytes = self.b.block(bytes);
        self.b.call(Call::Write { fd, bytes });
    }

    /// Opens a path below the container's root; what is missing is made.
    pub(super) fn target(&mut self, path: &str, leaf: Leaf) -> Slot {
        let slot = self.b.take();
        self.target_into(path, leaf, slot);
        slot
    }

    fn target_into(&mut self, path: &str, leaf: Leaf, slot: Slot) {
        if self.surely_missing(path) {
            return self.make(path, leaf, slot);
        }
        let call = self.resolving(path, leaf, RESOLVE_NO_SYMLINKS);
        if path.is_empty() {
            return self.b.push(Act::Call(call), OnError::Fail, slot);
        }
        if path.starts_with("dev/") {
            // Opened here or never: what follows may be passed over.
            self.dev_if_empty();
        }
        let (missing, linked) = match leaf {
            Leaf::PlainDirectory => (self.b.open_or_skip(call, slot, &[Errno::ENOENT]), None),
            Leaf::Anywhere | Leaf::Directory | Leaf::File | Leaf::Shared => {
                let refusals: [&[Errno]; 2] = [&[Errno::ENOENT], &[Errno::ELOOP]];
                let (missing, linked) = self.b.open_or_split(call, slot, refusals);
                (missing, Some(linked))
            }
        };
        let found = self.b.jump();
        let reached = linked.map(|linked| {
            self.b.land(linked);
            let reach = self.reaching(path, leaf);
            self.b.push(reach, OnError::Fail, slot);
            self.b.jump()
        });
        self.b.land(missing);
        self.make(path, leaf, slot);
        if let Some(reached) = reached {
            self.b.land(reached);
        }
        self.b.land(found);
    }

    /// Makes the last part of a path in its parent, which is found or made first; the slot holds
    /// the parent until then.
    fn make(&mut self, path: &str, leaf: Leaf, slot: Slot) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = match leaf {
            Leaf::Directory | Leaf::File | Leaf::Shared => Leaf::Directory,
            Leaf::Anywhere | Leaf::PlainDirectory => leaf,
        };
        let dev = if parent == "dev" { self.dev_if_empty() } else { None };
        let dir = match (parent, dev) {
            ("", _) => self.root,
            ("dev", Some(dev)) => dev,
            _ => {
                self.target_into(parent, above, slot);
                handle(slot)
            }
        };
        let name = self.text(name);
        let making = match leaf {
            Leaf::Anywhere | Leaf::Directory | Leaf::PlainDirectory => {
                Call::Mkdirat { dir, path: name, mode: DIRECTORY_MODE }
            }
            Leaf::Shared => Call::Mkdirat { dir, path: name, mode: SHARED_MODE },
            Leaf::File => Call::Mknodat { dir, path: name, mode: S_IFREG | FILE_MODE, device: 0 },
        };
        self.b.call_or(making, &[Errno::EEXIST]);
        self.made.insert(path.to_owned());
        let act = match leaf {
            Leaf::PlainDirectory => Act::Call(self.resolving(path, leaf, RESOLVE_NO_SYMLINKS)),
            Leaf::Anywhere | Leaf::Directory | Leaf::File | Leaf::Shared => {
                self.reaching(path, leaf)
            }
        };
        self.b.push(act, OnError::Fail, slot);
    }

    /// The image's links may lead to what is not there yet; what they lead to in the container's
    /// own procfs is nobody's to cover (CVE-2019-16884).
    fn reaching(&mut self, path: &str, leaf: Leaf) -> Act {
        let mode = match leaf {
            Leaf::Anywhere | Leaf::Directory | Leaf::PlainDirectory => S_IFDIR | DIRECTORY_MODE,
            Leaf::File => S_IFREG | FILE_MODE,
            Leaf::Shared => S_IFDIR | SHARED_MODE,
        };
        let barred = if leaf == Leaf::Anywhere { 0 } else { PROC_SUPER_MAGIC };
        Act::Reach { dir: self.root, path: self.text(path), mode, barred }
    }

    /// Returns the mount at `/dev`, opened once, if it began empty.
    fn dev_if_empty(&mut self) -> Option<Handle> {
        if self.mounted.get("dev") != Some(&true) {
            return None;
        }
        if self.dev.is_none() {
            let call = self.resolving("dev", Leaf::Directory, 0);
            self.dev = Some(self.b.open(call));
        }
        self.dev.map(handle)
    }

    /// Opens the container's `/dev`, made where it is missing. The slot stays taken.
    pub(super) fn dev(&mut self) -> Handle {
        match self.dev_if_empty() {
            Some(dev) => dev,
            None => handle(self.target("dev", Leaf::Directory)),
        }
    }

    /// Returns the walk to a path below the container's root; `links` may forbid those.
    fn resolving(&mut self, path: &str, leaf: Leaf, links: u64) -> Call<Compiled> {
        let flags = if leaf == Leaf::File { 0 } else { O_DIRECTORY };
        let path = self.text(if path.is_empty() { "." } else { path });
        Call::Openat2 {
            dir: self.root,
            path,
            flags: flags | O_PATH | O_CLOEXEC,
            mode: 0,
            resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | links,
        }
    }

    /// Opens what was just mounted below the container's root.
    pub(super) fn reopen(&mut self, path: &str) -> Slot {
        let call = self.resolving(path, Leaf::File, 0);
        self.b.open(call)
    }

    /// Returns whether something lies on a mount that began empty and was not made there. A path
    /// whose links lead elsewhere is not fooled: what is made may be there already.
    pub(super) fn surely_missing(&self, path: &str) -> bool {
        let above = |mount: &str| {
            path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let nearest =
            self.mounted.iter().filter(|(mount, _)| above(mount)).max_by_key(|(m, _)| m.len());
        match nearest {
            Some((mount, true)) => mount != path && !self.made.contains(path),
            Some((_, false)) | None => false,
        }
    }

    /// Remembers that something was mounted on `path`, and whether it begins empty.
    pub(super) fn mounted(&mut self, path: &str, content: Content) {
        let below = |other: &String| {
            other == path || other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
        };
        self.mounted.retain(|other, _| !below(other));
        self.made.retain(|other| !below(other));
        if below(&"dev".to_owned())
            && let Some(dev) = self.dev.take()
        {
            self.b.leave(dev);
        }
        self.mounted.insert(path.to_owned(), content == Content::Empty);
    }

    pub(super) fn begins_empty(&self, path: &str) -> bool {
        self.mounted.get(path) == Some(&true)
    }

    /// Returns the program.
    ///
    /// # Errors
    ///
    /// A text with a NUL in it, or more operations than a program can count.
    pub(super) fn finish(self) -> Result<Program, Invalid> {
        if self.nul {
            return Err(invalid("", Reason::Nul));
        }
        if self.b.at() == u16::MAX {
            return Err(invalid("", Reason::Malformed("more than one program can hold")));
        }
        Ok(self.b.finish())
    }
}

/// What a mount begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing.
    Empty,
    /// Something, or nobody knows what.
    Some,
}

pub(super) const fn handle(slot: Slot) -> Handle {
    Handle::slot(slot.0)
}

pub(super) fn invalid(pointer: impl Into<String>, why: Reason) -> Invalid {
    Invalid { pointer: pointer.into(), why }
}

/// Returns a path's parts without empty ones, `.` and `..`, joined: `""` is the root.
pub(super) fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => (),
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Returns a path of the host, made absolute by the directory that it starts from.
pub(super) fn from(dir: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{dir}/{path}") }
}
