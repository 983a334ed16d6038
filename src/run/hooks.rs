//! Programs of others, run on the way, with the container's state on their standard input.
//!
//! | hook | reads | when | a failure |
//! |---|---|---|---|
//! | `prestart`, `createRuntime` | creating | the old root is still there | undoes the create |
//! | `createContainer` | creating | then, within the namespaces | undoes the create |
//! | `startContainer` | created | just before the program | stops the container |
//! | `poststart` | running | the program runs | stops the container |
//! | `poststop` | stopped | all but the record is removed | is told, and the rest goes on |
//!
//! `createContainer` and `startContainer` are part of init's program. What a hook writes is kept
//! for the error that tells of its failure: init holds the files, and a later start finds them.

use crate::plan::{self, Stream};
use crate::spec::Hook;
use crate::state::Record;
use crate::sys::{self, Call, Errno, Fd, Kernel, RawFd, Syscalls, flags};

use super::error::{Doing, Failure};
use super::operation::Operation;
use super::process::{Exit, Message, is_over, receive, wait};

/// The container's state as hooks read it; without a process there is no number of one.
pub(super) fn state(record: &Record, status: &str, pid: Option<u32>) -> String {
    let manifest = &record.manifest;
    let mut state = serde_json::json!({
        "ociVersion": manifest.version,
        "id": manifest.id,
        "status": status,
        "bundle": manifest.bundle,
        "annotations": manifest.annotations,
    });
    if let Some(pid) = pid {
        state["pid"] = pid.into();
    }
    state.to_string()
}

/// Writes the state that hooks within the container read from here on.
pub(super) fn tell<K: Kernel>(op: &Operation<'_, '_, K>, status: &str) -> Result<(), Failure> {
    let (Some(files), Some(child)) = (&op.hooks, &op.child) else { return Ok(()) };
    let pid = inner(op.kernel, child.pid).doing(|| format!("read /proc/{}/status", child.pid))?;
    let state = state(&op.record, status, Some(pid));
    files.tell(op.kernel, &state).doing(|| "write the state for hooks")
}

/// Returns the number that a process has in its own pid namespace: the last one (proc(5)).
fn inner<K: Kernel>(kernel: &K, pid: u32) -> Result<u32, Errno> {
    let path = K::name(format!("/proc/{pid}/status"))?;
    let text = kernel.read_all(kernel.open(sys::CWD, &path, flags::O_RDONLY)?.raw())?;
    let text = String::from_utf8_lossy(&text);
    let numbers = text.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let last = numbers.and_then(|numbers| numbers.split_whitespace().last());
    last.and_then(|number| number.parse().ok()).ok_or(Errno::EPROTO)
}

/// How much of each stream an error tells, from its end.
const TAIL: usize = 4096;

/// Files for the streams of hooks.
///
/// Files, not pipes: a hook that never reads cannot stop or signal us, and one that leaves somebody
/// behind who has its streams cannot make us wait.
#[derive(Debug)]
pub(super) struct Files<'k, K: Kernel> {
    state: Fd<'k, K>,
    output: [Fd<'k, K>; 2],
}

impl<'k, K: Kernel> Files<'k, K> {
    /// Makes empty files.
    pub(super) fn new(kernel: &'k K) -> Result<Self, Errno> {
        let file = |name| kernel.give(Call::MemfdCreate { name, flags: flags::MFD_CLOEXEC });
        Ok(Self { state: file(c"state")?, output: [file(c"stdout")?, file(c"stderr")?] })
    }

    /// The file that hooks read.
    pub(super) fn state(&self) -> RawFd {
        self.state.raw()
    }

    /// The file that takes a stream.
    pub(super) fn output(&self, stream: Stream) -> RawFd {
        let [out, err] = &self.output;
        match stream {
            Stream::Stdin => self.state.raw(),
            Stream::Stdout => out.raw(),
            Stream::Stderr => err.raw(),
        }
    }

    /// Writes the state that hooks read from here on.
    fn tell(&self, kernel: &K, state: &str) -> Result<(), Errno> {
        let fd = self.state.raw();
        kernel.call(Call::Ftruncate { fd, length: 0 })?;
        kernel.call(Call::Lseek { fd, offset: 0, whence: 0 })?;
        kernel.write_all(fd, state.as_bytes())?;
        kernel.call(Call::Lseek { fd, offset: 0, whence: 0 }).map(drop)
    }

    /// Says how a hook has ended, and what it has written last.
    pub(super) fn said(&self, kernel: &K, status: u16) -> Result<String, Errno> {
        said(kernel, &self.output, status)
    }

    /// The numbers that a child has the files of its hooks' output under.
    pub(super) fn numbers(&self) -> [RawFd; 2] {
        [self.output[0].raw(), self.output[1].raw()]
    }
}

/// Opens the files that the hooks of a created container will write to.
pub(super) fn listen<'k, K: Kernel>(
    op: &Operation<'k, '_, K>,
) -> Result<Option<[Fd<'k, K>; 2]>, Errno> {
    let numbers = op.record.manifest.extra.get(OUTPUT);
    let numbers: Option<[RawFd; 2]> = numbers.and_then(|json| serde_json::from_str(json).ok());
    let (Some([out, err]), Some(init)) = (numbers, op.record.init) else { return Ok(None) };
    let open = |number: RawFd| {
        let path = K::name(format!("/proc/{}/fd/{number}", init.pid))?;
        op.kernel.open(sys::CWD, &path, flags::O_RDONLY | flags::O_NONBLOCK)
    };
    Ok(Some([open(out)?, open(err)?]))
}

