//! The files of cgroups: which there are, what they say, what writing to them does.

use super::files::{Attributes, Ino, Name};
use super::{Answer, Pid, World};
use crate::sys::{Errno, flags};

/// The controllers of v2.
pub(super) const CONTROLLERS: [&str; 6] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"];

/// Those of them that can tell the threads of a process apart.
const THREADED: [&str; 3] = ["cpuset", "cpu", "pids"];

/// A file that cgroups have.
struct File {
    name: &'static str,
    /// Whose it is; of nobody's there is one in every cgroup.
    controller: &'static str,
    version: Version,
    /// What it says before anybody wrote to it.
    fresh: &'static str,
    access: u32,
}

/// Which trees have a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// One, but not at the root.
    Below,
    One,
    Two,
    /// Two, but not at the root.
    Under,
}

/// What v1 calls no limit of memory.
const NO_LIMIT: u64 = 9_223_372_036_854_771_712;

const RO: u32 = 0o444;
const RW: u32 = 0o644;
const WO: u32 = 0o200;

macro_rules! files {
    ($($version:ident $controller:literal: $($name:literal $access:ident $fresh:literal),*;)*) => {
        /// Every file; its number is its place here.
        const FILES: &[File] = &[$($(File {
            name: $name,
            controller: $controller,
            version: Version::$version,
            fresh: $fresh,
            access: $access,
        }),*),*];
    };
}

files! {
    One "": "cgroup.procs" RW "", "tasks" RW "", "notify_on_release" RW "0\n",
        "cgroup.clone_children" RW "0\n";
    One "memory": "memory.limit_in_bytes" RW "9223372036854771712\n",
        "memory.soft_limit_in_bytes" RW "9223372036854771712\n",
        "memory.memsw.limit_in_bytes" RW "9223372036854771712\n",
        "memory.kmem.limit_in_bytes" RW "9223372036854771712\n",
        "memory.kmem.tcp.limit_in_bytes" RW "9223372036854771712\n",
        "memory.swappiness" RW "60\n", "memory.use_hierarchy" RW "1\n",
        "memory.oom_control" RW "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
        "memory.usage_in_bytes" RO "4096\n", "memory.max_usage_in_bytes" RW "4096\n",
        "memory.failcnt" RW "0\n", "memory.stat" RO "cache 0\nrss 4096\n",
        "cgroup.event_control" WO "";
    Below "pids": "pids.max" RW "max\n", "pids.current" RO "";
    Below "freezer": "freezer.state" RW "", "freezer.self_freezing" RO "",
        "freezer.parent_freezing" RO "";
    One "devices": "devices.allow" WO "", "devices.deny" WO "", "devices.list" RO "a *:* rwm\n";
    One "cpu": "cpu.shares" RW "1024\n", "cpu.cfs_quota_us" RW "-1\n",
        "cpu.cfs_period_us" RW "100000\n", "cpu.rt_runtime_us" RW "0\n",
        "cpu.rt_period_us" RW "1000000\n",
        "cpu.stat" RO "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n";
    One "cpuacct": "cpuacct.usage" RW "0\n", "cpuacct.stat" RO "user 0\nsystem 0\n",
        "cpuacct.usage_percpu" RO "0\n";
    One "cpuset": "cpuset.cpus" RW "\n", "cpuset.mems" RW "\n";
    Two "": "cgroup.procs" RW "", "cgroup.threads" RW "", "cgroup.controllers" RO "",
        "cgroup.subtree_control" RW "", "cgroup.max.depth" RW "max\n",
        "cgroup.max.descendants" RW "max\n", "cgroup.stat" RO "nr_descendants 0\n";
    Under "": "cgroup.events" RO "", "cgroup.freeze" RW "", "cgroup.kill" WO "",
        "cgroup.type" RW "domain\n";
    Under "memory": "memory.max" RW "max\n", "memory.high" RW "max\n", "memory.low" RW "0\n",
        "memory.min" RW "0\n", "memory.swap.max" RW "max\n", "memory.current" RO "4096\n",
        "memory.swap.current" RO "0\n", "memory.peak" RO "4096\n",
        "memory.oom.group" RW "0\n", "memory.stat" RO "anon 4096\nfile 0\n",
        "memory.events" RO "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n";
    Under "pids": "pids.max" RW "max\n", "pids.current" RO "", "pids.events" RO "max 0\n";
    Under "cpu": "cpu.max" RW "max 100000\n", "cpu.weight" RW "100\n", "cpu.idle" RW "0\n",
        "cpu.max.burst" RW "0\n";
    Two "": "cpu.stat" RO "usage_usec 0\nuser_usec 0\nsystem_usec 0\n";
    Under "cpuset": "cpuset.cpus" RW "\n", "cpuset.mems" RW "\n",
        "cpuset.cpus.effective" RO "0-1\n";
    Under "io": "io.max" RW "", "io.weight" RW "default 100\n", "io.bfq.weight" RW "default 100\n",
        "io.stat" RO "";
    Under "hugetlb": "hugetlb.2MB.max" RW "max\n", "hugetlb.2MB.current" RO "0\n",
        "hugetlb.2MB.events" RO "max 0\n";
}

