//! Turns a request into the child's program and the record, before anything is made.
//!
//! **Invariant:** reads only: whatever is wrong with a request is found while there is no residue.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::plan::{self, Filter, Host, Joined, Plan, Situation, Source, Start, Terminal};
use crate::spec::{
    Hook, IdMap, Invalid, Mount, MountKind, NamespaceKind, Process, Propagation, Reason, Seccomp,
    Spec,
};
use crate::state::{CgroupDir, Manifest, Record};
use crate::sys::{Act, CWD, Call, Errno, Fd, Kernel, Op, Syscalls, flags};

use super::error::{Doing, Error, Failure};
use super::request::{Console, Create, Exec, replaced};
use super::runtime::Runtime;
use super::{cgroup, probe};

/// What the record keeps of the description, for processes that are added later.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// The container's own program.
    pub(super) process: Option<Process>,
    /// The namespaces that are not the host's.
    pub(super) namespaces: Vec<NamespaceKind>,
    /// The filter.
    pub(super) seccomp: Option<Seccomp>,
    /// The user ids of its user namespace, where it made one.
    pub(super) uid_maps: Vec<IdMap>,
}

impl Kept {
    /// Reads what a record keeps.
    ///
    /// # Errors
    ///
    /// Fails where it was written by something else.
    pub(super) fn of(record: &Record) -> Result<Self, Failure> {
        serde_json::from_str(&record.manifest.process)
            .map_err(|error| Failure::told(format!("the record's process: {error}"), Errno::EINVAL))
    }
}

/// Compiles what the init of a new container does.
///
/// # Errors
///
/// What the description asks for and cannot be had.
pub(super) fn create<K: Kernel>(
    runtime: &Runtime<K>,
    create: &Create,
    dirs: &[CgroupDir],
    start: Start,
) -> Result<Plan, Error> {
    let (kernel, spec, host) = (runtime.kernel(), &create.spec, runtime.host()?);
    let terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
    check_console(terminal, create.console)?;
    if spec.seccomp.is_some() && create.filter.is_none() {
        let why = Reason::Malformed("the filter was not compiled");
        return Err(Invalid { pointer: "/linux/seccomp".to_owned(), why }.into());
    }
    cgroup::check(host, &spec.cgroup.resources)?;
    let home = match &spec.process {
        Some(process) => home(kernel, &rootfs(create), process)?,
        None => None,
    };
    let (cgroups, sources) = (placed(host, dirs), sources(kernel, create)?);
    let filter = create.filter.as_ref();
    let situation = Situation {
        host,
        bundle: &create.bundle,
        cgroups: &cgroups,
        rootfs_mount: &mount_of(kernel, spec, &rootfs(create))?,
        filter: filter.map(|filter| Filter { code: &filter.code, flags: filter.flags }),
        sources: &sources,
        leaving: create.leaving,
        start,
        terminal: destination(create.console),
        streams: &replaced(&create.stdio),
        preserve_fds: create.preserve_fds,
        home: home.as_deref(),
    };
    let spec = covering(kernel, create)?;
    Ok(plan::init(spec.as_ref(), &situation)?)
}

/// Compiles what a process does that is added to a container.
///
/// # Errors
///
/// What the process asks for and cannot be had.
pub(super) fn exec<K: Kernel>(
    runtime: &Runtime<K>,
    exec: &Exec,
    joined: &Joined,
    record: &Record,
) -> Result<Plan, Error> {
    let host = runtime.host()?;
    check_console(exec.process.terminal, exec.console)?;
    let home = home(runtime.kernel(), &record.manifest.rootfs, &exec.process)?;
    let filter = exec.filter.as_ref();
    let situation = Situation {
        host,
        bundle: &record.manifest.bundle,
        cgroups: &placed(host, &record.manifest.cgroups),
        rootfs_mount: "/",
        filter: filter.map(|filter| Filter { code: &filter.code, flags: filter.flags }),
        sources: &BTreeMap::new(),
        leaving: plan::Leaving::default(),
        start: Start::AtOnce,
        terminal: destination(exec.console),
        streams: &replaced(&exec.stdio),
        preserve_fds: exec.preserve_fds,
        home: home.as_deref(),
    };
    Ok(plan::exec(&exec.process, joined, &situation)?)
}

