//! AppArmor's labels: the profile that a process is under, and the one that it will be under.
//!
//! **Invariant:** a profile confines nothing here: what it forbids to a payload, a script does not
//! do, and a process of the runtime's is under none.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::profile::AppArmor;
use super::{Answer, Pid, World};
use crate::sys::Errno;

/// The label of a process under no profile, which can be chosen like a profile.
const UNCONFINED: &str = "unconfined";

/// The label that a process has, and the one that execve(2) gives it; none is [`UNCONFINED`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Labels {
    own: Option<Arc<str>>,
    next: Option<Arc<str>>,
}

impl Labels {
    /// What execve(2) makes of them.
    pub(super) fn execute(&mut self) {
        if let Some(next) = self.next.take() {
            self.own = (&*next != UNCONFINED).then_some(next);
        }
    }
}

/// Returns a label as a file says it.
fn told(label: &str) -> Vec<u8> {
    let mode = if label == UNCONFINED { "" } else { " (enforce)" };
    format!("{label}{mode}\n").into_bytes()
}

impl World {
    /// Returns what `attr/apparmor/current` of a process says.
    pub(super) fn label(&self, task: Pid) -> Result<Vec<u8>, Errno> {
        self.asked_of_apparmor()?;
        Ok(told(self.task(task).labels.own.as_deref().unwrap_or(UNCONFINED)))
    }

    /// Returns what `attr/apparmor/exec` of any process says: the reader's own next label.
    pub(super) fn next_label(&self, reader: Pid) -> Result<Vec<u8>, Errno> {
        self.asked_of_apparmor()?;
        self.task(reader).labels.next.as_deref().map(told).ok_or(Errno::EINVAL)
    }

    /// Writes to `attr/apparmor/exec`: what label the process wants at execve(2).
    pub(super) fn choose_label(&mut self, pid: Pid, task: Pid, bytes: &[u8]) -> Answer {
        if pid != task {
            return Err(Errno::EPERM);
        }
        let profiles = self.asked_of_apparmor()?;
        let text = std::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?.trim();
        let (word, name) = text.split_once(' ').ok_or(Errno::EINVAL)?;
        let name = name.trim_start();
        if word != "exec" {
            return Err(Errno::EINVAL);
        }
        if name != UNCONFINED && !profiles.contains(&name) {
            return Err(Errno::ENOENT);
        }
        self.task_mut(pid).labels.next = Some(name.into());
        Ok(bytes.len() as u64)
    }

    /// Returns the profiles that are loaded.
    ///
    /// # Errors
    ///
    /// EINVAL where no security module answers.
    fn asked_of_apparmor(&self) -> Result<&BTreeSet<&'static str>, Errno> {
        match &self.profile.apparmor {
            AppArmor::On(profiles) => Ok(profiles),
            AppArmor::Absent | AppArmor::Off => Err(Errno::EINVAL),
        }
    }
}
