//! Cgroups: the trees, who is in them, and who is frozen.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::creds::SYS_ADMIN;
use super::files::{Ino, Name};
use super::profile::Cgroups;
use super::spaces::{Held, Kind};
use super::transition::Transition;
use super::{Answer, Pid, World, cgroupfs};
use crate::sys::Errno;

/// A tree of cgroups.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hierarchy {
    /// 0 for v2.
    pub(super) number: u32,
    /// As they stand in `/proc/<pid>/cgroup`.
    pub(super) controllers: &'static str,
    pub(super) root: u32,
}

/// A cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cgroup {
    /// Which tree, by its place in the list.
    pub(super) hierarchy: u32,
    /// The one above; the root's is itself.
    pub(super) parent: u32,
    pub(super) name: Name,
    pub(super) children: BTreeMap<Name, u32>,
    /// It was removed; whoever has it open gets `ENODEV`.
    pub(super) dead: bool,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The owners of files that were given away.
    pub(super) owners: BTreeMap<u8, (u32, u32)>,
    /// What was written to the files that keep it.
    pub(super) files: BTreeMap<u8, Name>,
    /// The controllers that its children have (v2).
    pub(super) enabled: Arc<[&'static str]>,
    pub(super) freeze: bool,
    pub(super) frozen: bool,
    /// Processes that are gone and still counted.
    pub(super) lingering: u32,
}

/// The trees of a kernel with v1: number, controllers, directory.
const V1: [(u32, &str, &str); 7] = [
    (2, "memory", "memory"),
    (3, "pids", "pids"),
    (4, "freezer", "freezer"),
    (5, "devices", "devices"),
    (6, "cpu,cpuacct", "cpu,cpuacct"),
    (7, "cpuset", "cpuset"),
    (1, "name=systemd", "systemd"),
];

impl World {
    /// Makes the trees that the profile asks for and mounts them.
    pub(super) fn first_cgroups(&mut self) {
        let trees: Vec<(u32, &str, &str)> = match self.profile.cgroups {
            Cgroups::Hybrid => [(0, "", "unified")].into_iter().chain(V1).collect(),
            Cgroups::V1 => V1.to_vec(),
            Cgroups::V2 => vec![(0, "", "")],
        };
        let top = "/sys/fs/cgroup";
        let missing = &self.profile.missing_hierarchies;
        let trees = trees.into_iter().filter(|(.., at)| !missing.contains(at)).collect::<Vec<_>>();
        if self.profile.cgroups != Cgroups::V2 {
            self.mount_here(top, "tmpfs");
        }
        let mut hierarchies = Vec::new();
        for (hierarchy, (number, controllers, directory)) in (0..).zip(trees) {
            let root = self.cgroups.free();
            self.cgroups.insert(root, Cgroup::new(hierarchy, root, b""));
            hierarchies.push(Hierarchy { number, controllers, root });
            let kind = if number == 0 { "cgroup2" } else { "cgroup" };
            let path = format!("{top}/{directory}");
            self.mkdir(&path);
            let mount = self.mount_here(&path, "tmpfs");
            if let Some(mount) = self.mounts.get_mut(mount) {
                mount.root = Ino::Cgroup(root);
                mount.kind = kind.as_bytes().into();
                mount.source = kind.as_bytes().into();
                mount.data = controllers.as_bytes().into();
            }
        }
        self.hierarchies = hierarchies.into();
        let all: Arc<[&'static str]> = cgroupfs::CONTROLLERS.into();
        for tree in Arc::clone(&self.hierarchies).iter().filter(|tree| tree.number == 0) {
            if self.profile.cgroups == Cgroups::V2
                && let Some(root) = self.cgroups.get_mut(tree.root)
            {
                root.enabled = Arc::clone(&all);
            }
        }
    }

    pub(super) fn first_membership(&self) -> Arc<[u32]> {
        self.hierarchies.iter().map(|tree| tree.root).collect()
    }

    /// Returns the tree that a cgroup is in.
    pub(super) fn tree_of(&self, cgroup: u32) -> &Hierarchy {
        let at = self.cgroups.get(cgroup).map_or(0, |cgroup| cgroup.hierarchy);
        &self.hierarchies[at as usize]
    }

    pub(super) fn is_v2(&self, cgroup: u32) -> bool {
        self.tree_of(cgroup).number == 0
    }

    /// Returns the controllers whose files a cgroup has.
    pub(super) fn controllers(&self, cgroup: u32) -> Vec<&'static str> {
        let tree = self.tree_of(cgroup);
        let above = self.cgroups.get(cgroup).map_or(0, |cgroup| cgroup.parent);
        if tree.number != 0 {
            tree.controllers.split(',').collect()
        } else if above == cgroup {
            self.cgroups.get(cgroup).map_or(Vec::new(), |cgroup| cgroup.enabled.to_vec())
        } else {
            self.cgroups.get(above).map_or(Vec::new(), |above| above.enabled.to_vec())
        }
    }

