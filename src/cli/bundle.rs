//! From a bundle and flags to what the library is asked to create.

use crate::backend::linux::Linux;
use crate::plan::Leaving;
use crate::run::{Console, Create};
use crate::spec::{Spec, oci};
use crate::sys::{CWD, Errno, Syscalls, flags};

use super::args::Parsed;
use super::files::{Attached, Mode, attach};
use super::filters;
use super::problem::Problem;
use super::session::{Session, absolute};

/// A bundle, read.
#[derive(Debug)]
pub(super) struct Bundle {
    /// Its absolute path.
    path: String,
    /// What its `config.json` says.
    spec: Spec,
}

/// Reads the bundle that the flags name.
pub(super) fn load(session: &Session<'_>, parsed: &Parsed) -> Result<Bundle, Problem> {
    let path = absolute(parsed.value("bundle").unwrap_or("."))?;
    let file = format!("{path}/config.json");
    let name = Linux::name(file.as_str())?;
    let read = Linux.open(CWD, &name, flags::O_RDONLY).and_then(|open| Linux.read_all(open.raw()));
    let json = read.map_err(|errno| match errno {
        // Not the system's words: clients would take them for the program's absence.
        Errno::ENOENT => Problem::new(format!("JSON specification file {file} not found")),
        _ => Problem::of(format!("read {file}"), errno),
    })?;
    let read = oci::read(&json)?;
    for warning in &read.warnings {
        session.log.debug(|| format!("{file}: {warning}"));
    }
    let mut spec = read.value;
    session.place(&mut spec.cgroup)?;
    Ok(Bundle { path, spec })
}

impl Bundle {
    /// The request as it would be made, attached to nothing, with a filter that is not kept.
    pub(super) fn shown(self, parsed: &Parsed) -> Result<Create, Problem> {
        let Self { path, spec } = self;
        let terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
        Ok(Create {
            bundle: path,
            filter: spec.seccomp.as_ref().map(filters::compiled).transpose()?,
            spec,
            console: if terminal { Console::Relay } else { Console::None },
            leaving: leaving(parsed),
            ..Create::default()
        })
    }
}

fn leaving(parsed: &Parsed) -> Leaving {
    if parsed.has("no-pivot") { Leaving::Move } else { Leaving::Pivot }
}

/// Makes the request; what it is attached to must live as long.
pub(super) fn request(
    session: &Session<'_>,
    parsed: &Parsed,
    bundle: Bundle,
    mode: Mode,
) -> Result<(Create, Attached), Problem> {
    let Bundle { path, mut spec } = bundle;
    let attached = attach(parsed, spec.process.as_mut(), mode)?;
    let create = Create {
        bundle: path,
        filter: filters::kept(session, spec.seccomp.as_ref())?,
        spec,
        console: attached.console,
        leaving: leaving(parsed),
        preserve_fds: attached.preserve_fds,
        ..Create::default()
    };
    Ok((create, attached))
}
