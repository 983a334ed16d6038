//! What the host has.

/// Returns the capabilities that the running kernel knows, one bit each.
#[must_use]
pub fn known_capabilities() -> u64 {
    let known = caps::runtime::thread_all_supported();
    known.iter().fold(0, |bits, capability| bits | capability.bitmask())
}
