//! An open descriptor that closes itself on the kernel that gave it.

use core::fmt;
use core::mem::ManuallyDrop;

use super::calls::Call;
use super::form::RawFd;
use super::kernel::Kernel;

/// An open descriptor; closes itself on the kernel that gave it.
pub struct Fd<'k, K: Kernel + ?Sized> {
    raw: RawFd,
    kernel: &'k K,
}

impl<'k, K: Kernel + ?Sized> Fd<'k, K> {
    /// Takes a descriptor that `kernel` gave and that nobody else will close.
    #[must_use]
    pub const fn new(raw: RawFd, kernel: &'k K) -> Self {
        Self { raw, kernel }
    }

    /// Returns the number, still owned by this value.
    #[must_use]
    pub const fn raw(&self) -> RawFd {
        self.raw
    }

    /// Returns the kernel that gave it.
    #[must_use]
    pub const fn kernel(&self) -> &'k K {
        self.kernel
    }

    /// Gives the number away: whoever takes it closes it.
    #[must_use]
    pub fn into_raw(self) -> RawFd {
        ManuallyDrop::new(self).raw
    }
}

impl<K: Kernel + ?Sized> Drop for Fd<'_, K> {
    fn drop(&mut self) {
        // close(2): the descriptor is gone whatever the answer, so there is nothing to do about it.
        let _ = self.kernel.call(Call::Close { fd: self.raw });
    }
}

impl<K: Kernel + ?Sized> fmt::Debug for Fd<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fd {}", self.raw)
    }
}
