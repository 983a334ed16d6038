//! A filter of system calls, compiled, answers each call as a naive reading of its rules does.
//!
//! The OCI text does not say which of two rules counts that both hold for a call: each of their
//! actions is right then.

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use cofferdam::backend::linux::filter::compile;
use cofferdam::spec::{Action, Architecture, Comparison, Condition, FilterFlags, Rule, Seccomp};
use cofferdam::sys::bpf::{Asked, verdict};

use crate::made::{Choice, whole};

/// Calls by name, with their numbers on x86-64 and on i386 (asm/unistd_64.h, asm/unistd_32.h).
const CALLS: [(&str, u32, u32); 16] = [
    ("read", 0, 3),
    ("write", 1, 4),
    ("close", 3, 6),
    ("ioctl", 16, 54),
    ("getpid", 39, 20),
    ("clone", 56, 120),
    ("execve", 59, 11),
    ("kill", 62, 37),
    ("ptrace", 101, 26),
    ("personality", 135, 136),
    ("mount", 165, 21),
    ("openat", 257, 295),
    ("unshare", 272, 310),
    ("statx", 332, 383),
    ("clone3", 435, 435),
    ("openat2", 437, 437),
];

/// Names that no machine has.
const UNKNOWN: [&str; 2] = ["nosuchcall", ""];

/// `AUDIT_ARCH_*` of x86-64, of i386, and of arm64, which no filter here knows.
const MACHINES: [u32; 3] = [0xc000_003e, 0x4000_0003, 0xc000_00b7];

/// The most rules, and conditions of one.
const RULES_MAX: usize = 12;
const CONDITIONS_MAX: usize = 2;

/// The bit of the numbers of x32.
const X32: u32 = 1 << 30;

