//! Namespaces: numbers that processes are in, with what each kind holds.

use std::sync::Arc;

use super::creds::{Id, SYS_ADMIN};
use super::fds::What;
use super::files::{Ino, Name};
use super::{Answer, Pid, World};
use crate::sys::{Errno, RawFd, flags};

/// The kinds of namespaces, in the order of a task's list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Cgroup,
    Ipc,
    Mnt,
    Net,
    Pid,
    Time,
    User,
    Uts,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Space {
    pub(super) kind: Kind,
    /// The user namespace that owns it; of a user namespace, its parent.
    pub(super) owner: u32,
    pub(super) held: Held,
}

/// One line of an id map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) inside: u32,
    /// As the first user namespace counts.
    pub(super) outside: u32,
    pub(super) count: u32,
}

/// What a namespace holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Held {
    /// The root of each hierarchy.
    Cgroup {
        roots: Arc<[u32]>,
    },
    /// Its root mount.
    Mnt {
        root: u32,
    },
    Nothing,
    /// Its first process, and the last number it gave.
    Pid {
        init: Pid,
        last: Pid,
    },
    User {
        maker: u32,
        uids: Arc<[Run]>,
        gids: Arc<[Run]>,
        groups_denied: bool,
    },
    Uts {
        host: Name,
        domain: Name,
    },
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Self; 8] = [
        Self::Cgroup,
        Self::Ipc,
        Self::Mnt,
        Self::Net,
        Self::Pid,
        Self::Time,
        Self::User,
        Self::Uts,
    ];

    /// Returns the number of the first namespace of this kind.
    pub(super) const fn first(self) -> u32 {
        self as u32 + 1
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Mnt => "mnt",
            Self::Net => "net",
            Self::Pid => "pid",
            Self::Time => "time",
            Self::User => "user",
            Self::Uts => "uts",
        }
    }

    pub(super) const fn flag(self) -> u64 {
        match self {
            Self::Cgroup => flags::CLONE_NEWCGROUP,
            Self::Ipc => flags::CLONE_NEWIPC,
            Self::Mnt => flags::CLONE_NEWNS,
            Self::Net => flags::CLONE_NEWNET,
            Self::Pid => flags::CLONE_NEWPID,
            Self::Time => flags::CLONE_NEWTIME,
            Self::User => flags::CLONE_NEWUSER,
            Self::Uts => flags::CLONE_NEWUTS,
        }
    }
}

impl World {
    /// Makes the namespaces of `kinds` for `pid`, which is already in those of its parent.
    pub(super) fn new_spaces(&mut self, pid: Pid, kinds: u64) -> Result<(), Errno> {
        if kinds & flags::CLONE_NEWUSER != 0 {
            let owner = self.task(pid).space(Kind::User);
            let held = Held::User {
                maker: self.task(pid).creds.uid,
                uids: Arc::new([]),
                gids: Arc::new([]),
                groups_denied: false,
            };
            let space = self.spaces.add(Space { kind: Kind::User, owner, held });
            let task = self.task_mut(pid);
            task.set_space(Kind::User, space);
            task.creds.crown();
        }
        let owner = self.task(pid).space(Kind::User);
        let rest = Kind::ALL.into_iter().filter(|kind| *kind != Kind::User);
        for kind in rest.filter(|kind| kinds & kind.flag() != 0) {
            if !self.capable_in(pid, SYS_ADMIN, owner) {
                return Err(Errno::EPERM);
            }
            let held = self.fresh(pid, kind);
            let space = self.spaces.add(Space { kind, owner, held });
            match kind {
                Kind::Mnt => self.copy_mounts(pid, space),
                Kind::Pid | Kind::Time => {
                    self.task_mut(pid).next_spaces.insert(kind, space);
                }
                Kind::Cgroup | Kind::Ipc | Kind::Net | Kind::User | Kind::Uts => {
                    self.task_mut(pid).set_space(kind, space);
                }
            }
        }
        Ok(())
    }

