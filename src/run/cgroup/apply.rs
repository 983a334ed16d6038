//! Limits written to a container's cgroups: when it is made, and while it lives.
//!
//! Files of one controller bound each other: memory is at most memory and swap, a quota is at
//! least its burst. Which of two is to be written first depends on what is there, so one that the
//! kernel finds at odds with another (`EINVAL`) is written again behind the others.
//!
//! **Invariant:** an update leaves devices alone: others may have allowed some meanwhile.

use crate::plan::{Host, Version};
use crate::spec::{DeviceWeight, Invalid, Limit, Memory, Reason, Resources};
use crate::state::CgroupDir;
use crate::sys::{CWD, Call, Errno, Kernel, Syscalls, flags};

use super::super::error::{Doing, Failure};
use super::super::identity::read_file;
use super::limits::{Missing, Setting, settings};
use super::{bpf, devices, hierarchy, write_file};

/// Refuses limits that no cgroup of this host could have.
///
/// # Errors
///
/// The first of them, as `config.json` has it.
pub(crate) fn check(host: &Host, resources: &Resources) -> Result<(), Invalid> {
    let wrong = |pointer: &str, why| {
        let pointer = format!("/linux/resources/{pointer}");
        Err(Invalid { pointer, why: Reason::Malformed(why) })
    };
    let split = host.hierarchies.iter().any(|hierarchy| hierarchy.version == Version::V1);
    if split && !resources.unified.is_empty() {
        return wrong("unified", "needs cgroup v2");
    }
    let leaf = |device: &DeviceWeight| device.leaf_weight.is_some();
    let block = &resources.block_io;
    if !split && (block.leaf_weight.is_some() || block.devices.iter().any(leaf)) {
        return wrong("blockIO", "cgroup v2 has no leaf weights");
    }
    match (resources.memory.limit, resources.memory.swap) {
        (Some(Limit::Value(limit)), Some(Limit::Value(swap))) if swap < limit => {
            wrong("memory/swap", "less than the limit of memory alone")
        }
        _ => Ok(()),
    }
}

/// Refuses limits for which the container has no cgroup.
///
/// # Errors
///
/// `EOPNOTSUPP`, with the first of them.
pub(super) fn check_held(
    host: &Host,
    dirs: &[CgroupDir],
    resources: &Resources,
) -> Result<(), Failure> {
    if dirs.iter().any(|dir| dir.version == 2) {
        // Whether v2 has a controller is seen by its files.
        return Ok(());
    }
    let lacked = |setting: &Setting| {
        setting.missing != Missing::Skip && !dirs.iter().any(|dir| controls(host, dir, setting))
    };
    match settings(resources, 1).into_iter().find(lacked) {
        Some(Setting { controller, file, .. }) => {
            let what = format!("set {file}: the container has no cgroup of {controller}");
            Err(Failure::new(what, Errno::EOPNOTSUPP))
        }
        None => Ok(()),
    }
}

/// Writes the limits of one new directory.
///
/// # Errors
///
/// Those of write(2) for a limit that was asked for, with its file and value.
pub(super) fn limit<K: Kernel>(
    kernel: &K,
    host: &Host,
    dir: &CgroupDir,
    resources: &Resources,
) -> Result<(), Failure> {
    write(kernel, host, dir, resources)?;
    if host.user_namespace {
        // Only the first user namespace says who may use devices, and no other makes any.
        return Ok(());
    }
    let set = if dir.version == 2 {
        attach(kernel, dir, resources)
    } else if hierarchy(host, dir).is_some_and(|h| h.controls("devices")) {
        devices::write_rules(kernel, &dir.path, resources)
    } else {
        Ok(())
    };
    match set {
        // Rules take CAP_BPF or CAP_SYS_ADMIN, and whoever lacks them makes no devices either.
        Err(Failure { errno: Errno::EPERM, .. }) if host.user != 0 => Ok(()),
        set => set,
    }
}

/// Writes new limits of a container that lives.
///
/// # Errors
///
/// `EOPNOTSUPP` where the container has no cgroup for one of them; those of write(2), with file
/// and value. What was written before is written.
pub(crate) fn update<K: Kernel>(
    kernel: &K,
    host: &Host,
    dirs: &[CgroupDir],
    resources: &Resources,
) -> Result<(), Failure> {
    check_held(host, dirs, resources)?;
    for dir in dirs {
        if dir.version == 2 {
            write(kernel, host, dir, &completed(kernel, dir, resources)?)?;
        } else {
            write(kernel, host, dir, resources)?;
        }
    }
    Ok(())
}

