//! Counts that are the same on every machine.

/// Checks a count: one that differs is a change of behaviour, to be looked at and pinned anew.
///
/// `ci/museum` changes behaviour, and what the oracles say counts alone: it sets
/// `COFFERDAM_UNPINNED`.
pub(crate) fn pinned<T: PartialEq + std::fmt::Debug>(count: T, expected: T) {
    if std::env::var_os("COFFERDAM_UNPINNED").is_none() {
        assert_eq!(count, expected);
    }
}
