//! The container's cgroups: made, limited, asked, emptied, removed.
//!
//! A container has one directory in every hierarchy of cgroup v1 (hybrid hosts too), or one in the
//! unified hierarchy of v2. The first of its list is its home: it is asked who is in and whether
//! they are frozen.
//!
//! **Invariant:** the record names every directory before it is made.
//!
//! **Invariant:** no pid is ever written into `cgroup.procs`: a child is born in its cgroup (v2),
//! or joins by itself through `tasks` (v1).

mod apply;
mod bpf;
mod devices;
mod limits;
mod members;

use std::ffi::CString;

use crate::plan::{Hierarchy, Host, Version};
use crate::spec::{Cgroup, MountKind, NamespaceKind, Resources, Spec};
use crate::state::{CgroupDir, Freezer, Occupancy};
use crate::sys::{CWD, Call, Errno, Fd, Kernel, Syscalls, flags};

use super::error::{Doing, Failure, regardless};
use super::identity::read_file;
use super::process::pause;
use super::store;

pub(super) use apply::{check, update};
pub(super) use members::{kill_all, processes, wait_empty};

/// Returns the directories that a container of that name has on this host, home first.
pub(super) fn dirs(host: &Host, spec: &Spec, id: &str) -> Vec<CgroupDir> {
    let cgroup = &spec.cgroup;
    if cgroup.disabled {
        return Vec::new();
    }
    let unified_only = host.hierarchies.iter().all(|h| h.version == Version::V2);
    // A cpuset constrains only when it is asked to, and costs more than the others to make; but a
    // container that sees its cgroups has one, since it must not see anybody else's.
    let cpu = &cgroup.resources.cpu;
    let sees = spec.mounts.iter().any(|mount| mount.kind == MountKind::Cgroup)
        || spec.namespace(NamespaceKind::Cgroup).is_some();
    let cpuset = cpu.cpus.is_some() || cpu.mems.is_some() || sees;
    let used = |h: &&Hierarchy| match h.version {
        Version::V1 => cpuset || h.controllers != ["cpuset"],
        Version::V2 => unified_only,
    };
    let mut dirs: Vec<_> = host
        .hierarchies
        .iter()
        .filter(used)
        .map(|h| CgroupDir {
            path: path(h, cgroup.path.as_deref(), id),
            version: if h.version == Version::V2 { 2 } else { 1 },
        })
        .collect();
    let home = host.hierarchies.iter().filter(used).position(|h| h.controls("freezer"));
    if let Some(home) = home {
        dirs.swap(0, home);
    }
    dirs
}

/// Where in a hierarchy: an absolute path counts from its root, any other from the caller's own
/// cgroup; on v2 from its parent, since a cgroup with processes in it cannot hand controllers on
/// (cgroups(7), "no internal processes").
fn path(hierarchy: &Hierarchy, wanted: Option<&str>, id: &str) -> String {
    let mount = hierarchy.mount.trim_end_matches('/');
    let inside = hierarchy.own.strip_prefix(hierarchy.root.trim_end_matches('/'));
    let own = inside.unwrap_or(&hierarchy.own).trim_end_matches('/');
    let base = match hierarchy.version {
        Version::V1 => own,
        Version::V2 => own.rsplit_once('/').map_or("", |(parent, _)| parent),
    };
    match wanted {
        Some(absolute) if absolute.starts_with('/') => format!("{mount}{}", clean(absolute)),
        Some(relative) if !relative.is_empty() => format!("{mount}{base}{}", clean(relative)),
        Some(_) | None => format!("{mount}{base}/{id}"),
    }
}

/// Takes `.`, `..` and doubled slashes out of a path, which never leaves its root.
fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => (),
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.iter().map(|part| format!("/{part}")).collect()
}

/// Why a container's cgroups were not made.
pub(super) enum Unmade {
    /// The kernel said no: what was made is the container's to remove.
    Failed(Failure),
    /// Somebody else is in one of them: none is the container's.
    Foreign(Failure),
}