/// Returns what the disk will say of a new container.
///
/// # Errors
///
/// Fails where the kernel does not say what time it is.
pub(super) fn manifest<K: Kernel>(
    runtime: &Runtime<K>,
    id: &str,
    create: &Create,
    plan: &Plan,
    dirs: Vec<CgroupDir>,
    start: Start,
) -> Result<Manifest, Failure> {
    let spec = &create.spec;
    let kept = Kept {
        process: spec.process.clone(),
        namespaces: spec.namespaces.iter().map(|namespace| namespace.kind).collect(),
        seccomp: spec.seccomp.clone(),
        uid_maps: spec.uid_maps.clone(),
    };
    let mut extra = BTreeMap::new();
    if start == Start::AtTheGate {
        extra.insert("late".to_owned(), json(&late(plan))?);
    }
    Ok(Manifest {
        id: id.to_owned(),
        boot: Some(runtime.boot()),
        bundle: create.bundle.clone(),
        rootfs: rootfs(create),
        created: probe::now(runtime.kernel())?,
        version: spec.version.clone(),
        annotations: spec.annotations.clone(),
        cgroups: dirs,
        ungated: start == Start::AtOnce,
        own_pid_namespace: spec.makes(NamespaceKind::Pid),
        process: json(&kept)?,
        poststart: hooks(&spec.hooks.poststart)?,
        poststop: hooks(&spec.hooks.poststop)?,
        extra,
    })
}

/// What init does behind the gate, in the words that `start` needs for its failure: whoever starts
/// a container is not who has compiled its program.
fn late(plan: &Plan) -> Vec<(u16, &str)> {
    let ops = plan.program.code().ops;
    let reads = |op: &Op| matches!(op.act, Act::Call(Call::Read { .. }));
    let gate = ops.iter().rposition(reads).unwrap_or(0);
    let topics = plan.program.topics();
    let first = topics.partition_point(|(from, _)| usize::from(*from) <= gate).saturating_sub(1);
    topics.iter().skip(first).map(|(from, about)| (*from, about.as_str())).collect()
}

fn hooks(hooks: &[Hook]) -> Result<String, Failure> {
    if hooks.is_empty() { Ok(String::new()) } else { json(&hooks) }
}

fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::told(format!("write the record: {error}"), Errno::EINVAL))
}

/// Where the root file system is, seen from the host.
fn rootfs(create: &Create) -> String {
    absolute(&create.bundle, &create.spec.rootfs.path)
}

fn absolute(bundle: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{bundle}/{path}") }
}

const fn destination(console: Console) -> Terminal {
    match console {
        Console::None => Terminal::None,
        Console::Relay => Terminal::Relay,
        Console::Socket(_) => Terminal::Console,
    }
}

/// A terminal needs somebody who holds its other end, and only a terminal does.
fn check_console(terminal: bool, console: Console) -> Result<(), Error> {
    let why = match (terminal, console) {
        (true, Console::None) => "needs a console: nobody would hold its other end",
        (false, Console::Socket(_)) => "needed for a console socket",
        (true, Console::Relay | Console::Socket(_)) | (false, Console::None | Console::Relay) => {
            return Ok(());
        }
    };
    Err(Invalid { pointer: "/process/terminal".to_owned(), why: Reason::Malformed(why) }.into())
}

/// The container's cgroups as the compiler names them: by hierarchy.
fn placed(host: &Host, dirs: &[CgroupDir]) -> Vec<plan::CgroupDir> {
    let split = |dir: &CgroupDir| {
        let mounts = host.hierarchies.iter().map(|h| h.mount.trim_end_matches('/'));
        let fits = mounts.filter_map(|mount| Some((mount, dir.path.strip_prefix(mount)?)));
        let (mount, path) = fits.filter(|(_, path)| path.starts_with('/')).max()?;
        Some(plan::CgroupDir { mount: mount.to_owned(), path: path.to_owned() })
    };
    dirs.iter().filter_map(split).collect()
}

/// Finds the mount that holds the root file system, for a container whose mounts may spread.
fn mount_of<K: Kernel>(kernel: &K, spec: &Spec, rootfs: &str) -> Result<String, Failure> {
    if !spec.rootfs.propagation.is_some_and(Propagation::spreads) {
        return Ok("/".to_owned());
    }
    let mounts = probe::mounts(kernel)?;
    let above = |mount: &&String| {
        let rest = rootfs.strip_prefix(mount.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let nearest = mounts.iter().filter(above).max_by_key(|mount| mount.len());
    Ok(nearest.map_or("/", String::as_str).to_owned())
}

/// Asks what lies at the sources of bind mounts.
fn sources<K: Kernel>(kernel: &K, create: &Create) -> Result<BTreeMap<String, Source>, Failure> {
    let binds = |mount: &&Mount| matches!(mount.kind, MountKind::Bind { .. });
    let mounts = create.spec.mounts.iter().filter(binds);
    let mut sources = BTreeMap::new();
    for source in mounts.filter_map(|mount| mount.source.as_ref()) {
        let path = absolute(&create.bundle, source);
        let what = || format!("mount {path}");
        let stat = kernel.stat(CWD, &K::name(path.as_str()).doing(what)?, 0).doing(what)?;
        let kind = if stat.is_directory() { Source::Directory } else { Source::File };
        sources.insert(source.clone(), kind);
    }
    Ok(sources)
}

/// Has every tmpfs that is told no mode take that of the directory it covers, as with runc.
///
/// What is covered by a mount before it has the mode that the kernel gives.
fn covering<'c, K: Kernel>(kernel: &K, create: &'c Create) -> Result<Cow<'c, Spec>, Failure> {
    let mut spec = Cow::Borrowed(&create.spec);
    for (i, mount) in create.spec.mounts.iter().enumerate() {
        let tmpfs = matches!(&mount.kind, MountKind::Filesystem(kind) if kind == "tmpfs");
        let told = mount.data.split(',').any(|option| option.starts_with("mode="));
        let above = |earlier: &Mount| Path::new(&mount.target).starts_with(&earlier.target);
        if !tmpfs || told || mount.tmpcopyup || create.spec.mounts[..i].iter().any(above) {
            continue;
        }
        let what = || format!("look at what {} covers", mount.target);
        if let Some(mode) = mode_of(kernel, &rootfs(create), &mount.target).doing(what)? {
            let data = &mut spec.to_mut().mounts[i].data;
            let comma = if data.is_empty() { "" } else { "," };
            data.push_str(&format!("{comma}mode={mode:o}"));
        }
    }
    Ok(spec)
}

