//! procfs, as far as a runtime reads and writes it.

use super::creds::{Id, LAST};
use super::files::{Attributes, Ino, Name, Place};
use super::spaces::{Called, Held, Kind, Space};
use super::walk::Link;
use super::{Answer, Pid, World};
use crate::sys::{Errno, RawFd, flags};

/// Something of procfs; a process that is gone is number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Proc {
    FdLink(Pid, RawFd),
    Fds(Pid),
    /// By its place in the list of those.
    Fixed(u8),
    Ns(Pid),
    NsLink(Pid, Kind),
    Task(Pid),
    /// By its place in the list of those.
    TaskFile(Pid, u8),
}

/// What is there whatever processes there are.
const FIXED: &[(&str, u32, &str)] = &[
    ("", flags::S_IFDIR | 0o555, ""),
    ("self", flags::S_IFLNK | 0o777, ""),
    ("mounts", flags::S_IFLNK | 0o777, "self/mounts"),
    ("filesystems", flags::S_IFREG | 0o444, "nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\n\text4\n"),
    ("cmdline", flags::S_IFREG | 0o444, "quiet\n"),
    ("kcore", flags::S_IFREG | 0o400, ""),
    ("keys", flags::S_IFREG | 0o444, ""),
    ("timer_list", flags::S_IFREG | 0o400, ""),
    ("sysrq-trigger", flags::S_IFREG | 0o200, ""),
    ("bus", flags::S_IFDIR | 0o555, ""),
    ("fs", flags::S_IFDIR | 0o555, ""),
    ("irq", flags::S_IFDIR | 0o555, ""),
    ("sys", flags::S_IFDIR | 0o555, ""),
    ("sys/kernel", flags::S_IFDIR | 0o555, ""),
    ("sys/kernel/random", flags::S_IFDIR | 0o555, ""),
    ("sys/kernel/random/boot_id", flags::S_IFREG | 0o444, ""),
    ("sys/kernel/osrelease", flags::S_IFREG | 0o444, ""),
    ("sys/kernel/pid_max", flags::S_IFREG | 0o644, ""),
    ("sys/kernel/cap_last_cap", flags::S_IFREG | 0o444, "40\n"),
    ("sys/kernel/hostname", flags::S_IFREG | 0o644, ""),
    ("sys/kernel/domainname", flags::S_IFREG | 0o644, ""),
    ("sys/kernel/msgmax", flags::S_IFREG | 0o644, "8192\n"),
    ("sys/kernel/shmmax", flags::S_IFREG | 0o644, "18446744073692774399\n"),
    ("sys/net", flags::S_IFDIR | 0o555, ""),
    ("sys/net/core", flags::S_IFDIR | 0o555, ""),
    ("sys/net/core/somaxconn", flags::S_IFREG | 0o644, "4096\n"),
    ("sys/net/ipv4", flags::S_IFDIR | 0o555, ""),
    ("sys/net/ipv4/ip_forward", flags::S_IFREG | 0o644, "0\n"),
    ("sys/net/ipv4/ping_group_range", flags::S_IFREG | 0o644, "1\t0\n"),
    ("sys/net/ipv4/ip_unprivileged_port_start", flags::S_IFREG | 0o644, "1024\n"),
    ("sys/vm", flags::S_IFDIR | 0o555, ""),
    ("sys/vm/memfd_noexec", flags::S_IFREG | 0o644, "0\n"),
    ("sys/vm/overcommit_memory", flags::S_IFREG | 0o644, "0\n"),
    ("sys/user", flags::S_IFDIR | 0o555, ""),
    ("sys/user/max_user_namespaces", flags::S_IFREG | 0o644, "1024\n"),
];

/// What every process has beside its directories `fd` and `ns`.
const FILES: &[(&str, u32)] = &[
    ("stat", flags::S_IFREG | 0o444),
    ("status", flags::S_IFREG | 0o444),
    ("cgroup", flags::S_IFREG | 0o444),
    ("mountinfo", flags::S_IFREG | 0o444),
    ("mounts", flags::S_IFREG | 0o444),
    ("cmdline", flags::S_IFREG | 0o444),
    ("comm", flags::S_IFREG | 0o644),
    ("uid_map", flags::S_IFREG | 0o644),
    ("gid_map", flags::S_IFREG | 0o644),
    ("setgroups", flags::S_IFREG | 0o644),
    ("oom_score_adj", flags::S_IFREG | 0o644),
    ("exe", flags::S_IFLNK | 0o777),
    ("cwd", flags::S_IFLNK | 0o777),
    ("root", flags::S_IFLNK | 0o777),
];