impl From<Failure> for Unmade {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Makes the directories and sets the limits.
///
/// # Errors
///
/// `EBUSY` where one of them has somebody in it already, or is frozen, and those before it are
/// removed again; those of mkdir(2) and write(2), save what a caller without rights can do without.
pub(super) fn make<K: Kernel>(
    kernel: &K,
    host: &Host,
    dirs: &[CgroupDir],
    cgroup: &Cgroup,
) -> Result<(), Unmade> {
    apply::check_held(host, dirs, &cgroup.resources)?;
    for (at, dir) in dirs.iter().enumerate() {
        match make_one(kernel, host, dir, cgroup) {
            Err(Unmade::Failed(Failure {
                errno: Errno::EACCES | Errno::EPERM | Errno::EROFS,
                ..
            })) if (host.user != 0 || host.user_namespace) && optional(cgroup) => {}
            Err(Unmade::Foreign(failure)) => {
                let undo = remove(kernel, &dirs[..at]).err().map(Box::new);
                return Err(Unmade::Foreign(Failure { undo, ..failure }));
            }
            made => made?,
        }
    }
    Ok(())
}

/// Whether the container can do without a cgroup: it asks for no limit and no place.
fn optional(cgroup: &Cgroup) -> bool {
    let asked = Resources { devices: Vec::new(), ..cgroup.resources.clone() };
    cgroup.path.is_none() && asked == Resources::default()
}

fn make_one<K: Kernel>(
    kernel: &K,
    host: &Host,
    dir: &CgroupDir,
    cgroup: &Cgroup,
) -> Result<(), Unmade> {
    let what = || format!("make cgroup {}", dir.path);
    let path = K::name(dir.path.as_str()).doing(what)?;
    let hierarchy = hierarchy(host, dir);
    match kernel.mkdir(CWD, &path, 0o755) {
        Ok(()) => (),
        Err(Errno::ENOENT) => store::make_parents(kernel, &dir.path).doing(what)?,
        Err(Errno::EEXIST) => check_free(kernel, dir)?,
        Err(errno) => return Err(Failure::new(what(), errno).into()),
    }
    if dir.version == 2 {
        enable(kernel, hierarchy.map_or("", |h| &h.mount), &dir.path)?;
    } else if let Some(hierarchy) = hierarchy.filter(|h| h.controls("cpuset")) {
        inherit_cpuset(kernel, host, hierarchy, &dir.path)?;
    }
    Ok(apply::limit(kernel, host, dir, &cgroup.resources)?)
}

/// Refuses a cgroup that the container could not have for itself, or would never leave.
fn check_free<K: Kernel>(kernel: &K, dir: &CgroupDir) -> Result<(), Unmade> {
    let foreign = |why: &str| {
        let what = format!("container's cgroup {why}: use {}", dir.path);
        Unmade::Foreign(Failure::new(what, Errno::EBUSY))
    };
    if occupancy(kernel, dir)? == Occupancy::Populated {
        return Err(foreign("is not empty"));
    }
    // A child would freeze before its execve, and its maker wait for that where no signal helps.
    match freezer(kernel, dir)? {
        Freezer::Thawed => Ok(()),
        Freezer::Freezing | Freezer::Frozen => Err(foreign("unexpectedly frozen")),
    }
}

/// Who is in a cgroup.
///
/// # Errors
///
/// Fails where the kernel will not say.
pub(super) fn occupancy<K: Kernel>(kernel: &K, dir: &CgroupDir) -> Result<Occupancy, Failure> {
    let what = || format!("ask who is in cgroup {}", dir.path);
    let path = K::name(format!("{}/cgroup.procs", dir.path)).doing(what)?;
    match read_file(kernel, &path) {
        Ok(list) if !list.is_empty() => Ok(Occupancy::Populated),
        Ok(_) => below(kernel, dir),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(Occupancy::Absent),
        // The cgroup is threaded: it is there, and its domain answers for its processes.
        Err(Errno::EOPNOTSUPP) => Ok(Occupancy::Populated),
        Err(errno) => Err(Failure::new(what(), errno)),
    }
}

/// Who is in the cgroups below one that has nobody in it itself.
fn below<K: Kernel>(kernel: &K, dir: &CgroupDir) -> Result<Occupancy, Failure> {
    for child in children(kernel, &dir.path)? {
        let child = CgroupDir { path: child, version: dir.version };
        if occupancy(kernel, &child)? == Occupancy::Populated {
            return Ok(Occupancy::Populated);
        }
    }
    Ok(Occupancy::Empty)
}

/// The directories in a cgroup; none where it has gone.
fn children<K: Kernel>(kernel: &K, dir: &str) -> Result<Vec<String>, Failure> {
    let what = || format!("list cgroup {dir}");
    let path = K::name(dir).doing(what)?;
    let names = kernel
        .open(CWD, &path, flags::O_RDONLY | flags::O_DIRECTORY)
        .and_then(|opened| kernel.directories(opened.raw()));
    match names {
        Ok(names) => Ok(names.into_iter().map(|name| format!("{dir}/{name}")).collect()),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(Vec::new()),
        Err(errno) => Err(Failure::new(what(), errno)),
    }
}

/// Whether who is in a cgroup is frozen.
///
/// # Errors
///
/// Fails where the kernel will not say.
pub(super) fn freezer<K: Kernel>(kernel: &K, dir: &CgroupDir) -> Result<Freezer, Failure> {
    let file = if dir.version == 2 { "cgroup.events" } else { "freezer.state" };
    let what = || format!("ask whether cgroup {} is frozen", dir.path);
    let path = K::name(format!("{}/{file}", dir.path)).doing(what)?;
    match read_file(kernel, &path) {
        Ok(text) if text.lines().any(|line| line == "frozen 1" || line == "FROZEN") => {
            Ok(Freezer::Frozen)
        }
        Ok(text) if text.trim_end() == "FREEZING" => Ok(Freezer::Freezing),
        Ok(_) | Err(Errno::ENOENT | Errno::ENODEV) => Ok(Freezer::Thawed),
        Err(errno) => Err(Failure::new(what(), errno)),
    }
}

/// Asks the kernel to freeze or thaw who is in a cgroup.
///
/// # Errors
///
/// Those of write(2); `EOPNOTSUPP` where the host has no freezer.
pub(super) fn set_frozen<K: Kernel>(
    kernel: &K,
    dir: &CgroupDir,
    wanted: Freezer,
) -> Result<(), Failure> {
    let (file, value) = match (dir.version, wanted) {
        (2, Freezer::Thawed) => ("cgroup.freeze", "0"),
        (2, Freezer::Freezing | Freezer::Frozen) => ("cgroup.freeze", "1"),
        (_, Freezer::Thawed) => ("freezer.state", "THAWED"),
        (_, Freezer::Freezing | Freezer::Frozen) => ("freezer.state", "FROZEN"),
    };
    let path = format!("{}/{file}", dir.path);
    write_file(kernel, &path, value).doing(|| format!("write {value:?} to {path}"))
}

/// Opens what a child joins by: the directory on v2, `tasks` on v1; those that have gone are
/// left out.
///
/// # Errors
///
/// Those of open(2), with the file.
pub(super) fn doors<'k, K: Kernel>(
    kernel: &'k K,
    dirs: &[CgroupDir],
) -> Result<Doors<'k, K>, Failure> {
    let mut doors = Doors { unified: None, tasks: Vec::new() };
    for dir in dirs {
        let (path, how) = match dir.version {
            2 => (dir.path.clone(), flags::O_PATH | flags::O_DIRECTORY),
            _ => (format!("{}/tasks", dir.path), flags::O_WRONLY),
        };
        let what = || format!("open {path}");
        match (kernel.open(CWD, &K::name(path.as_str()).doing(what)?, how), dir.version) {
            (Ok(door), 2) => doors.unified = Some(door),
            (Ok(door), _) => doors.tasks.push(door),
            (Err(Errno::ENOENT), _) => (),
            (Err(errno), _) => return Err(Failure::new(what(), errno)),
        }
    }
    Ok(doors)
}

