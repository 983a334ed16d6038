//! The system call filter.
//!
//! **Invariant:** names of system calls are not looked up here: which exist depends on the
//! architecture, and unknown ones are no error.

use serde::{Deserialize, Serialize};

/// A filter of system calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seccomp {
    /// What happens to calls without a rule.
    pub default_action: Action,
    /// Architectures beside the native one.
    pub architectures: Vec<Architecture>,
    /// How the filter is installed.
    pub flags: FilterFlags,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// What happens to some calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// The calls, at least one.
    pub names: Vec<String>,
    /// What happens to them.
    pub action: Action,
    /// When: all of these must hold.
    pub conditions: Vec<Condition>,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// It is made.
    Allow,
    /// It fails with this errno, at most 4095.
    Errno(u16),
    /// The process is killed.
    KillProcess,
    /// The thread is killed.
    KillThread,
    /// It is made, and logged.
    Log,
    /// A tracer is told, with this number.
    Trace(u16),
    /// The thread gets `SIGSYS`.
    Trap,
}

/// A comparison with an argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Condition {
    /// Which argument, from 0 to 5.
    pub index: u8,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what; of [`Comparison::MaskedEqual`] the mask.
    pub value: u64,
    /// Of [`Comparison::MaskedEqual`] with what.
    pub value_two: u64,
}

/// How an argument is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Comparison {
    /// Equal.
    Equal,
    /// Greater.
    Greater,
    /// Greater or equal.
    GreaterEqual,
    /// Less.
    Less,
    /// Less or equal.
    LessEqual,
    /// Equal once masked.
    MaskedEqual,
    /// Not equal.
    NotEqual,
}

/// How a filter is installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FilterFlags {
    /// Every action but allowing is logged.
    pub log: bool,
    /// Speculative store bypass stays as it is.
    pub spec_allow: bool,
    /// It holds for all threads of the process.
    pub tsync: bool,
}

/// An architecture, by libseccomp's name less `SCMP_ARCH_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Architecture {
    Aarch64,
    Arm,
    Loongarch64,
    M68k,
    Mips,
    Mips64,
    Mips64n32,
    Mipsel,
    Mipsel64,
    Mipsel64n32,
    Parisc,
    Parisc64,
    Ppc,
    Ppc64,
    Ppc64le,
    Riscv64,
    S390,
    S390x,
    Sh,
    Sheb,
    X32,
    X86,
    X86_64,
}