    /// Returns the root that a process sees for a mount of that kind.
    pub(super) fn cgroup_root(&self, pid: Pid, kind: &str, data: &str) -> Result<Ino, Errno> {
        let wanted = |tree: &Hierarchy| match (kind, tree.number) {
            ("cgroup2", number) => number == 0,
            (_, 0) => false,
            _ => data.split(',').filter(|o| *o != "none").eq(tree.controllers.split(',')),
        };
        let at = self.hierarchies.iter().position(wanted).ok_or(Errno::EBUSY)?;
        let space = self.task(pid).space(Kind::Cgroup);
        let root = match self.spaces.get(space).map(|space| &space.held) {
            Some(Held::Cgroup { roots }) => roots.get(at).copied(),
            Some(_) | None => None,
        };
        let owner = self.spaces.get(space).map_or(1, |space| space.owner);
        if !self.capable_in(pid, SYS_ADMIN, owner) {
            return Err(Errno::EPERM);
        }
        Ok(Ino::Cgroup(root.or_else(|| self.hierarchies.get(at).map(|t| t.root)).unwrap_or(0)))
    }

    pub(super) fn make_cgroup(&mut self, pid: Pid, parent: u32, name: &[u8]) -> Answer {
        let Some(above) = self.cgroups.get(parent).filter(|cgroup| !cgroup.dead) else {
            return Err(Errno::ENOENT);
        };
        if name.contains(&b'\n') {
            return Err(Errno::EINVAL);
        }
        let mut cgroup = Cgroup::new(above.hierarchy, parent, name);
        let creds = &self.task(pid).creds;
        cgroup.uid = creds.uid;
        cgroup.gid = creds.gid;
        let row = self.cgroups.add(cgroup);
        if let Some(above) = self.cgroups.get_mut(parent) {
            above.children.insert(name.into(), row);
            above.frozen = false;
        }
        Ok(0)
    }

    pub(super) fn remove_cgroup(&mut self, row: u32) -> Answer {
        let Some(cgroup) = self.cgroups.get(row) else { return Err(Errno::ENOENT) };
        if self.is_populated(row) || !cgroup.children.is_empty() || cgroup.parent == row {
            return Err(Errno::EBUSY);
        }
        let (parent, name) = (cgroup.parent, cgroup.name.clone());
        if let Some(above) = self.cgroups.get_mut(parent) {
            above.children.remove(&name);
        }
        if let Some(cgroup) = self.cgroups.get_mut(row) {
            cgroup.dead = true;
        }
        self.unmount_under(Ino::Cgroup(row));
        self.sweep_cgroups();
        Ok(0)
    }

    /// Returns whether a directory was removed.
    pub(super) fn is_dead(&self, ino: Ino) -> bool {
        match ino {
            Ino::Cgroup(row) | Ino::CgroupFile(row, _) => {
                self.cgroups.get(row).is_none_or(|cgroup| cgroup.dead)
            }
            Ino::Plain(row) => self.inodes.get(row).is_none_or(|inode| inode.links == 0),
            Ino::Proc(proc) => proc.is_orphan(),
            Ino::Nameless | Ino::Socket(_) | Ino::Space(_) => false,
        }
    }

