//! The path walk: components one at a time, with links, `..`, mounts and the limits of openat2(2).

use std::borrow::Cow;
use std::collections::VecDeque;

use super::files::{Ino, Inode, Name, Node, Place};
use super::{Pid, World};
use crate::sys::{CWD, Errno, RawFd, flags};

const HOPS: u32 = 40;

/// What is asked of a walk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    pub(super) pid: Pid,
    pub(super) dir: RawFd,
    pub(super) path: &'a [u8],
    pub(super) last: Last,
    /// `RESOLVE_*`
    pub(super) resolve: u64,
}

/// What is done with the last component, a symbolic link maybe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// It is followed to what is made where it is missing: no slash may come after it.
    Create,
    Follow,
    Keep,
    /// It is not even looked up.
    Leave,
    /// It is kept, or made where it is missing: no slash may come after it.
    New,
}

/// Where a walk ended.
#[derive(Clone, Debug)]
pub(super) struct Walked {
    /// The directory of the last component.
    pub(super) parent: Place,
    /// The last component; empty where the path was.
    pub(super) name: Name,
    /// What the last component leads to, if it exists.
    pub(super) target: Option<Place>,
    /// Whether the path ended in a slash.
    pub(super) slash: bool,
}

/// Where a symbolic link leads.
pub(super) enum Link {
    /// Straight to an object (procfs).
    Magic(Place),
    /// To a path.
    Text(Name),
}

impl<'a> Walk<'a> {
    /// Returns a walk that follows every link.
    pub(super) const fn new(pid: Pid, dir: RawFd, path: &'a [u8]) -> Self {
        Self { pid, dir, path, last: Last::Follow, resolve: 0 }
    }

    /// Returns a walk that stops at a link.
    pub(super) const fn keep(pid: Pid, dir: RawFd, path: &'a [u8]) -> Self {
        Self { pid, dir, path, last: Last::Keep, resolve: 0 }
    }

    const fn has(&self, bits: u64) -> bool {
        self.resolve & bits != 0
    }
}

impl Walked {
    /// Returns whether the last component is no name of its own.
    pub(super) fn is_dots(&self) -> bool {
        matches!(&*self.name, b"." | b"..")
    }
}

impl World {
    /// Walks to the directory of the last component, for whoever makes, moves or removes a name.
    pub(super) fn parent(&self, pid: Pid, at: (RawFd, &[u8])) -> Result<Walked, Errno> {
        self.walk(Walk { last: Last::Leave, ..Walk::new(pid, at.0, at.1) })
    }

    /// Looks up the last component of a walk to its directory; a link is not followed.
    pub(super) fn seek(&self, pid: Pid, walked: &mut Walked) -> Result<(), Errno> {
        let Some(ino) = self.lookup(pid, walked.parent, &walked.name)? else { return Ok(()) };
        let child = Place { mount: walked.parent.mount, ino };
        let plain = matches!(self.link_of(pid, child), Ok(None));
        walked.target = Some(if plain { self.over(child) } else { child });
        Ok(())
    }

    /// Walks to an object that has to exist.
    pub(super) fn find(&self, walk: Walk<'_>) -> Result<Place, Errno> {
        let walked = self.walk(walk)?;
        walked.target.ok_or(Errno::ENOENT)
    }

    /// Walks to an object, or with an empty path and `AT_EMPTY_PATH` stays at the descriptor.
    pub(super) fn find_at(&self, walk: Walk<'_>, at_flags: u32) -> Result<Place, Errno> {
        if walk.path.is_empty() && at_flags & flags::AT_EMPTY_PATH != 0 {
            return self.start(walk.pid, walk.dir);
        }
        let last = if at_flags & flags::AT_SYMLINK_NOFOLLOW != 0 { Last::Keep } else { walk.last };
        self.find(Walk { last, ..walk })
    }

    /// Returns where a walk from `dir` begins.
    pub(super) fn start(&self, pid: Pid, dir: RawFd) -> Result<Place, Errno> {
        if dir == CWD { Ok(self.task(pid).cwd) } else { Ok(self.open_of(pid, dir)?.place()) }
    }