impl Proc {
    /// The top directory.
    pub(super) const ROOT: Self = Self::Fixed(0);

    fn fixed(path: &str) -> Option<Self> {
        let at = FIXED.iter().position(|(other, ..)| *other == path)?;
        u8::try_from(at).ok().map(Self::Fixed)
    }

    fn path(number: u8) -> &'static str {
        FIXED.get(usize::from(number)).map_or("", |(path, ..)| path)
    }

    fn file(number: u8) -> &'static str {
        FILES.get(usize::from(number)).map_or("", |(name, _)| name)
    }

    pub(super) fn parent(self) -> Self {
        match self {
            Self::FdLink(pid, _) => Self::Fds(pid),
            Self::Fixed(number) => {
                let above = Self::path(number).rsplit_once('/').map_or("", |(above, _)| above);
                Self::fixed(above).unwrap_or(Self::ROOT)
            }
            Self::NsLink(pid, _) => Self::Ns(pid),
            Self::Fds(pid) | Self::Ns(pid) | Self::TaskFile(pid, _) => Self::Task(pid),
            Self::Task(_) => Self::ROOT,
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::FdLink(_, fd) => fd.to_string(),
            Self::Fds(_) => "fd".to_owned(),
            Self::Fixed(number) => {
                let path = Self::path(number);
                path.rsplit_once('/').map_or(path, |(_, name)| name).to_owned()
            }
            Self::Ns(_) => "ns".to_owned(),
            Self::NsLink(_, kind) => kind.name().to_owned(),
            Self::Task(pid) => pid.to_string(),
            Self::TaskFile(_, number) => Self::file(number).to_owned(),
        }
    }

    /// Returns whether it is a setting, whose mode binds everybody.
    pub(super) fn is_setting(self) -> bool {
        matches!(self, Self::Fixed(number) if Self::path(number).starts_with("sys/"))
    }

    fn task(self) -> Option<Pid> {
        match self {
            Self::FdLink(pid, _)
            | Self::Fds(pid)
            | Self::Ns(pid)
            | Self::NsLink(pid, _)
            | Self::Task(pid)
            | Self::TaskFile(pid, _) => Some(pid),
            Self::Fixed(_) => None,
        }
    }

    /// Returns whether it is of a process that is gone.
    pub(super) fn is_orphan(self) -> bool {
        self.task() == Some(0)
    }

    /// Returns the same of a process that is gone, if it is of that process.
    pub(super) fn orphaned(self, gone: Pid) -> Self {
        match self {
            Self::FdLink(pid, fd) if pid == gone => Self::FdLink(0, fd),
            Self::Fds(pid) if pid == gone => Self::Fds(0),
            Self::Ns(pid) if pid == gone => Self::Ns(0),
            Self::NsLink(pid, kind) if pid == gone => Self::NsLink(0, kind),
            Self::Task(pid) if pid == gone => Self::Task(0),
            Self::TaskFile(pid, number) if pid == gone => Self::TaskFile(0, number),
            other => other,
        }
    }
}

impl World {
    pub(super) fn proc_attributes(&self, proc: Proc) -> Attributes {
        let at = |number: u8| u64::from(number) + 1;
        let (mode, number) = match proc {
            Proc::FdLink(_, fd) => (flags::S_IFLNK | 0o700, u64::from(fd.cast_unsigned())),
            Proc::Fds(_) => (flags::S_IFDIR | 0o500, 200),
            Proc::Fixed(number) => {
                (FIXED.get(usize::from(number)).map_or(0, |(_, mode, _)| *mode), at(number))
            }
            Proc::Ns(_) => (flags::S_IFDIR | 0o511, 201),
            Proc::NsLink(_, kind) => (flags::S_IFLNK | 0o777, 202 + kind as u64),
            Proc::Task(_) => (flags::S_IFDIR | 0o555, 220),
            Proc::TaskFile(_, number) => (
                FILES.get(usize::from(number)).map_or(0, |(_, mode)| *mode),
                230 + u64::from(number),
            ),
        };
        let pid = proc.task().unwrap_or(0);
        let mut found = Attributes::synthetic(mode, number | u64::from(pid) << 40, 5);
        if let Some(task) = self.tasks.get(pid)
            && !task.creds.undumpable
        {
            (found.uid, found.gid) = (task.creds.uid, task.creds.gid);
        }
        found
    }

