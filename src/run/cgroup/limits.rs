//! Limits as the files of cgroup v1 and v2 spell them.
//!
//! **Invariant:** pure: resources in, file names and values out, in the order of writing.

use crate::spec::{BlockIo, DeviceWeight, Limit, Resources, Throttle, ThrottleKind};

/// One control file and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The controller that has the file.
    pub(crate) controller: &'static str,
    /// The file.
    pub(crate) file: String,
    /// Its value.
    pub(crate) value: String,
    /// What is done where the kernel has no such file.
    pub(crate) missing: Missing,
}

/// What is done where the kernel has no such file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The limit cannot be had.
    Fail,
    /// Another file has it, with this value.
    Instead(&'static str, String),
    /// Nothing: it is as good.
    Skip,
}

/// Returns what to write for these resources.
pub(crate) fn settings(resources: &Resources, version: u8) -> Vec<Setting> {
    if version == 2 { unified(resources) } else { legacy(resources) }
}

/// A list in the making.
struct Settings(Vec<Setting>);

impl Settings {
    fn add<V: ToString>(&mut self, controller: &'static str, file: &str, value: Option<V>) {
        self.add_or(controller, file, value, Missing::Fail);
    }

    /// The same, and says what is done where the kernel has no such file.
    fn add_or<V: ToString>(
        &mut self,
        controller: &'static str,
        file: &str,
        value: Option<V>,
        missing: Missing,
    ) {
        if let Some(value) = value {
            let (file, value) = (file.to_owned(), value.to_string());
            self.0.push(Setting { controller, file, value, missing });
        }
    }
}

fn legacy(resources: &Resources) -> Vec<Setting> {
    let (memory, cpu) = (&resources.memory, &resources.cpu);
    let minus = |limit: Limit| match limit {
        Limit::Max => "-1".to_owned(),
        Limit::Value(value) => value.to_string(),
    };
    let mut all = Settings(Vec::new());
    all.add("memory", "memory.limit_in_bytes", memory.limit.map(minus));
    // No limit of memory alone means no limit of memory and swap either.
    let swap = memory.swap.or(match memory.limit {
        Some(Limit::Max) => Some(Limit::Max),
        Some(Limit::Value(_)) | None => None,
    });
    all.add_or("memory", "memory.memsw.limit_in_bytes", swap.map(minus), unless(swap));
    all.add("memory", "memory.soft_limit_in_bytes", memory.reservation.map(minus));
    all.add("memory", "memory.swappiness", memory.swappiness);
    all.add("memory", "memory.oom_control", memory.disable_oom_killer.map(u8::from));
    all.add("cpu", "cpu.shares", cpu.shares);
    all.add("cpu", "cpu.cfs_period_us", cpu.period);
    all.add("cpu", "cpu.cfs_quota_us", cpu.quota.map(minus));
    all.add("cpu", "cpu.cfs_burst_us", cpu.burst);
    all.add("cpu", "cpu.rt_period_us", cpu.realtime_period);
    all.add("cpu", "cpu.rt_runtime_us", cpu.realtime_runtime.map(minus));
    all.add("cpu", "cpu.idle", cpu.idle.map(u8::from));
    all.add("cpuset", "cpuset.cpus", cpu.cpus.as_ref());
    all.add("cpuset", "cpuset.mems", cpu.mems.as_ref());
    all.add("pids", "pids.max", resources.pids.map(tasks));
    legacy_block(&mut all, &resources.block_io);
    for (size, limit) in &resources.hugepages {
        all.add("hugetlb", &format!("hugetlb.{size}.limit_in_bytes"), Some(limit));
        // What is reserved is counted from 5.7 on.
        let reserved = format!("hugetlb.{size}.rsvd.limit_in_bytes");
        all.add_or("hugetlb", &reserved, Some(limit), Missing::Skip);
    }
    all.0
}

fn legacy_block(all: &mut Settings, block: &BlockIo) {
    let at = |device: &DeviceWeight, weight| format!("{}:{} {weight}", device.major, device.minor);
    let mut weigh = |file: &str, plain, value: Option<String>| {
        if let Some(value) = value {
            // The scheduler before BFQ, gone with 5.0, had it without the name.
            all.add_or("blkio", file, Some(&value), Missing::Instead(plain, value.clone()));
        }
    };
    weigh("blkio.bfq.weight", "blkio.weight", block.weight.map(|weight| weight.to_string()));
    for device in &block.devices {
        let value = device.weight.map(|weight| at(device, weight));
        weigh("blkio.bfq.weight_device", "blkio.weight_device", value);
    }
    all.add("blkio", "blkio.leaf_weight", block.leaf_weight);
    for device in &block.devices {
        let value = device.leaf_weight.map(|weight| at(device, weight));
        all.add("blkio", "blkio.leaf_weight_device", value);
    }
    for Throttle { major, minor, kind, rate } in &block.throttles {
        let file = match kind {
            ThrottleKind::ReadBytes => "blkio.throttle.read_bps_device",
            ThrottleKind::ReadOperations => "blkio.throttle.read_iops_device",
            ThrottleKind::WriteBytes => "blkio.throttle.write_bps_device",
            ThrottleKind::WriteOperations => "blkio.throttle.write_iops_device",
        };
        all.add("blkio", file, Some(format!("{major}:{minor} {rate}")));
    }
}

