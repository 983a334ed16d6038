//! A kernel that says no at the n-th call.

use core::cell::Cell;

use crate::sys::{Call, Errno, Kernel, Live};

/// Which calls a [`Fault`] hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// The n-th call and all that follow.
    Onward,
    /// The n-th call alone.
    Once,
}

/// Asks `kernel`, but for the calls that it fails without asking.
///
/// close(2) frees the descriptor whatever it answers, so that one is asked and then fails.
#[derive(Clone, Debug)]
pub struct Fault<K> {
    kernel: K,
    asked: Cell<usize>,
    at: usize,
    extent: Extent,
    errno: Errno,
}

impl<K> Fault<K> {
    /// Returns a kernel whose call number `at`, counted from 0, fails with `errno`.
    #[must_use]
    pub const fn new(kernel: K, at: usize, extent: Extent, errno: Errno) -> Self {
        Self { kernel, asked: Cell::new(0), at, extent, errno }
    }

    /// Returns how many calls were asked, failed ones too.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.get()
    }
}

impl<K: Kernel> Kernel for Fault<K> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        let number = self.asked.get();
        self.asked.set(number + 1);
        let hit = match self.extent {
            Extent::Onward => self.at <= number,
            Extent::Once => self.at == number,
        };
        if !hit {
            return self.kernel.call(call);
        }
        if matches!(call, Call::Close { .. }) {
            self.kernel.call(call)?;
        }
        Err(self.errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Seven;

    impl Kernel for Seven {
        fn call(&self, _: Call<Live<'_>>) -> Result<u64, Errno> {
            Ok(7)
        }
    }

    fn answers(extent: Extent) -> [Result<u64, Errno>; 4] {
        let kernel = Fault::new(Seven, 1, extent, Errno::EIO);
        let answers = [(); 4].map(|()| kernel.call(Call::Getpid {}));
        assert_eq!(kernel.asked(), 4);
        answers
    }

    #[test]
    fn a_fault_hits_one_call() {
        assert_eq!(answers(Extent::Once), [Ok(7), Err(Errno::EIO), Ok(7), Ok(7)]);
    }

    #[test]
    fn a_close_that_fails_has_closed() {
        let asked = Cell::new(0);
        struct Count<'a>(&'a Cell<u32>);
        impl Kernel for Count<'_> {
            fn call(&self, _: Call<Live<'_>>) -> Result<u64, Errno> {
                self.0.set(self.0.get() + 1);
                Ok(0)
            }
        }
        let kernel = Fault::new(Count(&asked), 0, Extent::Onward, Errno::EIO);
        assert_eq!(kernel.call(Call::Close { fd: 3 }), Err(Errno::EIO));
        assert_eq!(kernel.call(Call::Fchdir { fd: 3 }), Err(Errno::EIO));
        assert_eq!(asked.get(), 1);
    }

    #[test]
    fn a_fault_can_last() {
        let failed = Err(Errno::EIO);
        assert_eq!(answers(Extent::Onward), [Ok(7), failed, failed, failed]);
    }
}
