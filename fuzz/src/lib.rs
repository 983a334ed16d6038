//! Fuzz targets: functions over bytes, which a fuzzer makes up and a test takes from the corpus.
//!
//! | target | the bytes are | what must hold |
//! |---|---|---|
//! | [`filter`] | a description, and calls | each is answered as the rules say |
//! | [`lifecycle`] | requests, faults, deaths, events | all oracles, behind each request |
//! | [`record`] | a record, and what has become of it | it harms nobody, and can be removed |
//! | [`resolve`] | a tree with links, and paths | walks end where a naive reading says |
//! | [`schedule`] | clients, and who moves next | all oracles, at the end |
//! | [`spec`] | a `config.json`, and a host | it is compiled, or refused by a pointer |
//! | [`sync`] | what a child says to its maker | the maker ends, and leaves nothing |
//!
//! `ci/fuzz` fuzzes; `tests/props/corpus.rs` performs what is in `corpus`; `cargo run --bin
//! TARGET -- FILE...` performs files. `cargo fuzz run TARGET` works too, if it is installed.
//!
//! **Invariant:** a target fails by a panic, and the same bytes always do the same: no clock, no
//! chance, nothing of the host.

mod edit;
mod filter;
mod hurt;
mod lifecycle;
mod made;
mod naive;
mod record;
mod resolve;
mod schedule;
mod spec;
mod sync;

use std::process::ExitCode;

pub use filter::filter;
pub use lifecycle::lifecycle;
pub use record::record;
pub use resolve::resolve;
pub use schedule::schedule;
pub use spec::spec;
pub use sync::sync;

/// A target by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("filter", filter),
    ("lifecycle", lifecycle),
    ("record", record),
    ("resolve", resolve),
    ("schedule", schedule),
    ("spec", spec),
    ("sync", sync),
];

/// Makes a target a program: a fuzzer where libFuzzer is linked, else one that performs files.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name(data));

        #[cfg(not(fuzzing))]
        fn main() -> std::process::ExitCode {
            $crate::perform($crate::$name)
        }
    };
}

/// Performs the files that the command line names.
#[must_use]
pub fn perform(target: fn(&[u8])) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for path in std::env::args_os().skip(1) {
        match std::fs::read(&path) {
            Ok(data) => target(&data),
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