fn unified(resources: &Resources) -> Vec<Setting> {
    let (memory, cpu) = (&resources.memory, &resources.cpu);
    let mut all = Settings(Vec::new());
    all.add("memory", "memory.max", memory.limit.map(max));
    let swap = swap(memory.swap, memory.limit);
    all.add_or("memory", "memory.swap.max", swap.map(max), unless(swap));
    all.add("memory", "memory.low", memory.reservation.map(max));
    // An idle cgroup has no weight to be changed (sched_group_set_shares of the kernel).
    all.add("cpu", "cpu.weight", cpu.shares.filter(|shares| *shares != 0).map(weight));
    all.add("cpu", "cpu.idle", cpu.idle.map(u8::from));
    let quota = match (cpu.quota, cpu.period) {
        (quota, Some(period)) => Some(format!("{} {period}", max(quota.unwrap_or(Limit::Max)))),
        // The period stays what it is.
        (Some(quota), None) => Some(max(quota)),
        (None, None) => None,
    };
    all.add("cpu", "cpu.max", quota);
    all.add("cpu", "cpu.max.burst", cpu.burst);
    all.add("cpuset", "cpuset.cpus", cpu.cpus.as_ref());
    all.add("cpuset", "cpuset.mems", cpu.mems.as_ref());
    all.add("pids", "pids.max", resources.pids.map(tasks));
    unified_block(&mut all, &resources.block_io);
    for (size, limit) in &resources.hugepages {
        all.add("hugetlb", &format!("hugetlb.{size}.max"), Some(limit));
        all.add_or("hugetlb", &format!("hugetlb.{size}.rsvd.max"), Some(limit), Missing::Skip);
    }
    for (file, value) in &resources.unified {
        all.add("unified", file, Some(value));
    }
    all.0
}

fn unified_block(all: &mut Settings, block: &BlockIo) {
    // BFQ counts as v1 did; without it, io.weight goes from 1 to 10000.
    let mut weigh = |at: &str, weight: u16| {
        let converted = 1 + u32::from(weight.saturating_sub(10)) * 9999 / 990;
        let instead = Missing::Instead("io.weight", format!("{at}{converted}"));
        all.add_or("io", "io.bfq.weight", Some(format!("{at}{weight}")), instead);
    };
    if let Some(weight) = block.weight {
        weigh("", weight);
    }
    for DeviceWeight { major, minor, weight, .. } in &block.devices {
        if let Some(weight) = weight {
            weigh(&format!("{major}:{minor} "), *weight);
        }
    }
    for Throttle { major, minor, kind, rate } in &block.throttles {
        let key = match kind {
            ThrottleKind::ReadBytes => "rbps",
            ThrottleKind::ReadOperations => "riops",
            ThrottleKind::WriteBytes => "wbps",
            ThrottleKind::WriteOperations => "wiops",
        };
        let rate = if *rate == 0 { "max".to_owned() } else { rate.to_string() };
        all.add("io", "io.max", Some(format!("{major}:{minor} {key}={rate}")));
    }
}

/// What is done where a limit has no file: to do without is as good as no limit.
fn unless(limit: Option<Limit>) -> Missing {
    match limit {
        Some(Limit::Max) => Missing::Skip,
        Some(Limit::Value(_)) | None => Missing::Fail,
    }
}

/// The first task is there in any case, and is not born where none may be.
fn tasks(limit: Limit) -> String {
    match limit {
        Limit::Max => max(limit),
        Limit::Value(most) => most.max(1).to_string(),
    }
}

fn max(limit: Limit) -> String {
    match limit {
        Limit::Max => "max".to_owned(),
        Limit::Value(value) => value.to_string(),
    }
}

/// OCI counts memory and swap together, cgroup v2 swap alone.
fn swap(both: Option<Limit>, memory: Option<Limit>) -> Option<Limit> {
    match (both, memory) {
        (Some(Limit::Value(both)), Some(Limit::Value(memory))) => {
            Some(Limit::Value(both.saturating_sub(memory)))
        }
        (Some(Limit::Value(both)), Some(Limit::Max) | None) => Some(Limit::Value(both)),
        (Some(Limit::Max), _) | (None, Some(Limit::Max)) => Some(Limit::Max),
        (None, Some(Limit::Value(_)) | None) => None,
    }
}

