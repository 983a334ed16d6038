//! What a container uses, as its cgroups count it.
//!
//! | figure | cgroup v1 | cgroup v2 |
//! |---|---|---|
//! | [`CpuStats`] | `cpuacct.usage*`, `cpu.stat` | `cpu.stat` |
//! | [`MemoryStats`] | `memory.*`, with `memsw` and `kmem` | `memory.*`, with `swap` |
//! | [`PidsStats`] | `pids.*` | `pids.*` |
//! | [`BlockStats`] | `blkio.throttle.io_*` | `io.stat` |
//!
//! **Invariant:** what the kernel does not count is 0 or not in a list, never a failure: which
//! controllers there are differs from host to host.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::state::CgroupDir;
use crate::sys::{CWD, Errno, Kernel, Syscalls, flags};

use super::error::{Doing, Failure};

/// What a container uses; as JSON it is the data of runc's `events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Processors.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Tasks.
    pub pids: PidsStats,
    /// Block devices.
    pub blkio: BlockStats,
}

/// Time on processors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuStats {
    /// How much was used.
    pub usage: CpuUsage,
    /// How often more was wanted.
    pub throttling: Throttling,
}

/// Time used, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuUsage {
    /// In all.
    pub total: u64,
    /// On each processor; cgroup v2 does not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// Outside of it.
    pub user: u64,
}

/// What a quota of time has held back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods in which something ran.
    pub periods: u64,
    /// Those of them in which the quota was used up.
    pub throttled_periods: u64,
    /// For how long, in nanoseconds.
    pub throttled_time: u64,
}

/// Memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStats {
    /// Pages of files.
    pub cache: u64,
    /// Memory.
    pub usage: Amount,
    /// Memory and swap together.
    pub swap: Amount,
    /// The kernel's own; cgroup v1 only.
    pub kernel: Amount,
    /// The kernel's own for TCP; cgroup v1 only.
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Amount,
    /// The file `memory.stat`.
    pub raw: BTreeMap<String, u64>,
    /// How many processes were killed for want of memory.
    #[serde(skip)]
    pub oom_kills: u64,
}

/// What is used of something that has a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// The limit; the largest number is none.
    pub limit: u64,
    /// What is used now.
    pub usage: u64,
    /// The most that was used.
    pub max: u64,
    /// How often the limit was met.
    pub failcnt: u64,
}

/// Tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PidsStats {
    /// How many there are.
    pub current: u64,
    /// How many there may be; 0 is any number.
    pub limit: u64,
}

/// What went to and from block devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockStats {
    /// In bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlockEntry>,
    /// In requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlockEntry>,
}

/// One device and one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlockEntry {
    /// The device's major number.
    pub major: u64,
    /// Its minor number.
    pub minor: u64,
    /// `Read`, `Write` or another word of the kernel's.
    pub op: String,
    /// How much.
    pub value: u64,
}

/// Reads what the cgroups of a container say.
pub(super) fn read<K: Kernel>(kernel: &K, dirs: &[CgroupDir]) -> Result<Stats, Failure> {
    let mut stats = Stats::default();
    for dir in dirs {
        let files = Files { kernel, dir: &dir.path };
        files.tasks(&mut stats.pids)?;
        if dir.version == 2 {
            files.unified(&mut stats)?;
        } else {
            files.legacy(&mut stats)?;
        }
    }
    Ok(stats)
}

/// The files of one directory.
struct Files<'k, K: Kernel> {
    kernel: &'k K,
    dir: &'k str,
}

