//! The cgroup of a container and the resources it is given.
//!
//! **Invariant:** None is "leave as it is"; so the same type serves `create` and `update`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cgroup {
    /// Where it is, as the driver understands it; none: a place named after the container.
    pub path: Option<String>,
    /// What it may use.
    pub resources: Resources,
    /// Whether there is none: the container stays in its maker's, without limits, and cannot be
    /// paused.
    pub disabled: bool,
}

/// What a cgroup may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// Memory.
    pub memory: Memory,
    /// Processors.
    pub cpu: Cpu,
    /// How many tasks. 0 is a limit too: no second task.
    pub pids: Option<Limit>,
    /// Reading and writing of block devices.
    pub block_io: BlockIo,
    /// Huge pages in bytes, by their size as the kernel spells it, such as `2MB`.
    pub hugepages: BTreeMap<String, u64>,
    /// Devices, later rules before earlier ones.
    pub devices: Vec<DeviceRule>,
    /// Files of cgroup v2 and what to write into them.
    pub unified: BTreeMap<String, String>,
}

/// An amount, or no limit at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Limit {
    /// No limit.
    Max,
    /// At most this.
    Value(u64),
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Memory {
    /// Memory.
    pub limit: Option<Limit>,
    /// Memory kept when the host runs short.
    pub reservation: Option<Limit>,
    /// Memory and swap together.
    pub swap: Option<Limit>,
    /// How readily pages are swapped out, at most 100.
    pub swappiness: Option<u64>,
    /// Whether tasks wait for memory rather than being killed.
    pub disable_oom_killer: Option<bool>,
    /// Whether a limit below what is in use is refused.
    pub check_before_update: bool,
}

/// Processors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cpu {
    /// Weight against others, of 1024.
    pub shares: Option<u64>,
    /// Time in each period, in microseconds.
    pub quota: Option<Limit>,
    /// The period, in microseconds.
    pub period: Option<u64>,
    /// Time that may be saved up, in microseconds.
    pub burst: Option<u64>,
    /// Real-time scheduling in each period, in microseconds.
    pub realtime_runtime: Option<Limit>,
    /// That period, in microseconds.
    pub realtime_period: Option<u64>,
    /// Which processors, as a list of ranges.
    pub cpus: Option<String>,
    /// Which memory nodes, as a list of ranges.
    pub mems: Option<String>,
    /// Whether it runs only when nobody else wants to.
    pub idle: Option<bool>,
}

/// Reading and writing of block devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockIo {
    /// Weight against others, from 10 to 1000.
    pub weight: Option<u16>,
    /// Weight of the tasks against cgroups below; only of cgroup v1.
    pub leaf_weight: Option<u16>,
    /// Weights that differ at some devices.
    pub devices: Vec<DeviceWeight>,
    /// How much at most, by device.
    pub throttles: Vec<Throttle>,
}

/// The weight at one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceWeight {
    /// The driver.
    pub major: u32,
    /// The device.
    pub minor: u32,
    /// Weight against others, from 10 to 1000.
    pub weight: Option<u16>,
    /// Weight of the tasks against cgroups below; only of cgroup v1.
    pub leaf_weight: Option<u16>,
}

/// A limit at one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Throttle {
    /// The driver.
    pub major: u32,
    /// The device.
    pub minor: u32,
    /// Of what.
    pub kind: ThrottleKind,
    /// How much in a second; 0: no limit.
    pub rate: u64,
}

/// What a throttle counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ThrottleKind {
    /// Bytes read.
    ReadBytes,
    /// Reads.
    ReadOperations,
    /// Bytes written.
    WriteBytes,
    /// Writes.
    WriteOperations,
}

/// Devices that tasks may use, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Whether they may.
    pub allow: bool,
    /// Which kind.
    pub kind: DeviceRuleKind,
    /// Which driver; none: any.
    pub major: Option<u32>,
    /// Which device; none: any.
    pub minor: Option<u32>,
    /// In which way.
    pub access: DeviceAccess,
}

/// Which kind of device a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeviceRuleKind {
    /// All devices, whatever their numbers.
    All,
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

/// What is done with a device; at least one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceAccess {
    /// Making its node.
    pub mknod: bool,
    /// Reading.
    pub read: bool,
    /// Writing.
    pub write: bool,
}
