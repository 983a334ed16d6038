//! Which calls can fail, and with what: derived from the table of calls.

use crate::sys::{Errno, Row};

/// What no kernel answers to a container's maker, since it would be a lie: that a directory is not
/// there which is, that a peer is gone who waits to be told.
pub const LIES: [(&str, Errno); 3] =
    [("unlinkat", Errno::ENOENT), ("sendto", Errno::ECONNRESET), ("sendto", Errno::EPIPE)];

/// Returns the errors that a call can fail with: those of its row, without [`LIES`].
pub fn errors(row: &Row) -> impl Iterator<Item = Errno> + use<> {
    let name = row.name;
    row.errnos.iter().copied().filter(move |errno| !LIES.contains(&(name, *errno)))
}
