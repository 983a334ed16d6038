//! The one door to a kernel.

use super::calls::Call;
use super::errno::Errno;
use super::form::Live;

/// A kernel as one process sees it.
pub trait Kernel {
    /// Asks for one call: a value or an errno, exactly the kernel's own contract.
    ///
    /// # Errors
    ///
    /// Those of the call's row in [`TABLE`](super::TABLE), and for a real kernel whatever a
    /// security module or a filter of its own adds.
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno>;
}

impl<K: Kernel + ?Sized> Kernel for &K {
    fn call(&self, call: Call<Live<'_>>) -> Result<u64, Errno> {
        (**self).call(call)
    }
}