    fn fresh(&self, pid: Pid, kind: Kind) -> Held {
        let task = self.task(pid);
        match kind {
            Kind::Cgroup => Held::Cgroup { roots: task.cgroups.clone() },
            Kind::Mnt => Held::Mnt { root: 0 },
            Kind::Pid => Held::Pid { init: 0, last: 0 },
            Kind::Uts => {
                self.spaces.get(task.space(Kind::Uts)).map_or(Held::Nothing, |uts| uts.held.clone())
            }
            Kind::Ipc | Kind::Net | Kind::Time | Kind::User => Held::Nothing,
        }
    }

    pub(super) fn unshare(&mut self, pid: Pid, kinds: u64) -> Answer {
        let known = Kind::ALL.into_iter().fold(0, |all, kind| all | kind.flag());
        if kinds & !known != 0 {
            return Err(Errno::EINVAL);
        }
        self.new_spaces(pid, kinds)?;
        self.sweep_spaces();
        Ok(0)
    }

    pub(super) fn setns(&mut self, pid: Pid, fd: RawFd, kinds: u64) -> Answer {
        let open = self.open_of(pid, fd)?;
        let targets: Vec<u32> = match (&open.what, open.place().ino) {
            (What::Pidfd(target), _) => {
                let target = target.ok_or(Errno::ESRCH)?;
                let task = self.tasks.get(target).ok_or(Errno::ESRCH)?;
                if kinds == 0 {
                    return Err(Errno::EINVAL);
                }
                if !task.life.is_alive() {
                    return Err(Errno::ESRCH);
                }
                let wanted = Kind::ALL.into_iter().filter(|kind| kinds & kind.flag() != 0);
                wanted.map(|kind| task.space(kind)).collect()
            }
            (_, Ino::Space(space)) => vec![space],
            _ => return Err(Errno::EINVAL),
        };
        for space in targets {
            self.enter(pid, space, kinds)?;
        }
        self.sweep_spaces();
        Ok(0)
    }

    fn enter(&mut self, pid: Pid, space: u32, kinds: u64) -> Result<(), Errno> {
        let Some(Space { kind, owner, held }) = self.spaces.get(space).cloned() else {
            return Err(Errno::EINVAL);
        };
        if kinds != 0 && kinds & kind.flag() == 0 {
            return Err(Errno::EINVAL);
        }
        if kind == Kind::User {
            if self.task(pid).space(Kind::User) == space {
                return Err(Errno::EINVAL);
            }
            if !self.capable_in(pid, SYS_ADMIN, space) {
                return Err(Errno::EPERM);
            }
            self.task_mut(pid).set_space(kind, space);
            self.task_mut(pid).creds.crown();
            return Ok(());
        }
        if !self.capable_in(pid, SYS_ADMIN, owner) {
            return Err(Errno::EPERM);
        }
        match (kind, held) {
            (Kind::Pid | Kind::Time, _) => {
                self.task_mut(pid).next_spaces.insert(kind, space);
            }
            (Kind::Mnt, Held::Mnt { root }) => {
                let place = self.over(self.root_of(root));
                let task = self.task_mut(pid);
                task.set_space(kind, space);
                task.root = place;
                task.cwd = place;
            }
            (Kind::Cgroup | Kind::Ipc | Kind::Net | Kind::Uts | Kind::Mnt | Kind::User, _) => {
                self.task_mut(pid).set_space(kind, space);
            }
        }
        Ok(())
    }

    /// Drops the namespaces that nobody is in, nobody holds open and nobody has mounted.
    pub(super) fn sweep_spaces(&mut self) {
        loop {
            let unused: Vec<u32> = self
                .spaces
                .iter()
                .filter(|(row, _)| *row > 8 && !self.space_in_use(*row))
                .map(|(row, _)| row)
                .collect();
            if unused.is_empty() {
                return;
            }
            for row in unused {
                self.spaces.remove(row);
                self.drop_mounts(row);
            }
        }
    }

