//! The command `events`: what a container uses, again and again until it is removed.
//!
//! | event | when |
//! |---|---|
//! | `stats` | at each interval |
//! | `oom` | a process of the container was killed for want of memory, as its cgroup has counted |
//!
//! **Invariant:** one event is one line of JSON.

use serde::Serialize;

use crate::backend::linux::Linux;
use crate::run::{Container, Stats};
use crate::state::Status;
use crate::sys::{Errno, Syscalls};

use super::args::Parsed;
use super::help::say;
use super::look::spoken;
use super::problem::Problem;
use super::session::{Session, container};

/// How often the counter of killed processes is looked at, in milliseconds.
const TICK_MS: i32 = 100;

/// What is printed.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Stats>,
}

/// Prints what a container uses, once or until it is removed.
pub(super) fn events(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let interval_ms = interval(parsed)?;
    let runtime = session.runtime()?;
    let container = container(&runtime, parsed)?;
    let id = parsed.argument(0);
    if spoken(container.state()?.status) == Status::Stopped.as_str() {
        return Err(Problem::new(format!("container with id {id} is not running")));
    }
    if parsed.has("stats") {
        let stats = container.stats()?;
        return print(&Event { kind: "stats", id, data: Some(&stats) });
    }
    watch(&container, id, interval_ms)
}

/// Prints events until the container is removed.
fn watch(container: &Container<'_, Linux>, id: &str, interval_ms: i32) -> Result<u8, Problem> {
    let mut known = container.stats()?.memory.oom_kills;
    let mut left_ms = interval_ms;
    loop {
        let tick_ms = TICK_MS.min(left_ms);
        match Linux.poll([], tick_ms) {
            Ok([]) | Err(Errno::EINTR) => left_ms -= tick_ms,
            Err(errno) => return Err(Problem::of("wait", errno)),
        }
        let stats = match container.stats() {
            Err(error) if error.is_not_found() => return Ok(0),
            stats => stats?,
        };
        if known < stats.memory.oom_kills {
            known = stats.memory.oom_kills;
            print(&Event { kind: "oom", id, data: None })?;
        }
        if left_ms <= 0 {
            left_ms = interval_ms;
            print(&Event { kind: "stats", id, data: Some(&stats) })?;
        }
    }
}

fn print(event: &Event<'_>) -> Result<u8, Problem> {
    let json = serde_json::to_string(event).map_err(|error| Problem::of("write JSON", error))?;
    say(&format!("{json}\n"))
}

fn interval(parsed: &Parsed) -> Result<i32, Problem> {
    const USUAL_MS: i32 = 5000;
    let Some(text) = parsed.value("interval") else { return Ok(USUAL_MS) };
    match milliseconds(text) {
        Some(interval @ 1..) => Ok(interval),
        Some(_) => Err(Problem::new("duration interval must be greater than 0")),
        None => {
            Err(Problem::new(format!("invalid value {text:?} for flag -interval: parse error")))
        }
    }
}

/// Reads a duration as Go spells it, such as `1m30s` or `0.5s`; less than one millisecond is one.
fn milliseconds(text: &str) -> Option<i32> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, behind) = rest.split_at(end);
        let units = [
            ("ns", 1e-6),
            ("us", 1e-3),
            ("µs", 1e-3),
            ("ms", 1.0),
            ("s", 1e3),
            ("m", 6e4),
            ("h", 3.6e6),
        ];
        let (unit, factor) = units.into_iter().find(|(unit, _)| behind.starts_with(unit))?;
        sum += number.parse::<f64>().ok()? * factor;
        rest = behind.strip_prefix(unit)?;
    }
    if negative {
        return Some(-1);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a float is cut off at the ends of i32")]
    let whole = sum.ceil() as i32;
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        let expected = [
            ("5s", Some(5000)),
            ("100ms", Some(100)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1500)),
            ("1ns", Some(1)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("-1s", Some(-1)),
            ("9999999h", Some(i32::MAX)),
            ("", None),
            ("x", None),
            ("5", None),
            ("5y", None),
            ("s", None),
        ];
        for (text, value) in expected {
            assert_eq!(milliseconds(text), value, "{text}");
        }
    }
}
