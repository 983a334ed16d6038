//! The `linux.resources` object.

use std::collections::BTreeMap;

use super::node::{Fault, Node, Notes};
use super::words;
use crate::spec::{
    Cpu, DeviceAccess, DeviceRule, DeviceRuleKind, Limit, Memory, Oddity, Reason, Resources,
};

/// Reads resources.
pub(super) fn resources<'d>(
    notes: &mut Notes<'d>,
    node: &'d Node<'d>,
) -> Result<Resources, Fault<'d>> {
    let mut resources = Resources::default();
    for (key, value) in node.fields()? {
        match key {
            "memory" => resources.memory = memory(notes, value)?,
            "cpu" => resources.cpu = cpu(notes, value)?,
            "pids" => resources.pids = pids(notes, value)?,
            "devices" => resources.devices = value.list(|item| device_rule(notes, item))?,
            "unified" => resources.unified = unified(value)?,
            "blockIO" => resources.block_io = super::block::block_io(notes, value)?,
            "hugepageLimits" => resources.hugepages = hugepages(notes, value)?,
            "network" => value.unsupported()?,
            "rdma" => value.unsupported_map()?,
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(resources)
}

fn memory<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Memory, Fault<'d>> {
    let mut memory = Memory::default();
    for (key, value) in node.fields()? {
        match key {
            "limit" => memory.limit = amount(value)?,
            "reservation" => memory.reservation = amount(value)?,
            "swap" => memory.swap = amount(value)?,
            "swappiness" => memory.swappiness = Some(value.integer(0..=100)?),
            "disableOOMKiller" => memory.disable_oom_killer = Some(value.bool()?),
            "checkBeforeUpdate" => memory.check_before_update = value.bool()?,
            "kernel" | "kernelTCP" => {
                if amount(value)?.is_some() {
                    notes.add(value, Oddity::Obsolete);
                }
            }
            // A hierarchy is all there is by now.
            "useHierarchy" => {
                if !value.bool()? {
                    notes.add(value, Oddity::Obsolete);
                }
            }
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(memory)
}

fn cpu<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Cpu, Fault<'d>> {
    let mut cpu = Cpu::default();
    for (key, value) in node.fields()? {
        match key {
            "shares" => cpu.shares = positive(value)?,
            "quota" => cpu.quota = amount(value)?,
            "period" => cpu.period = positive(value)?,
            "burst" => cpu.burst = Some(value.integer(0..=u64::MAX)?),
            "realtimeRuntime" => cpu.realtime_runtime = amount(value)?,
            "realtimePeriod" => cpu.realtime_period = positive(value)?,
            "cpus" => cpu.cpus = ranges(value)?,
            "mems" => cpu.mems = ranges(value)?,
            "idle" => cpu.idle = Some(value.integer(0..=1u8)? == 1),
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(cpu)
}

/// An amount of which -1 is no limit, and 0 no wish.
fn amount<'d>(node: &'d Node<'d>) -> Result<Option<Limit>, Fault<'d>> {
    Ok(match node.integer(-1..=i64::MAX)? {
        0 => None,
        value => Some(u64::try_from(value).map_or(Limit::Max, Limit::Value)),
    })
}

/// An amount of which 0 is no wish.
fn positive<'d>(node: &'d Node<'d>) -> Result<Option<u64>, Fault<'d>> {
    Ok(Some(node.integer(0..=u64::MAX)?).filter(|value| *value != 0))
}

/// A list of ranges such as `0-2,7`.
fn ranges<'d>(node: &'d Node<'d>) -> Result<Option<String>, Fault<'d>> {
    let text = node.some_text()?;
    let is_plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b',' | b'-' | b' ');
    match text {
        Some(text) if !text.bytes().all(is_plain) => {
            Err(node.fault(Reason::Malformed("not a list of ranges")))
        }
        text => Ok(text),
    }
}

fn pids<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<Option<Limit>, Fault<'d>> {
    let mut limit = None;
    for (key, value) in node.fields()? {
        match key {
            "limit" => {
                limit = match u64::try_from(value.integer(-1..=i64::MAX)?) {
                    // To runc 1.1 and 1.2 nothing was asked for.
                    Ok(0) => None,
                    most => Some(most.map_or(Limit::Max, Limit::Value)),
                };
            }
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(limit)
}

fn hugepages<'d>(
    notes: &mut Notes<'d>,
    node: &'d Node<'d>,
) -> Result<BTreeMap<String, u64>, Fault<'d>> {
    let mut pages = BTreeMap::new();
    for item in node.items()? {
        let (mut size, mut limit) = (None, None);
        for (key, value) in item.fields()? {
            match key {
                "pageSize" => size = Some(page_size(value)?),
                "limit" => limit = Some(value.integer(0..=u64::MAX)?),
                _ => notes.add(value, Oddity::Unknown),
            }
        }
        let size = size.ok_or_else(|| item.lacks("pageSize"))?;
        let limit = limit.ok_or_else(|| item.lacks("limit"))?;
        if pages.insert(size, limit).is_some() {
            return Err(item.fault(Reason::Duplicate));
        }
    }
    Ok(pages)
}

/// A size as the kernel has it in the names of its files.
fn page_size<'d>(node: &'d Node<'d>) -> Result<String, Fault<'d>> {
    let size = node.text()?;
    let units = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
    match units.filter(|units| !units.starts_with('0')).map(str::parse::<u32>) {
        Some(Ok(_)) if !size.starts_with('+') => Ok(size.to_owned()),
        _ => Err(node.fault(Reason::Malformed("not a size such as 64KB, 2MB or 1GB"))),
    }
}

fn device_rule<'d>(notes: &mut Notes<'d>, node: &'d Node<'d>) -> Result<DeviceRule, Fault<'d>> {
    let (mut allow, mut access) = (None, None);
    let (mut kind, mut major, mut minor) = (DeviceRuleKind::All, None, None);
    for (key, value) in node.fields()? {
        match key {
            "allow" => allow = Some(value.bool()?),
            "type" => kind = value.word("device type", words::DEVICE_RULES)?,
            "major" => major = number(value)?,
            "minor" => minor = number(value)?,
            "access" => access = Some(device_access(value)?),
            _ => notes.add(value, Oddity::Unknown),
        }
    }
    Ok(DeviceRule {
        allow: allow.ok_or_else(|| node.lacks("allow"))?,
        kind,
        major,
        minor,
        access: access.ok_or_else(|| node.lacks("access"))?,
    })
}

/// A device number of which -1 is any.
fn number<'d>(node: &'d Node<'d>) -> Result<Option<u32>, Fault<'d>> {
    Ok(u32::try_from(node.integer(-1..=i64::from(u32::MAX))?).ok())
}

fn device_access<'d>(node: &'d Node<'d>) -> Result<DeviceAccess, Fault<'d>> {
    let mut access = DeviceAccess::default();
    for letter in node.text()?.bytes() {
        match letter {
            b'm' => access.mknod = true,
            b'r' => access.read = true,
            b'w' => access.write = true,
            _ => return Err(node.fault(Reason::Malformed("other letters than r, w and m"))),
        }
    }
    if access == DeviceAccess::default() { Err(node.fault(Reason::Empty)) } else { Ok(access) }
}

fn unified<'d>(node: &'d Node<'d>) -> Result<BTreeMap<String, String>, Fault<'d>> {
    for (key, value) in node.fields()? {
        let named =
            key.split_once('.').is_some_and(|(head, tail)| !head.is_empty() && !tail.is_empty());
        if !named || key.contains('/') {
            return Err(value.fault(Reason::Malformed("not named CONTROLLER.FILE")));
        }
    }
    super::strings(node)
}
