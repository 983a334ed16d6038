//! What procfs has, under which name, of which type and mode.

use super::files::{Attributes, Ino, Name};
use super::profile::AppArmor;
use super::spaces::Kind;
use super::{Pid, World};
use crate::sys::{RawFd, flags};

/// Where AppArmor keeps a process's label.
const APPARMOR: &str = "attr/apparmor";

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
pub(super) const FIXED: &[(&str, u32, &str)] = &[
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

/// What every process has beside its directories `fd` and `ns`, by its path below the process.
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
    ("attr", flags::S_IFDIR | 0o555),
    ("attr/apparmor", flags::S_IFDIR | 0o555),
    ("attr/apparmor/current", flags::S_IFREG | 0o666),
    ("attr/apparmor/exec", flags::S_IFREG | 0o666),
];

impl Proc {
    /// The top directory.
    pub(super) const ROOT: Self = Self::Fixed(0);

    fn fixed(is: impl Fn(&str) -> bool) -> Option<Self> {
        let at = FIXED.iter().position(|(path, ..)| is(path))?;
        u8::try_from(at).ok().map(Self::Fixed)
    }

    pub(super) fn path(number: u8) -> &'static str {
        FIXED.get(usize::from(number)).map_or("", |(path, ..)| path)
    }

    fn file_at(path: &str) -> Option<u8> {
        let at = FILES.iter().position(|(other, _)| *other == path)?;
        u8::try_from(at).ok()
    }

    pub(super) fn file(number: u8) -> &'static str {
        FILES.get(usize::from(number)).map_or("", |(name, _)| name)
    }

    pub(super) fn parent(self) -> Self {
        match self {
            Self::FdLink(pid, _) => Self::Fds(pid),
            Self::Fixed(number) => {
                let above = Self::path(number).rsplit_once('/').map_or("", |(above, _)| above);
                Self::fixed(|path| path == above).unwrap_or(Self::ROOT)
            }
            Self::NsLink(pid, _) => Self::Ns(pid),
            Self::TaskFile(pid, number) => {
                let above = Self::file(number).rsplit_once('/');
                let above = above.and_then(|(above, _)| Self::file_at(above));
                above.map_or(Self::Task(pid), |above| Self::TaskFile(pid, above))
            }
            Self::Fds(pid) | Self::Ns(pid) => Self::Task(pid),
            Self::Task(_) => Self::ROOT,
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::FdLink(_, fd) => fd.to_string(),
            Self::Fds(_) => "fd".to_owned(),
            Self::Fixed(number) => last(Self::path(number)).to_owned(),
            Self::Ns(_) => "ns".to_owned(),
            Self::NsLink(_, kind) => kind.name().to_owned(),
            Self::Task(pid) => pid.to_string(),
            Self::TaskFile(_, number) => last(Self::file(number)).to_owned(),
        }
    }

    /// Returns whether it is a setting, whose mode binds everybody.
    pub(super) fn is_setting(self) -> bool {
        matches!(self, Self::Fixed(number) if Self::path(number).starts_with("sys/"))
    }

    /// Returns whether it is of a process that is gone.
    pub(super) fn is_orphan(self) -> bool {
        self.task() == Some(0)
    }

    pub(super) fn task(self) -> Option<Pid> {
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

/// Returns a path's last part.
fn last(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Returns the name that a path has in the directory `own`, if it lies right there.
fn below(own: &str, path: &str) -> Option<String> {
    let rest = if own.is_empty() { path } else { path.strip_prefix(own)?.strip_prefix('/')? };
    (!rest.is_empty() && !rest.contains('/')).then(|| rest.to_owned())
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
                    return self.tasks.iter().map(|(pid, _)| pid).find(shown).map(Proc::Task);
                }
                if name == "self" && self.number_in(space, pid) == 0 {
                    return None;
                }
                let is = |path: &str| match path.strip_prefix(above) {
                    Some(rest) if above.is_empty() => rest == name,
                    Some(rest) => rest.strip_prefix('/') == Some(name),
                    None => false,
                };
                Proc::fixed(is)
            }
            Proc::Task(task) => {
                self.tasks.get(task)?;
                match name {
                    "fd" => Some(Proc::Fds(task)),
                    "ns" => Some(Proc::Ns(task)),
                    _ => Proc::file_at(name).map(|file| Proc::TaskFile(task, file)),
                }
            }
            Proc::TaskFile(task, number) => {
                self.tasks.get(task)?;
                let path = format!("{}/{name}", Proc::file(number));
                let missing = path == APPARMOR && self.profile.apparmor == AppArmor::Absent;
                let file = Proc::file_at(&path).filter(|_| !missing)?;
                Some(Proc::TaskFile(task, file))
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
            Proc::FdLink(..) | Proc::NsLink(..) => None,
        }
    }

    pub(super) fn proc_list(&self, pid: Pid, proc: Proc, space: u32) -> Vec<(Name, Ino)> {
        let mut names: Vec<String> = Vec::new();
        match proc {
            Proc::Fixed(number) => {
                let own = Proc::path(number);
                names.extend(FIXED.iter().filter_map(|(path, ..)| below(own, path)));
                if number == 0 {
                    let numbers =
                        self.tasks.keys().into_iter().map(|pid| self.number_in(space, pid));
                    names.extend(numbers.filter(|number| *number != 0).map(|n| n.to_string()));
                }
            }
            Proc::Task(_) => {
                names.extend(FILES.iter().filter_map(|(path, _)| below("", path)));
                names.extend(["fd", "ns"].map(str::to_owned));
            }
            Proc::TaskFile(task, number) if self.tasks.has(task) => {
                let own = Proc::file(number);
                names.extend(FILES.iter().filter_map(|(path, _)| below(own, path)));
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
}
