//! The compiler: a [`Spec`] and a [`Host`] in, a [`Plan`] out.
//!
//! A plan is the program that a child performs alone, with what its maker must know of it:
//!
//! | who   | says or awaits                                                                 |
//! |-------|--------------------------------------------------------------------------------|
//! | child | four bytes on [`Given::Sync`]: init's pid, when the plan [forks](Plan::forks)   |
//! | init  | `H` on sync, when [`Plan::hooks_stop`]; awaits one byte                         |
//! | init  | the terminal's master with `/dev/ptmx` on sync, for [`Terminal::Relay`]         |
//! | init  | `R` on sync: all that can fail before the start is done; awaits one byte        |
//! | init  | awaits one byte on [`Given::Gate`]; from here on failures go to the gate        |
//!
//! A process that joins a container does the same without `H` and without a gate: once it was
//! answered it becomes its program, and the end of the sync socket says that it did.
//!
//! **Invariant:** pure: the host is a value, nothing is opened, read or asked.
//!
//! **Invariant:** every program that is compiled here passes [`lint`](crate::sys::lint()).

mod host;

mod cgroups;
mod creds;
mod devices;
mod draft;
mod hooks;
mod labels;
mod limits;
mod mounts;
mod namespaces;
mod paths;
mod process;
mod root;
mod terminal;

use std::collections::{BTreeMap, BTreeSet};

use crate::spec::{Hook, Invalid, NamespaceKind, Process, Reason, Spec};
use crate::sys::{Act, Call, Errno, Op, Program, Rule, Slot, flags, lint};
use draft::{Draft, invalid};
use process::Missing;
use terminal::Console;

pub use host::{
    CgroupDir, Feature, Filter, Given, Hierarchy, Host, Leaving, Situation, Source, Start, Stream,
    Terminal, Version,
};

/// What a child does alone, and what its maker must know of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// What the child does.
    pub program: Program,
    /// The `CLONE_NEW*` flags that the child is made with.
    pub namespaces: u64,
    /// What fills the program's slots, from 0 up; the first is always [`Given::Sync`].
    pub given: Vec<Given>,
    /// The child makes another one, which is init: its pid comes as four bytes on the sync
    /// socket, in the numbers of the maker's pid namespace.
    pub forks: bool,
    /// The child makes a user namespace and waits for its id maps.
    pub mapped: bool,
    /// Init stops with `H` for the hooks of the runtime, and for the state that hooks read.
    pub hooks_stop: bool,
    /// The name of the program that it all ends in.
    pub executable: String,
}

/// A container that a process is to join, by the pidfd of its init ([`Given::Init`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Joined {
    /// The kinds of namespace to join: those in which init differs from the caller.
    pub namespaces: Vec<NamespaceKind>,
}

/// Compiles what the init of a container does, from its birth to its program.
///
/// # Errors
///
/// What the specification asks for and cannot be had on this host.
pub fn init(spec: &Spec, situation: &Situation<'_>) -> Result<Plan, Invalid> {
    let Some(process) = &spec.process else {
        return Err(invalid("/process", Reason::Missing));
    };
    let mut draft = Draft::new(situation, given_to_init(spec, situation));
    namespaces::check(spec, &draft)?;
    root::check(spec, situation.leaving)?;
    mounts::check(spec, &draft)?;
    begin(&mut draft);
    limits::oom_score(&mut draft, process);
    if spec.namespace(NamespaceKind::User).is_some_and(|user| user.path.is_some()) {
        limits::early_rlimits(&mut draft, process);
    }
    if hooks::any_within(&spec.hooks) {
        hooks::close_on_exec(&mut draft);
    }
    let proc = labels::hold(&mut draft, process);
    namespaces::enter(&mut draft, spec);
    draft.about("lead a session");
    draft.b.call(Call::Setsid {});
    furnish(&mut draft, spec, process, proc);
    settle(&mut draft, spec);
    process::depart(&mut draft, process, situation.start, &spec.hooks.start_container);
    let making = namespaces::making(spec);
    let plan = Plan {
        namespaces: making.birth,
        given: given_to_init(spec, situation),
        forks: making.forks,
        mapped: making.birth & flags::CLONE_NEWUSER != 0,
        hooks_stop: hooks::stops(&spec.hooks),
        executable: executable(&process.args),
        program: draft.finish()?,
    };
    checked(plan)
}