#[derive(Debug, Arbitrary)]
struct Case {
    default: MadeAction,
    /// Whether i386 is an architecture, beside the machine's own.
    narrow: bool,
    /// The upper halves of all that is compared with: where they differ, libseccomp 2.5 answers
    /// some calls by default of which the second of two rules is right.
    high: u32,
    rules: Vec<MadeRule>,
    asked: Vec<MadeCall>,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
struct MadeAction {
    kind: Choice,
    number: u16,
}

#[derive(Debug, Arbitrary)]
struct MadeRule {
    action: MadeAction,
    /// Names by their places, up to three.
    names: [Choice; 3],
    count: Choice,
    conditions: Vec<MadeCondition>,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
struct MadeCondition {
    index: Choice,
    comparison: Choice,
    value: u32,
    value_two: u32,
}

#[derive(Debug, Arbitrary)]
struct MadeCall {
    machine: Choice,
    number: Number,
    words: [u64; 6],
    /// Words that are near what a condition compares with: which, and how far off.
    near: Vec<(Choice, i8)>,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Number {
    Any(u32),
    Named(Choice),
    Wide(Choice),
}

/// Performs a case.
pub fn filter(data: &[u8]) {
    let Some(case) = whole::<Case>(data) else { return };
    let seccomp = case.description();
    let Ok(filter) = compile(&seccomp) else { return };
    for call in &case.asked {
        let asked = call.asked(&seccomp);
        let answer = verdict(&filter.code, &asked).unwrap_or_else(|| {
            panic!("the kernel would not take it: {seccomp:?}, {:?}", filter.code)
        });
        let right = naive(&seccomp, &asked);
        assert!(
            right.contains(&answer),
            "{asked:x?} is answered {answer:#x}, not {right:x?}: {seccomp:#x?}"
        );
    }
}

impl Case {
    fn description(&self) -> Seccomp {
        let architectures = if self.narrow { vec![Architecture::X86] } else { Vec::new() };
        let mut rules = Vec::new();
        let mut compared = BTreeSet::new();
        for made in self.rules.iter().take(RULES_MAX) {
            let mut rule = made.rule(self.high);
            if !rule.conditions.is_empty() {
                // libseccomp 2.5 may take minutes for two such rules of one call.
                rule.names.retain(|name| compared.insert(name.clone()));
            }
            rules.extend(Some(rule).filter(|rule| !rule.names.is_empty()));
        }
        Seccomp {
            default_action: self.default.action(),
            architectures,
            flags: FilterFlags::default(),
            rules,
        }
    }
}

impl MadeAction {
    fn action(self) -> Action {
        let number = self.number & 0xfff;
        self.kind.of(&[
            Action::Allow,
            Action::Errno(number),
            Action::KillProcess,
            Action::KillThread,
            Action::Log,
            Action::Trace(self.number),
            Action::Trap,
        ])
    }
}

impl MadeRule {
    fn rule(&self, high: u32) -> Rule {
        let known = CALLS.iter().map(|(name, ..)| *name);
        let all: Vec<_> = known.chain(UNKNOWN).collect();
        let count = self.count.of(&[1, 2, 3]);
        let names = self.names[..count].iter().map(|name| name.of(&all).to_owned());
        let conditions = self.conditions.iter().take(CONDITIONS_MAX).map(|one| one.condition(high));
        Rule {
            names: names.collect(),
            action: self.action.action(),
            conditions: conditions.collect(),
        }
    }
}

impl MadeCondition {
    fn condition(&self, high: u32) -> Condition {
        let comparison = self.comparison.of(&[
            Comparison::Equal,
            Comparison::Greater,
            Comparison::GreaterEqual,
            Comparison::Less,
            Comparison::LessEqual,
            Comparison::MaskedEqual,
            Comparison::NotEqual,
        ]);
        let index = self.index.of(&[0, 1, 2, 3, 4, 5]);
        let [value, value_two] =
            [self.value, self.value_two].map(|low| u64::from(high) << 32 | u64::from(low));
        Condition { index, comparison, value, value_two }
    }
}

impl MadeCall {
    fn asked(&self, seccomp: &Seccomp) -> Asked {
        let machine = self.machine.of(&MACHINES);
        let wide = machine == MACHINES[0];
        let named = |(_, long, short): (&str, u32, u32)| if wide { long } else { short };
        let number = match self.number {
            Number::Any(number) => number,
            Number::Named(choice) => named(choice.of(&CALLS)),
            Number::Wide(choice) => named(choice.of(&CALLS)) | X32,
        };
        let mut words = self.words;
        let conditions: Vec<_> = seccomp.rules.iter().flat_map(|rule| &rule.conditions).collect();
        for (choice, off) in self.near.iter().filter(|_| !conditions.is_empty()) {
            let Condition { index, comparison, value, value_two } = *choice.of(&conditions);
            let value = if comparison == Comparison::MaskedEqual { value_two } else { value };
            words[usize::from(index)] = value.wrapping_add_signed((*off).into());
        }
        if !wide {
            words = words.map(|word| word & u64::from(u32::MAX));
        }
        Asked { number, machine, words }
    }
}

/// Returns all that the call may be answered.
fn naive(seccomp: &Seccomp, asked: &Asked) -> Vec<u32> {
    const KILL: u32 = 0;
    const ENOSYS: u32 = 0x0005_0000 | 38;
    let wide = asked.machine == MACHINES[0];
    let default = encoded(seccomp.default_action);
    if !wide && (asked.machine != MACHINES[1] || seccomp.architectures.is_empty()) {
        return vec![KILL];
    }
    // It is what a tracer makes a call that is to be passed over.
    if wide && asked.number == u32::MAX {
        return vec![KILL, default];
    }
    if wide && X32 <= asked.number {
        return vec![KILL];
    }
    let number = |name: &String| {
        let call = CALLS.iter().find(|(known, ..)| known == name);
        call.map(|(_, long, short)| if wide { *long } else { *short })
    };
    let named = seccomp.rules.iter().flat_map(|rule| &rule.names).filter_map(number).max();
    let passes = matches!(seccomp.default_action, Action::Allow | Action::Log | Action::Trace(_));
    if !passes && named.is_some_and(|newest| newest != 0 && newest < asked.number) {
        return vec![ENOSYS];
    }
    let holding = seccomp.rules.iter().filter(|rule| {
        rule.names.iter().any(|name| number(name) == Some(asked.number)) && holds(rule, asked, wide)
    });
    let right: Vec<_> = holding.map(|rule| encoded(rule.action)).collect();
    if right.is_empty() { vec![default] } else { right }
}

/// Whether a rule's conditions hold: each, or any of them where two are on one word, as in runc.
///
/// A machine of 32 bits compares with the lower halves of values, as libseccomp has it.
fn holds(rule: &Rule, asked: &Asked, wide: bool) -> bool {
    let mut indices: Vec<_> = rule.conditions.iter().map(|one| one.index).collect();
    indices.sort_unstable();
    indices.dedup();
    let hold = |one: &Condition| {
        let word = asked.words[usize::from(one.index)];
        let seen = |value: u64| if wide { value } else { value & u64::from(u32::MAX) };
        let value = seen(one.value);
        match one.comparison {
            Comparison::Equal => word == value,
            Comparison::Greater => word > value,
            Comparison::GreaterEqual => word >= value,
            Comparison::Less => word < value,
            Comparison::LessEqual => word <= value,
            // Both are masked (seccomp_rule_add(3)).
            Comparison::MaskedEqual => word & value == seen(one.value_two) & value,
            Comparison::NotEqual => word != value,
        }
    };
    if indices.len() == rule.conditions.len() {
        rule.conditions.iter().all(hold)
    } else {
        rule.conditions.iter().any(hold)
    }
}

/// Returns what a filter answers for an action (seccomp(2)).
fn encoded(action: Action) -> u32 {
    match action {
        Action::Allow => 0x7fff_0000,
        Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
        Action::KillProcess => 0x8000_0000,
        Action::KillThread => 0,
        Action::Log => 0x7ffc_0000,
        Action::Trace(number) => 0x7ff0_0000 | u32::from(number),
        Action::Trap => 0x0003_0000,
    }
}
