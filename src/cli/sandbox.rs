//! The command `sandbox`: a throw-away container over the host's own files.

use super::args::Parsed;
use super::problem::Problem;
use super::session::Session;

/// Runs a command in it.
pub(super) fn sandbox(_: &Session<'_>, _: &Parsed) -> Result<u8, Problem> {
    Err(Problem::new("sandbox is not supported yet"))
}