/// Where the record keeps the numbers of those files.
pub(super) const OUTPUT: &str = "hookOutput";

/// Says how a hook has ended, and what it has written last.
pub(super) fn said<K: Kernel>(
    kernel: &K,
    [out, err]: &[Fd<'_, K>; 2],
    status: u16,
) -> Result<String, Errno> {
    let (out, err) = (tail(kernel, out)?, tail(kernel, err)?);
    Ok(format!("{}, stdout: {out}, stderr: {err}", plan::ending(status)))
}

fn tail<K: Kernel>(kernel: &K, file: &Fd<'_, K>) -> Result<String, Errno> {
    let fd = file.raw();
    let size = kernel.stat(fd, c"", flags::AT_EMPTY_PATH)?.size;
    let offset = size.saturating_sub(TAIL as u64);
    kernel.call(Call::Lseek { fd, offset, whence: 0 })?;
    let mut block = [0; TAIL];
    let text = String::from_utf8_lossy(kernel.read(fd, &mut block)?).into_owned();
    Ok(if offset == 0 { text } else { format!("... {text}") })
}

/// Runs hooks in order; the first failure ends it.
pub(super) fn run_all<K: Kernel>(
    op: &Operation<'_, '_, K>,
    kind: &str,
    hooks: &[Hook],
    state: &str,
) -> Result<(), Failure> {
    for (index, hook) in hooks.iter().enumerate() {
        run(op, hook, state)
            .map_err(|failure| Failure::told(named(kind, index, &failure), failure.errno))?;
    }
    Ok(())
}

fn named(kind: &str, index: usize, failure: &Failure) -> String {
    format!("error running {kind} hook #{index}: {failure}")
}

/// Runs one program, and waits for it.
pub(super) fn run<K: Kernel>(
    op: &Operation<'_, '_, K>,
    hook: &Hook,
    state: &str,
) -> Result<(), Failure> {
    let kernel = op.kernel;
    let what = || "run it";
    let files = Files::new(kernel).doing(what)?;
    files.tell(kernel, state).doing(what)?;
    let [ours, theirs] = kernel.socketpair().doing(what)?;
    let (bundle, env) = (&op.record.manifest.bundle, op.runtime.environment());
    let plan = plan::hook(hook, op.runtime.host()?, bundle, env);
    let plan = plan.map_err(|invalid| Failure::told(invalid.to_string(), Errno::EINVAL))?;
    let [out, err] = plan::HOOK_OUTPUT.map(|stream| files.output(stream));
    let given = [theirs.raw(), files.state(), out, err];
    let child = sys::Child {
        namespaces: 0,
        cgroup: None,
        tasks: &[],
        given: &given,
        mapped: false,
        code: plan.program.code(),
    };
    let (_, pidfd) = kernel.spawn(child).doing(what)?;
    drop(theirs);
    if !is_over(kernel, &pidfd, hook.timeout_ms()).doing(what)? {
        let signal = flags::SIGKILL;
        kernel.call(Call::PidfdSendSignal { fd: pidfd.raw(), signal }).doing(what)?;
        wait(kernel, &pidfd).doing(what)?;
        return Err(Failure::told(plan::too_long(hook), Errno::ETIMEDOUT));
    }
    let status = match wait(kernel, &pidfd).doing(what)? {
        Exit::Code(0) => return Ok(()),
        Exit::Code(code) => u16::try_from(code << 8),
        Exit::Signal(signal) => u16::try_from(signal),
    };
    // One that could not be run has said so.
    match receive(kernel, &ours)? {
        Message::Failed { op, errno } => Err(Failure::told(plan.explain(op, errno), errno)),
        _ => {
            let said = files.said(kernel, status.unwrap_or(u16::MAX)).doing(what)?;
            Err(Failure::told(said, Errno::EPROTO))
        }
    }
}

/// Runs the hooks behind a start; the lock is left first, so that a hook may use the runtime.
pub(super) fn poststart<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    let hooks = kept(&op.record.manifest.poststart)?;
    if hooks.is_empty() {
        return Ok(());
    }
    op.lock = None;
    let pid = op.record.init.map(|init| init.pid);
    let state = state(&op.record, "running", pid);
    run_all(op, "poststart", &hooks, &state)
}

/// Runs the hooks behind a delete; their failures are told and change nothing.
pub(super) fn poststop<K: Kernel>(op: &mut Operation<'_, '_, K>) -> Result<(), Failure> {
    if op.lock.is_none() {
        return Ok(());
    }
    let hooks = kept(&op.record.manifest.poststop)?;
    let state = state(&op.record, "stopped", None);
    for (index, hook) in hooks.iter().enumerate() {
        if let Err(failure) = run(op, hook, &state) {
            op.warnings.push(named("poststop", index, &failure));
        }
    }
    Ok(())
}

/// Reads hooks as the record keeps them.
fn kept(json: &str) -> Result<Vec<Hook>, Failure> {
    if json.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(json)
        .map_err(|error| Failure::told(format!("the record's hooks: {error}"), Errno::EINVAL))
}
