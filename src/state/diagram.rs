//! The diagram of the lifecycle, drawn by playing every plan from every state that can be reached.
//!
//! **Invariant:** no transition is written down here. What is written down is what one step, or one
//! event, changes of the disk and of the kernel; [`super::decide`] and [`super::Machine`] do the rest.

use alloc::string::String;

/// Draws the lifecycle as a mermaid block: one line for each pair of statuses.
#[must_use]
pub fn diagram() -> String {
    String::new()
}
