//! The command `simulate`: every interleaving of some requests on the kernel in memory.
//!
//! ```text
//! flags ─► Setting ─► Scene ─► walk ─► coverage ─► standard output
//!                                └──► story ────► diagram, picture, a line that replays it
//! ```
//!
//! **Invariant:** nothing of the host is asked, made or changed but the picture's file: who may
//! start this command may walk.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::backend::fake::{Named, Profile};
use crate::backend::linux::Linux;
use crate::sys::{Errno, Syscalls, TABLE, flags};
use crate::testing::faults::{LIES, errors};
use crate::testing::lifecycle::{Before, Judge, Request, try_set};
use crate::testing::{Count, Counterexample, Moment, Never, Scene, Story};

use super::args::{Flag, Parsed};
use super::commands::{FORMAT, value};
use super::coverage::{Found, Report};
use super::look::{Format, format};
use super::problem::{Problem, regardless, text};
use super::session::Session;
use super::{PROGRAM, coverage};

/// The flags.
pub(super) const FLAGS: &[Flag] = &[
    value(
        "profile",
        "",
        "the kernel: 'v2' (default), 'v1', 'hybrid', 'oldest', 'without-freezer', 'narrow', \
         'rootless', 'rootless-without-cgroups' or 'nested'",
    ),
    value(
        "from",
        "",
        "the container before: 'absent' (default), 'created', 'running', 'paused' or 'stopped'",
    ),
    value("deaths", "", "how many clients are killed, each anywhere (default: 0)"),
    value("faults", "", "how many calls fail, each anywhere (default: 0)"),
    value(
        "fault",
        "",
        "a call that fails, as in openat2=EMFILE; repeatable (default: each of all)",
    ),
    value("depth", "", "look no further than so many steps"),
    value("max-states", "", "look no further once so many states are known"),
    value("never", "", "fail where an answer or an end has this text; repeatable"),
    value("replay", "", "go this one way: the numbers that a failure is told with"),
    value("svg", "", "the file that the diagram of a failure is drawn to"),
    FORMAT,
];

/// What there is to know beside the flags.
pub(super) const TEXT: &str = "   Requests: create, run, start, kill, delete, delete-force, state. \
    Each is a client, on a\n   kernel in memory; nothing happens on this one. What has to hold: \
    nobody else is signalled,\n   the status is the truth, nobody waits for ever, and one delete \
    --force leaves nothing.\n   Three requests can be many millions of states: bound them by \
    --max-states.";

/// How often the bar is drawn, and after how many states the clock is looked at.
const REDRAW: Duration = Duration::from_millis(100);
const GLANCE: usize = 1 << 10;

/// Which scene it is, and what is asked of it.
#[derive(Debug)]
pub(super) struct Setting {
    /// The clients.
    pub(super) requests: Vec<Request>,
    /// The kernel, with its name.
    pub(super) profile: Named,
    /// Where the container is before.
    pub(super) before: Before,
    /// How many clients are killed.
    pub(super) deaths: u8,
    /// How many calls fail.
    pub(super) faults: u8,
    /// Which ones do; none: each of all.
    chosen: Vec<(&'static str, Errno)>,
    depth: Option<u32>,
    states: Option<usize>,
    never: Vec<String>,
}

/// Walks, or goes one way, and tells what there was.
pub(super) fn simulate(_: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let format = format(parsed)?;
    let setting = Setting::new(parsed)?;
    let profile = setting.profile();
    let mut scene = setting.scene(&profile)?;
    let mut judge = Judge::new(&profile);
    let mut never = Never::new(setting.never.as_slice());
    let mut oracle = |moment: &Moment<'_, '_>| {
        never.ask(moment)?;
        judge.ask(moment)
    };
    let found = match parsed.value("replay") {
        Some(choices) => replayed(scene.replay(choices, &mut oracle)),
        None => walked(&mut scene, &mut oracle),
    };
    if let (Some(path), Some(story)) = (parsed.value("svg"), &found.story) {
        let drawn = fs::write(path, story.diagram().svg());
        drawn.map_err(|error| Problem::of(format!("write {path}"), text(&error)))?;
    }
    let report = Report { setting: &setting, clients: scene.coverage(), found };
    match format {
        Format::Json => coverage::json(&report)?,
        Format::Table => coverage::table(&report)?,
    };
    report.found.what.map_or(Ok(0), |what| Err(Problem::new(what)))
}

fn replayed(replay: Result<Story, Box<Counterexample>>) -> Found {
    match replay {
        Ok(story) => Found { story: Some(story), ..Found::default() },
        Err(failure) => Found::default().failed(*failure),
    }
}

fn walked<'b>(
    scene: &mut Scene<'b>,
    oracle: &mut dyn FnMut(&Moment<'_, 'b>) -> Result<(), String>,
) -> Found {
    let (begun, mut bar) = (busy(), Bar::new());
    let mut seen = Count::default();
    let ended = scene.walk(&mut |moment| {
        seen = moment.count();
        bar.tick(seen.states, moment.waiting());
        oracle(moment)
    });
    bar.wipe();
    let busy = begun.zip(busy()).map(|(begun, ended)| ended - begun);
    let found = Found { busy, ..Found::default() };
    match ended {
        Ok(count) => Found { count: Some(count), ..found },
        Err(failure) => Found { count: Some(seen), ..found }.failed(*failure),
    }
}

