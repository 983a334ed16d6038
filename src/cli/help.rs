//! Help texts and the version, made from the table of commands.

use std::io::{self, Write};

use crate::spec::oci;

use super::args::{Flag, Takes};
use super::commands::{COMMANDS, Command, GLOBAL, UNSUPPORTED};
use super::problem::{Problem, text};
use super::{PROGRAM, filters, find};

/// Writes a text to standard output, and succeeds.
pub(super) fn say(words: &str) -> Result<u8, Problem> {
    let mut out = io::stdout().lock();
    let written = out.write_all(words.as_bytes()).and_then(|()| out.flush());
    written.map(|()| 0).map_err(|error| Problem::of("write to standard output", text(&error)))
}

/// What the program is and can do.
pub(super) fn program() -> String {
    let width = COMMANDS.iter().map(|command| command.name.len()).max().unwrap_or(0);
    let line = |(name, about): (&str, &str)| format!("   {name:width$}  {about}\n");
    let ours = COMMANDS.iter().map(|command| (command.name, command.about));
    let commands: String = ours.chain([("help", "show the help of a command")]).map(line).collect();
    format!(
        "NAME:\n   {PROGRAM} - a container runtime\n\n\
         USAGE:\n   {PROGRAM} [global options] command [command options] [arguments...]\n\n\
         COMMANDS:\n{commands}\n\
         GLOBAL OPTIONS:\n{}",
        options(GLOBAL)
    )
}

/// What a command does and takes.
pub(super) fn command(command: &Command) -> String {
    let Command { name, about, usage, text, flags, .. } = command;
    let takes = if flags.is_empty() { "" } else { " [command options]" };
    let usage = format!("{PROGRAM} {name}{takes} {usage}");
    let text = if text.is_empty() { String::new() } else { format!("\nDESCRIPTION:\n{text}\n") };
    format!(
        "NAME:\n   {PROGRAM} {name} - {about}\n\nUSAGE:\n   {}\n{text}\nOPTIONS:\n{}",
        usage.trim_end(),
        options(flags)
    )
}

/// The help of the command of that name, or of the program.
pub(super) fn topic(name: Option<&str>) -> Result<u8, Problem> {
    let Some(name) = name.filter(|name| !matches!(*name, "help" | "h")) else {
        return say(&program());
    };
    if let Some((name, about)) = UNSUPPORTED.iter().find(|(known, _)| *known == name) {
        return say(&format!(
            "NAME:\n   {PROGRAM} {name} - {about}\n\nDESCRIPTION:\n   Not supported yet.\n"
        ));
    }
    say(&command(find(name)?))
}

/// The version of the program and of what it implements and links.
pub(super) fn version() -> String {
    let commit = option_env!("COFFERDAM_COMMIT").unwrap_or("unknown");
    let library = filters::library().map_or_else(String::new, |v| format!("libseccomp: {v}\n"));
    format!(
        "{PROGRAM} version {}\ncommit: {commit}\nspec: {}\n{library}",
        env!("CARGO_PKG_VERSION"),
        oci::VERSION
    )
}

fn options(flags: &[Flag]) -> String {
    let shown = flags.iter().filter(|flag| !flag.about.is_empty());
    let lines: Vec<_> = shown.map(|flag| (spell(flag), flag.about)).collect();
    let help = ("--help, -h".to_owned(), "show help");
    let width = lines.iter().map(|(flag, _)| flag.len()).max().unwrap_or(0).max(help.0.len());
    lines
        .into_iter()
        .chain([help])
        .map(|(flag, about)| format!("   {flag:width$}  {about}\n"))
        .collect()
}

fn spell(flag: &Flag) -> String {
    let value = match flag.takes {
        Takes::Switch => "",
        Takes::Value => " value",
    };
    match flag.short {
        "" => format!("--{}{value}", flag.name),
        short => format!("--{}{value}, -{short}{value}", flag.name),
    }
}
