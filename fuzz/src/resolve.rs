//! Walks of paths end where a naive reading of them does, and make what it makes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::CString;

use arbitrary::Arbitrary;
use cofferdam::backend::fake::{Process, Profile, World};
use cofferdam::sys::{
    Act, Builder, CWD, Call, Cursor, Errno, Fd, Handle, OnError, RawFd, Syscalls, Turn, flags,
};

use crate::made::{Choice, whole};
use crate::naive::{At, How, Node, Tree};

/// Names that meet each other.
const NAMES: [&str; 8] = ["a", "b", "c", "d", "..", ".", "a", ".."];
/// The most nodes, and the most paths.
const NODES_MAX: usize = 24;
const PATHS_MAX: usize = 8;
/// Where walks begin; `/t/o` is outside.
const ROOT: [&str; 2] = ["t", "r"];

const DIRECTORY: u32 = flags::S_IFDIR | 0o755;
const FILE: u32 = flags::S_IFREG | 0o644;

#[derive(Debug, Arbitrary)]
struct Case {
    nodes: Vec<(MadePath, MadeNode)>,
    paths: Vec<(MadePath, MadeHow)>,
}

#[derive(Debug, Arbitrary)]
struct MadePath {
    absolute: bool,
    slash: bool,
    parts: Vec<Choice>,
}

#[derive(Debug, Arbitrary)]
enum MadeNode {
    Directory,
    File,
    Link(MadePath),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum MadeHow {
    /// It is opened with such limits.
    Open { scope: Choice, no_links: bool, keep: bool, directory: bool },
    /// It is opened as programs do, and what is missing is made.
    Reach { directory: bool },
}

impl MadePath {
    fn text(&self) -> String {
        let parts: Vec<_> = self.parts.iter().take(6).map(|part| part.of(&NAMES)).collect();
        let (before, behind) =
            (if self.absolute { "/" } else { "" }, if self.slash { "/" } else { "" });
        match parts.join("/") {
            parts if parts.is_empty() && !self.absolute => ".".to_owned(),
            parts => format!("{before}{parts}{behind}"),
        }
    }

