//! Filters of system calls, compiled by the C library libseccomp.
//!
//! | what a description says | what becomes of it |
//! |---|---|
//! | a call that no machine of libseccomp's has | left out |
//! | a rule with the default action | left out: it changes nothing |
//! | two conditions on one argument | a rule for each: either lets the rule apply, as in runc |
//! | an architecture | added to the machine's own |
//! | calls with numbers above all that it names | `ENOSYS`, unless the default lets them through |
//!
//! The last is runc's: what the kernel has learnt since the description was written is missing to
//! those within, so that a C library falls back on what it did before.

use std::fs::File;
use std::io::{Read, Seek};

use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext};
use libseccomp::{ScmpSyscall, ScmpVersion};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::run::Filter;
use crate::spec::{Action, Architecture, Comparison, Condition, FilterFlags, Rule, Seccomp};
use crate::sys::bpf::Step;
use crate::sys::{Errno, flags};

/// Above how many rules a filter is searched as a tree rather than from its beginning.
const FEW: usize = 32;

/// Compiles a filter.
///
/// # Errors
///
/// Fails where libseccomp does not take what is described, or the kernel gives no memory.
pub fn compile(seccomp: &Seccomp) -> Result<Filter, String> {
    let code = build(seccomp).map_err(|error| format!("compile the seccomp filter: {error}"))?;
    let code = export(&code).map_err(|error| format!("export the seccomp filter: {error}"))?;
    Ok(Filter { code: [newer(seccomp), code].concat(), flags: installed(seccomp.flags) })
}

/// Returns the version of libseccomp, which filters depend on.
#[must_use]
pub fn version() -> String {
    ScmpVersion::current().map_or_else(|_| "unknown".to_owned(), |version| version.to_string())
}

/// Returns the flags of seccomp(2).
///
/// `TSYNC` is not among them: a filter is installed by a process of one thread.
#[must_use]
pub const fn installed(wanted: FilterFlags) -> u32 {
    let log = if wanted.log { flags::SECCOMP_FILTER_FLAG_LOG } else { 0 };
    log | if wanted.spec_allow { flags::SECCOMP_FILTER_FLAG_SPEC_ALLOW } else { 0 }
}

fn build(seccomp: &Seccomp) -> Result<ScmpFilterContext, SeccompError> {
    let mut filter = ScmpFilterContext::new(action(seccomp.default_action))?;
    for wanted in &seccomp.architectures {
        filter.add_arch(architecture(*wanted))?;
    }
    if FEW < seccomp.rules.iter().map(|rule| rule.names.len()).sum() {
        filter.set_ctl_optimize(2)?;
    }
    for rule in seccomp.rules.iter().filter(|rule| rule.action != seccomp.default_action) {
        for name in &rule.names {
            // An error is a name that nobody knows.
            if let Ok(call) = ScmpSyscall::from_name(name) {
                add(&mut filter, rule, call)?;
            }
        }
    }
    Ok(filter)
}

fn add(filter: &mut ScmpFilterContext, rule: &Rule, call: ScmpSyscall) -> Result<(), SeccompError> {
    let action = action(rule.action);
    let once = |at: usize, one: &Condition| {
        !rule.conditions[..at].iter().any(|other| other.index == one.index)
    };
    let compared: Vec<_> = rule.conditions.iter().map(compare).collect();
    if rule.conditions.iter().enumerate().all(|(at, one)| once(at, one)) {
        filter.add_rule_conditional(action, call, &compared)?;
        return Ok(());
    }
    for one in compared {
        filter.add_rule_conditional(action, call, &[one])?;
    }
    Ok(())
}

fn export(filter: &ScmpFilterContext) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut file = File::from(memfd_create("filter", MFdFlags::MFD_CLOEXEC)?);
    filter.export_bpf(&file)?;
    let mut code = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut code)?;
    Ok(code)
}

impl Step {
    /// Takes the word at an offset of `struct seccomp_data`.
    const fn load(k: u32) -> Self {
        Self { code: 0x20, yes: 0, no: 0, k }
    }