    /// Returns what a directory of procfs has under a name; `at` is the name and the pid
    /// namespace that the mount shows.
    pub(super) fn proc_entry(&self, pid: Pid, proc: Proc, at: (&[u8], u32)) -> Option<Proc> {
        let (name, space) = at;
        let name = std::str::from_utf8(name).ok()?;
        match proc {
            Proc::Fixed(number) => {
                let above = Proc::path(number);
                if number == 0
                    && let Ok(number) = name.parse::<u32>()
                {
                    let shown = |pid: &u32| self.number_in(space, *pid) == number;
                    return self.tasks.keys().into_iter().find(shown).map(Proc::Task);
                }
                if name == "self" && self.number_in(space, pid) == 0 {
                    return None;
                }
                let path =
                    if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
                Proc::fixed(&path)
            }
            Proc::Task(task) => {
                self.tasks.get(task)?;
                match name {
                    "fd" => Some(Proc::Fds(task)),
                    "ns" => Some(Proc::Ns(task)),
                    _ => {
                        let at = FILES.iter().position(|(other, _)| *other == name)?;
                        Some(Proc::TaskFile(task, u8::try_from(at).ok()?))
                    }
                }
            }
            Proc::Fds(task) => {
                let fd = name.parse().ok()?;
                self.tasks.get(task)?.fds.contains_key(&fd).then_some(Proc::FdLink(task, fd))
            }
            Proc::Ns(task) => {
                self.tasks.get(task)?;
                let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
                Some(Proc::NsLink(task, kind))
            }
            Proc::FdLink(..) | Proc::NsLink(..) | Proc::TaskFile(..) => None,
        }
    }

    pub(super) fn proc_list(&self, pid: Pid, proc: Proc, space: u32) -> Vec<(Name, Ino)> {
        let mut names: Vec<String> = Vec::new();
        match proc {
            Proc::Fixed(number) => {
                let own = Proc::path(number);
                let below = |path: &str| {
                    let rest = if own.is_empty() {
                        path
                    } else {
                        path.strip_prefix(own)?.strip_prefix('/')?
                    };
                    (!rest.is_empty() && !rest.contains('/')).then(|| rest.to_owned())
                };
                names.extend(FIXED.iter().filter_map(|(path, ..)| below(path)));
                if number == 0 {
                    let numbers =
                        self.tasks.keys().into_iter().map(|pid| self.number_in(space, pid));
                    names.extend(numbers.filter(|number| *number != 0).map(|n| n.to_string()));
                }
            }
            Proc::Task(_) => {
                names.extend(FILES.iter().map(|(name, _)| (*name).to_owned()));
                names.extend(["fd", "ns"].map(str::to_owned));
            }
            Proc::Fds(task) if self.tasks.has(task) => {
                names.extend(self.table(task).keys().map(ToString::to_string));
            }
            Proc::Ns(_) => names.extend(Kind::ALL.map(|kind| kind.name().to_owned())),
            Proc::FdLink(..) | Proc::Fds(_) | Proc::NsLink(..) | Proc::TaskFile(..) => (),
        }
        let found = |name: String| {
            let entry = self.proc_entry(pid, proc, (name.as_bytes(), space))?;
            Some((Name::from(name.into_bytes()), Ino::Proc(entry)))
        };
        names.into_iter().filter_map(found).collect()
    }