    /// The place below the root that its names spell, without the dots.
    fn place(&self) -> At {
        let names = self.parts.iter().take(4).map(|part| part.of(&NAMES));
        let names = names.filter(|name| !name.starts_with('.'));
        ROOT.into_iter().chain(names).map(str::to_owned).collect()
    }
}

fn text(at: &[String]) -> String {
    format!("/{}", at.join("/"))
}

fn c(text: &str) -> CString {
    CString::new(text).expect("no name here has a NUL")
}

/// Performs a case.
pub fn resolve(data: &[u8]) {
    let Some(case) = whole::<Case>(data) else { return };
    let mut tree = Tree(BTreeMap::from([(Vec::new(), Node::Directory)]));
    let mut world = World::new(Profile::default());
    for path in [&["t"][..], &ROOT, &["t", "o"]] {
        let at: At = path.iter().map(|name| (*name).to_owned()).collect();
        world.mkdir(&text(&at));
        tree.add(at, Node::Directory);
    }
    for (path, node) in case.nodes.iter().take(NODES_MAX) {
        add(&mut world, &mut tree, (path.place(), node));
    }
    let pid = world.client();
    let world = RefCell::new(world);
    let kernel = World::process(&world, pid);
    for (path, how) in case.paths.iter().take(PATHS_MAX) {
        let path = path.text();
        let before = tree.clone();
        let (answer, expected) = match *how {
            MadeHow::Open { scope, no_links, keep, directory } => {
                let scope = scope.of(&[0, flags::RESOLVE_IN_ROOT, flags::RESOLVE_BENEATH]);
                open(&kernel, &mut tree, &path, (scope, no_links, keep, directory))
            }
            MadeHow::Reach { directory } => reach(&kernel, &mut tree, &path, directory),
        };
        assert_eq!(answer, expected.map(|at| inode(&kernel, &at)), "{path} {how:?} in {before:#?}");
        same(&kernel, &tree, (&path, *how, &before));
    }
}

fn add(world: &mut World, tree: &mut Tree, (at, node): (At, &MadeNode)) {
    let path = text(&at);
    match node {
        MadeNode::Directory => {
            if tree.add(at, Node::Directory) {
                world.mkdir(&path);
            }
        }
        MadeNode::File => {
            if tree.add(at, Node::File) {
                world.write_file(&path, b"");
            }
        }
        MadeNode::Link(target) => {
            let target = target.text();
            if tree.add(at, Node::Link(target.clone())) {
                world.symlink(&target, &path);
            }
        }
    }
}

type Both = (Result<u64, Errno>, Result<At, Errno>);

fn root() -> At {
    ROOT.map(str::to_owned).to_vec()
}

fn opened_root<'k, 'w>(kernel: &'k Process<'w>) -> Fd<'k, Process<'w>> {
    let how = flags::O_PATH | flags::O_DIRECTORY;
    kernel.open(CWD, &c(&text(&root())), how).expect("the root is there")
}

/// Opens a path on the kernel and in the tree.
fn open(
    kernel: &Process<'_>,
    tree: &mut Tree,
    path: &str,
    (scope, no_links, keep, directory): (u64, bool, bool, bool),
) -> Both {
    let dir = opened_root(kernel);
    let bit = |wanted: bool, bit: u64| if wanted { bit } else { 0 };
    let how = flags::O_PATH
        | flags::O_CLOEXEC
        | bit(keep, flags::O_NOFOLLOW)
        | bit(directory, flags::O_DIRECTORY);
    let resolve = scope | bit(no_links, flags::RESOLVE_NO_SYMLINKS);
    let call = Call::Openat2 { dir: dir.raw(), path: &*c(path), flags: how, mode: 0, resolve };
    let answer = kernel.give(call).map(|fd| opened(kernel, &fd));
    let how = How {
        in_root: scope == flags::RESOLVE_IN_ROOT,
        beneath: scope == flags::RESOLVE_BENEATH,
        no_links,
        keep,
        make: None,
    };
    let expected = tree.walk(&root(), path, how);
    let expected = expected.and_then(|at| {
        if directory && !tree.is_directory(&at) { Err(Errno::ENOTDIR) } else { Ok(at) }
    });
    (answer, expected)
}

/// Reaches a path as a program does, and makes what is missing in the tree.
fn reach(kernel: &Process<'_>, tree: &mut Tree, path: &str, directory: bool) -> Both {
    let dir = opened_root(kernel);
    let mode = if directory { DIRECTORY } else { FILE };
    let answer = performed(kernel, dir.raw(), (path, mode));
    let answer = answer.map(|fd| opened(kernel, &Fd::new(fd, kernel)));
    let how = How { in_root: true, ..How::default() };
    let node = if directory { &Node::Directory } else { &Node::File };
    let expected = match tree.walk(&root(), path, how) {
        Err(Errno::ENOENT) => tree.walk(&root(), path, How { make: Some(node), ..how }),
        expected => expected,
    };
    let expected = expected.and_then(|at| {
        if directory && !tree.is_directory(&at) { Err(Errno::ENOTDIR) } else { Ok(at) }
    });
    (answer, expected)
}

fn performed(kernel: &Process<'_>, root: RawFd, (path, mode): (&str, u32)) -> Result<RawFd, Errno> {
    let mut builder = Builder::new(1);
    let path = builder.text(path);
    let slot = builder.take();
    let dir = Handle::slot(0);
    builder.push(Act::Reach { dir, path, mode, barred: 0 }, OnError::Fail, slot);
    let program = builder.finish();
    let mut cursor = Cursor::new(program.code(), &[root]);
    match cursor.step(program.code(), kernel) {
        Turn::Failed { errno, .. } => Err(errno),
        Turn::Ended { .. } => unreachable!("nobody is waited for"),
        Turn::Going | Turn::Over => Ok(cursor.slots[usize::from(slot.0)]),
    }
}

fn opened(kernel: &Process<'_>, fd: &Fd<'_, Process<'_>>) -> u64 {
    kernel.stat(fd.raw(), c"", flags::AT_EMPTY_PATH).expect("it is open").inode
}

fn inode(kernel: &Process<'_>, at: &[String]) -> u64 {
    let stat = kernel.stat(CWD, &c(&text(at)), flags::AT_SYMLINK_NOFOLLOW);
    stat.unwrap_or_else(|errno| panic!("{} is not there: {errno}", text(at))).inode
}

/// Demands that the kernel has below `/t` what the tree has, no more and no less.
fn same(kernel: &Process<'_>, tree: &Tree, about: (&str, MadeHow, &Tree)) {
    let mut found = BTreeMap::from([(Vec::new(), Node::Directory)]);
    let mut waiting: Vec<At> = vec![vec!["t".to_owned()]];
    while let Some(at) = waiting.pop() {
        let path = c(&text(&at));
        let stat = kernel.stat(CWD, &path, flags::AT_SYMLINK_NOFOLLOW).expect("it was listed");
        let node = match stat.mode & flags::S_IFMT {
            flags::S_IFDIR => {
                let dir = kernel.open(CWD, &path, flags::O_DIRECTORY).expect("a directory");
                for entry in kernel.entries(dir.raw()).expect("it can be listed") {
                    waiting.push(at.iter().cloned().chain([entry.name]).collect());
                }
                Node::Directory
            }
            flags::S_IFREG => Node::File,
            _ => {
                let target = kernel.read_link(CWD, &path).expect("a link");
                Node::Link(String::from_utf8(target).expect("a name of ours"))
            }
        };
        found.insert(at, node);
    }
    assert_eq!(found, tree.0, "behind {about:#?}");
}
