//! What a walk has covered, as a table and as JSON.
//!
//! **Invariant:** but for speed and memory, the same walk reads the same on every machine.

use std::fmt::Write;
use std::fs;

use serde_json::{Value, json};

use crate::sys::Errno;
use crate::testing::{Count, Counterexample, Coverage, Event, Happening, Story};

use super::help::say;
use super::problem::Problem;
use super::simulate::Setting;

/// Below so many states, what the command itself needs is most of its memory.
const MANY: usize = 100_000;

/// What came of a walk.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What is wrong, if anything is.
    pub(super) what: Option<String>,
    /// The way that was gone or that leads to a failure.
    pub(super) story: Option<Story>,
    /// What was seen; nothing: one way was gone.
    pub(super) count: Option<Count>,
    /// The seconds that it took of one processor.
    pub(super) busy: Option<f64>,
}

impl Found {
    /// The same, and it has failed.
    pub(super) fn failed(self, failure: Counterexample) -> Self {
        let Counterexample { what, story } = failure;
        Self { what: Some(what), story: Some(story), ..self }
    }
}

/// What is told of it.
#[derive(Debug)]
pub(super) struct Report<'s> {
    /// What was asked for.
    pub(super) setting: &'s Setting,
    /// What the clients have done.
    pub(super) clients: Vec<Coverage>,
    /// What came of it.
    pub(super) found: Found,
}

/// Prints it for people.
pub(super) fn table(report: &Report<'_>) -> Result<u8, Problem> {
    let Report { setting, clients, found } = report;
    let mut text = String::new();
    if let Some(count) = found.count {
        clients.iter().for_each(|client| text.push_str(&covered(client)));
        text.push_str(&figures(count, clients, found.busy));
    }
    if let Some(story) = &found.story {
        let gap = if text.is_empty() { "" } else { "\n" };
        write!(text, "{gap}{}\n{}\n", story.diagram(), setting.again(&story.choices))
            .expect("a string grows");
    }
    say(&text)
}

/// What a client has done: a line for each call, with its answers by number.
fn covered(client: &Coverage) -> String {
    let Coverage { client: name, calls, deaths, ends, faults } = client;
    let mut lines: Vec<(&str, Vec<String>)> = Vec::new();
    for ((call, errno), states) in calls {
        let answer = format!("{} {}", answer(*errno), grouped(*states));
        match lines.last_mut().filter(|(last, _)| last == call) {
            Some((_, answers)) => answers.push(answer),
            None => lines.push((call, vec![answer])),
        }
    }
    let ends = ends.iter().map(|(told, states)| format!("{told:?} {}", grouped(*states)));
    lines.push(("ends", ends.collect()));
    lines.retain(|(_, answers)| !answers.is_empty());
    for (what, count) in [("deaths", deaths), ("faults", faults)] {
        if *count != 0 {
            lines.push((what, vec![grouped(*count)]));
        }
    }
    let width = lines.iter().map(|(call, _)| call.len()).max().unwrap_or(0);
    let line = |(call, answers): &(&str, Vec<String>)| {
        format!("   {call:width$}  {}\n", answers.join(", "))
    };
    format!("{name}\n{}\n", lines.iter().map(line).collect::<String>())
}

const fn answer(errno: Option<Errno>) -> &'static str {
    match errno {
        None => "ok",
        Some(errno) => match errno.name() {
            Some(name) => name,
            None => "unknown error",
        },
    }
}

fn figures(count: Count, clients: &[Coverage], busy: Option<f64>) -> String {
    let Count { cut, ends, states, transitions } = count;
    let sum = |of: fn(&Coverage) -> usize| clients.iter().map(of).sum();
    let mut lines = vec![
        ("states", grouped(states)),
        ("transitions", grouped(transitions)),
        ("ends", grouped(ends)),
        ("deaths", grouped(sum(|client| client.deaths))),
        ("faults", grouped(sum(|client| client.faults))),
    ];
    if cut != 0 {
        lines.push(("cut", format!("{}: nobody has looked behind these states", grouped(cut))));
    }
    if let Some(busy) = busy {
        let rate = grouped(rate(states, busy));
        lines.push(("speed", format!("{rate} states per second and core")));
    }
    if let Some(peak) = peak_bytes() {
        let million = per_million(peak, states);
        let million = million.map(|bytes| format!(", {} MB per million states", bytes / 1_000_000));
        let million = million.unwrap_or_default();
        lines.push(("memory", format!("{} MB at most{million}", peak / 1_000_000)));
    }
    lines.iter().map(|(name, value)| format!("{name:11}  {value}\n")).collect()
}

