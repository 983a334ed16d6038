//! What the host allows.

use caps::CapSet;

/// Returns the capabilities that the calling thread can ever have, one bit each.
#[must_use]
pub fn bounding_set() -> u64 {
    let set = caps::read(None, CapSet::Bounding).unwrap_or_default();
    set.iter().fold(0, |bits, capability| bits | capability.bitmask())
}
