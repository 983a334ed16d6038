//! The `linux.seccomp` object.

use super::node::{Fault, Node, Notes};
use super::words::{self, FilterFlag};
use crate::spec::{Action, Condition, FilterFlags, Oddity, Reason, Rule, Seccomp};

/// The action of a supervisor, the one that is not supported.
const NOTIFY: &str = "SCMP_ACT_NOTIFY";

/// The largest errno that the kernel returns from a filter.
const ERRNO_MAX: u16 = 4095;

/// The arguments of a system call.
const ARGUMENTS: u8 = 6;

/// Reads a filter.
pub(super) fn seccomp<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Seccomp, Fault<'d>> {
    let (mut default, mut errno) = (None, None);
    let mut seccomp = Seccomp {
        default_action: Action::Allow,
        architectures: Vec::new(),
        // What a document without flags means, since before there were flags.
        flags: FilterFlags { spec_allow: true, ..FilterFlags::default() },
        rules: Vec::new(),
    };
    for (key, value) in node.fields()? {
        match key {
            "defaultAction" => default = Some(action(value)?),
            "defaultErrnoRet" => errno = Some(value),
            "architectures" => {
                seccomp.architectures =
                    value.list(|item| item.word("architecture", words::ARCHITECTURES))?;
            }
            "flags" => seccomp.flags = flags(value)?,
            "syscalls" => seccomp.rules = value.list(|item| rule(notes, item))?,
            "listenerPath" | "listenerMetadata" => value.unsupported()?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    let default = default.ok_or_else(|| node.lacks("defaultAction"))?;
    seccomp.default_action = errno.map_or(Ok(default), |node| numbered(default, node))?;
    Ok(seccomp)
}

fn action<'d>(node: &'d Node<'d>) -> Result<Action, Fault<'d>> {
    match node.text()? {
        NOTIFY => Err(node.fault(Reason::Unsupported)),
        _ => node.word("action", words::ACTIONS),
    }
}

/// The action with the number given.
fn numbered<'d>(action: Action, node: &'d Node<'d>) -> Result<Action, Fault<'d>> {
    match action {
        Action::Errno(_) => Ok(Action::Errno(node.integer(0..=ERRNO_MAX)?)),
        Action::Trace(_) => Ok(Action::Trace(node.integer(0..=u16::MAX)?)),
        Action::Allow | Action::KillProcess | Action::KillThread | Action::Log | Action::Trap => {
            Err(node.fault(Reason::Malformed("the action takes no errno")))
        }
    }
}

fn flags<'d>(node: &'d Node<'d>) -> Result<FilterFlags, Fault<'d>> {
    let mut flags = FilterFlags::default();
    for item in node.items()? {
        match item.word("flag", words::FILTER_FLAGS)? {
            FilterFlag::Log => flags.log = true,
            FilterFlag::SpecAllow => flags.spec_allow = true,
            FilterFlag::Tsync => flags.tsync = true,
            FilterFlag::Unsupported => return Err(item.fault(Reason::Unsupported)),
        }
    }
    Ok(flags)
}

fn rule<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Rule, Fault<'d>> {
    let (mut names, mut act, mut errno, mut conditions) = (None, None, None, Vec::new());
    for (key, value) in node.fields()? {
        match key {
            "names" => names = Some(value),
            "action" => act = Some(action(value)?),
            "errnoRet" => errno = Some(value),
            "args" => conditions = value.list(|item| condition(notes, item))?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    let names = names.ok_or_else(|| node.lacks("names"))?;
    if names.items()?.is_empty() {
        return Err(names.fault(Reason::Empty));
    }
    let act = act.ok_or_else(|| node.lacks("action"))?;
    let action = errno.map_or(Ok(act), |node| numbered(act, node))?;
    Ok(Rule { names: names.list(Node::string)?, action, conditions })
}

fn condition<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Condition, Fault<'d>> {
    let (mut index, mut value_one, mut value_two, mut comparison) = (None, None, 0, None);
    for (key, value) in node.fields()? {
        match key {
            "index" => index = Some(value.integer(0..=ARGUMENTS - 1)?),
            "value" => value_one = Some(value.integer(0..=u64::MAX)?),
            "valueTwo" => value_two = value.integer(0..=u64::MAX)?,
            "op" => comparison = Some(value.word("comparison", words::COMPARISONS)?),
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(Condition {
        index: index.ok_or_else(|| node.lacks("index"))?,
        comparison: comparison.ok_or_else(|| node.lacks("op"))?,
        value: value_one.ok_or_else(|| node.lacks("value"))?,
        value_two,
    })
}
