//! Filters of system calls, compiled by the C library libseccomp.
//!
//! | what a description says | what becomes of it |
//! |---|---|
//! | a call that no machine of libseccomp's has | left out |
//! | a rule with the default action | left out: it changes nothing |
//! | two conditions on one argument | a rule for each: either lets the rule apply, as in runc |
//! | an architecture | added to the machine's own |

use std::fs::File;
use std::io::{Read, Seek};

use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext};
use libseccomp::{ScmpSyscall, ScmpVersion};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::run::Filter;
use crate::spec::{Action, Architecture, Comparison, Condition, FilterFlags, Rule, Seccomp};
use crate::sys::flags;

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
    Ok(Filter { code, flags: installed(seccomp.flags) })
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