/// Opens the v2 cgroup that a process is in, where that is one below the container's own.
///
/// # Errors
///
/// `EBUSY` where it is not; those of open(2) and read(2).
pub(super) fn inner_door<'k, K: Kernel>(
    kernel: &'k K,
    host: &Host,
    dirs: &[CgroupDir],
    pid: u32,
) -> Result<Fd<'k, K>, Failure> {
    let what = || format!("find the cgroup of process {pid}");
    let places = K::name(format!("/proc/{pid}/cgroup")).doing(what)?;
    let places = read_file(kernel, &places).doing(what)?;
    let dir = dirs.iter().find(|dir| dir.version == 2);
    let inner = dir.zip(places.lines().find_map(|line| line.strip_prefix("0::"))).and_then(
        |(dir, place)| {
            let hierarchy = hierarchy(host, dir)?;
            let place = place.strip_prefix(hierarchy.root.trim_end_matches('/'))?;
            let path = format!("{}{place}", hierarchy.mount.trim_end_matches('/'));
            // Whoever has that number by now, what is below the container's cgroup is its own.
            path.strip_prefix(&*dir.path)?.starts_with('/').then_some(path)
        },
    );
    let path = K::name(inner.ok_or_else(|| Failure::new(what(), Errno::EBUSY))?).doing(what)?;
    kernel.open(CWD, &path, flags::O_PATH | flags::O_DIRECTORY).doing(what)
}