/// Compiles what a process does that joins a container, from its birth to its program.
///
/// # Errors
///
/// What the process asks for and cannot be had.
pub fn exec(
    process: &Process,
    joined: &Joined,
    situation: &Situation<'_>,
) -> Result<Plan, Invalid> {
    let mut given = vec![Given::Sync];
    if !joined.namespaces.is_empty() {
        given.push(Given::Init);
    }
    given.extend(given_for_streams(situation));
    let mut draft = Draft::new(situation, given.clone());
    begin(&mut draft);
    limits::oom_score(&mut draft, process);
    if joined.namespaces.contains(&NamespaceKind::User) {
        limits::early_rlimits(&mut draft, process);
    }
    let proc = labels::hold(&mut draft, process);
    namespaces::enter_all(&mut draft, &joined.namespaces);
    labels::choose(&mut draft, process, proc);
    draft.about("lead a session");
    draft.b.call(Call::Setsid {});
    terminal::streams(&mut draft, process, Console::Free);
    process::directory(&mut draft, process, Missing::Refused);
    process::depart(&mut draft, process, Start::AtOnce, &[]);
    let forks = namespaces::forks_into(&joined.namespaces);
    let executable = executable(&process.args);
    let program = draft.finish()?;
    let (namespaces, mapped, hooks_stop) = (0, false, false);
    checked(Plan { program, namespaces, given, forks, mapped, hooks_stop, executable })
}

/// The streams of a hook that are kept for the error that tells of it.
pub const HOOK_OUTPUT: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// Compiles what a hook of the runtime does: [`Given::HookState`] becomes its standard input, both
/// [`Given::HookOutput`] its other streams, and a failure is reported on [`Given::Sync`], whose
/// end says that it became its program. It runs in the bundle, if that is still there, and has
/// `env` where it names no environment.
///
/// # Errors
///
/// A text with a NUL in it.
pub fn hook(hook: &Hook, host: &Host, bundle: &str, env: &[String]) -> Result<Plan, Invalid> {
    let (sources, streams) = (BTreeMap::new(), BTreeSet::new());
    let situation = Situation {
        host,
        bundle,
        cgroups: &[],
        rootfs_mount: "/",
        filter: None,
        sources: &sources,
        leaving: Leaving::Pivot,
        start: Start::AtOnce,
        terminal: Terminal::None,
        streams: &streams,
        preserve_fds: 0,
        home: None,
    };
    let [out, err] = HOOK_OUTPUT.map(Given::HookOutput);
    let given = vec![Given::Sync, Given::HookState, out, err];
    let mut draft = Draft::new(&situation, given.clone());
    limits::signals(&mut draft);
    draft.about("lead a session");
    draft.b.call(Call::Setsid {});
    hooks::close_on_exec(&mut draft);
    draft.about("enter the bundle");
    let path = draft.text(bundle);
    // A bundle may be gone before its container is.
    draft.b.call_or(Call::Chdir { path }, &[Errno::EACCES, Errno::ENOENT, Errno::ENOTDIR]);
    draft.about(format!("fork/exec {}", hook.path));
    hooks::become_hook(&mut draft, hook, env, hooks::MASK);
    let (program, executable) = (draft.finish()?, hook.path.clone());
    let (namespaces, forks, mapped, hooks_stop) = (0, false, false, false);
    checked(Plan { program, namespaces, given, forks, mapped, hooks_stop, executable })
}

impl Plan {
    /// Returns a failure of the program in one short line, spelled as clients match it.
    #[must_use]
    pub fn explain(&self, op: u16, errno: Errno) -> String {
        let about = self.program.about(op);
        let known = self.program.code().ops.get(usize::from(op));
        let name = &self.executable;
        match (known, errno) {
            (None, _) => format!("begin: {errno}"),
            // What took too long says so itself.
            (Some(_), Errno::ETIMEDOUT) => about.to_owned(),
            (Some(_), Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)
                if about.starts_with("exec: ") && name.contains('/') =>
            {
                format!("{about}: stat {name}: {errno}")
            }
            (Some(_), Errno::ENOENT) if about.starts_with("exec: ") => {
                format!("{about}: executable file not found in $PATH")
            }
            (Some(_), _) if about.starts_with(labels::APPLY) => labels::explain(about, errno),
            (Some(Op { act: Act::Reach { .. }, .. }), Errno::EXDEV) => {
                format!("{about}: cannot be mounted because it is inside /proc")
            }
            (Some(_), Errno::ELOOP | Errno::ENOTDIR) if PLAIN.contains(&about) => {
                format!("{about}: must be mounted on ordinary directory")
            }
            (Some(_), _) => format!("{about}: {errno}"),
        }
    }
}

