//! procfs, as far as a runtime reads and writes it.

use super::creds::{Id, LAST};
use super::files::{Ino, Place};
use super::proctree::{FIXED, Proc};
use super::spaces::{Called, Held, Kind, Space};
use super::walk::Link;
use super::{Answer, Pid, World};
use crate::sys::{Errno, flags};

impl World {
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
            ("attr/apparmor/current", _) => self.label(task)?,
            ("attr/apparmor/exec", _) => self.next_label(pid)?,
            ("attr" | "attr/apparmor", _) => return Err(Errno::EISDIR),
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
            "attr/apparmor/current" => {
                super::parts::unmodelled("write", "/proc/self/attr/apparmor/current")
            }
            "attr/apparmor/exec" => self.choose_label(pid, task, bytes),
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
