//! Checks a program before anybody performs it.
//!
//! | rule       | what it asks                                                                  |
//! |------------|-------------------------------------------------------------------------------|
//! | descriptor | what is opened is close-on-exec, unless it becomes a standard stream          |
//! | ending     | the last operation ends the program, and so does each that only a child does  |
//! | filter     | what stands behind a system call filter is allowed by it                      |
//! | jump       | jumps land inside the program                                                 |
//! | order      | what needs privilege stands before it is given up                             |
//! | slot       | a slot is filled before it is used                                            |
//!
//! **Invariant:** jumps go forward only, so the order of the operations is the order of events.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::calls::Call;
#[cfg(feature = "linux")]
use super::errno::Errno;
use super::flags;
use super::form::{Compiled, Handle, Operand};
use super::op::{Act, OnError, Op, SLOTS};
use super::program::Program;

/// What is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which operation.
    pub op: u16,
    /// Which rule it breaks.
    pub rule: Rule,
    /// How.
    pub why: String,
}

/// What is asked of programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// What is opened is close-on-exec.
    Descriptor,
    /// What must end, ends.
    Ending,
    /// A filter allows what stands behind it.
    Filter,
    /// Jumps land inside.
    Jump,
    /// Privilege is used before it is given up.
    Order,
    /// Slots are filled before they are used.
    Slot,
}

/// Returns what is wrong with `program`: nothing, for every program that is compiled here.
#[must_use]
pub fn lint(program: &Program) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut walk = Walk { filled: (1 << program.given) - 1, ..Walk::default() };
    for (at, op) in (0u16..).zip(&program.ops) {
        let mut fault = |rule, why: String| faults.push(Fault { op: at, rule, why });
        if let Some(why) = walk.jumps(program, at, op) {
            fault(Rule::Jump, why);
        }
        if let Some(why) = ending(program, at, op) {
            fault(Rule::Ending, why);
        }
        if let Some(why) = walk.uses(op) {
            fault(Rule::Slot, why);
        }
        if let Act::Call(call) = op.act {
            if let Some(why) = leaks(&call) {
                fault(Rule::Descriptor, why.to_string());
            }
            if let Some(why) = walk.needs(&call) {
                fault(Rule::Order, why);
            }
        }
        if walk.dropped && matches!(op.act, Act::Copy { .. } | Act::Reach { .. }) {
            fault(Rule::Order, "a walk after privilege was given up".to_string());
        }
        if let Some(why) = walk.denies(program, op) {
            fault(Rule::Filter, why);
        }
    }
    if !program.ops.last().is_some_and(ends) {
        let op = u16::try_from(program.ops.len()).unwrap_or(u16::MAX).saturating_sub(1);
        let why = "the program runs out instead of ending".to_string();
        faults.push(Fault { op, rule: Rule::Ending, why });
    }
    faults
}

/// What is known where the walk stands.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    /// The slots that hold something.
    filled: u32,
    /// Whether privilege was given up.
    dropped: bool,
    /// Whether filters may be installed without privilege.
    no_new_privs: bool,
    /// Whether `CAP_SYS_ADMIN` was kept nevertheless.
    admin: bool,
    /// Where the last filter is installed.
    filter: Option<u16>,
}

impl Walk {
    fn jumps(&self, program: &Program, at: u16, op: &Op) -> Option<String> {
        let target = |ops: u16| usize::from(at) + usize::from(ops) + 1;
        let ops = match (op.act, op.on_error) {
            (Act::Fork { ops, .. } | Act::Jump { ops }, _) => ops,
            (_, OnError::Skip { ops, .. }) => ops,
            (_, OnError::Split { near_ops, far_ops, .. }) => near_ops.max(far_ops),
            (_, OnError::Accept(_) | OnError::Fail) => return None,
        };
        (target(ops) >= program.ops.len()).then(|| format!("lands at {}", target(ops)))
    }

