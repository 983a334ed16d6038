//! Calls that outlive whoever has asked them.
//!
//! ```text
//! Call<Live>  ──Kept::new──▶  Call<Stored> + bytes   ──Kept::live──▶  Call<Live>
//! borrowed from a body        owned: a history's                      borrowed from here
//! ```
//!
//! **Invariant:** what is made alive asks what was asked: the same operands, and in a room whose
//! content the kernel may leave or read, the same content.

use std::cell::Cell;
use std::ffi::CStr;

use super::parts::{self, each_call};
use crate::sys::{Call, Child, Code, Errno, Form, Live, Op, RawFd, Strings};

/// Operands that are runs of the call's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stored;

impl Form for Stored {
    type Child = Born;
    type Fd = RawFd;
    type In = In;
    type List = List;
    type Out = Out;
    type Pid = u32;
    type Text = Text;
}

/// A run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    at: usize,
    len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct In(Run);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct List(Run);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Text(Run);

/// A room: a run of the rooms, and what was in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Out {
    room: Run,
    content: Run,
}

/// A process to make; what it borrows lies beside the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Born;

/// What a process to make is made of.
#[derive(Debug, PartialEq, Eq)]
struct Birth {
    namespaces: u64,
    cgroup: Option<RawFd>,
    tasks: Box<[RawFd]>,
    given: Box<[RawFd]>,
    mapped: bool,
    ops: Box<[Op]>,
    bytes: Box<[u8]>,
    handed: u8,
}

/// A call with operands of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    call: Call<Stored>,
    bytes: Box<[u8]>,
    birth: Option<Box<Birth>>,
    /// How much room the kernel has for its answer.
    rooms: usize,
}

/// What becomes of the operands on their way into a [`Kept`].
struct Keeper<'k> {
    /// Whether what is in a room is kept.
    content: bool,
    goal: Goal<'k>,
    /// How many bytes there were so far.
    len: usize,
    rooms: usize,
}

/// What for operands are gone through.
enum Goal<'k> {
    /// They are compared with what was kept, and nothing is copied.
    Compare { kept: &'k Kept, same: bool },
    /// They are kept.
    Keep { bytes: Vec<u8>, birth: Option<Box<Birth>> },
}

impl Keeper<'_> {
    fn run(&mut self, new: impl ExactSizeIterator<Item = u8>) -> Run {
        let run = Run { at: self.len, len: new.len() };
        self.len += run.len;
        match &mut self.goal {
            Goal::Compare { kept, same } => *same &= kept.run(run).iter().copied().eq(new),
            Goal::Keep { bytes, .. } => bytes.extend(new),
        }
        run
    }
}

/// An operand that can be kept.
trait Keep {
    type Kept;
    fn keep(self, keeper: &mut Keeper<'_>) -> Self::Kept;
}

/// A kept operand that can be made alive.
trait Revive<'a> {
    type Alive;
    fn revive(self, kept: &'a Kept, rooms: &'a [Cell<u8>]) -> Self::Alive;
}

macro_rules! plain {
    ($($number:ty),*) => {$(
        impl Keep for $number {
            type Kept = Self;
            fn keep(self, _: &mut Keeper<'_>) -> Self {
                self
            }
        }

        impl Revive<'_> for $number {
            type Alive = Self;
            fn revive(self, _: &Kept, _: &[Cell<u8>]) -> Self {
                self
            }
        }
    )*};
}

plain!(i32, u32, u64);

impl Keep for &[u8] {
    type Kept = In;
    fn keep(self, keeper: &mut Keeper<'_>) -> In {
        In(keeper.run(self.iter().copied()))
    }
}

impl<'a> Revive<'a> for In {
    type Alive = &'a [u8];
    fn revive(self, kept: &'a Kept, _: &'a [Cell<u8>]) -> &'a [u8] {
        kept.run(self.0)
    }
}

impl Keep for Strings<'_> {
    type Kept = List;
    fn keep(self, keeper: &mut Keeper<'_>) -> List {
        List(keeper.run(self.0.iter().copied()))
    }
}

impl<'a> Revive<'a> for List {
    type Alive = Strings<'a>;
    fn revive(self, kept: &'a Kept, _: &'a [Cell<u8>]) -> Strings<'a> {
        Strings(kept.run(self.0))
    }
}

impl Keep for &CStr {
    type Kept = Text;
    fn keep(self, keeper: &mut Keeper<'_>) -> Text {
        Text(keeper.run(self.to_bytes_with_nul().iter().copied()))
    }
}

impl<'a> Revive<'a> for Text {
    type Alive = &'a CStr;
    fn revive(self, kept: &'a Kept, _: &'a [Cell<u8>]) -> &'a CStr {
        CStr::from_bytes_with_nul(kept.run(self.0)).unwrap_or_default()
    }
}

impl Keep for &[Cell<u8>] {
    type Kept = Out;
    fn keep(self, keeper: &mut Keeper<'_>) -> Out {
        let room = Run { at: keeper.rooms, len: self.len() };
        keeper.rooms += self.len();
        let kept = if keeper.content { self } else { &[] };
        Out { room, content: keeper.run(kept.iter().map(Cell::get)) }
    }
}