/// Prints it for programs.
pub(super) fn json(report: &Report<'_>) -> Result<u8, Problem> {
    let json = serde_json::to_string_pretty(&document(report));
    say(&format!("{}\n", json.map_err(|error| Problem::of("write JSON", error))?))
}

fn document(report: &Report<'_>) -> Value {
    let Report { setting, clients, found } = report;
    let requests: Vec<_> = setting.requests.iter().map(|request| request.name()).collect();
    let mut document = json!({
        "requests": requests,
        "profile": setting.profile.0,
        "from": setting.before.to_string(),
        "deaths": setting.deaths,
        "faults": setting.faults,
        "failure": found.what,
    });
    if let Some(count) = found.count {
        let peak = peak_bytes();
        document["clients"] = clients.iter().map(client).collect();
        document["states"] = count.states.into();
        document["transitions"] = count.transitions.into();
        document["ends"] = count.ends.into();
        document["cut"] = count.cut.into();
        document["seconds"] = found.busy.into();
        document["statesPerSecond"] = found.busy.map(|busy| rate(count.states, busy)).into();
        document["peakBytes"] = peak.into();
        document["bytesPerMillionStates"] =
            peak.and_then(|peak| per_million(peak, count.states)).into();
    }
    if let Some(story) = &found.story {
        document["steps"] = story.steps.iter().map(|step| happening(step, story)).collect();
        document["choices"] = story.choices.as_str().into();
        document["replay"] = setting.again(&story.choices).into();
    }
    document
}

fn client(client: &Coverage) -> Value {
    let calls = client.calls.iter().map(|((call, errno), states)| {
        json!({ "call": call, "answer": answer(*errno), "states": states })
    });
    let ends = client.ends.iter().map(|(told, states)| json!({ "told": told, "states": states }));
    json!({
        "name": client.client,
        "calls": calls.collect::<Vec<_>>(),
        "ends": ends.collect::<Vec<_>>(),
        "deaths": client.deaths,
        "faults": client.faults,
    })
}

fn happening(step: &Happening, story: &Story) -> Value {
    let (place, kind) = match step.event {
        Event::World(transition) => return json!({ "others": transition.to_string() }),
        Event::Ask(place) => (place, "asks"),
        Event::Fail(place, _) => (place, "fails"),
        Event::Kill(place) => (place, "is killed"),
        Event::Time(place) => (place, "waits until time has passed"),
    };
    let asked = step.asked.iter().map(|asked| {
        let (answer, value) = (answer(asked.value.err()), asked.value.ok());
        json!({ "call": asked.call, "answer": answer, "value": value })
    });
    json!({
        "client": story.clients.get(place),
        "event": kind,
        "calls": asked.collect::<Vec<_>>(),
        "told": step.told,
    })
}

/// Returns how many things there were in a second.
#[expect(clippy::cast_possible_truncation, reason = "nobody walks 2^53 states")]
#[expect(clippy::cast_sign_loss, reason = "neither a number of things nor a time is negative")]
pub(super) fn rate(things: usize, seconds: f64) -> usize {
    (things as f64 / seconds.max(1e-6)).round() as usize
}

fn per_million(bytes: u64, states: usize) -> Option<u64> {
    let states = u64::try_from(states).ok().filter(|_| MANY <= states)?;
    bytes.checked_mul(1_000_000)?.checked_div(states)
}

/// Returns how much memory this process had at most (proc_pid_status(5)).
fn peak_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// A number with a comma before each three digits.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at != 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        let all = [0, 999, 1_000, 123_456, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn memory_is_told_by_million_only_of_many_states() {
        assert_eq!(per_million(50_000_000, 99_999), None);
        assert_eq!(per_million(50_000_000, 500_000), Some(100_000_000));
    }
}
