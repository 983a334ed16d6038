//! Credentials: who a process is, and what it may do in which user namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::files::Attributes;
use super::spaces::{Held, Kind};
use super::{Answer, Pid, World};
use crate::sys::{Errno, flags};

pub(super) const CHOWN: u32 = 0;
pub(super) const DAC_OVERRIDE: u32 = 1;
pub(super) const FOWNER: u32 = 3;
pub(super) const KILL: u32 = 5;
const SETGID: u32 = 6;
const SETUID: u32 = 7;
const SETPCAP: u32 = 8;
pub(super) const SYS_CHROOT: u32 = 18;
pub(super) const SYS_ADMIN: u32 = 21;
const SYS_RESOURCE: u32 = 24;
pub(super) const MKNOD: u32 = 27;
/// The number of the last capability.
pub(super) const LAST: u32 = 40;
const ALL: u64 = (1 << (LAST + 1)) - 1;
/// Who an unmapped owner seems to be.
const NOBODY: u32 = 65534;

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Creds {
    /// As the first user namespace counts.
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Arc<[u32]>,
    pub(super) effective: u64,
    pub(super) permitted: u64,
    pub(super) inheritable: u64,
    pub(super) bounding: u64,
    pub(super) ambient: u64,
    pub(super) keep: bool,
    pub(super) no_new_privs: bool,
    pub(super) undumpable: bool,
    /// How many seccomp filters were set.
    pub(super) filters: u32,
    /// Resource limits that were set: soft and hard.
    pub(super) limits: BTreeMap<u32, (u64, u64)>,
}

impl Creds {
    /// Returns the credentials of a user of the first user namespace.
    pub(super) fn of(uid: u32) -> Self {
        let power = if uid == 0 { ALL } else { 0 };
        Self {
            uid,
            gid: uid,
            groups: Arc::new([]),
            effective: power,
            permitted: power,
            inheritable: 0,
            bounding: ALL,
            ambient: 0,
            keep: false,
            no_new_privs: false,
            undumpable: false,
            filters: 0,
            limits: BTreeMap::new(),
        }
    }

    /// Has every capability: the first process of a user namespace.
    pub(super) const fn crown(&mut self) {
        self.effective = ALL;
        self.permitted = ALL;
        self.bounding = ALL;
    }

    const fn has(&self, capability: u32) -> bool {
        self.effective >> capability & 1 != 0
    }

    /// Changes the user; capabilities go as capabilities(7) says.
    fn become_user(&mut self, uid: u32, root: u32) {
        let was_root = self.uid == root;
        self.uid = uid;
        if was_root && uid != root {
            self.effective = 0;
            self.ambient = 0;
            if !self.keep {
                self.permitted = 0;
            }
        }
    }

    /// What execve(2) makes of the capabilities, for a file without its own.
    pub(super) fn execute(&mut self, root: u32) {
        if self.uid == root {
            self.permitted = (self.inheritable | self.bounding) & ALL;
            self.effective = self.permitted;
        } else {
            self.permitted = self.ambient;
            self.effective = self.ambient;
        }
        self.keep = false;
        self.undumpable = false;
    }
}

impl World {
    /// Returns whether `pid` has a capability in user namespace `space`.
    pub(super) fn capable_in(&self, pid: Pid, capability: u32, space: u32) -> bool {
        let task = self.task(pid);
        let own = task.space(Kind::User);
        let mut at = space;
        loop {
            if at == own {
                return task.creds.has(capability);
            }
            match self.spaces.get(at).map(|space| (&space.held, space.owner)) {
                Some((Held::User { maker, .. }, parent)) if parent != at => {
                    // The maker of a namespace has every capability in it (user_namespaces(7)).
                    if parent == own && task.creds.uid == *maker {
                        return true;
                    }
                    at = parent;
                }
                Some(_) | None => return false,
            }
        }
    }

    /// Returns whether `pid` has a capability over the user namespace that owns its namespace of
    /// that kind.
    pub(super) fn capable_of(&self, pid: Pid, capability: u32, kind: Kind) -> bool {
        let space = self.task(pid).space(kind);
        self.capable_in(pid, capability, self.spaces.get(space).map_or(1, |space| space.owner))
    }

    /// Returns whether `pid` has a capability over a file: its owner has to be mapped.
    pub(super) fn capable_over(&self, pid: Pid, capability: u32, file: &Attributes) -> bool {
        let task = self.task(pid);
        let own = task.space(Kind::User);
        task.creds.has(capability)
            && self.inward(own, file.uid, Id::User).is_some()
            && self.inward(own, file.gid, Id::Group).is_some()
    }

    /// Returns whether `pid` has a capability over the whole machine.
    pub(super) fn capable(&self, pid: Pid, capability: u32) -> bool {
        self.capable_in(pid, capability, Kind::User.first())
    }

    /// Returns the user that `pid` takes itself for.
    pub(super) fn seen_uid(&self, pid: Pid, uid: u32) -> u32 {
        self.inward(self.task(pid).space(Kind::User), uid, Id::User).unwrap_or(NOBODY)
    }

    /// Returns the group as `pid` sees it.
    pub(super) fn seen_gid(&self, pid: Pid, gid: u32) -> u32 {
        self.inward(self.task(pid).space(Kind::User), gid, Id::Group).unwrap_or(NOBODY)
    }

    /// Returns the id that `pid` means, or `EINVAL` where it is not mapped.
    pub(super) fn meant(&self, pid: Pid, id: u32, kind: Id) -> Result<u32, Errno> {
        self.outward(self.task(pid).space(Kind::User), id, kind).ok_or(Errno::EINVAL)
    }