    /// Drops the removed cgroups that nobody remembers.
    pub(super) fn sweep_cgroups(&mut self) {
        let dead: Vec<u32> = self
            .cgroups
            .iter()
            .filter(|(_, c)| c.dead && c.lingering == 0)
            .map(|(row, _)| row)
            .collect();
        for row in dead {
            let held = |ino| matches!(ino, Ino::Cgroup(r) | Ino::CgroupFile(r, _) if r == row);
            let used = self.tasks.iter().any(|(_, task)| {
                task.cgroups.contains(&row) || held(task.cwd.ino) || held(task.root.ino)
            }) || self.opens.iter().any(|(_, open)| held(open.place().ino))
                || self.mounts.iter().any(|(_, mount)| held(mount.root))
                || self.spaces.iter().any(|(_, space)| {
                    matches!(&space.held, Held::Cgroup { roots } if roots.contains(&row))
                })
                || self.cgroups.iter().any(|(r, cgroup)| r != row && cgroup.parent == row);
            if !used {
                self.cgroups.remove(row);
            }
        }
    }

    /// Returns a cgroup and those under it, parents first.
    pub(super) fn below(&self, top: u32) -> Vec<u32> {
        let mut found = vec![top];
        let mut next = 0;
        while let Some(at) = found.get(next) {
            let children = self.cgroups.get(*at).map(|cgroup| &cgroup.children);
            found.extend(
                children.into_iter().flat_map(BTreeMap::values).copied().collect::<Vec<_>>(),
            );
            next += 1;
        }
        found
    }

    /// Returns the processes in one cgroup whose life is one that counts.
    pub(super) fn in_cgroup(
        &self,
        cgroup: u32,
        counts: fn(super::procs::Life) -> bool,
    ) -> impl Iterator<Item = Pid> {
        let inside = self
            .tasks
            .iter()
            .filter(move |(_, task)| counts(task.life) && task.cgroups.contains(&cgroup));
        inside.map(|(pid, _)| pid)
    }

    /// Returns how many processes the controller pids counts in a cgroup and below it: a zombie is
    /// one until somebody has waited for it; law `who_is_dead_counts_until_it_is_waited_for`.
    pub(super) fn numbers_in(&self, top: u32) -> usize {
        self.below(top).into_iter().map(|cgroup| self.in_cgroup(cgroup, |_| true).count()).sum()
    }

    pub(super) fn is_populated(&self, top: u32) -> bool {
        self.below(top).into_iter().any(|cgroup| {
            self.cgroups.get(cgroup).is_some_and(|cgroup| cgroup.lingering > 0)
                || self.in_cgroup(cgroup, super::procs::Life::is_charged).next().is_some()
        })
    }

