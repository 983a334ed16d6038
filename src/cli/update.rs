//! The command `update`: other limits for a container.

use std::fs;
use std::io::{self, Read};

use crate::spec::{Limit, Resources, oci};

use super::args::{Flag, Parsed};
use super::commands::value;
use super::problem::{Problem, text};
use super::session::{Session, container};

/// The flags, which are runc's.
pub(super) const FLAGS: &[Flag] = &[
    value("resources", "r", "a file with all that is to change, instead of other flags; -: stdin"),
    value("blkio-weight", "", "weight against others at block devices, from 10 to 1000"),
    value("cpu-period", "", "the period of the quota, in microseconds"),
    value("cpu-quota", "", "time in each period, in microseconds; -1: no limit"),
    value("cpu-burst", "", "time that may be saved up, in microseconds"),
    value("cpu-share", "", "weight against others, of 1024"),
    value("cpu-rt-period", "", "the period of real-time scheduling, in microseconds"),
    value("cpu-rt-runtime", "", "real-time scheduling in each period, in microseconds"),
    value("cpu-idle", "", "1: run only when nobody else wants to; 0: do not"),
    value("cpuset-cpus", "", "which processors, as a list of ranges"),
    value("cpuset-mems", "", "which memory nodes, as a list of ranges"),
    value("kernel-memory", "", ""),
    value("kernel-memory-tcp", "", ""),
    value("memory", "", "memory, in bytes or with a unit such as m; -1: no limit"),
    value("memory-reservation", "", "memory kept when the host runs short"),
    value("memory-swap", "", "memory and swap together; -1: no limit"),
    value("pids-limit", "", "how many tasks; -1: no limit"),
    value("l3-cache-schema", "", "a share of the cache (not supported)"),
    value("mem-bw-schema", "", "a share of the memory's bandwidth (not supported)"),
];

/// Changes what a container may use.
pub(super) fn update(session: &Session<'_>, parsed: &Parsed) -> Result<u8, Problem> {
    let names = FLAGS.iter().map(|flag| flag.name);
    let resources = match names.filter(|name| given(parsed, name)).find(|name| *name != "resources")
    {
        Some(other) if given(parsed, "resources") => {
            return Err(Problem::new(format!("--resources and --{other} exclude each other")));
        }
        None if given(parsed, "resources") => described(session, parsed)?,
        Some(_) | None => flagged(session, parsed)?,
    };
    let runtime = session.runtime()?;
    container(&runtime, parsed)?.update(&resources)?;
    Ok(0)
}

fn given(parsed: &Parsed, name: &str) -> bool {
    parsed.value(name).is_some_and(|value| !value.is_empty())
}

/// Reads limits from a file.
fn described(session: &Session<'_>, parsed: &Parsed) -> Result<Resources, Problem> {
    let path = parsed.value("resources").unwrap_or_default();
    let json = match path {
        "-" => {
            let mut json = Vec::new();
            io::stdin().read_to_end(&mut json).map(|_| json)
        }
        path => fs::read(path),
    };
    let json = json.map_err(|error| Problem::of(format!("open {path}"), text(&error)))?;
    let read = oci::read_resources(&json).map_err(|invalid| Problem::of(path, invalid))?;
    for warning in &read.warnings {
        session.log.debug(|| format!("{path}: {warning}"));
    }
    Ok(read.value)
}