impl<'a> Revive<'a> for Out {
    type Alive = &'a [Cell<u8>];
    fn revive(self, kept: &'a Kept, rooms: &'a [Cell<u8>]) -> &'a [Cell<u8>] {
        let room = rooms.get(self.room.at..self.room.at + self.room.len).unwrap_or_default();
        parts::fill(room, kept.run(self.content));
        room
    }
}

impl Keep for Child<'_> {
    type Kept = Born;
    fn keep(self, keeper: &mut Keeper<'_>) -> Born {
        match &mut keeper.goal {
            Goal::Compare { kept, same } => {
                *same &= kept.birth.as_ref().is_some_and(|birth| birth.is(self));
            }
            Goal::Keep { birth, .. } => *birth = Some(Box::new(Birth::new(self))),
        }
        Born
    }
}

impl<'a> Revive<'a> for Born {
    type Alive = Child<'a>;
    fn revive(self, kept: &'a Kept, _: &'a [Cell<u8>]) -> Child<'a> {
        let Some(birth) = &kept.birth else { unreachable!("who is born was kept") };
        birth.child()
    }
}

impl Birth {
    fn new(child: Child<'_>) -> Self {
        Self {
            namespaces: child.namespaces,
            cgroup: child.cgroup,
            tasks: child.tasks.into(),
            given: child.given.into(),
            mapped: child.mapped,
            ops: child.code.ops.into(),
            bytes: child.code.bytes.into(),
            handed: child.code.given,
        }
    }

    fn child(&self) -> Child<'_> {
        Child {
            namespaces: self.namespaces,
            cgroup: self.cgroup,
            tasks: &self.tasks,
            given: &self.given,
            mapped: self.mapped,
            code: Code { ops: &self.ops, bytes: &self.bytes, given: self.handed },
        }
    }

    fn is(&self, child: Child<'_>) -> bool {
        self.child() == child
    }
}

macro_rules! keep {
    (($call:ident, $keeper:ident) $($name:ident { $($field:ident),* })*) => {
        match *$call {
            $(Call::$name { $($field),* } => {
                Call::$name { $($field: $field.keep($keeper)),* }
            })*
        }
    };
}

macro_rules! revive {
    (($kept:ident, $rooms:ident) $($name:ident { $($field:ident),* })*) => {
        match $kept.call {
            $(Call::$name { $($field),* } => {
                Call::$name { $($field: $field.revive($kept, $rooms)),* }
            })*
        }
    };
}

impl Kept {
    /// Copies a call with everything that it borrows.
    pub(super) fn new(call: &Call<Live<'_>>) -> Self {
        let goal = Goal::Keep { bytes: Vec::new(), birth: None };
        let content = parts::fills_rooms(call);
        let mut keeper = Keeper { content, goal, len: 0, rooms: 0 };
        let call = keep(call, &mut keeper);
        let Keeper { goal, rooms, .. } = keeper;
        let Goal::Keep { bytes, birth } = goal else { unreachable!("the goal stays") };
        Self { call, bytes: bytes.into(), birth, rooms }
    }

    /// Returns whether it is the same call, with the same operands.
    pub(super) fn is(&self, call: &Call<Live<'_>>) -> bool {
        let goal = Goal::Compare { kept: self, same: true };
        let content = parts::fills_rooms(call);
        let mut keeper = Keeper { content, goal, len: 0, rooms: 0 };
        let stored = keep(call, &mut keeper);
        let same = matches!(keeper.goal, Goal::Compare { same: true, .. });
        same && stored == self.call && keeper.len == self.bytes.len()
    }

    /// Shows the call, with `room` as the kernel's, to whoever asks or performs it.
    pub(super) fn with<R>(&self, room: &mut Vec<u8>, see: impl FnOnce(&Call<Live<'_>>) -> R) -> R {
        if room.len() < self.rooms {
            room.resize(self.rooms, 0);
        }
        see(&self.live(Cell::from_mut(room.as_mut_slice()).as_slice_of_cells()))
    }

    fn live<'a>(&'a self, rooms: &'a [Cell<u8>]) -> Call<Live<'a>> {
        let kept = self;
        each_call! { revive(kept, rooms) }
    }

    /// Returns the call's name.
    pub(super) const fn name(&self) -> &'static str {
        self.call.row().name
    }

    /// Returns the errors that the call can give without having done anything.
    pub(super) const fn errnos(&self) -> &'static [Errno] {
        match self.call {
            Call::Close { .. } | Call::CloseRange { .. } => &[],
            _ => self.call.row().errnos,
        }
    }

    fn run(&self, run: Run) -> &[u8] {
        self.bytes.get(run.at..run.at + run.len).unwrap_or_default()
    }
}

fn keep(call: &Call<Live<'_>>, keeper: &mut Keeper<'_>) -> Call<Stored> {
    each_call! { keep(call, keeper) }
}
