//! Who is in a cgroup, and how they are made to leave.

use crate::state::CgroupDir;
use crate::sys::{CWD, Call, Errno, Fd, Kernel, Syscalls, flags};

use super::super::error::{Doing, Failure};
use super::super::process::{is_over, pause};
use super::{children, set_frozen};
use crate::state::Freezer;

/// How long an emptied cgroup may take, in milliseconds.
const PATIENCE_MS: i32 = 10_000;

/// Returns the processes of a cgroup and of those below it, as the caller numbers them.
///
/// # Errors
///
/// Fails where the kernel will not say; a cgroup that has gone has nobody in it.
pub(crate) fn processes<K: Kernel>(kernel: &K, dir: &CgroupDir) -> Result<Vec<u32>, Failure> {
    let mut all = direct(kernel, &dir.path)?;
    for child in children(kernel, &dir.path)? {
        all.extend(processes(kernel, &CgroupDir { path: child, version: dir.version })?);
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn direct<K: Kernel>(kernel: &K, dir: &str) -> Result<Vec<u32>, Failure> {
    let what = || format!("ask who is in cgroup {dir}");
    let path = K::name(format!("{dir}/cgroup.procs")).doing(what)?;
    let text =
        kernel.open(CWD, &path, flags::O_RDONLY).and_then(|file| kernel.read_all(file.raw()));
    match text {
        Ok(text) => Ok(String::from_utf8_lossy(&text)
            .split_ascii_whitespace()
            .filter_map(|word| word.parse().ok())
            // 0 is a process of another pid namespace: it has no number here.
            .filter(|pid| *pid != 0)
            .collect()),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(Vec::new()),
        Err(errno) => Err(Failure::new(what(), errno)),
    }
}

/// Kills every process of a cgroup and of those below it.
///
/// Processes that fork meanwhile are found by looking again until nobody new is there.
///
/// # Errors
///
/// Fails where the kernel forbids it.
pub(crate) fn kill_all<K: Kernel>(kernel: &K, dir: &CgroupDir) -> Result<(), Failure> {
    if dir.version == 2 {
        let path = format!("{}/cgroup.kill", dir.path);
        match super::write_file(kernel, &path, "1") {
            Ok(()) => return Ok(()),
            // The cgroup has gone, or the kernel is older than 5.14: one by one then.
            Err(Errno::ENOENT | Errno::ENODEV | Errno::EOPNOTSUPP) => (),
            Err(errno) => return Err(Failure::new(format!("write 1 to {path}"), errno)),
        }
    }
    let mut seen = Vec::new();
    loop {
        let found = processes(kernel, dir)?;
        let fresh: Vec<_> = found.into_iter().filter(|pid| !seen.contains(pid)).collect();
        if fresh.is_empty() {
            break;
        }
        for pid in fresh {
            kill_member(kernel, dir, pid)?;
            seen.push(pid);
        }
    }
    if !seen.is_empty() && dir.version != 2 {
        thaw(kernel, dir)?;
    }
    Ok(())
}

/// SIGKILL waits for a frozen process of v1 until it thaws.
fn thaw<K: Kernel>(kernel: &K, dir: &CgroupDir) -> Result<(), Failure> {
    match set_frozen(kernel, dir, Freezer::Thawed) {
        Err(Failure { errno: Errno::ENOENT | Errno::ENODEV | Errno::EACCES, .. }) => Ok(()),
        thawed => thawed,
    }
}

/// Kills one process, if it is still a member once it cannot be mistaken for another.
fn kill_member<K: Kernel>(kernel: &K, dir: &CgroupDir, pid: u32) -> Result<(), Failure> {
    let what = || format!("kill process {pid} of cgroup {}", dir.path);
    let Some(pidfd) = open(kernel, pid).doing(what)? else { return Ok(()) };
    if !processes(kernel, dir)?.contains(&pid) {
        return Ok(());
    }
    let signal = flags::SIGKILL;
    match kernel.call(Call::PidfdSendSignal { fd: pidfd.raw(), signal }) {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(Failure::new(what(), errno)),
    }
}

fn open<K: Kernel>(kernel: &K, pid: u32) -> Result<Option<Fd<'_, K>>, Errno> {
    match kernel.give(Call::PidfdOpen { pid, flags: 0 }) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(Errno::ESRCH | Errno::EINVAL) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Waits until nobody is left in a cgroup: each process that is still there is awaited by its
/// descriptor.
///
/// # Errors
///
/// `ETIMEDOUT` with the processes that do not go.
pub(crate) fn wait_empty<K: Kernel>(kernel: &K, dir: &CgroupDir) -> Result<(), Failure> {
    // Each round awaits one process: a cgroup of more than these is no cgroup of ours.
    const ROUNDS: usize = 1 << 16;
    let mut last = None;
    for _ in 0..ROUNDS {
        let Some(pid) = processes(kernel, dir)?.first().copied() else { return Ok(()) };
        let what = || format!("wait for process {pid} of cgroup {}", dir.path);
        if let Some(pidfd) = open(kernel, pid).doing(what)?
            && !is_over(kernel, &pidfd, PATIENCE_MS).doing(what)?
        {
            return Err(Failure::new(what(), Errno::ETIMEDOUT));
        }
        if last == Some(pid) {
            // Listed though it is over: the kernel takes a moment to take it off the list.
            pause(kernel, 1).doing(what)?;
        }
        last = Some(pid);
    }
    Err(Failure::new(format!("empty cgroup {}", dir.path), Errno::EBUSY))
}