fn file(number: u8) -> Option<&'static File> {
    FILES.get(usize::from(number))
}

/// Returns the name of a file.
pub(super) fn name(number: u8) -> &'static str {
    file(number).map_or("", |file| file.name)
}

/// Returns the number of the first file of that name.
pub(super) fn number(name: &str) -> Option<u8> {
    FILES.iter().position(|file| file.name == name).and_then(|at| u8::try_from(at).ok())
}

/// Returns the number that a limit is, `None` for `max`.
pub(super) fn parse(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// Returns how many bytes a limit of memory is, `None` for what is none.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|last: char| !last.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

impl World {
    /// Returns the files of a cgroup by their numbers.
    fn cgroup_files(&self, cgroup: u32) -> impl Iterator<Item = u8> {
        let there = self.shown(cgroup);
        (0..).zip(FILES).filter(move |(_, file)| there(file)).map(|(number, _)| number)
    }

    /// Returns whether a cgroup has a file.
    fn shown(&self, cgroup: u32) -> impl Fn(&File) -> bool {
        let v2 = self.is_v2(cgroup);
        let root = self.cgroups.get(cgroup).is_some_and(|there| there.parent == cgroup);
        let controllers = self.controllers(cgroup);
        move |file| {
            (file.controller.is_empty() || controllers.contains(&file.controller))
                && !self.profile.missing_files.contains(file.name)
                && match file.version {
                    Version::Below => !v2 && !root,
                    Version::One => !v2,
                    Version::Two => v2,
                    Version::Under => v2 && !root,
                }
        }
    }

    /// Returns what a cgroup's directory has under a name.
    pub(super) fn cgroup_entry(&self, row: u32, name: &[u8]) -> Option<Ino> {
        let cgroup = self.cgroups.get(row).filter(|cgroup| !cgroup.dead)?;
        if let Some(child) = cgroup.children.get(name) {
            return Some(Ino::Cgroup(*child));
        }
        // By the name first: whether a cgroup has a file takes longer to find out.
        let mut named =
            (0..).zip(FILES).filter(|(_, file)| file.name.as_bytes() == name).peekable();
        named.peek()?;
        let shown = self.shown(row);
        named.find(|(_, file)| shown(file)).map(|(number, _)| Ino::CgroupFile(row, number))
    }

    pub(super) fn cgroup_list(&self, row: u32) -> Vec<(Name, Ino)> {
        let files = self
            .cgroup_files(row)
            .map(|number| (name(number).as_bytes().into(), Ino::CgroupFile(row, number)));
        let children = self.cgroups.get(row).map(|cgroup| cgroup.children.clone());
        let children = children.unwrap_or_default().into_iter();
        children.map(|(name, child)| (name, Ino::Cgroup(child))).chain(files).collect()
    }

    pub(super) fn cgroup_attributes(&self, ino: Ino) -> Attributes {
        let (row, number) = match ino {
            Ino::CgroupFile(row, number) => (row, Some(number)),
            Ino::Cgroup(row) => (row, None),
            Ino::Nameless | Ino::Plain(_) | Ino::Proc(_) | Ino::Socket(_) | Ino::Space(_) => {
                (0, None)
            }
        };
        let device = 30 + self.cgroups.get(row).map_or(0, |cgroup| cgroup.hierarchy);
        let (mode, inode) = match number {
            Some(number) => {
                let access = file(number).map_or(0, |file| file.access);
                (flags::S_IFREG | access, u64::from(row) << 16 | 1 << 8 | u64::from(number))
            }
            None => (flags::S_IFDIR | 0o755, u64::from(row) << 16),
        };
        let mut found = Attributes::synthetic(mode, inode, device);
        if let Some(cgroup) = self.cgroups.get(row) {
            let given = number.and_then(|number| cgroup.owners.get(&number));
            (found.uid, found.gid) = given.copied().unwrap_or((cgroup.uid, cgroup.gid));
        }
        found
    }

    pub(super) fn own_cgroup(&mut self, ino: Ino, uid: u32, gid: u32) {
        match ino {
            Ino::Cgroup(row) => {
                let files: Vec<u8> = self.cgroup_files(row).collect();
                if let Some(cgroup) = self.cgroups.get_mut(row) {
                    let before = (cgroup.uid, cgroup.gid);
                    for file in files {
                        cgroup.owners.entry(file).or_insert(before);
                    }
                    cgroup.uid = uid;
                    cgroup.gid = gid;
                }
            }
            Ino::CgroupFile(row, file) => {
                if let Some(cgroup) = self.cgroups.get_mut(row) {
                    cgroup.owners.insert(file, (uid, gid));
                }
            }
            Ino::Nameless | Ino::Plain(_) | Ino::Proc(_) | Ino::Socket(_) | Ino::Space(_) => (),
        }
    }

    pub(super) fn read_cgroup(&self, pid: Pid, row: u32, number: u8) -> Result<Vec<u8>, Errno> {
        let Some(cgroup) = self.cgroups.get(row).filter(|cgroup| !cgroup.dead) else {
            return Err(Errno::ENODEV);
        };
        if file(number).is_some_and(|file| file.access == WO) {
            return Err(Errno::EINVAL);
        }
        let bit = |set: bool| format!("{}\n", u8::from(set));
        let above = cgroup.parent;
        let text = match name(number) {
            "cgroup.procs" | "cgroup.threads" | "tasks" => return Ok(self.listed(pid, row)),
            "cgroup.controllers" => line_of(&self.controllers(row)),
            "cgroup.subtree_control" => line_of(&cgroup.enabled),
            "cgroup.type" if self.is_below_threads(row) => "domain invalid\n".to_owned(),
            "cgroup.type" if self.has_threads(row) => "domain threaded\n".to_owned(),
            "cgroup.events" => {
                let (populated, frozen) = (self.is_populated(row), cgroup.frozen);
                format!("populated {}\nfrozen {}\n", u8::from(populated), u8::from(frozen))
            }
            "cgroup.freeze" | "freezer.self_freezing" => bit(cgroup.freeze),
            "freezer.parent_freezing" => bit(above != row && self.is_freezing(above)),
            "freezer.state" => match (self.is_freezing(row), cgroup.frozen) {
                (true, true) => "FROZEN\n".to_owned(),
                (true, false) => "FREEZING\n".to_owned(),
                (false, _) => "THAWED\n".to_owned(),
            },
            "pids.current" => format!("{}\n", self.numbers_in(row)),
            // The first cpuset has every processor and all memory; a new one has none (cpuset(7)).
            "cpuset.cpus" if cgroup.parent == row && !cgroup.files.contains_key(&number) => {
                "0-1\n".to_owned()
            }
            "cpuset.mems" if cgroup.parent == row && !cgroup.files.contains_key(&number) => {
                "0\n".to_owned()
            }
            _ => {
                let fresh = file(number).map_or("", |file| file.fresh).as_bytes();
                return Ok(cgroup.files.get(&number).map_or(fresh, |held| held).to_vec());
            }
        };
        Ok(text.into_bytes())
    }

    fn listed(&self, pid: Pid, row: u32) -> Vec<u8> {
        let space = self.task(pid).space(super::spaces::Kind::Pid);
        let inside = self.in_cgroup(row, super::procs::Life::is_listed);
        let lines = inside.map(|member| format!("{}\n", self.number_in(space, member)));
        lines.collect::<String>().into_bytes()
    }

    pub(super) fn write_cgroup(&mut self, pid: Pid, at: (u32, u8), bytes: &[u8]) -> Answer {
        let (row, number) = at;
        if self.is_dead(Ino::Cgroup(row)) {
            return Err(Errno::ENODEV);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        if file(number).is_some_and(|file| file.access == RO) {
            return Err(Errno::EINVAL);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?.trim();
        match name(number) {
            "cgroup.procs" | "tasks" => self.enter_cgroup(pid, row, (text, false))?,
            "cgroup.threads" => self.enter_cgroup(pid, row, (text, true))?,
            "cgroup.subtree_control" => self.enable(row, text)?,
            "cgroup.freeze" => self.set_freeze(row, parse_bit(text)?),
            "freezer.state" => match text {
                "FROZEN" => self.set_freeze(row, true),
                "THAWED" => self.set_freeze(row, false),
                _ => return Err(Errno::EINVAL),
            },
            "cgroup.kill" => {
                if !parse_bit(text)? {
                    return Err(Errno::ERANGE);
                }
                for cgroup in self.below(row) {
                    let inside = self.in_cgroup(cgroup, super::procs::Life::is_alive);
                    for member in inside.collect::<Vec<_>>() {
                        self.die(member, flags::SIGKILL);
                    }
                }
            }
            limit => {
                check_limit(limit, text)?;
                let text = self.limit_kept(pid, row, limit, text)?;
                if let Some(cgroup) = self.cgroups.get_mut(row) {
                    cgroup.files.insert(number, format!("{text}\n").into_bytes().into());
                }
            }
        }
        Ok(bytes.len() as u64)
    }

    /// Returns what a limit says once that was written, where others of the cgroup allow it.
    fn limit_kept(&self, pid: Pid, row: u32, limit: &str, text: &str) -> Result<String, Errno> {
        let read = |name| {
            let number = number(name).ok_or(Errno::ENOENT)?;
            self.read_cgroup(pid, row, number)
        };
        let (other, most) = match limit {
            "memory.limit_in_bytes" => ("memory.memsw.limit_in_bytes", false),
            "memory.memsw.limit_in_bytes" => ("memory.limit_in_bytes", true),
            // A quota alone keeps the period; law a_quota_alone_keeps_its_period.
            "cpu.max" if text.split_whitespace().count() == 1 => {
                let before = read(limit)?;
                let before = String::from_utf8_lossy(&before).into_owned();
                let period = before.split_whitespace().nth(1).unwrap_or("100000");
                return Ok(format!("{text} {period}"));
            }
            "memory.max" | "memory.high" | "memory.low" | "memory.min" | "memory.swap.max" => {
                return Ok(
                    parse_bytes(text).map_or_else(|| text.to_owned(), |bytes| bytes.to_string())
                );
            }
            _ => return Ok(text.to_owned()),
        };
        let bytes = |text: &str| parse_bytes(text).unwrap_or(NO_LIMIT).min(NO_LIMIT);
        let (new, other) = (bytes(text), bytes(String::from_utf8_lossy(&read(other)?).trim()));
        // Memory is never more than memory and swap; law memory_is_bounded_with_swap.
        if if most { new < other } else { other < new } {
            return Err(Errno::EINVAL);
        }
        Ok(new.to_string())
    }

    fn enter_cgroup(&mut self, pid: Pid, row: u32, who: (&str, bool)) -> Result<(), Errno> {
        let (text, thread) = who;
        let number: u32 = text.parse().map_err(|_| Errno::EINVAL)?;
        let target = if number == 0 { Some(pid) } else { self.numbered(pid, number) };
        let target = target.ok_or(Errno::ESRCH)?;
        self.can_attach(row)?;
        if thread && !self.task(target).cgroups.contains(&row) {
            // A thread does not leave its process, and there are no threaded cgroups here.
            return Err(Errno::EOPNOTSUPP);
        }
        // A zombie stays where it was, and nobody is told; law `a_zombie_does_not_move`.
        if self.task(target).life.is_listed() {
            self.attach(target, row);
        }
        Ok(())
    }

    /// Changes which controllers the children of a cgroup have (cgroups(7)).
    fn enable(&mut self, row: u32, text: &str) -> Result<(), Errno> {
        let offered = self.controllers(row);
        let Some(cgroup) = self.cgroups.get(row) else { return Err(Errno::ENODEV) };
        let mut enabled = cgroup.enabled.to_vec();
        for word in text.split_whitespace() {
            let (sign, name) = word.split_at_checked(1).ok_or(Errno::EINVAL)?;
            let known =
                CONTROLLERS.into_iter().find(|known| *known == name).ok_or(Errno::EINVAL)?;
            match sign {
                "+" if !offered.contains(&known) => return Err(Errno::ENOENT),
                "+" if !enabled.contains(&known) => enabled.push(known),
                "+" => (),
                "-" => {
                    let below = cgroup.children.values().filter_map(|c| self.cgroups.get(*c));
                    if below.into_iter().any(|child| child.enabled.contains(&known)) {
                        return Err(Errno::EBUSY);
                    }
                    enabled.retain(|other| *other != known);
                }
                _ => return Err(Errno::EINVAL),
            }
        }
        let mut fresh = enabled.iter().filter(|name| !cgroup.enabled.contains(name)).peekable();
        let inner = cgroup.parent != row && fresh.peek().is_some();
        let threaded = fresh.all(|name| THREADED.contains(name)) && self.may_be_threaded(row);
        let inside = self.in_cgroup(row, super::procs::Life::is_charged).next();
        if inner && !threaded && inside.is_some() {
            return Err(Errno::EBUSY);
        }
        enabled.sort_by_key(|name| CONTROLLERS.iter().position(|known| known == name));
        if let Some(cgroup) = self.cgroups.get_mut(row) {
            cgroup.enabled = enabled.into();
        }
        Ok(())
    }

    /// Returns whether a cgroup of v2 could become the root of a threaded tree: then the rule of no
    /// processes in inner cgroups does not hold (cgroups(7), "threaded").
    pub(super) fn may_be_threaded(&self, row: u32) -> bool {
        self.cgroups.get(row).is_some_and(|cgroup| {
            cgroup.enabled.iter().all(|name| THREADED.contains(name))
                && !cgroup.children.values().any(|child| self.is_populated(*child))
        })
    }

    /// Returns whether a cgroup is below the root of a threaded tree, which is one that has
    /// processes and gives controllers: it takes no whole processes then.
    pub(super) fn is_below_threads(&self, row: u32) -> bool {
        let mut at = row;
        while let Some(above) = self.cgroups.get(at).map(|cgroup| cgroup.parent) {
            if above == at {
                break;
            }
            if self.has_threads(above) {
                return true;
            }
            at = above;
        }
        false
    }

    /// Returns whether a cgroup is the root of a threaded tree.
    fn has_threads(&self, row: u32) -> bool {
        let gives = |c: &super::cgroups::Cgroup| c.parent != row && !c.enabled.is_empty();
        self.cgroups.get(row).is_some_and(gives)
            && self.in_cgroup(row, super::procs::Life::is_charged).next().is_some()
    }

    /// Returns whether reading all of a file takes note of what it says: an empty list has nobody
    /// who would.
    pub(super) fn is_noted(number: u8, whole: &[u8]) -> bool {
        !whole.is_empty() || !matches!(name(number), "cgroup.procs" | "cgroup.threads" | "tasks")
    }

    /// Returns whether a file says something else than when an open file last read it; one that
    /// never did is told so too, and one whose cgroup has gone.
    pub(super) fn announces(&self, open: &super::fds::Open) -> bool {
        let Ino::CgroupFile(row, number) = open.place().ino else { return false };
        let Some(seen) = open.seen.as_ref().filter(|_| !self.is_dead(open.place().ino)) else {
            return true;
        };
        name(number) == "cgroup.events"
            && self.read_cgroup(1, row, number).as_deref() != Ok(&**seen)
    }
}

/// Returns a list of controllers as a line; there is none for nothing.
fn line_of(controllers: &[&str]) -> String {
    if controllers.is_empty() { String::new() } else { controllers.join(" ") + "\n" }
}

fn parse_bit(text: &str) -> Result<bool, Errno> {
    match text.parse::<i32>() {
        Ok(0) => Ok(false),
        Ok(1) => Ok(true),
        Ok(_) => Err(Errno::ERANGE),
        Err(_) => Err(Errno::EINVAL),
    }
}

/// Refuses what a limit does not take.
fn check_limit(name: &str, text: &str) -> Result<(), Errno> {
    let number = |word: &str| word == "max" || word.parse::<i64>().is_ok();
    let good = match name {
        "cpu.max" => text.split_whitespace().all(number) && !text.is_empty(),
        "cpu.weight" => match text.parse::<u32>() {
            Ok(1..=10000) => true,
            Ok(_) => return Err(Errno::ERANGE),
            Err(_) => false,
        },
        "pids.max" => text == "max" || text.parse::<u64>().is_ok(),
        "memory.max"
        | "memory.high"
        | "memory.low"
        | "memory.min"
        | "memory.swap.max"
        | "memory.limit_in_bytes"
        | "memory.soft_limit_in_bytes"
        | "memory.memsw.limit_in_bytes"
        | "cpu.shares"
        | "cpu.cfs_quota_us"
        | "cpu.cfs_period_us" => number(text.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G'])),
        _ => true,
    };
    if good { Ok(()) } else { Err(Errno::EINVAL) }
}