    /// Refuses a cgroup that takes no processes.
    pub(super) fn can_attach(&self, cgroup: u32) -> Result<(), Errno> {
        let Some(there) = self.cgroups.get(cgroup).filter(|cgroup| !cgroup.dead) else {
            return Err(Errno::ENODEV);
        };
        if self.is_v2(cgroup) && self.is_below_threads(cgroup) {
            return Err(Errno::EOPNOTSUPP);
        }
        let inner = self.is_v2(cgroup) && there.parent != cgroup && !there.enabled.is_empty();
        if inner && !self.may_be_threaded(cgroup) {
            // No processes in inner cgroups (cgroups(7)).
            return Err(Errno::EBUSY);
        }
        let cpuset = self.tree_of(cgroup).controllers == "cpuset" && there.parent != cgroup;
        let empty = |file: &str| {
            cgroupfs::number(file)
                .and_then(|f| there.files.get(&f))
                .is_none_or(|v| v.trim_ascii().is_empty())
        };
        if cpuset && (empty("cpuset.cpus") || empty("cpuset.mems")) {
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }

    /// Returns the cgroups of a process that is in that one too.
    pub(super) fn moved(&self, pid: Pid, cgroup: u32) -> Arc<[u32]> {
        let at = self.cgroups.get(cgroup).map_or(0, |cgroup| cgroup.hierarchy);
        let mut cgroups = self.task(pid).cgroups.to_vec();
        if let Some(slot) = cgroups.get_mut(at as usize) {
            *slot = cgroup;
        }
        cgroups.into()
    }

    /// Moves a process into a cgroup.
    pub(super) fn attach(&mut self, pid: Pid, cgroup: u32) {
        self.task_mut(pid).cgroups = self.moved(pid, cgroup);
        self.stir(cgroup);
        self.feel_pending(pid);
        self.sweep_cgroups();
    }

    /// A process came: whatever was frozen up from there has to come to rest again.
    fn stir(&mut self, cgroup: u32) {
        let mut at = cgroup;
        while let Some(cgroup) = self.cgroups.get(at) {
            let up = cgroup.parent;
            if cgroup.frozen
                && let Some(cgroup) = self.cgroups.get_mut(at)
            {
                cgroup.frozen = false;
            }
            if up == at {
                return;
            }
            at = up;
        }
    }

    /// A process was born into its cgroups.
    pub(super) fn charged(&mut self, pid: Pid) {
        for cgroup in Arc::clone(&self.task(pid).cgroups).iter() {
            if self.is_freezing(*cgroup) {
                self.stir(*cgroup);
            }
        }
    }

    /// A process became a zombie: its first cgroup may go on counting it for a while. That is not
    /// seen where the first process is, which never ends.
    pub(super) fn uncharged(&mut self, pid: Pid) {
        let first = self.task(pid).cgroups.first().copied().unwrap_or(0);
        let lingers = self.profile.lingering && !self.task(1).cgroups.contains(&first);
        if let Some(cgroup) = self.cgroups.get_mut(first)
            && lingers
        {
            cgroup.lingering += 1;
        }
    }

    pub(super) fn uncharge(&mut self, cgroup: u32) {
        if let Some(cgroup) = self.cgroups.get_mut(cgroup) {
            cgroup.lingering = cgroup.lingering.saturating_sub(1);
        }
    }

    /// Returns whether the limits of processes let those cgroups have another one.
    pub(super) fn have_room(&self, cgroups: &[u32]) -> bool {
        cgroups.iter().all(|cgroup| {
            let mut at = *cgroup;
            loop {
                let Some(here) = self.cgroups.get(at) else { return true };
                let mut files = here.files.iter();
                let limit = files.find(|(file, _)| cgroupfs::name(**file) == "pids.max");
                let limit = limit.and_then(|(_, text)| cgroupfs::parse(text));
                if limit.is_some_and(|limit| limit <= self.numbers_in(at) as u64) {
                    return false;
                }
                if here.parent == at {
                    return true;
                }
                at = here.parent;
            }
        })
    }

    /// Returns whether a cgroup or one above it is told to freeze.
    pub(super) fn is_freezing(&self, cgroup: u32) -> bool {
        let mut at = cgroup;
        while let Some(cgroup) = self.cgroups.get(at) {
            if cgroup.freeze {
                return true;
            }
            if cgroup.parent == at {
                return false;
            }
            at = cgroup.parent;
        }
        false
    }

    pub(super) fn is_frozen(&self, pid: Pid) -> bool {
        self.frozen_in(pid).next().is_some()
    }

    /// Returns whether a process is frozen in a way that not even SIGKILL ends.
    pub(super) fn is_frozen_v1(&self, pid: Pid) -> bool {
        self.frozen_in(pid).any(|cgroup| !self.is_v2(cgroup))
    }

    fn frozen_in(&self, pid: Pid) -> impl Iterator<Item = u32> {
        let cgroups = self.task(pid).cgroups.iter().copied();
        cgroups.filter(|cgroup| self.cgroups.get(*cgroup).is_some_and(|cgroup| cgroup.frozen))
    }

    /// Tells a cgroup to freeze or to thaw.
    pub(super) fn set_freeze(&mut self, cgroup: u32, freeze: bool) {
        if let Some(cgroup) = self.cgroups.get_mut(cgroup) {
            cgroup.freeze = freeze;
        }
        for row in self.below(cgroup) {
            if self.is_freezing(row) {
                continue;
            }
            if let Some(cgroup) = self.cgroups.get_mut(row) {
                cgroup.frozen = false;
            }
            for pid in self.in_cgroup(row, super::procs::Life::is_alive).collect::<Vec<_>>() {
                self.feel_pending(pid);
            }
        }
    }

    /// A cgroup that is told to freeze has stopped whoever was in it.
    pub(super) fn come_to_rest(&mut self, cgroup: u32) {
        if let Some(cgroup) = self.cgroups.get_mut(cgroup) {
            cgroup.frozen = true;
        }
    }

    /// Adds what can happen next to cgroups.
    pub(super) fn cgroup_transitions(&self, found: &mut Vec<Transition>) {
        for (row, cgroup) in self.cgroups.iter() {
            let rested = |child: &u32| self.cgroups.get(*child).is_none_or(|child| child.frozen);
            if !cgroup.frozen && self.is_freezing(row) && cgroup.children.values().all(rested) {
                found.push(Transition::Freeze(row));
            }
            if cgroup.lingering > 0 {
                found.push(Transition::Uncharge(row));
            }
        }
    }

    /// Returns `/proc/<pid>/cgroup` as `viewer` reads it.
    pub(super) fn membership(&self, viewer: Pid, pid: Pid) -> Vec<u8> {
        let space = self.task(viewer).space(Kind::Cgroup);
        let roots = match self.spaces.get(space).map(|space| &space.held) {
            Some(Held::Cgroup { roots }) => Arc::clone(roots),
            Some(_) | None => Arc::new([]),
        };
        let mut lines: Vec<(u32, Vec<u8>)> = Vec::new();
        for (at, tree) in self.hierarchies.iter().enumerate() {
            let cgroup = self.task(pid).cgroups.get(at).copied().unwrap_or(tree.root);
            let root = roots.get(at).copied().unwrap_or(tree.root);
            let mut line = format!("{}:{}:", tree.number, tree.controllers).into_bytes();
            // Law `a_zombie_s_cgroup_may_be_gone`: of v1 it has none.
            let away = tree.number != 0 && !self.task(pid).life.is_listed();
            line.extend(self.cgroup_path(if away { root } else { cgroup }, root));
            if !away && self.is_dead(Ino::Cgroup(cgroup)) {
                line.extend(b" (deleted)");
            }
            line.push(b'\n');
            lines.push((tree.number, line));
        }
        lines.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        lines.into_iter().flat_map(|(_, line)| line).collect()
    }

    /// Returns the path of a cgroup as somebody with that root sees it.
    fn cgroup_path(&self, cgroup: u32, root: u32) -> Vec<u8> {
        let up = |from: u32| {
            let mut chain = vec![from];
            let mut at = from;
            while let Some(cgroup) = self.cgroups.get(at).filter(|cgroup| cgroup.parent != at) {
                at = cgroup.parent;
                chain.push(at);
            }
            chain.reverse();
            chain
        };
        let (from, to) = (up(root), up(cgroup));
        let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        let mut path = b"/..".repeat(from.len() - shared);
        for part in to.iter().skip(shared) {
            path.push(b'/');
            path.extend(self.cgroups.get(*part).map_or(&b""[..], |cgroup| &cgroup.name));
        }
        if path.is_empty() { b"/".to_vec() } else { path }
    }
}

impl Cgroup {
    fn new(hierarchy: u32, parent: u32, name: &[u8]) -> Self {
        Self {
            hierarchy,
            parent,
            name: name.into(),
            children: BTreeMap::new(),
            dead: false,
            uid: 0,
            gid: 0,
            owners: BTreeMap::new(),
            files: BTreeMap::new(),
            enabled: Arc::new([]),
            freeze: false,
            frozen: false,
            lingering: 0,
        }
    }
}
