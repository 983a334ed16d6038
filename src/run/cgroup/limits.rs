//! Limits as the files of cgroup v1 and v2 spell them.
//!
//! **Invariant:** pure: resources in, file names and values out, in the order of writing.

use crate::spec::{Limit, Resources};

/// One control file and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The controller that has the file.
    pub(crate) controller: &'static str,
    /// The file.
    pub(crate) file: String,
    /// Its value.
    pub(crate) value: String,
    /// Whether a kernel without the file is as good.
    pub(crate) optional: bool,
}

/// Returns what to write for these resources.
pub(crate) fn settings(resources: &Resources, version: u8) -> Vec<Setting> {
    if version == 2 { unified(resources) } else { legacy(resources) }
}

/// A list in the making.
struct Settings(Vec<Setting>);

impl Settings {
    fn add<V: ToString>(&mut self, controller: &'static str, file: &str, value: Option<V>) {
        if let Some(value) = value {
            let (file, value) = (file.to_owned(), value.to_string());
            self.0.push(Setting { controller, file, value, optional: false });
        }
    }

    fn add_optional(&mut self, controller: &'static str, file: &str, value: Option<&str>) {
        self.add(controller, file, value);
        if let (Some(last), Some(_)) = (self.0.last_mut(), value) {
            last.optional = true;
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
    all.add("memory", "memory.memsw.limit_in_bytes", swap.map(minus));
    if let (Some(last), Some(Limit::Max)) = (all.0.last_mut(), swap) {
        last.optional = true;
    }
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
    all.0
}

fn unified(resources: &Resources) -> Vec<Setting> {
    let (memory, cpu) = (&resources.memory, &resources.cpu);
    let mut all = Settings(Vec::new());
    all.add("memory", "memory.max", memory.limit.map(max));
    let swap = swap(memory.swap, memory.limit);
    let optional = matches!(swap, Some(Limit::Max));
    let swap = swap.map(max);
    if optional {
        all.add_optional("memory", "memory.swap.max", swap.as_deref());
    } else {
        all.add("memory", "memory.swap.max", swap);
    }
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
    for (file, value) in &resources.unified {
        all.0.push(Setting {
            controller: "unified",
            file: file.clone(),
            value: value.clone(),
            optional: false,
        });
    }
    all.0
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