    fn space_in_use(&self, space: u32) -> bool {
        self.tasks.iter().any(|(_, task)| task.is_in(space))
            || self.opens.iter().any(|(_, open)| open.place().ino == Ino::Space(space))
            || self.mounts.iter().any(|(_, m)| m.root == Ino::Space(space) || m.pids == space)
            || self.spaces.iter().any(|(row, other)| row != space && other.owner == space)
    }

    /// Returns the id of the first user namespace for `id` in `space`.
    pub(super) fn outward(&self, space: u32, id: u32, kind: Id) -> Option<u32> {
        self.runs(space, kind)?.iter().find_map(|run| {
            let offset = id.checked_sub(run.inside).filter(|offset| *offset < run.count)?;
            run.outside.checked_add(offset)
        })
    }

    /// Returns the id in `space` for `id` of the first user namespace.
    pub(super) fn inward(&self, space: u32, id: u32, kind: Id) -> Option<u32> {
        self.runs(space, kind)?.iter().find_map(|run| {
            let offset = id.checked_sub(run.outside).filter(|offset| *offset < run.count)?;
            run.inside.checked_add(offset)
        })
    }

    fn runs(&self, space: u32, kind: Id) -> Option<&[Run]> {
        match (&self.spaces.get(space)?.held, kind) {
            (Held::User { uids, .. }, Id::User) => Some(uids),
            (Held::User { gids, .. }, Id::Group) => Some(gids),
            _ => None,
        }
    }

    /// Writes an id map of the user namespace of `target`.
    pub(super) fn write_map(&mut self, pid: Pid, target: Pid, map: (Id, &[u8])) -> Answer {
        let (kind, bytes) = map;
        let space = self.task(target).space(Kind::User);
        let parent = self.spaces.get(space).map_or(0, |space| space.owner);
        let runs = parse_runs(bytes).ok_or(Errno::EINVAL)?;
        let Some(Held::User { maker, uids, gids, groups_denied }) =
            self.spaces.get(space).map(|space| space.held.clone())
        else {
            return Err(Errno::EPERM);
        };
        let written = if kind == Id::User { !uids.is_empty() } else { !gids.is_empty() };
        let powerful = self.capable_in(pid, 6, parent) && self.capable_in(pid, 7, parent);
        let single =
            matches!(runs.as_slice(), [Run { outside, count: 1, .. }] if *outside == maker);
        let modest = single && (kind == Id::User || groups_denied);
        if space == Kind::User.first() || written || !(powerful || modest) {
            return Err(Errno::EPERM);
        }
        let mut outer = Vec::new();
        for run in runs {
            let outside = self.outward(parent, run.outside, kind).ok_or(Errno::EPERM)?;
            outer.push(Run { outside, ..run });
        }
        if let Some(Space { held: Held::User { uids, gids, .. }, .. }) = self.spaces.get_mut(space)
        {
            match kind {
                Id::Group => *gids = outer.into(),
                Id::User => *uids = outer.into(),
            }
        }
        Ok(bytes.len() as u64)
    }

    /// Sets the host name or the domain name of the namespace that `pid` is in.
    pub(super) fn set_name(&mut self, pid: Pid, name: &[u8], which: Called) -> Answer {
        if name.len() > 64 {
            return Err(Errno::EINVAL);
        }
        if !self.capable_of(pid, SYS_ADMIN, Kind::Uts) {
            return Err(Errno::EPERM);
        }
        let space = self.task(pid).space(Kind::Uts);
        if let Some(Space { held: Held::Uts { host, domain }, .. }) = self.spaces.get_mut(space) {
            match which {
                Called::Domain => *domain = name.into(),
                Called::Host => *host = name.into(),
            }
        }
        Ok(0)
    }
}

/// Which of the names of a machine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Called {
    Domain,
    Host,
}

fn parse_runs(bytes: &[u8]) -> Option<Vec<Run>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut runs = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace().map(|word| word.parse::<u32>().ok());
        let (inside, outside, count) = (words.next()??, words.next()??, words.next()??);
        if words.next().is_some() || count == 0 {
            return None;
        }
        runs.push(Run { inside, outside, count });
    }
    (!runs.is_empty()).then_some(runs)
}