    /// Returns where a link of procfs leads.
    pub(super) fn proc_link(
        &self,
        pid: Pid,
        proc: Proc,
        space: u32,
    ) -> Result<Option<Link>, Errno> {
        if proc.is_orphan() {
            let leads = self.proc_attributes(proc).kind() == flags::S_IFLNK;
            return if leads { Err(Errno::ENOENT) } else { Ok(None) };
        }
        let text = |text: String| Some(Link::Text(text.into_bytes().into()));
        let (task, place) = match proc {
            Proc::Fixed(number) => {
                return Ok(match FIXED.get(usize::from(number)) {
                    Some(("self", ..)) => text(self.number_in(space, pid).to_string()),
                    Some((_, mode, target)) if mode & flags::S_IFMT == flags::S_IFLNK => {
                        text((*target).to_owned())
                    }
                    Some(_) | None => None,
                });
            }
            Proc::FdLink(task, fd) => (task, self.open_of(task, fd).map(super::fds::Open::place)),
            Proc::NsLink(task, kind) => {
                let space = self.tasks.get(task).map_or(0, |task| task.space(kind));
                let ino = Ino::Space(space);
                let there = self.tasks.get(task).is_some_and(|task| task.life.is_listed());
                (
                    task,
                    if space != 0 && there {
                        Ok(Place { mount: 0, ino })
                    } else {
                        Err(Errno::ENOENT)
                    },
                )
            }
            Proc::TaskFile(task, number) => {
                let Some(there) = self.tasks.get(task) else { return Ok(None) };
                match Proc::file(number) {
                    "exe" => (task, there.exe.ok_or(Errno::ENOENT)),
                    "cwd" => (task, Ok(there.cwd)),
                    "root" => (task, Ok(there.root)),
                    _ => return Ok(None),
                }
            }
            Proc::Fds(_) | Proc::Ns(_) | Proc::Task(_) => return Ok(None),
        };
        self.may_see(pid, task)?;
        Ok(Some(Link::Magic(place?)))
    }