/// What a child joins the container's cgroups by.
pub(super) struct Doors<'k, K: Kernel> {
    /// The directory of cgroup v2.
    pub(super) unified: Option<Fd<'k, K>>,
    /// The files `tasks` of cgroup v1.
    pub(super) tasks: Vec<Fd<'k, K>>,
}

impl<K: Kernel> Drop for Doors<'_, K> {
    /// Closes each run of numbers in one call: nobody else's descriptor is between.
    fn drop(&mut self) {
        let tasks = std::mem::take(&mut self.tasks);
        let Some(kernel) = tasks.first().map(Fd::kernel) else { return };
        let mut numbers: Vec<_> =
            tasks.into_iter().map(|fd| fd.into_raw().cast_unsigned()).collect();
        numbers.sort_unstable();
        for run in numbers.chunk_by(|a, b| a + 1 == *b) {
            let closed = match *run {
                [first, .., last] => {
                    kernel.call(Call::CloseRange { first, last, flags: 0 }).is_ok()
                }
                _ => false,
            };
            if !closed {
                run.iter().for_each(|fd| drop(Fd::new(fd.cast_signed(), kernel)));
            }
        }
    }
}

/// Removes the directories, with those below them; what is gone already is success.
///
/// # Errors
///
/// `EBUSY` where somebody is still in.
pub(super) fn remove<K: Kernel>(kernel: &K, dirs: &[CgroupDir]) -> Result<(), Failure> {
    dirs.iter().rev().try_for_each(|dir| remove_one(kernel, dir))
}

