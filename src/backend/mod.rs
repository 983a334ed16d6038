//! The kernels that a container can run on: Linux itself, and one in memory.

#[cfg(feature = "fake")]
pub mod fake;
pub mod fault;
#[cfg(all(feature = "linux", target_os = "linux"))]
pub mod linux;
pub mod trace;