    /// Returns the id that is 0 in the user namespace of `pid`, or one that nobody has.
    pub(super) fn root_uid(&self, pid: Pid) -> u32 {
        self.meant(pid, 0, Id::User).unwrap_or(u32::MAX)
    }

    /// Returns the same of groups.
    pub(super) fn root_gid(&self, pid: Pid) -> u32 {
        self.meant(pid, 0, Id::Group).unwrap_or(u32::MAX)
    }

    pub(super) fn setresuid(&mut self, pid: Pid, uid: u32) -> Answer {
        let uid = self.meant(pid, uid, Id::User)?;
        let root = self.root_uid(pid);
        let creds = &mut self.task_mut(pid).creds;
        if uid != creds.uid && !creds.has(SETUID) {
            return Err(Errno::EPERM);
        }
        creds.become_user(uid, root);
        Ok(0)
    }

    pub(super) fn setresgid(&mut self, pid: Pid, gid: u32) -> Answer {
        let gid = self.meant(pid, gid, Id::Group)?;
        let creds = &mut self.task_mut(pid).creds;
        if gid != creds.gid && !creds.has(SETGID) {
            return Err(Errno::EPERM);
        }
        creds.gid = gid;
        Ok(0)
    }

    pub(super) fn setgroups(&mut self, pid: Pid, block: &[u8]) -> Answer {
        let denied = match self.spaces.get(self.task(pid).space(Kind::User)).map(|s| &s.held) {
            Some(Held::User { groups_denied, gids, .. }) => *groups_denied || gids.is_empty(),
            Some(_) | None => false,
        };
        if denied || !self.task(pid).creds.has(SETGID) {
            return Err(Errno::EPERM);
        }
        let mut groups = Vec::new();
        for word in block.chunks_exact(4) {
            let group = word.try_into().map_or(0, u32::from_le_bytes);
            groups.push(self.meant(pid, group, Id::Group)?);
        }
        self.task_mut(pid).creds.groups = groups.into();
        Ok(0)
    }

    pub(super) fn capset(&mut self, pid: Pid, sets: [u64; 3]) -> Answer {
        let [effective, permitted, inheritable] = sets.map(|set| set & ALL);
        let creds = &mut self.task_mut(pid).creds;
        let wider = inheritable & !(creds.inheritable | creds.permitted) != 0;
        if permitted & !creds.permitted != 0
            || effective & !permitted != 0
            || (wider && !creds.has(SETPCAP))
            || inheritable & !(creds.inheritable | creds.bounding) != 0
        {
            return Err(Errno::EPERM);
        }
        creds.effective = effective;
        creds.permitted = permitted;
        creds.inheritable = inheritable;
        creds.ambient &= permitted & inheritable;
        Ok(0)
    }

    pub(super) fn prctl(&mut self, pid: Pid, option: u32, words: [u64; 4]) -> Answer {
        let [a, b, ..] = words;
        let task = self.task_mut(pid);
        let creds = &mut task.creds;
        match option {
            flags::PR_SET_PDEATHSIG => {
                task.death_signal =
                    u32::try_from(a).ok().filter(|s| *s <= 64).ok_or(Errno::EINVAL)?;
            }
            flags::PR_SET_DUMPABLE if a <= 1 => creds.undumpable = a == 0,
            flags::PR_SET_KEEPCAPS if a <= 1 => creds.keep = a == 1,
            flags::PR_SET_NO_NEW_PRIVS if a == 1 => creds.no_new_privs = true,
            flags::PR_SET_CHILD_SUBREAPER => task.subreaper = a != 0,
            flags::PR_CAPBSET_DROP => {
                let bit = capability_bit(a)?;
                if !creds.has(SETPCAP) {
                    return Err(Errno::EPERM);
                }
                creds.bounding &= !bit;
            }
            flags::PR_CAP_AMBIENT => match a {
                flags::PR_CAP_AMBIENT_CLEAR_ALL => creds.ambient = 0,
                flags::PR_CAP_AMBIENT_RAISE => {
                    let bit = capability_bit(b)?;
                    if creds.permitted & creds.inheritable & bit == 0 {
                        return Err(Errno::EPERM);
                    }
                    creds.ambient |= bit;
                }
                _ => return Err(Errno::EINVAL),
            },
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    pub(super) fn prlimit(&mut self, pid: Pid, resource: u32, limit: [u64; 2]) -> Answer {
        let [soft, hard] = limit;
        if resource > 15 || soft > hard {
            return Err(Errno::EINVAL);
        }
        let raise = self.capable(pid, SYS_RESOURCE);
        let limits = &mut self.task_mut(pid).creds.limits;
        let most = limits.get(&resource).map_or(u64::MAX, |(_, hard)| *hard);
        if hard > most && !raise {
            return Err(Errno::EPERM);
        }
        limits.insert(resource, (soft, hard));
        Ok(0)
    }

    pub(super) fn seccomp(&mut self, pid: Pid, filter: &[u8]) -> Answer {
        if filter.is_empty() || !filter.len().is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let admin = self.task(pid).creds.has(SYS_ADMIN);
        let creds = &mut self.task_mut(pid).creds;
        if !creds.no_new_privs && !admin {
            return Err(Errno::EACCES);
        }
        creds.filters += 1;
        Ok(0)
    }
}

/// Which kind of id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    Group,
    User,
}

fn capability_bit(number: u64) -> Result<u64, Errno> {
    if number <= u64::from(LAST) { Ok(1 << number) } else { Err(Errno::EINVAL) }
}
