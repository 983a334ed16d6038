//! The kernels that a container can run on: Linux itself, and one in memory.