/// Maps shares of v1 (2 to 262144, 1024 usual) to a weight of v2 (1 to 10000, 100 usual) by the
/// quadratic fit in their logarithms that the OCI runtimes agree on.
fn weight(shares: u64) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "at most 2 to the power of 18")]
    let shares = shares.clamp(2, 262_144) as f64;
    let power = shares.log2();
    let exponent = (power * power + 125.0 * power) / 612.0 - 7.0 / 34.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to 10000 by construction"
    )]
    let weight = 10_f64.powf(exponent).ceil() as u64;
    weight.clamp(1, 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Cpu, Memory};

    #[test]
    fn shares_map_to_the_weights_that_the_runtimes_agree_on() {
        assert_eq!([2, 1024, 262_144].map(weight), [1, 100, 10_000]);
    }

    #[test]
    fn v2_counts_swap_alone() {
        let memory = Memory {
            limit: Some(Limit::Value(100)),
            swap: Some(Limit::Value(150)),
            ..Memory::default()
        };
        let resources = Resources { memory, ..Resources::default() };
        let values: Vec<_> =
            settings(&resources, 2).into_iter().map(|s| (s.file, s.value)).collect();
        let expected = [("memory.max", "100"), ("memory.swap.max", "50")];
        assert_eq!(values, expected.map(|(f, v)| (f.to_owned(), v.to_owned())));
    }

    #[test]
    fn v1_writes_the_period_before_the_quota_that_it_bounds() {
        let cpu = Cpu { quota: Some(Limit::Value(5)), period: Some(10), ..Cpu::default() };
        let resources = Resources { cpu, ..Resources::default() };
        let files: Vec<_> = settings(&resources, 1).into_iter().map(|s| s.file).collect();
        assert_eq!(files, ["cpu.cfs_period_us", "cpu.cfs_quota_us"]);
    }

    #[test]
    fn weights_and_throttles_are_spelled_for_either_version() {
        let (major, minor) = (8, 0);
        let device = DeviceWeight { major, minor, weight: Some(1000), leaf_weight: Some(20) };
        let leaf = DeviceWeight { minor: 1, weight: None, leaf_weight: Some(30), ..device };
        let throttle = |kind, rate| Throttle { major, minor, kind, rate };
        let kinds = [(ThrottleKind::ReadBytes, 7), (ThrottleKind::WriteOperations, 0)];
        let block_io = BlockIo {
            weight: Some(10),
            devices: vec![device, leaf],
            throttles: kinds.map(|(kind, rate)| throttle(kind, rate)).to_vec(),
            ..BlockIo::default()
        };
        let resources = Resources { block_io, ..Resources::default() };
        let lines = |version| -> Vec<_> {
            let line = |setting: Setting| match setting.missing {
                Missing::Fail => format!("{} = {}", setting.file, setting.value),
                Missing::Instead(file, value) => {
                    format!("{} = {}, or {file} = {value}", setting.file, setting.value)
                }
                Missing::Skip => format!("{} = {}, or not", setting.file, setting.value),
            };
            settings(&resources, version).into_iter().map(line).collect()
        };
        let v1 = [
            "blkio.bfq.weight = 10, or blkio.weight = 10",
            "blkio.bfq.weight_device = 8:0 1000, or blkio.weight_device = 8:0 1000",
            "blkio.leaf_weight_device = 8:0 20",
            "blkio.leaf_weight_device = 8:1 30",
            "blkio.throttle.read_bps_device = 8:0 7",
            "blkio.throttle.write_iops_device = 8:0 0",
        ];
        assert_eq!(lines(1), v1);
        let v2 = [
            "io.bfq.weight = 10, or io.weight = 1",
            "io.bfq.weight = 8:0 1000, or io.weight = 8:0 10000",
            "io.max = 8:0 rbps=7",
            "io.max = 8:0 wiops=max",
        ];
        assert_eq!(lines(2), v2);
    }

    #[test]
    fn a_quota_of_v2_keeps_its_period_and_no_task_more_is_one() {
        let cpu = Cpu { quota: Some(Limit::Value(5000)), ..Cpu::default() };
        let pids = Some(Limit::Value(0));
        let resources = Resources { cpu, pids, ..Resources::default() };
        let values: Vec<_> = settings(&resources, 2).into_iter().map(|s| s.value).collect();
        assert_eq!(values, ["5000", "1"]);
    }

    #[test]
    fn nothing_asked_is_nothing_written() {
        assert_eq!(settings(&Resources::default(), 1), []);
        assert_eq!(settings(&Resources::default(), 2), []);
    }
}
