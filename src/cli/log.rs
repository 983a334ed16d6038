//! Where errors are told: one line on standard error, and one in the log that a client asked for.
//!
//! | `--log` | `--log-format` | standard error | log |
//! |---|---|---|---|
//! | no | text | the message | |
//! | no | json | the entry | |
//! | yes | text, json | the message | the entry |
//!
//! **Invariant:** a failure is one entry, and success is none: podman reads the log as one JSON
//! object, containerd reads the last entry.

use std::fs::OpenOptions;
use std::io::{self, Write};

use crate::backend::linux::Linux;
use crate::run::now;

use super::args::Parsed;
use super::problem::{Problem, regardless, text};

/// Where entries go, and in which form.
#[derive(Debug, Default)]
pub(super) struct Log {
    file: Option<String>,
    format: Format,
    debug: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Format {
    Json,
    #[default]
    Text,
}

impl Log {
    /// The log that the global flags ask for.
    pub(super) fn new(global: &Parsed) -> Result<Self, Problem> {
        let format = match global.value("log-format") {
            None | Some("text") => Format::Text,
            Some("json") => Format::Json,
            Some(other) => return Err(Problem::new(format!("invalid log-format: {other}"))),
        };
        let file = global.value("log").filter(|path| !path.is_empty()).map(str::to_owned);
        Ok(Self { file, format, debug: global.has("debug") })
    }

    /// Tells why the command failed.
    pub(super) fn error(&self, message: &str) {
        match (&self.file, self.format) {
            (Some(path), _) => {
                if let Err(error) = self.append(path, "error", message) {
                    to_stderr(&format!("{message} (and open {path}: {})", text(&error)));
                } else {
                    to_stderr(message);
                }
            }
            (None, Format::Json) => to_stderr(&self.entry("error", message)),
            (None, Format::Text) => to_stderr(message),
        }
    }

    /// Tells of something that the command went on in spite of.
    pub(super) fn warning(&self, message: &str) {
        self.aside("warning", message);
    }

    /// Tells something that matters to whoever asked for `--debug`.
    pub(super) fn debug(&self, message: impl FnOnce() -> String) {
        if self.debug {
            self.aside("debug", &message());
        }
    }

    fn aside(&self, level: &str, message: &str) {
        let logged = self.file.as_ref().is_some_and(|p| self.append(p, level, message).is_ok());
        if !logged {
            to_stderr(&self.entry(level, message));
        }
    }

    fn append(&self, path: &str, level: &str, message: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(format!("{}\n", self.entry(level, message)).as_bytes())
    }

    fn entry(&self, level: &str, message: &str) -> String {
        let time = now(&Linux).unwrap_or_default();
        match self.format {
            Format::Json => {
                serde_json::json!({ "level": level, "msg": message, "time": time }).to_string()
            }
            Format::Text => format!("time={time:?} level={level} msg={message:?}"),
        }
    }
}

/// Writes a line in one piece; where nobody listens there is nothing left to do.
fn to_stderr(line: &str) {
    regardless(io::stderr().lock().write_all(format!("{line}\n").as_bytes()));
}
