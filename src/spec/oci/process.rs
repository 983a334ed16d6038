//! The `process` object.

use std::collections::BTreeSet;

use super::node::{Fault, Node, Notes};
use super::words;
use crate::spec::{
    CapSet, Capabilities, Capability, ConsoleSize, Oddity, Process, Reason, Rlimit, User,
};

/// The largest id: the one above means "leave as it is" to the kernel.
pub(super) const ID_MAX: u32 = u32::MAX - 1;

/// Reads a `process`.
pub(super) fn process<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Process, Fault<'d>> {
    let mut process = Process::default();
    let (mut args, mut cwd) = (None, None);
    for (key, value) in node.fields()? {
        match key {
            "args" => args = Some(value),
            "cwd" => cwd = Some(value),
            "env" => process.env = env(value)?,
            "terminal" => process.terminal = value.bool()?,
            "consoleSize" => process.console_size = Some(console_size(notes, value)?),
            "user" => process.user = user(notes, value)?,
            "capabilities" => process.capabilities = Some(capabilities(notes, value)?),
            "rlimits" => process.rlimits = rlimits(notes, value)?,
            "noNewPrivileges" => process.no_new_privs = value.bool()?,
            "oomScoreAdj" => process.oom_score_adj = Some(value.integer(-1000..=1000)?),
            "apparmorProfile" => {
                process.apparmor_profile = Some(value.string()?).filter(|name| !name.is_empty());
            }
            "execCPUAffinity" | "ioPriority" | "scheduler" | "selinuxLabel" => {
                value.unsupported()?
            }
            "commandLine" => notes.add(value, Oddity::Platform),
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    let args = args.ok_or_else(|| node.lacks("args"))?;
    process.args = args.list(Node::string)?;
    if process.args.is_empty() {
        return Err(args.fault(Reason::Empty));
    }
    process.cwd = cwd.ok_or_else(|| node.lacks("cwd"))?.absolute()?;
    Ok(process)
}

/// The last value of each name, where that one stands.
fn env<'d>(node: &'d Node<'d>) -> Result<Vec<String>, Fault<'d>> {
    let mut named = node.list(|item| match item.text()?.split_once('=') {
        None | Some(("", _)) => Err(item.fault(Reason::Malformed("not NAME=VALUE"))),
        Some((name, _)) => Ok((name, item.text()?)),
    })?;
    let mut seen = BTreeSet::new();
    named.reverse();
    named.retain(|(name, _)| seen.insert(*name));
    Ok(named.into_iter().rev().map(|(_, entry)| entry.to_owned()).collect())
}

fn console_size<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<ConsoleSize, Fault<'d>> {
    let mut size = ConsoleSize::default();
    for (key, value) in node.fields()? {
        match key {
            "height" => size.rows = value.integer(0..=u16::MAX)?,
            "width" => size.columns = value.integer(0..=u16::MAX)?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(size)
}

fn user<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<User, Fault<'d>> {
    let mut user = User::default();
    for (key, value) in node.fields()? {
        match key {
            "uid" => user.uid = value.integer(0..=ID_MAX)?,
            "gid" => user.gid = value.integer(0..=ID_MAX)?,
            "umask" => user.umask = Some(value.integer(0..=0o777)?),
            "additionalGids" => user.groups = value.list(|item| item.integer(0..=ID_MAX))?,
            "username" => notes.add(value, Oddity::Platform),
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(user)
}

fn capabilities<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Capabilities, Fault<'d>> {
    let mut capabilities = Capabilities::default();
    let (mut effective, mut ambient) = (Vec::new(), Vec::new());
    for (key, value) in node.fields()? {
        match key {
            "bounding" => capabilities.bounding = set(&cap_list(notes, value)?),
            "effective" => effective = cap_list(notes, value)?,
            "permitted" => capabilities.permitted = set(&cap_list(notes, value)?),
            "inheritable" => capabilities.inheritable = set(&cap_list(notes, value)?),
            "ambient" => ambient = cap_list(notes, value)?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    for (item, capability) in &effective {
        if !capabilities.permitted.contains(*capability) {
            return Err(item.fault(Reason::Malformed("effective without being permitted")));
        }
    }
    let source = capabilities.permitted.intersection(capabilities.inheritable);
    ambient.retain(|(item, capability)| {
        let kept = source.contains(*capability);
        if !kept {
            notes.add(item, Oddity::Ambient);
        }
        kept
    });
    capabilities.effective = set(&effective);
    capabilities.ambient = set(&ambient);
    Ok(capabilities)
}

/// The known ones, each with its node.
fn cap_list<'d>(
    notes: &mut Notes<'d>,
    node: &'d Node<'d>,
) -> Result<Vec<(&'d Node<'d>, Capability)>, Fault<'d>> {
    let mut known = Vec::new();
    for item in node.items()? {
        let name = item.text()?;
        match Capability::from_name(name) {
            Some(capability) => known.push((item, capability)),
            None => notes.add(item, Oddity::Capability(name.to_owned())),
        }
    }
    Ok(known)
}

fn set(capabilities: &[(&Node<'_>, Capability)]) -> CapSet {
    capabilities.iter().map(|(_, capability)| *capability).collect()
}

fn rlimits<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Vec<Rlimit>, Fault<'d>> {
    let mut limits: Vec<Rlimit> = Vec::new();
    for item in node.items()? {
        let limit = rlimit(notes, item)?;
        if limits.iter().any(|other| other.kind == limit.kind) {
            return Err(item.fault(Reason::Duplicate));
        }
        limits.push(limit);
    }
    Ok(limits)
}

fn rlimit<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Rlimit, Fault<'d>> {
    let (mut kind, mut soft, mut hard) = (None, None, None);
    for (key, value) in node.fields()? {
        match key {
            "type" => kind = Some(value.word("resource limit", words::RLIMITS)?),
            "soft" => soft = Some(value.integer(0..=u64::MAX)?),
            "hard" => hard = Some(value.integer(0..=u64::MAX)?),
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    let limit = Rlimit {
        kind: kind.ok_or_else(|| node.lacks("type"))?,
        soft: soft.ok_or_else(|| node.lacks("soft"))?,
        hard: hard.ok_or_else(|| node.lacks("hard"))?,
    };
    if limit.soft <= limit.hard {
        Ok(limit)
    } else {
        Err(node.fault(Reason::Malformed("the soft limit is above the hard one")))
    }
}
