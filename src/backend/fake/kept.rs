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
struct Keeper {
    /// Whether what is in a room is kept.
    content: bool,
    bytes: Vec<u8>,
    birth: Option<Box<Birth>>,
    rooms: usize,
}

impl Keeper {
    fn run(&mut self, bytes: &[u8]) -> Run {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Run { at, len: bytes.len() }
    }
}

/// An operand that can be kept.
trait Keep {
    type Kept;
    fn keep(self, keeper: &mut Keeper) -> Self::Kept;
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
            fn keep(self, _: &mut Keeper) -> Self {
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
    fn keep(self, keeper: &mut Keeper) -> In {
        In(keeper.run(self))
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
    fn keep(self, keeper: &mut Keeper) -> List {
        List(keeper.run(self.0))
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
    fn keep(self, keeper: &mut Keeper) -> Text {
        Text(keeper.run(self.to_bytes_with_nul()))
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
    fn keep(self, keeper: &mut Keeper) -> Out {
        let room = Run { at: keeper.rooms, len: self.len() };
        keeper.rooms += self.len();
        let kept = if keeper.content { self } else { &[] };
        let content: Vec<u8> = kept.iter().map(Cell::get).collect();
        Out { room, content: keeper.run(&content) }
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
    fn keep(self, keeper: &mut Keeper) -> Born {
        keeper.birth = Some(Box::new(Birth {
            namespaces: self.namespaces,
            cgroup: self.cgroup,
            tasks: self.tasks.into(),
            given: self.given.into(),
            mapped: self.mapped,
            ops: self.code.ops.into(),
            bytes: self.code.bytes.into(),
            handed: self.code.given,
        }));
        Born
    }
}

impl<'a> Revive<'a> for Born {
    type Alive = Child<'a>;
    fn revive(self, kept: &'a Kept, _: &'a [Cell<u8>]) -> Child<'a> {
        let Some(birth) = &kept.birth else { unreachable!("who is born was kept") };
        Child {
            namespaces: birth.namespaces,
            cgroup: birth.cgroup,
            tasks: &birth.tasks,
            given: &birth.given,
            mapped: birth.mapped,
            code: Code { ops: &birth.ops, bytes: &birth.bytes, given: birth.handed },
        }
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
        let content = parts::fills_rooms(call);
        let mut keeper = Keeper { content, bytes: Vec::new(), birth: None, rooms: 0 };
        let stored = keep(call, &mut keeper);
        let Keeper { bytes, birth, rooms, .. } = keeper;
        Self { call: stored, bytes: bytes.into(), birth, rooms }
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

fn keep(call: &Call<Live<'_>>, keeper: &mut Keeper) -> Call<Stored> {
    each_call! { keep(call, keeper) }
}