    /// Checks that each slot used is filled, and fills what the operation fills.
    fn uses(&mut self, op: &Op) -> Option<String> {
        let filled = self.filled;
        let empty = |handle: Handle| handle.as_slot().filter(|slot| filled >> slot & 1 == 0);
        let found = match op.act {
            Act::Call(call) => {
                let mut found = None;
                call.operands(&mut |_, operand| match operand {
                    Operand::Fd(handle) => found = found.or_else(|| empty(handle)),
                    Operand::In(_)
                    | Operand::List(_)
                    | Operand::Number(_)
                    | Operand::Out(_)
                    | Operand::Text(_) => (),
                });
                found
            }
            Act::Copy { from, to } => empty(from).or_else(|| empty(to)),
            Act::Reach { dir, .. } => empty(dir),
            Act::Tell { fd, slot } => empty(fd).or_else(|| empty(Handle::slot(slot.0))),
            Act::Abort { .. } | Act::Check | Act::End | Act::Fork { .. } | Act::Jump { .. } => None,
        };
        if usize::from(op.save.0) < SLOTS {
            self.filled |= 1 << op.save.0;
        }
        found.map(|slot| format!("s{slot} holds nothing"))
    }

    /// Checks that privilege is still there, and notes when it goes.
    fn needs(&mut self, call: &Call<Compiled>) -> Option<String> {
        const SYS_ADMIN: u64 = 1 << 21;
        let name = call.row().name;
        match *call {
            Call::Capset { effective, .. } => {
                self.dropped = true;
                self.admin = effective & SYS_ADMIN != 0;
            }
            Call::Setresuid { uid } if uid != 0 => {
                self.dropped = true;
                self.admin = false;
            }
            Call::Prctl { option: flags::PR_SET_NO_NEW_PRIVS, .. } => self.no_new_privs = true,
            Call::Seccomp { .. } if self.dropped && !self.admin && !self.no_new_privs => {
                return Some("seccomp without CAP_SYS_ADMIN or no_new_privs".to_string());
            }
            _ if self.dropped && is_privileged(call) => {
                return Some(format!("{name} after privilege was given up"));
            }
            _ => (),
        }
        None
    }

    /// Checks that the filter allows the operation, and notes where one is installed.
    fn denies(&mut self, program: &Program, op: &Op) -> Option<String> {
        let why = self.filter.and_then(|filter| denied(program, filter, op));
        if let Act::Call(Call::Seccomp { filter, .. }) = op.act {
            let same = |other: &Op| match other.act {
                Act::Call(Call::Seccomp { filter: its, .. }) => its == filter,
                _ => false,
            };
            let at = program.ops.iter().position(same);
            self.filter = at.and_then(|at| u16::try_from(at).ok());
        }
        why
    }
}

/// Whether a call is one of those that set a container up.
const fn is_privileged(call: &Call<Compiled>) -> bool {
    match call {
        Call::Prctl { option, .. } => *option == flags::PR_CAPBSET_DROP,
        call => matches!(
            call,
            Call::Chroot { .. }
                | Call::Fchownat { .. }
                | Call::Mknodat { .. }
                | Call::Mount { .. }
                | Call::MountSetattr { .. }
                | Call::MoveMount { .. }
                | Call::OpenTree { .. }
                | Call::PivotRoot { .. }
                | Call::Prlimit { .. }
                | Call::Setdomainname { .. }
                | Call::Setgroups { .. }
                | Call::Sethostname { .. }
                | Call::Setns { .. }
                | Call::Setresgid { .. }
                | Call::Umount2 { .. }
                | Call::Unshare { .. }
        ),
    }
}

/// Returns how a call makes a descriptor that would outlive execve(2).
fn leaks(call: &Call<Compiled>) -> Option<&'static str> {
    let cloexec = flags::O_CLOEXEC;
    let kept = match *call {
        Call::Accept { flags, .. } | Call::Pipe2 { flags, .. } => u64::from(flags) & cloexec != 0,
        Call::Dup3 { new, flags, .. } => (0..3).contains(&new.0) || u64::from(flags) & cloexec != 0,
        Call::Fcntl { command, .. } => command != flags::F_DUPFD,
        Call::Ioctl { request: flags::TIOCGPTPEER, argument, .. } => argument & cloexec != 0,
        Call::MemfdCreate { flags, .. } => flags & flags::MFD_CLOEXEC != 0,
        Call::OpenTree { flags, .. } => flags & flags::OPEN_TREE_CLOEXEC != 0,
        Call::Openat2 { flags, .. } => flags & cloexec != 0,
        Call::Socket { kind, .. } | Call::Socketpair { kind, .. } => {
            kind & flags::SOCK_CLOEXEC != 0
        }
        _ => true,
    };
    (!kept).then_some("the descriptor is not close-on-exec")
}

