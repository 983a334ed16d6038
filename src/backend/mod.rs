//! The kernels that a container can run on: Linux itself, and one in memory.

#[cfg(feature = "fake")]
pub mod fake;
