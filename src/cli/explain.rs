//! The command `explain`: what `run` would do, and what undoes it.
//!
//! **Invariant:** nothing is made, changed or started: the host is only asked what it is.

use std::fmt::Write;

use crate::plan::Plan;
use crate::state::{DELETE, RUN, STARTED, Step};

use super::args::Parsed;
use super::bundle::load;
use super::help::say;
use super::problem::Problem;
use super::session::Session;

/// The name of a container that nobody names.
const UNNAMED: &str = "example";

/// Prints the steps and the program.
pub(super) fn explain(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let bundle = load(session, parsed)?;
    let create = bundle.shown(parsed)?;
    let id = parsed.rest.first().map_or(UNNAMED, String::as_str);
    let plan = session.runtime()?.compile(id, &create)?;
    say(&text(&plan))
}

fn text(plan: &Plan) -> String {
    let phases = [("run", RUN), ("started", STARTED), ("delete", DELETE)];
    let steps: String = phases.iter().map(|(name, steps)| phase(name, steps)).collect();
    let program: String =
        plan.program.to_string().lines().map(|line| format!("  {line}\n")).collect();
    format!("{steps}the first process, between Spawn and its execve:\n{program}")
}

/// The steps of one plan, each beside what undoes it.
fn phase(name: &str, steps: &[Step]) -> String {
    let mut text = format!("{name}:\n");
    for step in steps {
        let undo: Vec<_> = step.undo().iter().map(|undo| format!("{undo:?}")).collect();
        let undone =
            if undo.is_empty() { String::new() } else { format!("undo: {}", undo.join(", ")) };
        let line = format!("  {:<16}{undone}", format!("{step:?}"));
        writeln!(text, "{}", line.trim_end()).expect("a string grows");
    }
    text.push('\n');
    text
}