/// Returns how a child's own operations run on into its parent's.
fn ending(program: &Program, at: u16, op: &Op) -> Option<String> {
    let Act::Fork { ops, .. } = op.act else { return None };
    let last = usize::from(at) + usize::from(ops);
    let ended = match program.ops.get(last) {
        // The child goes on where its parent has ended.
        Some(Op { act: Act::Jump { ops }, .. }) => {
            program.ops.get(last + usize::from(*ops)).is_some_and(ends)
        }
        Some(op) => ends(op),
        None => false,
    };
    (ops == 0 || !ended).then(|| format!("the child runs on at {}", last + 1))
}

fn ends(op: &Op) -> bool {
    match op.act {
        Act::Abort { .. } | Act::End => true,
        Act::Call(Call::Execve { .. }) => op.on_error == OnError::Fail,
        Act::Call(call) => matches!(call, Call::Exit { .. }),
        Act::Check
        | Act::Copy { .. }
        | Act::Fork { .. }
        | Act::Jump { .. }
        | Act::Reach { .. }
        | Act::Tell { .. } => false,
    }
}

/// Returns how the filter installed by one operation denies another.
#[cfg(feature = "linux")]
fn denied(program: &Program, filter: u16, op: &Op) -> Option<String> {
    use super::bpf;
    use super::form::Binder;
    use super::lower::{Scratch, lower, number};
    use core::cell::Cell;

    const ALLOW: u32 = 0x7fff_0000;
    const LOG: u32 = 0x7ffc_0000;
    const ERRNO: u32 = 0x0005_0000;
    const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
    let room = [const { Cell::new(0) }; 8];
    let binder = Binder { bytes: &program.bytes, slots: &[0; SLOTS], room: &room };
    let Act::Call(Call::Seccomp { filter, .. }) = program.ops.get(usize::from(filter))?.act else {
        return None;
    };
    let code = program.run(filter.at, filter.len);
    let scratch = Scratch::new();
    let (name, number, words) = match op.act {
        Act::Call(Call::Execve { .. }) => ("execve", number::EXECVE, [0; 6]),
        Act::Call(call) => {
            let lowered = lower(&call.bind(&binder)?, &scratch)?;
            (call.row().name, lowered.number, lowered.words)
        }
        Act::Fork { flags, .. } => {
            let signal = usize::try_from(flags).unwrap_or(0) | flags::SIGCHLD as usize;
            ("clone", number::CLONE, [signal, 0, 0, 0, 0, 0])
        }
        // They take a dozen calls, and none is worth a filter's pardon.
        Act::Copy { .. } | Act::Reach { .. } => {
            return Some("a walk is behind the filter".to_string());
        }
        Act::Tell { .. } => ("write", number::WRITE, [0; 6]),
        Act::Abort { .. } | Act::Check | Act::End | Act::Jump { .. } => return None,
    };
    let number = u32::try_from(number).ok()?;
    let words = words.map(|word| word as u64);
    let asked = bpf::Asked { number, machine: AUDIT_ARCH_X86_64, words };
    let verdict = bpf::verdict(code, &asked).unwrap_or(0);
    let tolerated = verdict & 0xffff_0000 == ERRNO
        && u16::try_from(verdict & 0xffff).is_ok_and(|errno| tolerates(op, Errno(errno)));
    (verdict != ALLOW && verdict != LOG && !tolerated)
        .then(|| format!("the filter answers {name} with {verdict:#x}"))
}

/// Filters are lowered for a machine; without one there is nothing to say.
#[cfg(not(feature = "linux"))]
const fn denied(_: &Program, _: u16, _: &Op) -> Option<String> {
    None
}

#[cfg(feature = "linux")]
fn tolerates(op: &Op, errno: Errno) -> bool {
    match op.on_error {
        OnError::Accept(set) => set.contains(errno),
        OnError::Fail => false,
        OnError::Skip { on, .. } => on.contains(errno),
        OnError::Split { near, far, .. } => near.contains(errno) || far.contains(errno),
    }
}

#[cfg(test)]
mod tests;
