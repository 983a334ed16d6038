//! Walks every interleaving of some clients on the fake kernel, with deaths anywhere.
//!
//! A client is any code over a [`Kernel`](crate::sys::Kernel): a request of this library's, or an
//! orchestrator of yours. A [`Scene`] says who takes part, on which machine, and how often somebody
//! is killed; [`Scene::walk`] tries everything that can happen next from every state that there is,
//! and asks an oracle in each.
//!
//! ```
//! use cofferdam::backend::fake::{Profile, Replay, World};
//! use cofferdam::sys::{CWD, Errno, Kernel, Syscalls, flags};
//! use cofferdam::testing::{Moment, Scene};
//!
//! /// Looks, then leaps.
//! fn claim<K: Kernel>(kernel: &K) -> Result<(), Errno> {
//!     match kernel.stat(CWD, c"/run/lease", 0) {
//!         Err(Errno::ENOENT) => kernel.mkdir(CWD, c"/run/lease", 0o700),
//!         Err(errno) => Err(errno),
//!         Ok(_) => Ok(()),
//!     }
//! }
//!
//! let body = |kernel: &Replay<'_>| format!("{:?}", claim(kernel));
//! let mut scene = Scene::new(World::new(Profile::default())).client("a", body).client("b", body);
//! let mut oracle = |moment: &Moment<'_, '_>| {
//!     let failed = moment.clients().any(|(_, end)| end.is_some_and(|end| !end.is("Ok(())")));
//!     if failed { Err("a claim fails".to_owned()) } else { Ok(()) }
//! };
//! let failure = scene.walk(&mut oracle).unwrap_err();
//! assert_eq!(failure.story.lines(), [
//!     "a: statx = ENOENT",
//!     "b: statx = ENOENT",
//!     "a: mkdirat = 0, then: Ok(())",
//!     "b: mkdirat = EEXIST, then: Err(EEXIST)",
//! ]);
//! assert_eq!(scene.replay(&failure.story.choices, &mut oracle).unwrap_err(), failure);
//! println!("{}", failure.story.diagram());
//! ```
//!
//! [`lifecycle`] has the requests of this library as clients, machines on which they find a
//! container, and the judge of their ends; [`Never`] asks whether something can happen at all.
//! The command `cofferdam simulate` is these.
//!
//! `examples/orchestrator.rs` walks two copies of a small orchestrator, one of which may be killed
//! anywhere; `examples/lifecycles.rs` has whole lives made up by proptest instead.
//!
//! A state is a world and, of each client, the answers that it has got so far. States that were
//! seen are not walked again; what differs only in how it came about is one state.
//!
//! What makes the walk small enough to be whole:
//!
//! | reduction | why nothing is lost |
//! |---|---|
//! | private calls are performed at once | nobody sees them, and they see nobody |
//! | time passes last | others are faster than any timeout: a wait is as long as it has to be |
//! | a state is a hash of 64 bits | of a million states, two are one with a chance of 1 in 10⁷ |
//!
//! It goes breadth first, so the trace that a failure is told with is a shortest one.
//!
//! **Invariant:** what is walked is the code that ships: bodies call the library's own methods.
//!
//! **Invariant:** the walk is the same on every machine: no clock, no thread, no chance.

pub mod adversary;
mod coverage;
mod diagram;
pub mod faults;
pub mod lifecycle;
mod never;
pub mod oracles;
mod scene;
mod story;

pub use self::coverage::Coverage;
pub use self::diagram::Diagram;
pub use self::never::Never;
pub use self::scene::{Count, End, Event, Moment, Scene};
pub use self::story::{Counterexample, Happening, Story};

#[cfg(test)]
mod tests;
