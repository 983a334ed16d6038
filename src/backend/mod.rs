//! The kernels that a container can run on: Linux itself, and one in memory.

pub mod fault;
pub mod trace;