fn remove_one<K: Kernel>(kernel: &K, dir: &CgroupDir) -> Result<(), Failure> {
    // A task that has ended may linger for a moment; law cgroup_rmdir_busy.
    const TRIES: u32 = 200;
    let what = || format!("remove cgroup {}", dir.path);
    let path: CString = K::name(dir.path.as_str()).doing(what)?;
    for attempt in 0..TRIES {
        match kernel.unlink(CWD, &path, flags::AT_REMOVEDIR) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EBUSY | Errno::ENOTEMPTY) => (),
            Err(errno) => return Err(Failure::new(what(), errno)),
        }
        for child in children(kernel, &dir.path)? {
            remove_one(kernel, &CgroupDir { path: child, version: dir.version })?;
        }
        if attempt > 0 {
            if occupancy(kernel, dir)? == Occupancy::Populated {
                break;
            }
            pause(kernel, 5).doing(what)?;
        }
    }
    Err(Failure::new(what(), Errno::EBUSY))
}

/// Hands controllers down from the mount to the parent of a new v2 directory.
///
/// A controller that cannot be had is missed when its limit is written, not before.
fn enable<K: Kernel>(kernel: &K, mount: &str, dir: &str) -> Result<(), Failure> {
    let rest = dir.strip_prefix(mount).unwrap_or_default();
    let ends = rest.match_indices('/').map(|(at, _)| mount.len() + at);
    for parent in ends.filter_map(|end| dir.get(..end)) {
        let what = || format!("read {parent}/cgroup.controllers");
        let path = K::name(format!("{parent}/cgroup.controllers")).doing(what)?;
        let Ok(known) = read_file(kernel, &path) else { continue };
        let all: Vec<_> = known.split_ascii_whitespace().map(|name| format!("+{name}")).collect();
        let control = format!("{parent}/cgroup.subtree_control");
        match write_file(kernel, &control, &all.join(" ")) {
            // Who may not write there has what others have handed on.
            Ok(()) | Err(Errno::EACCES | Errno::EPERM | Errno::EROFS) => (),
            // One that this parent cannot hand on is refused with all the others.
            Err(_) => all.iter().for_each(|one| regardless(write_file(kernel, &control, one))),
        }
    }
    Ok(())
}

/// Gives a new cpuset the processors and memory of its parent: without them nobody can join
/// (cpuset(7)).
fn inherit_cpuset<K: Kernel>(
    kernel: &K,
    host: &Host,
    hierarchy: &Hierarchy,
    dir: &str,
) -> Result<(), Failure> {
    let mount = hierarchy.mount.trim_end_matches('/');
    let rest = dir.strip_prefix(mount).unwrap_or_default();
    let own = path(hierarchy, Some("."), "");
    let ends = rest.match_indices('/').map(|(at, _)| mount.len() + at).skip(1);
    for child in ends.chain([dir.len()]).filter_map(|end| dir.get(..end)) {
        let parent = child.rsplit_once('/').map_or(mount, |(parent, _)| parent);
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let what = || format!("set {child}/{file}");
            let set = K::name(format!("{child}/{file}")).doing(what)?;
            if child != dir && !read_file(kernel, &set).doing(what)?.trim().is_empty() {
                continue;
            }
            let value = if parent == own && file == "cpuset.mems" && !host.memory_nodes.is_empty() {
                host.memory_nodes.clone()
            } else {
                let given = K::name(format!("{parent}/{file}")).doing(what)?;
                read_file(kernel, &given).doing(what)?
            };
            write_file(kernel, &format!("{child}/{file}"), value.trim()).doing(what)?;
        }
    }
    Ok(())
}

fn hierarchy<'h>(host: &'h Host, dir: &CgroupDir) -> Option<&'h Hierarchy> {
    let holds = |h: &&Hierarchy| {
        let rest = dir.path.strip_prefix(h.mount.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    host.hierarchies.iter().filter(holds).max_by_key(|h| h.mount.len())
}

/// Writes a control file in one write.
pub(super) fn write_file<K: Kernel>(kernel: &K, path: &str, value: &str) -> Result<(), Errno> {
    let path = K::name(path)?;
    let file = kernel.open(CWD, &path, flags::O_WRONLY)?;
    loop {
        match kernel.write(file.raw(), value.as_bytes()) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => (),
            Err(errno) => return Err(errno),
        }
    }
}