    /// Walks a path.
    pub(super) fn walk(&self, walk: Walk<'_>) -> Result<Walked, Errno> {
        if walk.path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if walk.path.len() > 4095 {
            return Err(Errno::ENAMETOOLONG);
        }
        let absolute = walk.path.first() == Some(&b'/');
        let scoped = flags::RESOLVE_IN_ROOT | flags::RESOLVE_BENEATH;
        if absolute && walk.has(flags::RESOLVE_BENEATH) {
            return Err(Errno::EXDEV);
        }
        let start = if absolute && !walk.has(flags::RESOLVE_IN_ROOT) {
            self.task(walk.pid).root
        } else {
            self.start(walk.pid, walk.dir)?
        };
        let root = if walk.has(scoped) { start } else { self.task(walk.pid).root };
        let mut trail = Trail { walk, root, at: start, rest: VecDeque::new(), hops: 0 };
        trail.push(components(walk.path).map(Cow::Borrowed));
        trail.run(self)
    }

    /// Returns the topmost object over `place`, through whatever is mounted there.
    pub(super) fn over(&self, mut place: Place) -> Place {
        while let Some(mount) = self.mounted_at(place) {
            let root = self.mounts.get(mount).map_or(place.ino, |mount| mount.root);
            place = Place { mount, ino: root };
        }
        place
    }

    /// Returns the directory above `place`, not above `root`.
    pub(super) fn above(&self, mut place: Place, root: Place) -> Place {
        loop {
            if place == root {
                return place;
            }
            let Some(mount) = self.mounts.get(place.mount) else { return place };
            if mount.root != place.ino {
                let ino = self.parent_of(place.ino);
                return Place { mount: place.mount, ino };
            }
            if mount.at.mount == 0 {
                return place;
            }
            place = mount.at;
        }
    }

    pub(super) fn parent_of(&self, ino: Ino) -> Ino {
        match ino {
            Ino::Cgroup(row) => Ino::Cgroup(self.cgroups.get(row).map_or(row, |c| c.parent)),
            Ino::CgroupFile(row, _) => Ino::Cgroup(row),
            Ino::Plain(row) => match self.inodes.get(row).map(|inode| &inode.node) {
                Some(Node::Directory { parent, .. }) => Ino::Plain(*parent),
                Some(_) | None => self.holder_of(row).map_or(ino, Ino::Plain),
            },
            Ino::Proc(proc) => Ino::Proc(proc.parent()),
            Ino::Nameless | Ino::Socket(_) | Ino::Space(_) => ino,
        }
    }

    /// Returns the directory that has a name for a file.
    fn holder_of(&self, file: u32) -> Option<u32> {
        let has = |inode: &Inode| match &inode.node {
            Node::Directory { entries, .. } => entries.values().any(|child| *child == file),
            _ => false,
        };
        self.inodes.iter().find(|(_, inode)| has(inode)).map(|(row, _)| row)
    }

    /// Returns what a directory has under a name.
    pub(super) fn lookup(&self, pid: Pid, at: Place, name: &[u8]) -> Result<Option<Ino>, Errno> {
        // Law `a_cgroup_may_have_a_name_of_256_bytes`.
        if name.len() > 255 && !matches!(at.ino, Ino::Cgroup(_)) {
            return Err(Errno::ENAMETOOLONG);
        }
        match at.ino {
            Ino::Cgroup(row) => Ok(self.cgroup_entry(row, name)),
            Ino::Plain(row) => match self.inodes.get(row).map(|inode| &inode.node) {
                Some(Node::Directory { entries, .. }) => {
                    Ok(entries.get(name).copied().map(Ino::Plain))
                }
                Some(_) | None => Err(Errno::ENOTDIR),
            },
            Ino::Proc(proc) => {
                let space = self.mounts.get(at.mount).map_or(0, |mount| mount.pids);
                Ok(self.proc_entry(pid, proc, (name, space)).map(Ino::Proc))
            }
            Ino::CgroupFile(..) | Ino::Nameless | Ino::Socket(_) | Ino::Space(_) => {
                Err(Errno::ENOTDIR)
            }
        }
    }

    /// Returns where an object leads if it is a symbolic link.
    pub(super) fn link_of(&self, pid: Pid, place: Place) -> Result<Option<Link>, Errno> {
        match place.ino {
            Ino::Plain(row) => Ok(match self.inodes.get(row).map(|inode| &inode.node) {
                Some(Node::Link(target)) => Some(Link::Text(target.clone())),
                Some(_) | None => None,
            }),
            Ino::Proc(proc) => {
                let space = self.mounts.get(place.mount).map_or(0, |mount| mount.pids);
                self.proc_link(pid, proc, space)
            }
            Ino::Cgroup(_)
            | Ino::CgroupFile(..)
            | Ino::Nameless
            | Ino::Socket(_)
            | Ino::Space(_) => Ok(None),
        }
    }
}

