//! What the kernel says of a container, asked now and under the container's lock.
//!
//! | fact    | asked of                                | decides                       |
//! |---------|-----------------------------------------|-------------------------------|
//! | owner   | the lock of the container's home        | whether anybody still makes it |
//! | init    | the init's pidfd, start time and boot,  | whether it is alive at all,   |
//! |         | the lock that its execve(2) releases    | and is its program            |
//! | gate    | the fifo in the container's directory   | created or running            |
//! | cgroup  | the home cgroup                         | what a restore would find     |
//! | freezer | the home cgroup                         | running, pausing or paused    |
//!
//! **Invariant:** there is no value for "could not be asked": who cannot ask has no facts, and a
//! request without facts is refused with the cause. No status is guessed.

/// Everything that the kernel was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Facts {
    /// Whether the maker is at work: it holds the lock as long.
    pub owner: Owner,
    /// Whether the first process lives.
    pub init: Liveness,
    /// Whether the first process still waits to be started.
    pub gate: Gate,
    /// Whether processes are left in the home cgroup.
    pub cgroup: Occupancy,
    /// Whether the home cgroup is frozen.
    pub freezer: Freezer,
}

impl Facts {
    /// What is true of a container that does not exist.
    pub const NONE: Self = Self {
        owner: Owner::Gone,
        init: Liveness::Never,
        gate: Gate::Free,
        cgroup: Occupancy::Absent,
        freezer: Freezer::Thawed,
    };

    /// Lists every combination of facts, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        Owner::ALL.into_iter().flat_map(|owner| {
            Liveness::ALL.into_iter().flat_map(move |init| {
                Gate::ALL.into_iter().flat_map(move |gate| {
                    Occupancy::ALL.into_iter().flat_map(move |cgroup| {
                        Freezer::ALL.into_iter().map(move |freezer| Self {
                            owner,
                            init,
                            gate,
                            cgroup,
                            freezer,
                        })
                    })
                })
            })
        })
    }
}

/// Whether the process that makes the container lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// It lives, and is the one that the record names.
    Alive,
    /// It does not; a stranger under its number counts as this.
    Gone,
}

impl Owner {
    /// Every value, in order.
    pub const ALL: [Self; 2] = [Self::Alive, Self::Gone];
}

/// Whether the container's first process lives; the order is that of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Liveness {
    /// The record names none.
    Never,
    /// It lives, waits at no gate, and is not its program yet: it may still have the host's root.
    Nascent,
    /// It lives.
    Alive,
    /// It has exited and nobody has reaped it.
    Zombie,
    /// Its number is free.
    Gone,
    /// Its number belongs to another process, which is none of our business.
    Stranger,
}

impl Liveness {
    /// Every value, in order.
    pub const ALL: [Self; 6] =
        [Self::Never, Self::Nascent, Self::Alive, Self::Zombie, Self::Gone, Self::Stranger];

    /// Whether it lives.
    #[must_use]
    pub const fn is_alive(self) -> bool {
        matches!(self, Self::Nascent | Self::Alive)
    }
}

/// Whether somebody waits behind the fifo that `start` opens.
///
/// The waiting init holds the fifo open and its `execve` closes it, so created and running are told
/// apart by the kernel and not by a word on disk that a crash could leave stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gate {
    /// Somebody waits.
    Held,
    /// Nobody waits, or there is no gate.
    Free,
}

impl Gate {
    /// Every value, in order.
    pub const ALL: [Self; 2] = [Self::Held, Self::Free];
}

/// Whether processes are left in the home cgroup or below it; the order is that of growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Occupancy {
    /// There is no such cgroup.
    Absent,
    /// The cgroup is there, without a process.
    Empty,
    /// At least one process is in it.
    Populated,
}

impl Occupancy {
    /// Every value, in order.
    pub const ALL: [Self; 3] = [Self::Absent, Self::Empty, Self::Populated];
}

/// Whether the home cgroup itself is frozen; an ancestor's freezing is not the container's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freezer {
    /// No freeze was asked for, or there is no freezer.
    Thawed,
    /// A freeze was asked for and some task has not stopped yet.
    Freezing,
    /// Every task has stopped.
    Frozen,
}

impl Freezer {
    /// Every value, in order.
    pub const ALL: [Self; 3] = [Self::Thawed, Self::Freezing, Self::Frozen];
}