/// Returns the mode of a directory of the image, if it is there.
fn mode_of<K: Kernel>(kernel: &K, rootfs: &str, path: &str) -> Result<Option<u32>, Errno> {
    const PERMISSIONS: u32 = 0o7777;
    let flags = flags::O_PATH | flags::O_DIRECTORY;
    let open = || {
        let root = kernel.open(CWD, &K::name(rootfs)?, flags)?;
        kernel.open_in(root.raw(), &K::name(path)?, flags)
    };
    match open() {
        Err(errno) if NOT_THERE.contains(&errno) => Ok(None),
        dir => {
            let stat = kernel.stat(dir?.raw(), c"", flags::AT_EMPTY_PATH)?;
            Ok(Some(stat.mode & PERMISSIONS))
        }
    }
}

/// Finds the home directory of the process's user in the container's own `passwd`, where its
/// environment does not name one.
fn home<K: Kernel>(kernel: &K, rootfs: &str, process: &Process) -> Result<Option<String>, Failure> {
    let named = |variable: &String| variable.strip_prefix("HOME=").is_some_and(|v| !v.is_empty());
    if process.env.iter().any(named) {
        return Ok(None);
    }
    let path =
        K::name(format!("{rootfs}/etc/passwd")).doing(|| format!("read {rootfs}/etc/passwd"))?;
    let flags = flags::O_RDONLY | flags::O_CLOEXEC | flags::O_NONBLOCK;
    // Where there is no link at all, none leads out of the root.
    let (dir, mode, resolve) = (CWD, 0, flags::RESOLVE_NO_SYMLINKS);
    let plain = kernel.give(Call::Openat2 { dir, path: &path, flags, mode, resolve });
    let read = || -> Result<Option<String>, Errno> {
        let file = match plain {
            Err(Errno::ELOOP) => {
                let path = K::name(rootfs)?;
                let root = kernel.open(CWD, &path, flags::O_PATH | flags::O_DIRECTORY)?;
                kernel.open_in(root.raw(), c"etc/passwd", flags)?
            }
            plain => plain?,
        };
        home_in(kernel, &file, process.user.uid)
    };
    let found = match read() {
        // A container without users has no homes either.
        Err(errno) if NOT_THERE.contains(&errno) => None,
        found => found.doing(|| format!("read {rootfs}/etc/passwd"))?,
    };
    Ok(Some(found.filter(|home| !home.is_empty()).unwrap_or_else(|| "/".to_owned())))
}

/// What open(2) and read(2) say of a file that is none of its kind, or not for this user.
const NOT_THERE: [Errno; 9] = [
    Errno::EACCES,
    Errno::EINVAL,
    Errno::EISDIR,
    Errno::ELOOP,
    Errno::ENAMETOOLONG,
    Errno::ENOENT,
    Errno::ENOTDIR,
    Errno::ENXIO,
    Errno::EPERM,
];

/// Reads a `passwd` up to the line of a user; see passwd(5).
fn home_in<K: Kernel>(kernel: &K, file: &Fd<'_, K>, uid: u32) -> Result<Option<String>, Errno> {
    let uid = uid.to_string();
    let home = |line: &str| {
        let mut fields = line.split(':');
        (fields.nth(2) == Some(&uid)).then(|| fields.nth(2).unwrap_or_default().to_owned())
    };
    let (mut text, mut block) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        let more = match kernel.read(file.raw(), &mut block) {
            Err(Errno::EINTR) => continue,
            more => more?,
        };
        text.extend_from_slice(more);
        // The last line is whole only at the end.
        let whole = if more.is_empty() {
            text.len()
        } else {
            text.iter().rposition(|b| *b == b'\n').unwrap_or(0)
        };
        let found = String::from_utf8_lossy(&text[..whole]).lines().find_map(home);
        if found.is_some() || more.is_empty() {
            return Ok(found);
        }
    }
}
