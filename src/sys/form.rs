//! How a call spells its operands: alive now, or compiled into a program for later.

use core::cell::Cell;
use core::ffi::CStr;

use super::op::{Code, SLOTS, Slot};

/// A descriptor number, as the process that owns it knows it.
pub type RawFd = i32;

/// How a call spells its operands.
pub trait Form: Copy {
    /// A process to make: only a live call can name one.
    type Child: Copy;
    /// A descriptor.
    type Fd: Copy;
    /// Bytes that the kernel reads.
    type In: Copy;
    /// A list of strings, as execve(2) takes it.
    type List: Copy;
    /// Bytes that the kernel writes.
    type Out: Copy;
    /// The number of a process.
    type Pid: Copy;
    /// A NUL-terminated string.
    type Text: Copy;
}

/// Operands alive now: descriptors of the caller and borrowed memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Live<'a>(core::marker::PhantomData<&'a ()>);

impl<'a> Form for Live<'a> {
    type Child = Child<'a>;
    type Fd = RawFd;
    type In = &'a [u8];
    type List = Strings<'a>;
    type Out = &'a [Cell<u8>];
    type Pid = u32;
    type Text = &'a CStr;
}

/// Operands for later: slots of a [`Cursor`](super::Cursor) and offsets into a program's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Compiled;

impl Form for Compiled {
    type Child = Never;
    type Fd = Handle;
    type In = Span;
    type List = List;
    type Out = Room;
    type Pid = Slot;
    type Text = Text;
}

/// What `clone3` is asked for, and the program that the child performs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child<'a> {
    /// The `CLONE_NEW*` flags of the namespaces to make.
    pub namespaces: u64,
    /// A cgroup v2 directory to be born in (`CLONE_INTO_CGROUP`).
    pub cgroup: Option<RawFd>,
    /// Files `tasks` of cgroup v1, open for writing, that the child joins by writing `0`.
    pub tasks: &'a [RawFd],
    /// The descriptors that the child keeps beside 0, 1 and 2; every other one is closed before
    /// the program runs. The first [`Code::given`] of them fill the slots from 0 up, and a failure
    /// of the program is reported on the first.
    pub given: &'a [RawFd],
    /// The child makes a user namespace: it reads one byte from the first given descriptor before
    /// it becomes id 0 and goes on, since its maker has to write its id maps first. End-of-file
    /// makes it exit.
    pub mapped: bool,
    /// What the child does.
    pub code: Code<'a>,
}

/// A value that cannot be: a program cannot make a child of another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Never {}

/// Strings, each ended by NUL, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Strings<'a>(pub &'a [u8]);

impl<'a> Strings<'a> {
    /// Returns each string without its NUL.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let whole = self.0.strip_suffix(&[0]);
        whole.into_iter().flat_map(|bytes| bytes.split(|byte| *byte == 0))
    }
}

/// A descriptor as a program names it.
///
/// A number from 0 up is the descriptor of that number; [`Handle::CWD`] is the working directory;
/// below that stand the slots, filled by earlier operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Handle(pub i32);

impl Handle {
    /// The working directory (`AT_FDCWD`).
    pub const CWD: Self = Self(-100);
    /// No descriptor at all.
    pub const NONE: Self = Self(-1);
    const SLOT: i32 = -1000;

    /// Returns the handle of a slot.
    #[must_use]
    pub const fn slot(slot: u8) -> Self {
        Self(Self::SLOT - slot as i32)
    }

    /// Returns the slot that this handle names, if it names one.
    #[must_use]
    pub fn as_slot(self) -> Option<usize> {
        usize::try_from(Self::SLOT - self.0).ok().filter(|slot| *slot < SLOTS)
    }
}

/// A NUL-terminated string in a program's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Text {
    /// Where it begins.
    pub at: u32,
}

impl Text {
    /// Returns the string in those bytes, if they hold it.
    pub(super) fn within(self, bytes: &[u8]) -> Option<&CStr> {
        let rest = bytes.get(usize::try_from(self.at).ok()?..)?;
        CStr::from_bytes_until_nul(rest).ok()
    }
}

/// A run of a program's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Span {
    /// Where it begins.
    pub at: u32,
    /// How many bytes it has.
    pub len: u32,
}

