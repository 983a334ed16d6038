//! A kernel that tells what it is asked.

use crate::sys::{Call, Errno, Kernel, Live};

/// Asks `kernel`, and shows each call with its answer to `see`.
#[derive(Clone, Copy, Debug)]
pub struct Trace<K, S> {
    /// Who answers.
    pub kernel: K,
    /// Who is told.
    pub see: S,
}

impl<K: Kernel, S: Fn(&Call<Live<'_>>, &Result<u64, Errno>)> Kernel for Trace<K, S> {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        let answer = self.kernel.call(call);
        (self.see)(&call, &answer);
        answer
    }
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use super::*;

    struct Seven;

    impl Kernel for Seven {
        fn call(&self, _: Call<Live<'_>>) -> Result<u64, Errno> {
            Ok(7)
        }
    }

    #[test]
    fn each_call_is_shown_with_its_answer() {
        let seen = RefCell::new(Vec::new());
        let see = |call: &Call<Live<'_>>, answer: &Result<u64, Errno>| {
            seen.borrow_mut().push((call.row().name, *answer));
        };
        let kernel = Trace { kernel: Seven, see };
        assert_eq!(kernel.call(Call::Getpid {}), Ok(7));
        assert_eq!(kernel.call(Call::Setsid {}), Ok(7));
        assert_eq!(*seen.borrow(), [("getpid", Ok(7)), ("setsid", Ok(7))]);
    }
}