    /// Passes over so many instructions if the word is or is not `k`.
    const fn equal(k: u32, yes: u8, no: u8) -> Self {
        Self { code: 0x15, yes, no, k }
    }

    const fn greater(k: u32, yes: u8, no: u8) -> Self {
        Self { code: 0x25, yes, no, k }
    }

    const fn at_least(k: u32, yes: u8, no: u8) -> Self {
        Self { code: 0x35, yes, no, k }
    }

    /// Passes over so many instructions.
    const fn jump(k: u32) -> Self {
        Self { code: 0x05, yes: 0, no: 0, k }
    }

    /// Answers with an errno.
    const fn fail(errno: Errno) -> Self {
        Self { code: 0x06, yes: 0, no: 0, k: 0x0005_0000 | errno.0 as u32 }
    }

    fn bytes(self) -> [u8; 8] {
        let ([a, b], [e, f, g, h]) = (self.code.to_ne_bytes(), self.k.to_ne_bytes());
        [a, b, self.yes, self.no, e, f, g, h]
    }
}

/// Returns what stands before a filter: the answer for calls that are newer than the description.
///
/// Of the architectures that can be named, a machine meets its own kind only.
fn newer(seccomp: &Seccomp) -> Vec<u8> {
    const NUMBER: u32 = 0;
    const MACHINE: u32 = 4;
    const X86_64: u32 = 0xc000_003e;
    const X86: u32 = 0x4000_0003;
    /// The bit of the numbers of x32, which is a mode of x86-64.
    const X32: u32 = 1 << 30;
    match seccomp.default_action {
        Action::Allow | Action::Log | Action::Trace(_) => return Vec::new(),
        Action::Errno(_) | Action::KillProcess | Action::KillThread | Action::Trap => (),
    }
    let lists = |wanted| seccomp.architectures.contains(&wanted);
    let beyond = |arch| match newest(seccomp, arch) {
        Some(k) => vec![Step::greater(k, 0, 1), Step::fail(Errno::ENOSYS)],
        None => Vec::new(),
    };
    let mut wide = beyond(ScmpArch::X8664);
    if let Ok(steps @ 1..) = u8::try_from(wide.len()) {
        wide.insert(0, Step::at_least(X32, steps, 0));
    }
    if lists(Architecture::X32) {
        wide.extend(beyond(ScmpArch::X32));
    }
    let narrow = if lists(Architecture::X86) { beyond(ScmpArch::X86) } else { Vec::new() };
    let mut stub = Vec::new();
    for (machine, tests) in [(X86, narrow), (X86_64, wide)] {
        let (Ok(rest), Ok(over)) = (u32::try_from(stub.len()), u8::try_from(tests.len() + 2))
        else {
            return Vec::new();
        };
        if !tests.is_empty() {
            let begin = [Step::equal(machine, 0, over), Step::load(NUMBER)];
            stub = [&begin, &tests[..], &[Step::jump(rest)], &stub].concat();
        }
    }
    if !stub.is_empty() {
        stub.insert(0, Step::load(MACHINE));
    }
    stub.into_iter().flat_map(Step::bytes).collect()
}

/// Returns the largest number of a call that the description names, with whatever action.
fn newest(seccomp: &Seccomp, arch: ScmpArch) -> Option<u32> {
    let names = seccomp.rules.iter().flat_map(|rule| &rule.names);
    let calls = names.filter_map(|name| ScmpSyscall::from_name_by_arch(name, arch).ok());
    // Below zero stand names that are no calls of that machine.
    let numbers = calls.filter_map(|call| u32::try_from(call.as_raw_syscall()).ok());
    numbers.max().filter(|number| *number != 0)
}

fn action(action: Action) -> ScmpAction {
    match action {
        Action::Allow => ScmpAction::Allow,
        Action::Errno(errno) => ScmpAction::Errno(errno.into()),
        Action::KillProcess => ScmpAction::KillProcess,
        Action::KillThread => ScmpAction::KillThread,
        Action::Log => ScmpAction::Log,
        Action::Trace(number) => ScmpAction::Trace(number),
        Action::Trap => ScmpAction::Trap,
    }
}