/// Returns how many seconds this process has computed.
fn busy() -> Option<f64> {
    let (seconds, nanoseconds) = Linux.clock(flags::CLOCK_PROCESS_CPUTIME_ID).ok()?;
    Some(Duration::new(seconds, nanoseconds).as_secs_f64())
}

impl Setting {
    fn new(parsed: &Parsed) -> Result<Self, Problem> {
        let requests = parsed.rest.iter().map(|name| request(name)).collect::<Result<_, _>>()?;
        let profile = parsed.value("profile").unwrap_or(Profile::NAMED[0].0);
        let profile = Profile::NAMED.into_iter().find(|(name, _)| *name == profile);
        let profile = profile.ok_or_else(|| invalid("profile", parsed))?;
        let before = parsed.value("from").unwrap_or("absent");
        let before = Before::ALL.into_iter().find(|one| one.to_string() == before);
        let before = before.ok_or_else(|| invalid("from", parsed))?;
        let chosen = parsed.values("fault").map(fault).collect::<Result<Vec<_>, _>>()?;
        let faults = number(parsed, "faults")?;
        let faults = faults.unwrap_or_else(|| u8::from(!chosen.is_empty()));
        Ok(Self {
            requests,
            profile,
            before,
            deaths: number(parsed, "deaths")?.unwrap_or(0),
            faults,
            chosen,
            depth: number(parsed, "depth")?,
            states: number(parsed, "max-states")?,
            never: parsed.values("never").map(str::to_owned).collect(),
        })
    }

    fn profile(&self) -> Profile {
        (self.profile.1)()
    }

    fn scene(&self, profile: &Profile) -> Result<Scene<'static>, Problem> {
        let every = TABLE.iter().flat_map(|row| errors(row).map(|errno| (row.name, errno)));
        let before = try_set(self.before, profile);
        let before =
            before.map_err(|error| Problem::of(format!("--from {}", self.before), error))?;
        let scene = Scene::new(before)
            .deaths(self.deaths)
            .faults(self.faults)
            .depth(self.depth.unwrap_or(u32::MAX))
            .states(self.states.unwrap_or(usize::MAX));
        let scene = if self.chosen.is_empty() {
            scene.faults_among(every)
        } else {
            scene.faults_among(self.chosen.iter().copied())
        };
        let with = |scene: Scene<'static>, (name, one): (String, Request)| {
            scene.client(name, one.body_on(profile))
        };
        Ok(self.clients().into_iter().fold(scene, with))
    }

    /// The clients by names of their own: of two that ask the same, the second is `create-2`.
    fn clients(&self) -> Vec<(String, Request)> {
        let named = |(at, one): (usize, &Request)| {
            let before = self.requests[..at].iter().filter(|other| *other == one).count();
            let suffix = if before == 0 { String::new() } else { format!("-{}", before + 1) };
            (format!("{}{suffix}", one.name()), *one)
        };
        self.requests.iter().enumerate().map(named).collect()
    }

    /// The command that goes a way again.
    pub(super) fn again(&self, choices: &str) -> String {
        let mut words = vec![format!("{PROGRAM} simulate")];
        if self.profile.0 != Profile::NAMED[0].0 {
            words.push(format!("--profile {}", self.profile.0));
        }
        if self.before != Before::Absent {
            words.push(format!("--from {}", self.before));
        }
        for (name, count) in [("deaths", self.deaths), ("faults", self.faults)] {
            if count != 0 {
                words.push(format!("--{name} {count}"));
            }
        }
        words.extend(self.chosen.iter().map(|(name, errno)| format!("--fault {name}={errno:?}")));
        words.extend(self.never.iter().map(|text| format!("--never {}", quoted(text))));
        words.extend(self.requests.iter().map(|request| request.name().to_owned()));
        words.push(format!("--replay {}", quoted(choices)));
        words.join(" ")
    }
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn request(name: &str) -> Result<Request, Problem> {
    let found = Request::ALL.into_iter().find(|request| request.name() == name);
    found.ok_or_else(|| Problem::new(format!("no request is called {name:?}")))
}