/// A walk on its way.
struct Trail<'a> {
    walk: Walk<'a>,
    root: Place,
    at: Place,
    rest: VecDeque<Cow<'a, [u8]>>,
    hops: u32,
}

/// Returns the components of a path; a trailing slash leaves an empty one.
fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let slash = path.ends_with(b"/") || path.is_empty();
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    parts.chain(slash.then_some(&b""[..]))
}

impl<'a> Trail<'a> {
    /// Puts components before what is left.
    fn push(&mut self, parts: impl DoubleEndedIterator<Item = Cow<'a, [u8]>>) {
        for part in parts.rev() {
            self.rest.push_front(part);
        }
    }

    fn run(mut self, world: &World) -> Result<Walked, Errno> {
        let mut parent = self.at;
        let mut last = Cow::Borrowed(&b"."[..]);
        let mut slash = false;
        while let Some(part) = self.rest.pop_front() {
            if part.is_empty() {
                slash = self.rest.is_empty();
                if !world.is_directory(self.at.ino) {
                    return Err(Errno::ENOTDIR);
                }
                continue;
            }
            if !world.is_directory(self.at.ino) {
                return Err(Errno::ENOTDIR);
            }
            world.may(self.walk.pid, self.at.ino, 1)?;
            parent = self.at;
            last = part;
            let ends = self.rest.iter().all(|part| part.is_empty());
            if ends && self.walk.last == Last::Leave {
                return Ok(Walked {
                    parent,
                    name: Name::from(&*last),
                    target: None,
                    slash: !self.rest.is_empty(),
                });
            }
            match &*last {
                b"." => (),
                b".." => self.up(world)?,
                name => {
                    let made = matches!(self.walk.last, Last::Create | Last::New);
                    if ends && made && !self.rest.is_empty() {
                        return Err(Errno::EISDIR);
                    }
                    let Some(ino) = world.lookup(self.walk.pid, self.at, name)? else {
                        if !ends {
                            return Err(Errno::ENOENT);
                        }
                        let slash = !self.rest.is_empty();
                        let name = Name::from(&*last);
                        return Ok(Walked { parent, name, target: None, slash });
                    };
                    self.down(world, ino)?;
                }
            }
        }
        Ok(Walked { parent, name: Name::from(&*last), target: Some(self.at), slash })
    }

    fn up(&mut self, world: &World) -> Result<(), Errno> {
        if self.at == self.root && self.walk.has(flags::RESOLVE_BENEATH) {
            return Err(Errno::EXDEV);
        }
        let above = world.over(world.above(self.at, self.root));
        self.step(above)
    }

    /// Enters a child, through a link where the walk says so.
    fn down(&mut self, world: &World, ino: Ino) -> Result<(), Errno> {
        let child = Place { mount: self.at.mount, ino };
        let link = world.link_of(self.walk.pid, child);
        let follows = matches!(self.walk.last, Last::Create | Last::Follow);
        let follow = follows || !self.rest.is_empty();
        if !follow {
            return self.step(if matches!(link, Ok(None)) { world.over(child) } else { child });
        }
        let Some(link) = link? else {
            return self.step(world.over(child));
        };
        self.hops += 1;
        if self.hops > HOPS || self.walk.has(flags::RESOLVE_NO_SYMLINKS) {
            return Err(Errno::ELOOP);
        }
        match link {
            Link::Magic(_) if self.walk.has(flags::RESOLVE_NO_MAGICLINKS) => Err(Errno::ELOOP),
            Link::Magic(_) if self.walk.has(flags::RESOLVE_BENEATH | flags::RESOLVE_IN_ROOT) => {
                Err(Errno::EXDEV)
            }
            Link::Magic(place) => self.step(place),
            Link::Text(target) => {
                if target.first() == Some(&b'/') {
                    if self.walk.has(flags::RESOLVE_BENEATH) {
                        return Err(Errno::EXDEV);
                    }
                    let root = self.root;
                    self.step(root)?;
                }
                self.push(components(&target).map(|part| Cow::Owned(part.to_vec())));
                Ok(())
            }
        }
    }

    fn step(&mut self, to: Place) -> Result<(), Errno> {
        if to.mount != self.at.mount && self.walk.has(flags::RESOLVE_NO_XDEV) {
            return Err(Errno::EXDEV);
        }
        self.at = to;
        Ok(())
    }
}
