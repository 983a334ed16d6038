//! Generated programs of calls, answered alike by the fake and by the kernel that runs the tests.
//!
//! ```text
//! seed ──grammar──▶ Program ──┬── Player over the fake ───┐
//!                             └── Player over this Linux ─┴─▶ the same answers, call by call
//! ```
//!
//! A program has 5 to 20 calls, in a directory of its own. An answer is text in which nothing is
//! left that may differ: descriptors are named by where they are kept, inodes by who has them open.
//! A program that tells the two kernels apart is shrunk, one call at a time, and printed.
//!
//! `COFFERDAM_PROGRAMS` says how many programs there are, `COFFERDAM_SEED` where they begin.
//!
//! Children and cgroups act in their own time: the fake is let come to rest after each call, and
//! Linux is waited for as long as it does not say the same of who is dead, which cgroups there are,
//! and who in them is frozen.
//!
//! **Invariant:** no call waits: whatever could is asked in the form that does not.
//!
//! **Invariant:** nothing is changed but what the program has made: a path has at most one `..`, as
//! has each link, and the directory lies deeper than that reaches, as do those of the cgroups.
//! Nobody moves but children.

#![cfg(all(feature = "fake", feature = "linux", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "a ground that gives way fails the test, and says where")]

mod generated {
    pub(crate) mod births;
    pub(crate) mod children;
    pub(crate) mod grammar;
    pub(crate) mod ground;
    pub(crate) mod groups;
    pub(crate) mod living;
    pub(crate) mod player;
}

use std::collections::BTreeMap;
use std::io::{Write, stderr};

use generated::grammar::{Program, Step};
use generated::ground::{Fake, Host};

/// How many programs are compared unless the environment says otherwise.
const PROGRAMS: u64 = 2000;

/// How many kinds of difference are reported in one run.
const REPORTED: usize = 12;

#[test]
fn the_fake_answers_generated_programs_as_linux_does() {
    assert_eq!(nix::unistd::geteuid().as_raw(), 0, "programs are compared as root");
    let host = Host::new();
    let fake = Fake::new(&host);
    let trees = host.trees();
    for why in host.lacks() {
        // Past the harness, which keeps what a passing test prints.
        stderr().write_all(format!("generated programs: {why} here\n").as_bytes()).unwrap();
    }
    let (first, count) = (number("COFFERDAM_SEED", 1), number("COFFERDAM_PROGRAMS", PROGRAMS));
    let (mut calls, mut found) = (0, BTreeMap::new());
    for seed in first..first + count {
        let program = Program::of(seed, &trees);
        calls += program.0.len();
        let Some(difference) = Difference::of(&fake, &host, &program) else { continue };
        let difference = difference.shrunk(&fake, &host);
        found.entry(difference.kind()).or_insert((seed, difference));
        if found.len() == REPORTED {
            break;
        }
    }
    for (seed, difference) in found.values() {
        println!("seed {seed}:\n{}", difference.report());
    }
    assert!(found.is_empty(), "{} kinds of difference, each with its program above", found.len());
    println!(
        "figure: generated call programs, the fake against Linux {} | {count} programs, \
         {calls} calls, 0 differences",
        host.release()
    );
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A program with the answers of both kernels, which differ at the last call.
struct Difference {
    program: Program,
    fake: Vec<String>,
    linux: Vec<String>,
}

impl Difference {
    /// Runs a program on both kernels; returns nothing where they agree.
    fn of(fake: &Fake, host: &Host, program: &Program) -> Option<Self> {
        let steps = &program.0;
        let shown = Shown(steps);
        let by_fake = fake.answers(steps);
        let by_linux = host.answers(steps, &by_fake);
        drop(shown);
        let at = (0..steps.len()).find(|at| by_fake[*at] != by_linux[*at])?;
        Some(Self {
            program: Program(steps[..=at].to_vec()),
            fake: by_fake[..=at].to_vec(),
            linux: by_linux[..=at].to_vec(),
        })
    }

    /// Drops one call after the other, as long as the kernels still differ.
    fn shrunk(mut self, fake: &Fake, host: &Host) -> Self {
        let mut at = self.program.0.len();
        while at > 0 {
            at -= 1;
            let mut steps = self.program.0.clone();
            steps.remove(at);
            if let Some(smaller) = Self::of(fake, host, &Program(steps)) {
                at = at.min(smaller.program.0.len());
                self = smaller;
            }
        }
        self
    }

    /// Names what differs, without operands.
    fn kind(&self) -> String {
        let last = self.program.0.last().map(|step| format!("{step:?}")).unwrap_or_default();
        let call = last.split(' ').next().unwrap_or_default();
        format!("{call}: {:?}, {:?}", self.fake.last(), self.linux.last())
    }

    fn report(&self) -> String {
        let lines = self.program.0.iter().zip(self.fake.iter().zip(&self.linux));
        lines.map(|(step, (a, b))| format!("  {step:?}\n    fake {a}\n    linux {b}\n")).collect()
    }
}

/// Shows a program that a kernel has panicked over.
struct Shown<'p>(&'p [Step]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("while answering {:#?}", self.0);
        }
    }
}