/// Reads a call and its error, and refuses what no kernel answers.
fn fault(written: &str) -> Result<(&'static str, Errno), Problem> {
    let wrong = |why: &str| Problem::new(format!("invalid value for --fault: {written}: {why}"));
    let (name, errno) = written.split_once('=').ok_or_else(|| wrong("it is CALL=ERRNO"))?;
    let row = TABLE.iter().find(|row| row.name == name);
    let row = row.ok_or_else(|| wrong("there is no such call"))?;
    if matches!(name, "close" | "close_range") {
        return Err(wrong("the descriptor is gone whatever it says"));
    }
    let errno = row.errnos.iter().find(|known| known.name() == Some(errno));
    let errno = errno.ok_or_else(|| wrong("the call has no such error"))?;
    if LIES.contains(&(row.name, *errno)) {
        return Err(wrong("that would be a lie"));
    }
    Ok((row.name, *errno))
}

fn number<N: std::str::FromStr>(parsed: &Parsed, name: &str) -> Result<Option<N>, Problem> {
    let read = parsed.value(name).map(|text| text.parse().map_err(|_| invalid(name, parsed)));
    read.transpose()
}

fn invalid(name: &str, parsed: &Parsed) -> Problem {
    let value = parsed.value(name).unwrap_or_default();
    Problem::new(format!("invalid value for --{name}: {value}"))
}

/// How far a walk is, on a terminal: the part of the known states that was looked at.
#[derive(Debug)]
struct Bar {
    shown: bool,
    begun: Instant,
    drawn: Instant,
    asked: usize,
}

impl Bar {
    fn new() -> Self {
        let now = Instant::now();
        Self { shown: io::stderr().is_terminal(), begun: now, drawn: now, asked: 0 }
    }

    fn tick(&mut self, states: usize, waiting: usize) {
        self.asked += 1;
        if !self.shown || !self.asked.is_multiple_of(GLANCE) || self.drawn.elapsed() < REDRAW {
            return;
        }
        self.drawn = Instant::now();
        let line = line((states, waiting), self.begun.elapsed());
        regardless(write!(io::stderr(), "\r{line}\x1b[K"));
    }

    fn wipe(&self) {
        if self.shown {
            regardless(write!(io::stderr(), "\r\x1b[K"));
        }
    }
}

fn line((states, waiting): (usize, usize), time: Duration) -> String {
    const WIDTH: usize = 30;
    let done = states.saturating_sub(waiting);
    let full = (done * WIDTH).checked_div(states).unwrap_or(0);
    let rate = coverage::rate(states, time.as_secs_f64());
    format!(
        "[{}{}] {} of {} known states, {} per second, {} ahead",
        "#".repeat(full),
        " ".repeat(WIDTH - full),
        coverage::grouped(done),
        coverage::grouped(states),
        coverage::grouped(rate),
        coverage::grouped(waiting)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_when_nothing_is_ahead() {
        let half = line((2000, 1000), Duration::from_millis(500));
        let bar = format!("[{}{}]", "#".repeat(15), " ".repeat(15));
        let text = "1,000 of 2,000 known states, 4,000 per second, 1,000 ahead";
        assert_eq!(half, format!("{bar} {text}"));
        let full = line((7, 0), Duration::ZERO);
        assert!(full.starts_with(&format!("[{}] 7 of 7", "#".repeat(30))), "{full}");
    }

    #[test]
    fn a_fault_is_one_that_the_call_can_have() {
        let wrong = |written| fault(written).map_err(|problem| problem.message);
        assert_eq!(wrong("openat2=EMFILE"), Ok(("openat2", Errno::EMFILE)));
        for (written, why) in [
            ("openat2", "it is CALL=ERRNO"),
            ("open=EMFILE", "there is no such call"),
            ("openat2=ENOTTY", "the call has no such error"),
            ("close=EIO", "the descriptor is gone whatever it says"),
            ("unlinkat=ENOENT", "that would be a lie"),
        ] {
            let text = format!("invalid value for --fault: {written}: {why}");
            assert_eq!(wrong(written), Err(text));
        }
    }

    #[test]
    fn a_word_for_a_shell_is_one_word() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