/// Reads limits from flags.
fn flagged(session: &Session<'_>, parsed: &Parsed) -> Result<Resources, Problem> {
    for name in ["l3-cache-schema", "mem-bw-schema"] {
        if given(parsed, name) {
            return Err(Problem::new(format!("--{name} is not supported")));
        }
    }
    for name in ["kernel-memory", "kernel-memory-tcp"] {
        if given(parsed, name) {
            session.log.warning(&format!("Setting --{name} is ignored: it is obsolete"));
        }
    }
    let mut resources = Resources::default();
    let cpu = &mut resources.cpu;
    cpu.period = number(parsed, "cpu-period")?.filter(|value| *value != 0);
    cpu.quota = amount(parsed, "cpu-quota", whole)?;
    cpu.burst = number(parsed, "cpu-burst")?;
    cpu.shares = number(parsed, "cpu-share")?.filter(|value| *value != 0);
    cpu.realtime_period = number(parsed, "cpu-rt-period")?.filter(|value| *value != 0);
    cpu.realtime_runtime = amount(parsed, "cpu-rt-runtime", whole)?;
    cpu.idle = match number(parsed, "cpu-idle")? {
        None => None,
        Some(value @ 0..=1) => Some(value == 1),
        Some(_) => return Err(wrong(parsed, "cpu-idle")),
    };
    cpu.cpus = parsed.value("cpuset-cpus").filter(|list| !list.is_empty()).map(str::to_owned);
    cpu.mems = parsed.value("cpuset-mems").filter(|list| !list.is_empty()).map(str::to_owned);
    let memory = &mut resources.memory;
    memory.limit = size(parsed, "memory")?;
    memory.reservation = size(parsed, "memory-reservation")?;
    memory.swap = size(parsed, "memory-swap")?;
    resources.block_io.weight = match number(parsed, "blkio-weight")? {
        None | Some(0) => None,
        Some(weight @ 10..=1000) => u16::try_from(weight).ok(),
        Some(_) => return Err(wrong(parsed, "blkio-weight")),
    };
    resources.pids = match number(parsed, "pids-limit") {
        Ok(most) => most.map(Limit::Value),
        Err(_) => amount(parsed, "pids-limit", whole)?,
    };
    Ok(resources)
}

fn wrong(parsed: &Parsed, name: &str) -> Problem {
    let value = parsed.value(name).unwrap_or_default();
    Problem::new(format!("invalid value for {name}: {value:?}"))
}

fn whole(word: &str) -> Option<u64> {
    word.parse().ok()
}

fn number(parsed: &Parsed, name: &str) -> Result<Option<u64>, Problem> {
    let Some(word) = parsed.value(name).filter(|word| !word.is_empty()) else { return Ok(None) };
    whole(word).map(Some).ok_or_else(|| wrong(parsed, name))
}

/// An amount of which -1 is no limit, and 0 no wish.
fn amount(
    parsed: &Parsed,
    name: &str,
    read: fn(&str) -> Option<u64>,
) -> Result<Option<Limit>, Problem> {
    match parsed.value(name) {
        None | Some("") => Ok(None),
        Some("-1") => Ok(Some(Limit::Max)),
        Some(word) => match read(word) {
            Some(0) => Ok(None),
            // Further than the kernel's own numbers reach.
            Some(value) if i64::try_from(value).is_err() => Err(wrong(parsed, name)),
            Some(value) => Ok(Some(Limit::Value(value))),
            None => Err(wrong(parsed, name)),
        },
    }
}

/// An amount of bytes.
fn size(parsed: &Parsed, name: &str) -> Result<Option<Limit>, Problem> {
    amount(parsed, name, bytes).map_err(|_| {
        let value = parsed.value(name).unwrap_or_default();
        Problem::new(format!("invalid value for {name}: invalid size: '{value}'"))
    })
}

/// Reads bytes as clients of docker write them: `65536`, `64k`, `1.5GiB`, `64 mb`.
fn bytes(word: &str) -> Option<u64> {
    let end = word.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (amount, unit) = word.split_at(end.unwrap_or(word.len()));
    let unit = unit.trim_start_matches(' ').to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let unit = match unit.strip_suffix('i') {
        Some("") => return None,
        stripped => stripped.unwrap_or(unit),
    };
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == unit)?;
    let factor = 1_u64 << (10 * power);
    let (units, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let units: u64 = units.parse().ok()?;
    let digits = u32::try_from(fraction.len()).ok().filter(|digits| *digits <= 9)?;
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = u128::from(fraction) * u128::from(factor) / 10_u128.pow(digits);
    units.checked_mul(factor)?.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_units_of_docker() {
        let expected = [
            ("0", Some(0)),
            ("65536", Some(65536)),
            ("64k", Some(65536)),
            ("64KB", Some(65536)),
            ("64KiB", Some(65536)),
            ("64 m", Some(64 << 20)),
            ("1.5g", Some(3 << 29)),
            ("2TiB", Some(2 << 40)),
            ("7b", Some(7)),
            ("", None),
            ("k", None),
            ("-1", None),
            ("1i", None),
            ("1x", None),
            ("1.2.3k", None),
            ("99999999999p", None),
        ];
        for (word, value) in expected {
            assert_eq!(bytes(word), value, "{word}");
        }
    }
}
