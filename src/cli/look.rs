//! Commands that only look: `state`, `list` and `ps`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use serde::Serialize;

use crate::run::State;
use crate::state::Status;
use crate::sys::Errno;

use super::args::Parsed;
use super::help::say;
use super::problem::{Problem, text};
use super::session::{RootFrom, Session, container};

/// A container, as clients read it.
#[derive(Serialize)]
struct Shown {
    #[serde(rename = "ociVersion")]
    version: String,
    id: String,
    pid: u32,
    status: &'static str,
    bundle: String,
    rootfs: String,
    created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    owner: String,
}

impl Shown {
    fn new(state: State, owner: String) -> Self {
        let stopped = state.status == Status::Stopped;
        Self {
            version: state.version,
            id: state.id,
            pid: state.pid.filter(|_| !stopped).unwrap_or(0),
            status: spoken(state.status),
            bundle: state.bundle,
            rootfs: state.rootfs,
            created: state.created,
            annotations: state.annotations,
            owner,
        }
    }
}

/// The status in the words that clients know: podman and buildah take no other.
pub(super) const fn spoken(status: Status) -> &'static str {
    match status {
        // On its way, and its processes still run.
        Status::Pausing => Status::Running.as_str(),
        Status::Checkpointed => Status::Stopped.as_str(),
        Status::Absent
        | Status::Creating
        | Status::Created
        | Status::Running
        | Status::Paused
        | Status::Stopped => status.as_str(),
    }
}

/// Prints where a container is in its life.
pub(super) fn state(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let runtime = session.runtime()?;
    let state = container(&runtime, parsed)?.state()?;
    let json = serde_json::to_string_pretty(&Shown::new(state, String::new()));
    say(&format!("{}\n", json.map_err(|error| Problem::of("write JSON", error))?))
}

/// Lists the containers of the state directory.
pub(super) fn list(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let format = format(parsed)?;
    let runtime = session.runtime()?;
    let all = match runtime.list() {
        // Nobody has made one yet.
        Err(error)
            if error.errno() == Some(Errno::ENOENT) && session.root_from != RootFrom::Flag =>
        {
            Vec::new()
        }
        listed => listed?,
    };
    let mut shown = Vec::new();
    for (id, state) in all {
        match state {
            Ok(state) => {
                let owner = owner(&format!("{}/{id}", session.root));
                shown.push(Shown::new(state, owner));
            }
            Err(error) => session.log.warning(&format!("load container {id}: {error}")),
        }
    }
    if parsed.has("quiet") {
        return say(&shown.iter().map(|one| format!("{}\n", one.id)).collect::<String>());
    }
    match format {
        Format::Json => say(&format!(
            "{}\n",
            serde_json::to_string(&shown).map_err(|error| Problem::of("write JSON", error))?
        )),
        Format::Table => say(&table(&shown)),
    }
}

/// Shows the processes of a container.
pub(super) fn ps(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let format = format(parsed)?;
    let runtime = session.runtime()?;
    let pids = container(&runtime, parsed)?.processes()?;
    if let Format::Json = format {
        let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
        return say(&format!("[{}]\n", pids.join(",")));
    }
    let default = ["-ef".to_owned()];
    let given = parsed.rest.get(1..).filter(|given| !given.is_empty()).unwrap_or(&default);
    let output = Command::new("ps").args(given).output();
    let output = output.map_err(|error| Problem::of("run ps", text(&error)))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(Problem::of("ps", why.lines().next().unwrap_or("failed")));
    }
    say(&matching(&String::from_utf8_lossy(&output.stdout), &pids)?)
}

/// The lines of a table of processes that are about some of them, below its head.
fn matching(table: &str, pids: &[u32]) -> Result<String, Problem> {
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| Problem::new("couldn't find PID field in ps output"))?;
    let wanted = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    Ok([head].into_iter().chain(lines.filter(wanted)).map(|line| format!("{line}\n")).collect())
}

/// The form of what is printed.
#[derive(Clone, Copy)]
pub(super) enum Format {
    /// For programs.
    Json,
    /// For people.
    Table,
}

/// The form that was asked for.
pub(super) fn format(parsed: &Parsed) -> Result<Format, Problem> {
    match parsed.value("format") {
        None | Some("table") => Ok(Format::Table),
        Some("json") => Ok(Format::Json),
        Some(_) => Err(Problem::new("invalid format option")),
    }
}

/// The name of the owner of a directory, or his number.
fn owner(dir: &str) -> String {
    let Ok(uid) = fs::metadata(dir).map(|found| found.uid()) else { return String::new() };
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("#{uid}"))
}

/// Lays lines out in columns, as runc does.
fn table(shown: &[Shown]) -> String {
    const LEAST: usize = 12;
    const GAP: usize = 3;
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let row = |one: &Shown| {
        [&one.id, &one.pid.to_string(), one.status, &one.bundle, &one.created, &one.owner]
            .map(str::to_owned)
    };
    let rows: Vec<_> = [head].into_iter().chain(shown.iter().map(row)).collect();
    let width = |column: usize| {
        let longest = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        LEAST.max(longest + GAP)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}{}\n", padded.collect::<String>(), row[5])
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_processes_is_filtered_by_its_pid_column() {
        let table = "UID   PID  PPID CMD\nroot  12   1    a\nroot  112  12   b\nroot  1 12 c\n";
        let found = matching(table, &[12, 1]).expect("a PID column");
        assert_eq!(found, "UID   PID  PPID CMD\nroot  12   1    a\nroot  1 12 c\n");
        assert!(matching("A B\n1 2\n", &[1]).is_err());
    }
}