fn compare(condition: &Condition) -> ScmpArgCompare {
    let Condition { index, comparison, value, value_two } = *condition;
    let (op, datum) = match comparison {
        Comparison::Equal => (ScmpCompareOp::Equal, value),
        Comparison::Greater => (ScmpCompareOp::Greater, value),
        Comparison::GreaterEqual => (ScmpCompareOp::GreaterEqual, value),
        Comparison::Less => (ScmpCompareOp::Less, value),
        Comparison::LessEqual => (ScmpCompareOp::LessOrEqual, value),
        Comparison::MaskedEqual => (ScmpCompareOp::MaskedEqual(value), value_two),
        Comparison::NotEqual => (ScmpCompareOp::NotEqual, value),
    };
    ScmpArgCompare::new(index.into(), op, datum)
}

fn architecture(architecture: Architecture) -> ScmpArch {
    match architecture {
        Architecture::Aarch64 => ScmpArch::Aarch64,
        Architecture::Arm => ScmpArch::Arm,
        Architecture::Loongarch64 => ScmpArch::Loongarch64,
        Architecture::M68k => ScmpArch::M68k,
        Architecture::Mips => ScmpArch::Mips,
        Architecture::Mips64 => ScmpArch::Mips64,
        Architecture::Mips64n32 => ScmpArch::Mips64N32,
        Architecture::Mipsel => ScmpArch::Mipsel,
        Architecture::Mipsel64 => ScmpArch::Mipsel64,
        Architecture::Mipsel64n32 => ScmpArch::Mipsel64N32,
        Architecture::Parisc => ScmpArch::Parisc,
        Architecture::Parisc64 => ScmpArch::Parisc64,
        Architecture::Ppc => ScmpArch::Ppc,
        Architecture::Ppc64 => ScmpArch::Ppc64,
        Architecture::Ppc64le => ScmpArch::Ppc64Le,
        Architecture::Riscv64 => ScmpArch::Riscv64,
        Architecture::S390 => ScmpArch::S390,
        Architecture::S390x => ScmpArch::S390X,
        Architecture::Sh => ScmpArch::Sh,
        Architecture::Sheb => ScmpArch::Sheb,
        Architecture::X32 => ScmpArch::X32,
        Architecture::X86 => ScmpArch::X86,
        Architecture::X86_64 => ScmpArch::X8664,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(default_action: Action, architectures: Vec<Architecture>) -> Seccomp {
        let names = ["read", "statx", "nosuchcall"].map(str::to_owned).to_vec();
        let rule = Rule { names, action: Action::Allow, conditions: Vec::new() };
        let flags = FilterFlags::default();
        Seccomp { default_action, architectures, flags, rules: vec![rule] }
    }

    fn steps(seccomp: &Seccomp) -> usize {
        newer(seccomp).len() / size_of::<Step>()
    }

    #[test]
    fn only_what_is_not_let_through_may_be_missing() {
        for action in [Action::Allow, Action::Log, Action::Trace(1)] {
            assert_eq!(steps(&described(action, Vec::new())), 0);
        }
        for action in [Action::Errno(1), Action::KillProcess, Action::KillThread, Action::Trap] {
            assert_eq!(steps(&described(action, Vec::new())), 7);
        }
        let x86 = [Architecture::X86, Architecture::X32, Architecture::Aarch64];
        assert_eq!(steps(&described(Action::Errno(1), x86.to_vec())), 14);
        let nothing = Seccomp { rules: Vec::new(), ..described(Action::Trap, x86.to_vec()) };
        assert_eq!(steps(&nothing), 0, "nothing is named");
    }

    #[test]
    fn the_newest_call_is_that_of_the_architecture() {
        let seccomp = described(Action::Trap, Vec::new());
        assert_eq!(newest(&seccomp, ScmpArch::X8664), Some(332));
        assert_eq!(newest(&seccomp, ScmpArch::X86), Some(383));
        assert_eq!(newest(&seccomp, ScmpArch::X32), Some(1 << 30 | 332));
    }
}