    /// Refuses whoever may not look into a process (ptrace(2)).
    fn may_see(&self, pid: Pid, target: Pid) -> Result<(), Errno> {
        const SYS_PTRACE: u32 = 19;
        let Some(task) = self.tasks.get(target) else { return Err(Errno::ENOENT) };
        let own = self.task(pid);
        let same = own.creds.uid == task.creds.uid
            && task.creds.permitted & !own.creds.permitted == 0
            && !task.creds.undumpable;
        if pid == target || same || self.capable_in(pid, SYS_PTRACE, task.space(Kind::User)) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// Returns everything that a file of procfs says to `pid`.
    pub(super) fn read_proc(&self, pid: Pid, proc: Proc) -> Result<Vec<u8>, Errno> {
        let (task, number) = match proc {
            Proc::Fixed(number) => return self.read_fixed(pid, number),
            Proc::TaskFile(task, number) => (task, number),
            Proc::Fds(_) | Proc::Ns(_) | Proc::Task(_) => return Err(Errno::EISDIR),
            Proc::FdLink(..) | Proc::NsLink(..) => return Err(Errno::EINVAL),
        };
        let Some(there) = self.tasks.get(task) else { return Err(Errno::ESRCH) };
        let user = self.spaces.get(there.space(Kind::User)).map(|space| &space.held);
        Ok(match (Proc::file(number), user) {
            ("stat", _) => self.stat_line(pid, task).into_bytes(),
            ("status", _) => self.status_text(pid, task).into_bytes(),
            ("cgroup", _) => self.membership(pid, task),
            ("mountinfo" | "mounts", _) if there.space(Kind::Mnt) == 0 => {
                return Err(Errno::EINVAL);
            }
            ("mountinfo", _) => self.mountinfo(task),
            ("mounts", _) => super::parts::unmodelled("read", "/proc/self/mounts"),
            ("cmdline", _) => there.argv.to_vec(),
            ("comm", _) => format!("{}\n", self.comm(task)).into_bytes(),
            ("uid_map", Some(Held::User { uids, .. })) => runs(uids),
            ("gid_map", Some(Held::User { gids, .. })) => runs(gids),
            ("setgroups", Some(Held::User { groups_denied, .. })) => {
                if *groups_denied {
                    b"deny\n".to_vec()
                } else {
                    b"allow\n".to_vec()
                }
            }
            ("oom_score_adj", _) => [&there.oom_score[..], b"\n"].concat(),
            _ => return Err(Errno::EINVAL),
        })
    }

    fn read_fixed(&self, pid: Pid, number: u8) -> Result<Vec<u8>, Errno> {
        let Some((path, mode, text)) = FIXED.get(usize::from(number)) else {
            return Err(Errno::EINVAL);
        };
        if mode & flags::S_IFMT == flags::S_IFDIR {
            return Err(Errno::EISDIR);
        }
        let uts = self.spaces.get(self.task(pid).space(Kind::Uts)).map(|space| &space.held);
        Ok(match (*path, uts) {
            ("sys/kernel/random/boot_id", _) => {
                format!("{:08x}-0000-4000-8000-{:012x}\n", self.boot, self.boot).into_bytes()
            }
            ("sys/kernel/osrelease", _) => format!("{}\n", self.profile.release).into_bytes(),
            ("sys/kernel/pid_max", _) => format!("{}\n", self.profile.pid_max).into_bytes(),
            ("sys/kernel/hostname", Some(Held::Uts { host, .. })) => [host, &b"\n"[..]].concat(),
            ("sys/kernel/domainname", Some(Held::Uts { domain, .. })) => {
                [domain, &b"\n"[..]].concat()
            }
            _ => match self.sysctls.get(number.into()) {
                Some(written) => written.to_vec(),
                None => text.as_bytes().to_vec(),
            },
        })
    }

    pub(super) fn write_proc(&mut self, pid: Pid, proc: Proc, bytes: &[u8]) -> Answer {
        let (task, number) = match proc {
            Proc::Fixed(number) => return self.write_fixed(pid, number, bytes),
            Proc::TaskFile(task, number) => (task, number),
            Proc::FdLink(..) | Proc::Fds(_) | Proc::Ns(_) | Proc::NsLink(..) | Proc::Task(_) => {
                return Err(Errno::EINVAL);
            }
        };
        if !self.tasks.has(task) {
            return Err(Errno::ESRCH);
        }
        let text = bytes.trim_ascii();
        match Proc::file(number) {
            "uid_map" => self.write_map(pid, task, (Id::User, bytes)),
            "gid_map" => self.write_map(pid, task, (Id::Group, bytes)),
            "setgroups" => {
                let space = self.task(task).space(Kind::User);
                if let Some(Space { held: Held::User { gids, groups_denied, .. }, .. }) =
                    self.spaces.get_mut(space)
                {
                    match text {
                        b"deny" if gids.is_empty() => *groups_denied = true,
                        b"allow" if !*groups_denied => (),
                        b"deny" | b"allow" => return Err(Errno::EPERM),
                        _ => return Err(Errno::EINVAL),
                    }
                }
                Ok(bytes.len() as u64)
            }
            "oom_score_adj" => {
                let parse = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<i32>().ok();
                let score = parse(text).filter(|score| (-1000..=1000).contains(score));
                let score = score.ok_or(Errno::EINVAL)?;
                let before = parse(&self.task(task).oom_score).unwrap_or(0);
                // CAP_SYS_RESOURCE over the whole machine lowers it (proc_pid_oom_score_adj(5)).
                if score < before && !self.capable(pid, 24) {
                    return Err(Errno::EACCES);
                }
                self.task_mut(task).oom_score = text.into();
                Ok(bytes.len() as u64)
            }
            "comm" => Ok(bytes.len() as u64),
            // Law `some_files_only_the_kernel_writes`.
            _ => Err(Errno::EINVAL),
        }
    }

    fn write_fixed(&mut self, pid: Pid, number: u8, bytes: &[u8]) -> Answer {
        let path = Proc::path(number);
        let text = bytes.trim_ascii();
        match path {
            "sys/kernel/hostname" => drop(self.set_name(pid, text, Called::Host)?),
            "sys/kernel/domainname" => drop(self.set_name(pid, text, Called::Domain)?),
            _ if Proc::Fixed(number).is_setting() => {
                self.sysctls.insert(number.into(), [text, b"\n"].concat().into());
            }
            _ => return Err(Errno::EIO),
        }
        Ok(bytes.len() as u64)
    }

    /// Makes open files of a process that is gone say so, whoever gets its number next.
    pub(super) fn orphan_proc(&mut self, gone: Pid) {
        use super::fds::What;
        for (row, what) in self
            .opens
            .iter()
            .filter_map(|(row, open)| match open.what {
                What::Named(Place { mount, ino: Ino::Proc(proc) }) if proc.task() == Some(gone) => {
                    let ino = Ino::Proc(proc.orphaned(gone));
                    Some((row, What::Named(Place { mount, ino })))
                }
                What::Pidfd(Some(pid)) if pid == gone => Some((row, What::Pidfd(None))),
                What::Named(_) | What::Pidfd(_) | What::Socket(_) | What::Tree(_) => None,
            })
            .collect::<Vec<_>>()
        {
            if let Some(open) = self.opens.get_mut(row) {
                open.what = what;
            }
        }
    }
}

/// The number of the last capability is what the file says it is.
const _: () = assert!(LAST == 40);

fn runs(runs: &[super::spaces::Run]) -> Vec<u8> {
    let line = |run: &super::spaces::Run| {
        format!("{:10} {:10} {:10}\n", run.inside, run.outside, run.count)
    };
    runs.iter().map(line).collect::<String>().into_bytes()
}
