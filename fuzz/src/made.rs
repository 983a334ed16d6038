//! What targets make of bytes alike: choices, and kernels by their names.

use std::fmt::{self, Debug, Formatter};
use std::ops::Deref;

use arbitrary::{Arbitrary, Result, Unstructured};
use cofferdam::backend::fake::{Named, Profile};

/// One of a list, by a byte.
#[derive(Clone, Copy, Debug, Default, Arbitrary)]
pub(crate) struct Choice(u8);

impl Choice {
    /// Returns what was chosen; a list has at least one entry.
    pub(crate) fn of<T: Copy>(self, all: &[T]) -> T {
        all[usize::from(self.0) % all.len()]
    }
}

/// A kernel that has a name.
#[derive(Clone, Copy)]
pub(crate) struct Kernel(Named);

impl Debug for Kernel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.0)
    }
}

impl Kernel {
    /// Returns its profile.
    pub(crate) fn profile(self) -> Profile {
        self.0.1()
    }
}

impl<'a> Arbitrary<'a> for Kernel {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self(Choice::arbitrary(u)?.of(&Profile::NAMED)))
    }

    fn size_hint(_: usize) -> (usize, Option<usize>) {
        (1, Some(1))
    }
}

/// Returns what bytes are as a whole, if they are enough for it.
pub(crate) fn whole<'a, T: Arbitrary<'a> + Debug>(data: &'a [u8]) -> Option<Case<T>> {
    T::arbitrary_take_rest(Unstructured::new(data)).ok().map(Case)
}

/// A case that is shown when a target fails with it.
pub(crate) struct Case<T: Debug>(T);

impl<T: Debug> Deref for Case<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Debug> Drop for Case<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:#?}", self.0);
        }
    }
}