impl<K: Kernel> Files<'_, K> {
    fn legacy(&self, stats: &mut Stats) -> Result<(), Failure> {
        let usage = &mut stats.cpu.usage;
        if let Some(total) = self.number("cpuacct.usage")? {
            let each = self.text("cpuacct.usage_percpu")?.unwrap_or_default();
            usage.total = total;
            usage.percpu = each.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            usage.kernel = self.number("cpuacct.usage_sys")?.unwrap_or(0);
            usage.user = self.number("cpuacct.usage_user")?.unwrap_or(0);
        }
        self.throttled(stats, "throttled_time", 1)?;
        let memory = &mut stats.memory;
        for (name, amount) in [
            ("memory", &mut memory.usage),
            ("memory.memsw", &mut memory.swap),
            ("memory.kmem", &mut memory.kernel),
            ("memory.kmem.tcp", &mut memory.kernel_tcp),
        ] {
            let Some(limit) = self.number(&format!("{name}.limit_in_bytes"))? else { continue };
            amount.limit = limit;
            amount.usage = self.number(&format!("{name}.usage_in_bytes"))?.unwrap_or(0);
            amount.max = self.number(&format!("{name}.max_usage_in_bytes"))?.unwrap_or(0);
            amount.failcnt = self.number(&format!("{name}.failcnt"))?.unwrap_or(0);
        }
        self.detailed(memory, "cache", "memory.oom_control")?;
        let block = &mut stats.blkio;
        block.io_service_bytes_recursive.extend(self.entries("io_service_bytes")?);
        block.io_serviced_recursive.extend(self.entries("io_serviced")?);
        Ok(())
    }

    fn unified(&self, stats: &mut Stats) -> Result<(), Failure> {
        const MICROSECOND: u64 = 1000;
        let cpu = self.table("cpu.stat")?;
        let time = |name: &str| cpu.get(name).copied().unwrap_or(0).saturating_mul(MICROSECOND);
        let usage = &mut stats.cpu.usage;
        usage.total = time("usage_usec");
        (usage.kernel, usage.user) = (time("system_usec"), time("user_usec"));
        self.throttled(stats, "throttled_usec", MICROSECOND)?;
        let memory = &mut stats.memory;
        if let Some(used) = self.number("memory.current")? {
            let limit = self.number("memory.max")?.unwrap_or(u64::MAX);
            let max = self.number("memory.peak")?.unwrap_or(0);
            let failcnt = self.table("memory.events")?.remove("max").unwrap_or(0);
            memory.usage = Amount { limit, usage: used, max, failcnt };
            let swapped = self.number("memory.swap.current")?.unwrap_or(0);
            let most = self.number("memory.swap.max")?.unwrap_or(u64::MAX);
            memory.swap.limit = limit.saturating_add(most);
            memory.swap.usage = used.saturating_add(swapped);
        }
        self.detailed(memory, "file", "memory.events")?;
        for line in self.text("io.stat")?.unwrap_or_default().lines() {
            let mut words = line.split_whitespace();
            let Some(device) = words.next() else { continue };
            for (name, value) in words.filter_map(|word| word.split_once('=')) {
                let (op, bytes) = match name {
                    "rbytes" => ("Read", true),
                    "wbytes" => ("Write", true),
                    "rios" => ("Read", false),
                    "wios" => ("Write", false),
                    _ => continue,
                };
                let block = &mut stats.blkio;
                let entries = if bytes {
                    &mut block.io_service_bytes_recursive
                } else {
                    &mut block.io_serviced_recursive
                };
                entries.extend(entry(device, op, value));
            }
        }
        Ok(())
    }

    fn tasks(&self, pids: &mut PidsStats) -> Result<(), Failure> {
        if let Some(current) = self.number("pids.current")? {
            pids.current = current;
            pids.limit = self.number("pids.max")?.filter(|most| *most != u64::MAX).unwrap_or(0);
        }
        Ok(())
    }

    fn throttled(&self, stats: &mut Stats, time: &str, unit: u64) -> Result<(), Failure> {
        let table = self.table("cpu.stat")?;
        let (Some(periods), Some(throttled)) = (table.get("nr_periods"), table.get("nr_throttled"))
        else {
            return Ok(());
        };
        stats.cpu.throttling = Throttling {
            periods: *periods,
            throttled_periods: *throttled,
            throttled_time: table.get(time).copied().unwrap_or(0).saturating_mul(unit),
        };
        Ok(())
    }

    fn detailed(&self, memory: &mut MemoryStats, cache: &str, kills: &str) -> Result<(), Failure> {
        let raw = self.table("memory.stat")?;
        if !raw.is_empty() {
            memory.cache = raw.get(cache).copied().unwrap_or(0);
            memory.raw = raw;
            memory.oom_kills = self.table(kills)?.remove("oom_kill").unwrap_or(0);
        }
        Ok(())
    }

    /// Reads lines of a device, a direction and a number.
    fn entries(&self, file: &str) -> Result<Vec<BlockEntry>, Failure> {
        let whole = self.text(&format!("blkio.throttle.{file}_recursive"))?;
        let text = match whole {
            Some(text) => text,
            None => self.text(&format!("blkio.throttle.{file}"))?.unwrap_or_default(),
        };
        let entry = |line: &str| {
            let mut words = line.split_whitespace();
            entry(words.next()?, words.next()?, words.next()?)
        };
        Ok(text.lines().filter_map(entry).collect())
    }

    /// Reads lines of a name and a number.
    fn table(&self, file: &str) -> Result<BTreeMap<String, u64>, Failure> {
        let text = self.text(file)?.unwrap_or_default();
        let row = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        Ok(text.lines().filter_map(row).collect())
    }

    fn number(&self, file: &str) -> Result<Option<u64>, Failure> {
        let text = self.text(file)?;
        Ok(text.and_then(|text| match text.trim() {
            "max" => Some(u64::MAX),
            word => word.parse().ok(),
        }))
    }

    /// Reads a file; none where the kernel does not count that.
    fn text(&self, file: &str) -> Result<Option<String>, Failure> {
        let path = format!("{}/{file}", self.dir);
        let what = || format!("read {path}");
        let name = K::name(path.as_str()).doing(what)?;
        let opened = self.kernel.open(CWD, &name, flags::O_RDONLY);
        match opened.and_then(|opened| self.kernel.read_all(opened.raw())) {
            Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
            Err(Errno::ENODEV | Errno::ENOENT | Errno::EOPNOTSUPP) => Ok(None),
            Err(errno) => Err(Failure::new(what(), errno)),
        }
    }
}

fn entry(device: &str, op: &str, value: &str) -> Option<BlockEntry> {
    let (major, minor) = device.split_once(':')?;
    let [major, minor, value] = [major, minor, value].map(|word| word.parse().ok());
    Some(BlockEntry { major: major?, minor: minor?, op: op.to_owned(), value: value? })
}