/// What is mounted on no link: the container's trust in its own `/proc` begins there.
const PLAIN: [&str; 2] = ["mount proc on /proc", "mount sysfs on /sys"];

/// Says that a hook took longer than it may.
#[must_use]
pub fn too_long(hook: &Hook) -> String {
    format!("hook ran past specified timeout of {}.0s", hook.timeout_secs.unwrap_or(0))
}

/// Says how a child of a program ended, by its status as wait4(2) writes it.
#[must_use]
pub fn ending(status: u16) -> String {
    hooks::ending(status)
}

fn executable(args: &[String]) -> String {
    args.first().cloned().unwrap_or_default()
}

fn given_to_init(spec: &Spec, situation: &Situation<'_>) -> Vec<Given> {
    let mut given = vec![Given::Sync];
    given.push(match situation.start {
        Start::AtOnce => Given::Record,
        Start::AtTheGate => Given::Gate,
    });
    if hooks::any_within(&spec.hooks) {
        given.push(Given::HookState);
        given.extend(HOOK_OUTPUT.map(Given::HookOutput));
    }
    given.extend(given_for_streams(situation));
    given
}

fn given_for_streams(situation: &Situation<'_>) -> Vec<Given> {
    match situation.terminal {
        Terminal::Console => vec![Given::Console],
        Terminal::None => situation.streams.iter().map(|stream| Given::Stream(*stream)).collect(),
        Terminal::Relay => Vec::new(),
    }
}

/// What every process does first.
fn begin(draft: &mut Draft<'_>) {
    limits::signals(draft);
    // Modes are meant as they are written.
    draft.about("clear the file mode creation mask");
    draft.b.call(Call::Umask { mask: 0 });
}

/// Everything below the container's root, up to the old root's end.
fn furnish(draft: &mut Draft<'_>, spec: &Spec, process: &Process, proc: Option<Slot>) {
    if spec.makes(NamespaceKind::Network) {
        namespaces::loopback(draft);
    }
    root::prepare(draft, spec);
    if spec.namespace(NamespaceKind::Mount).is_some() {
        draft.early = paths::all_early(spec);
        draft.cover = paths::cover(draft, spec);
        mounts::all(draft, spec);
        devices::all(draft, spec);
    }
    hooks::stop(draft, &spec.hooks);
    if !spec.hooks.create_container.is_empty() {
        draft.b.call(Call::Fchdir { fd: draft.root });
    }
    hooks::run(draft, hooks::Kind::create(&process.env), &spec.hooks.create_container);
    labels::choose(draft, process, proc);
    root::enter(draft, spec);
    let own = spec.namespace(NamespaceKind::Mount).is_some();
    terminal::streams(draft, process, if own { Console::Bound } else { Console::Free });
    process::directory(draft, process, Missing::Made);
    root::finish(draft, spec);
    paths::sysctls(draft, spec);
    paths::readonly(draft, spec);
    paths::mask(draft, spec);
}

/// What belongs to the container rather than to its files.
fn settle(draft: &mut Draft<'_>, spec: &Spec) {
    if let Some(name) = &spec.hostname {
        draft.about(format!("set the host name to {name}"));
        let name = draft.b.block(name.as_bytes());
        draft.b.call(Call::Sethostname { name });
    }
    if let Some(name) = &spec.domainname {
        draft.about(format!("set the domain name to {name}"));
        let name = draft.b.block(name.as_bytes());
        draft.b.call(Call::Setdomainname { name });
    }
}

/// Returns the plan if its program can be performed.
///
/// # Errors
///
/// A filter that denies what stands behind it.
fn checked(plan: Plan) -> Result<Plan, Invalid> {
    let faults = lint(&plan.program);
    let unsound = faults.iter().find(|fault| fault.rule != Rule::Filter);
    debug_assert!(unsound.is_none(), "{unsound:?} of\n{}", plan.program);
    match faults.iter().find(|fault| fault.rule == Rule::Filter) {
        None => Ok(plan),
        Some(_) => {
            let why = Reason::Malformed("denies what it takes to start the program");
            Err(invalid("/linux/seccomp", why))
        }
    }
}
