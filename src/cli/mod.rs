//! The command `cofferdam`: what runc's clients call, and three commands of our own.
//!
//! | module | holds |
//! |---|---|
//! | `commands` | every command and flag: the table that parser, help and dispatch read |
//! | `args`, `help` | the parser and the help texts |
//! | `session` | the global flags: state directory, log, what is refused |
//! | `problem`, `log` | what went wrong, and where that is told |
//! | `bundle` | from a bundle and flags to a request: streams, terminal, descriptors |
//! | `files` | pid files, sockets, descriptors of the caller's |
//! | `filters` | system call filters, compiled once and kept |
//! | `create`, `exec`, `kill`, `update` | commands that change a container |
//! | `foreground`, `terminal` | waiting for a process: signals, raw mode, relayed bytes |
//! | `look` | commands that only look: `state`, `list`, `ps` |
//! | `events` | what a container uses, again and again |
//! | `spec`, `features` | commands without a container |
//! | `sandbox`, `explain` | commands of our own |
//! | `simulate`, `coverage` | walks on the kernel in memory, and what is told of them |
//!
//! | exit status | means |
//! |---|---|
//! | 0 | done |
//! | 1 | not done; the reason is one line on standard error, and in the log |
//! | 3 | there is no such command |
//! | 255 | `exec` itself could not be done |
//! | any | of a process waited for: its own, or 128 and the signal that ended it |
//!
//! **Invariant:** a flag is honoured or refused, never dropped: who writes one means it.
//!
//! **Invariant:** success says nothing, on standard error or in the log.

mod args;
mod bundle;
mod commands;
mod coverage;
mod create;
mod events;
mod exec;
mod explain;
mod features;
mod files;
mod filters;
mod foreground;
mod help;
mod kill;
mod log;
mod look;
mod problem;
mod sandbox;
mod session;
mod simulate;
mod spec;
mod terminal;
mod update;

use std::env;

use args::{Fault, Order, Parsed};
use commands::{COMMANDS, Command, GLOBAL, UNSUPPORTED};
use log::Log;
use problem::{Problem, regardless};
use session::Session;

/// The name of the command, in every text.
const PROGRAM: &str = "cofferdam";

/// Runs the command with the arguments of this process, and returns its exit status.
#[must_use]
pub fn main() -> u8 {
    let args: Result<Vec<_>, _> = env::args_os().skip(1).map(|arg| arg.into_string()).collect();
    let args = args.map_err(|arg| Problem::new(format!("argument {arg:?} is not UTF-8")));
    let status = match files::prepare().and(args) {
        Ok(args) => dispatch(&args),
        Err(problem) => report(&Log::default(), &problem),
    };
    // Nobody does it behind us: the command is not entered through Rust's own start-up.
    regardless(std::io::Write::flush(&mut std::io::stdout()));
    status
}

fn dispatch(args: &[String]) -> u8 {
    let global = match args::parse(GLOBAL, Order::First, args) {
        Ok(global) => global,
        Err(Fault::Help) => return finish(&Log::default(), help::say(&help::program())),
        Err(Fault::Wrong(text)) => {
            return report(&Log::default(), &Problem::wrong_flag(text, &help::program()));
        }
    };
    if global.has("version") {
        return finish(&Log::default(), help::say(&help::version()));
    }
    let log = match Log::new(&global) {
        Ok(log) => log,
        Err(problem) => return report(&Log::default(), &problem),
    };
    finish(&log, choose(&log, &global))
}

/// Finds the command and runs it.
fn choose(log: &Log, global: &Parsed) -> Result<u8, Problem> {
    let Some((name, args)) = global.rest.split_first() else {
        return help::say(&help::program());
    };
    if name == "help" || name == "h" {
        return help::topic(args.first().map(String::as_str));
    }
    if UNSUPPORTED.iter().any(|(known, _)| known == name) {
        return unsupported(name, args);
    }
    let command = find(name)?;
    let parsed = match args::parse(command.flags, command.order, args) {
        Ok(parsed) => parsed,
        Err(Fault::Help) => return help::say(&help::command(command)),
        Err(Fault::Wrong(text)) => {
            return Err(Problem::wrong_flag(text, &help::command(command)));
        }
    };
    command.arity.check(command, parsed.rest.len())?;
    (command.run)(&Session::new(log, global)?, &parsed)
}

fn find(name: &str) -> Result<&'static Command, Problem> {
    let found = COMMANDS.iter().find(|command| command.name == name);
    found.ok_or_else(|| Problem::unknown(name))
}

/// Refuses a command of runc's that there is not yet; its help is there, and says so.
fn unsupported(name: &str, args: &[String]) -> Result<u8, Problem> {
    let help = args.iter().any(|arg| matches!(arg.as_str(), "--help" | "-h" | "-help"));
    if help {
        return help::topic(Some(name));
    }
    Err(Problem::new(format!("{name} is not supported yet")))
}

fn finish(log: &Log, done: Result<u8, Problem>) -> u8 {
    done.unwrap_or_else(|problem| report(log, &problem))
}

/// Tells what went wrong wherever it is to be told, and returns the exit status.
fn report(log: &Log, problem: &Problem) -> u8 {
    if let Some(usage) = &problem.usage {
        // The usage is an aside: where it cannot be written, the error still is.
        regardless(help::say(usage));
    }
    log.error(&problem.message);
    problem.status
}
