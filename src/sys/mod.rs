//! The kernel's vocabulary: calls, errnos, programs and their interpreter, with no I/O of its own.
//!
//! A [`Call`] is one system call with its operands; a [`Kernel`] answers calls; a program is a
//! list of calls that a child performs alone, and a [`Cursor`] is the interpreter that walks it.
//!
//! **Invariant:** nothing here touches the host, and no type of Linux or of `libc` appears.
//!
//! **Invariant:** everything but [`bpf`], [`Program`], [`Builder`] and [`Syscalls`] is core only:
//! the stub is compiled from the same files, without an allocator (see `src/stub.rs`).

#[cfg(not(cofferdam_stub))]
pub mod bpf;
#[cfg(not(cofferdam_stub))]
mod builder;
mod calls;
mod copy;
mod cursor;
mod errno;
mod fd;
pub mod flags;
mod form;
mod kernel;
#[cfg(not(cofferdam_stub))]
mod lint;
#[cfg(any(feature = "linux", cofferdam_stub))]
mod lower;
mod op;
#[cfg(not(cofferdam_stub))]
mod print;
#[cfg(not(cofferdam_stub))]
mod program;
mod reach;
#[cfg(not(cofferdam_stub))]
mod syscalls;

#[cfg(not(cofferdam_stub))]
pub use builder::Builder;
pub use calls::{Call, Row, TABLE};
pub use cursor::{Cursor, Turn};
pub use errno::Errno;
#[cfg(not(cofferdam_stub))]
pub use fd::Fd;
pub use form::{
    Binder, Child, Compiled, Form, Handle, List, Live, Never, Operand, RawFd, Room, Span, Strings,
    Text,
};
pub use kernel::Kernel;
#[cfg(not(cofferdam_stub))]
pub use lint::{Fault, Rule, lint};
#[cfg(any(feature = "linux", cofferdam_stub))]
pub use lower::{Lowered, Scratch, lower, number};
pub use op::{Act, Code, ErrnoSet, OnError, Op, SLOTS, Slot};
#[cfg(not(cofferdam_stub))]
pub use program::Program;
#[cfg(not(cofferdam_stub))]
pub use syscalls::{CWD, Entry, Kind, Stat, Syscalls};
