//! Times commands in turn, so that all of them meet the same machine.
//!
//! ```text
//! interleave ROUNDS REST_MS COMMAND [ARG...] [::: COMMAND [ARG...]]...
//! ```
//!
//! Each round runs every command once, `REST_MS` of rest before each, beginning one command later
//! than the round before, because a command inherits the caches and grace periods of the one that
//! ran just ahead of it. `{id}` in an argument becomes a name that is used once. Prints a line for
//! each command: median, tenth percentile and minimum, in microseconds.
//!
//! Compiled by `ci/bench` with nothing but rustc.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("interleave: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), String> {
    let [rounds, rest_ms, commands @ ..] = args else {
        return Err("usage: ROUNDS REST_MS COMMAND [ARG...] [::: COMMAND [ARG...]]...".into());
    };
    let number = |text: &String| text.parse::<usize>().map_err(|error| format!("{text}: {error}"));
    let (rounds, rest_ms) = (number(rounds)?, number(rest_ms)?);
    let commands: Vec<&[String]> = commands.split(|word| word == ":::").collect();
    if rounds == 0 || commands.iter().any(|command| command.is_empty()) {
        return Err("nothing to run".into());
    }

    let mut samples = vec![Vec::with_capacity(rounds); commands.len()];
    // The first rounds load the files and are not counted.
    for round in 0..rounds + 2 {
        for turn in 0..commands.len() {
            let index = (round + turn) % commands.len();
            std::thread::sleep(Duration::from_millis(rest_ms as u64));
            let spent = time(commands[index], &format!("turn-{round}-{turn}"))?;
            if round >= 2 {
                samples[index].push(spent.as_micros());
            }
        }
    }
    for spent in &mut samples {
        spent.sort_unstable();
        println!("{} {} {}", spent[spent.len() / 2], spent[spent.len() / 10], spent[0]);
    }
    Ok(())
}

fn time(words: &[String], id: &str) -> Result<Duration, String> {
    let mut command = Command::new(&words[0]);
    command.args(words[1..].iter().map(|word| word.replace("{id}", id)));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().map_err(|error| format!("{}: {error}", words[0]))?;
    let spent = start.elapsed();
    if status.success() { Ok(spent) } else { Err(format!("{}: {status}", words.join(" "))) }
}
