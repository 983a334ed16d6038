//! Plays the steps on processes and cgroups.

use std::cell::Cell;

use cofferdam::sys::{Call, Errno, Kernel, flags};

use super::grammar::{Step, Tree};
use super::player::{Player, bytes};

/// Files of cgroups that list processes.
const LISTS: [&str; 3] = ["cgroup.procs", "cgroup.threads", "tasks"];

impl<K: Kernel> Player<'_, K> {
    pub(super) fn process(&mut self, step: &Step) -> Result<String, Errno> {
        match *step {
            Step::Kill { child, signal } => {
                let Some(pid) = self.children.pid(child) else {
                    return Ok("nobody there".to_owned());
                };
                let pid = pid.cast_signed();
                self.ask(Call::Kill { pid, signal }).map(|value| value.to_string())
            }
            Step::PidfdOpen { child, to } => {
                let Some(pid) = self.children.pid(child) else {
                    return Ok("nobody there".to_owned());
                };
                let fd = self.ask(Call::PidfdOpen { pid, flags: 0 })?;
                Ok(self.keep(to, fd))
            }
            Step::Signal { fd, signal } => {
                let fd = self.slots[fd];
                self.ask(Call::PidfdSendSignal { fd, signal }).map(|value| value.to_string())
            }
            Step::Spawn { child, life, group, to } => {
                let (mut cgroup, mut tasks) = (None, None);
                if let Some(group) = group {
                    if self.groups.is_freezing(group) {
                        return Ok("it would be frozen".to_owned());
                    }
                    if self.groups.is_deadly(group) {
                        return Ok("it might be killed".to_owned());
                    }
                    let opened = |file, how| self.groups.open(&self.groups.path(group, file), how);
                    match group.tree {
                        Tree::One => tasks = Some(opened("tasks", flags::O_WRONLY)?),
                        Tree::Two => cgroup = Some(opened("", flags::O_DIRECTORY)?),
                    }
                }
                let cgroup = cgroup.as_ref().map(|fd| fd.raw());
                let tasks: Vec<_> = tasks.iter().map(|fd| fd.raw()).collect();
                let [pidfd, socket] = self.children.spawn(child, life, (cgroup, &tasks))?;
                Ok(self.keep(to[0], pidfd) + &self.keep(to[1], socket))
            }
            Step::Wait { fd, options } => {
                let info = [const { Cell::new(0) }; 128];
                self.ask(Call::Waitid { fd: self.slots[fd], info: &info, options })?;
                Ok(format!("{} {}", info[8].get(), info[24].get()))
            }
            _ => unreachable!("{step:?} is no step on processes"),
        }
    }

    pub(super) fn group(&mut self, step: &Step) -> Result<String, Errno> {
        match *step {
            Step::Get { group, file } => {
                let open = self.groups.open(&self.groups.path(group, file), flags::O_RDONLY)?;
                let room = [const { Cell::new(0) }; 512];
                let count = self.ask(Call::Read { fd: open.raw(), buf: &room })?;
                let text = bytes(&room, count);
                Ok(if LISTS.contains(&file) { self.children.named(&text) } else { text })
            }
            Step::Join { group, file, child } => {
                let Some(pid) = self.children.pid(child) else {
                    return Ok("nobody there".to_owned());
                };
                let open = self.groups.open(&self.groups.path(group, file), flags::O_WRONLY)?;
                let text = pid.to_string();
                self.ask(Call::Write { fd: open.raw(), bytes: text.as_bytes() })?;
                Ok("joined".to_owned())
            }
            Step::Put { group, file, text } => {
                let open = self.groups.open(&self.groups.path(group, file), flags::O_WRONLY)?;
                let call = Call::Write { fd: open.raw(), bytes: text.as_bytes() };
                self.groups.note(file);
                self.ask(call).map(|value| value.to_string())
            }
            _ => unreachable!("{step:?} is no step on cgroups"),
        }
    }

    /// Returns whether a slot holds a pidfd, of which versions of Linux make different files.
    pub(super) fn is_process(&self, slot: usize) -> bool {
        self.link(slot).contains("pidfd")
    }

    /// Returns whether a slot holds a list of processes, whose numbers are nobody's but the
    /// kernel's.
    pub(super) fn is_list(&self, slot: usize) -> bool {
        let link = self.link(slot);
        LISTS.iter().any(|name| link.trim_end_matches(" (deleted)").ends_with(name))
    }

    /// Returns whether a slot holds what a cgroup tells of, some time after it happens.
    pub(super) fn is_late(&self, slot: usize) -> bool {
        self.link(slot).contains("/cgroup.events")
    }
}