/// Adds what new limits leave as it is to those that share a file of v2 with it, or that v2 counts
/// in another way.
fn completed<K: Kernel>(
    kernel: &K,
    dir: &CgroupDir,
    resources: &Resources,
) -> Result<Resources, Failure> {
    let read = |file: &str| {
        let path = format!("{}/{file}", dir.path);
        let text = K::name(path.as_str()).and_then(|path| read_file(kernel, &path));
        text.doing(|| format!("read {path}"))
    };
    let mut whole = resources.clone();
    let cpu = &mut whole.cpu;
    if cpu.period.is_some() && cpu.quota.is_none() {
        cpu.quota = Some(amount(&read("cpu.max")?));
    }
    let memory = &mut whole.memory;
    match (memory.limit, memory.swap) {
        (None, Some(Limit::Value(_))) => memory.limit = Some(amount(&read("memory.max")?)),
        (Some(Limit::Value(_)), None) => {
            let swap = match read("memory.swap.max") {
                // Swap is not counted here.
                Err(Failure { errno: Errno::ENOENT, .. }) => Limit::Max,
                swap => amount(&swap?),
            };
            if let (Limit::Value(was), Limit::Value(swap)) = (amount(&read("memory.max")?), swap) {
                memory.swap = Some(Limit::Value(was.saturating_add(swap)));
            }
        }
        (None | Some(Limit::Max), _) | (_, Some(Limit::Max | Limit::Value(_))) => (),
    }
    if let (Some(Limit::Value(limit)), Some(Limit::Value(both))) = (memory.limit, memory.swap)
        && both < limit
    {
        let what = format!("allow {limit} bytes of memory, but {both} of memory and swap");
        return Err(Failure::new(what, Errno::EINVAL));
    }
    if let Memory { check_before_update: true, limit: Some(Limit::Value(limit)), .. } = *memory
        && let Limit::Value(used) = amount(&read("memory.current")?)
        && limit < used
    {
        let what = format!("allow {limit} bytes of memory, of which {used} are in use");
        return Err(Failure::new(what, Errno::EBUSY));
    }
    Ok(whole)
}

/// The number that a file of v2 begins with; any other word is no limit.
fn amount(text: &str) -> Limit {
    let word = text.split_ascii_whitespace().next().unwrap_or_default();
    word.parse().map_or(Limit::Max, Limit::Value)
}

fn controls(host: &Host, dir: &CgroupDir, setting: &Setting) -> bool {
    dir.version == 2 || hierarchy(host, dir).is_some_and(|h| h.controls(setting.controller))
}

fn write<K: Kernel>(
    kernel: &K,
    host: &Host,
    dir: &CgroupDir,
    resources: &Resources,
) -> Result<(), Failure> {
    let mut again = Vec::new();
    for setting in settings(resources, dir.version) {
        if !controls(host, dir, &setting) {
            continue;
        }
        match write_setting(kernel, &dir.path, &setting) {
            Err(Failure { errno: Errno::EINVAL, .. }) => again.push(setting),
            written => written?,
        }
    }
    again.iter().try_for_each(|setting| write_setting(kernel, &dir.path, setting))
}

fn write_setting<K: Kernel>(kernel: &K, dir: &str, setting: &Setting) -> Result<(), Failure> {
    let path = format!("{dir}/{}", setting.file);
    let what = || format!("write {:?} to {path}", setting.value);
    match write_file(kernel, &path, &setting.value) {
        Err(Errno::ENOENT) => match &setting.missing {
            Missing::Fail => Err(Errno::ENOENT).doing(what),
            Missing::Instead(file, value) => {
                let path = format!("{dir}/{file}");
                write_file(kernel, &path, value).doing(|| format!("write {value:?} to {path}"))
            }
            Missing::Skip => Ok(()),
        },
        Err(Errno::EBUSY) if setting.file == "memory.limit_in_bytes" => {
            Err(crowded(kernel, dir, &setting.value))
        }
        answer => answer.doing(what),
    }
}

/// A limit that cgroup v1 refuses because more memory than that is used and cannot be reclaimed.
fn crowded<K: Kernel>(kernel: &K, dir: &str, limit: &str) -> Failure {
    let read = |file: &str| {
        let path = K::name(format!("{dir}/memory.{file}"));
        let text = path.and_then(|path| read_file(kernel, &path));
        text.map_or_else(|errno| errno.to_string(), |text| text.trim_end().to_owned())
    };
    let (now, peak) = (read("usage_in_bytes"), read("max_usage_in_bytes"));
    let message = format!(
        "unable to set memory limit to {limit} (current usage: {now}, peak usage: {peak}): {}",
        Errno::EBUSY
    );
    Failure::told(message, Errno::EBUSY)
}

/// Puts the program of the device rules at a v2 directory.
fn attach<K: Kernel>(kernel: &K, dir: &CgroupDir, resources: &Resources) -> Result<(), Failure> {
    let what = || format!("set the device rules of cgroup {}", dir.path);
    let path = K::name(dir.path.as_str()).doing(what)?;
    let cgroup = kernel.open(CWD, &path, flags::O_RDONLY | flags::O_DIRECTORY).doing(what)?;
    let code = bpf::program(&devices::rules(resources));
    let program = kernel.give(Call::BpfLoad { program: &code }).doing(what)?;
    let (cgroup, program) = (cgroup.raw(), program.raw());
    kernel.call(Call::BpfAttach { cgroup, program }).map(drop).doing(what)
}