/// A list of strings in a program's bytes, each ended by NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct List {
    /// Where the strings stand.
    pub span: Span,
    /// How many there are.
    pub count: u32,
}

/// The first `len` bytes of the cursor's own eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Room {
    /// How many bytes; at most eight.
    pub len: u32,
}

/// A compiled operand of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Bytes that the kernel reads.
    In(Span),
    /// A descriptor, or the number that a slot keeps.
    Fd(Handle),
    /// A list of strings.
    List(List),
    /// A plain number.
    Number(u64),
    /// Bytes that the kernel writes.
    Out(Room),
    /// A string.
    Text(Text),
}

macro_rules! operands {
    ($($kind:ty => $variant:ident;)*) => {$(
        impl From<$kind> for Operand {
            fn from(operand: $kind) -> Self {
                Self::$variant(operand.into())
            }
        }
    )*};
}

operands! {
    Handle => Fd;
    List => List;
    Room => Out;
    Span => In;
    Text => Text;
    u32 => Number;
    u64 => Number;
}

impl From<Slot> for Operand {
    fn from(slot: Slot) -> Self {
        Self::Fd(Handle::slot(slot.0))
    }
}

impl From<i32> for Operand {
    fn from(number: i32) -> Self {
        Self::Number(u64::from(number.cast_unsigned()))
    }
}

impl From<Never> for Operand {
    fn from(never: Never) -> Self {
        match never {}
    }
}

/// What compiled operands become alive against.
#[derive(Clone, Copy, Debug)]
pub struct Binder<'a> {
    /// The program's bytes.
    pub bytes: &'a [u8],
    /// The cursor's slots.
    pub slots: &'a [RawFd; SLOTS],
    /// The cursor's eight bytes.
    pub room: &'a [Cell<u8>; 8],
}

/// An operand that can be made alive.
pub(super) trait Bind<'a> {
    /// What it becomes.
    type Alive;

    /// Returns the live operand, or `None` where the program's bytes do not hold it.
    fn bind(self, binder: &Binder<'a>) -> Option<Self::Alive>;
}

macro_rules! same {
    ($($plain:ty),*) => {$(
        impl Bind<'_> for $plain {
            type Alive = Self;
            fn bind(self, _: &Binder<'_>) -> Option<Self> {
                Some(self)
            }
        }
    )*};
}

same!(i32, u32, u64);

impl<'a> Bind<'a> for Never {
    type Alive = Child<'a>;

    fn bind(self, _: &Binder<'a>) -> Option<Child<'a>> {
        match self {}
    }
}

impl Bind<'_> for Handle {
    type Alive = RawFd;

    fn bind(self, binder: &Binder<'_>) -> Option<RawFd> {
        match self.as_slot() {
            Some(slot) => binder.slots.get(slot).copied(),
            None => Some(self.0),
        }
    }
}

impl Bind<'_> for Slot {
    type Alive = u32;

    fn bind(self, binder: &Binder<'_>) -> Option<u32> {
        binder.slots.get(usize::from(self.0)).and_then(|number| u32::try_from(*number).ok())
    }
}

impl<'a> Bind<'a> for Text {
    type Alive = &'a CStr;

    fn bind(self, binder: &Binder<'a>) -> Option<&'a CStr> {
        self.within(binder.bytes)
    }
}

impl<'a> Bind<'a> for Span {
    type Alive = &'a [u8];

    fn bind(self, binder: &Binder<'a>) -> Option<&'a [u8]> {
        let at = usize::try_from(self.at).ok()?;
        binder.bytes.get(at..at.checked_add(usize::try_from(self.len).ok()?)?)
    }
}

impl<'a> Bind<'a> for List {
    type Alive = Strings<'a>;

    fn bind(self, binder: &Binder<'a>) -> Option<Strings<'a>> {
        Some(Strings(self.span.bind(binder)?))
    }
}

impl<'a> Bind<'a> for Room {
    type Alive = &'a [Cell<u8>];

    fn bind(self, binder: &Binder<'a>) -> Option<&'a [Cell<u8>]> {
        binder.room.get(..usize::try_from(self.len).ok()?)
    }
}
