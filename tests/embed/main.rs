//! The library as an embedder has it, on the running kernel.
//!
//! Ten ways in which another library fails its embedders are tests here; each is named after what
//! holds instead.

#[path = "../common/mod.rs"]
mod common;
mod life;
mod quiet;
mod upset;

use cofferdam::backend::linux::Linux;
use cofferdam::spec::Spec;
use cofferdam::{Create, Runtime};

use common::Place;

/// A runtime with its state in that place.
fn runtime(place: &Place) -> Runtime<Linux> {
    Runtime::new(Linux, place.state()).expect("a kernel with /proc")
}

/// A container that runs a shell script.
fn script(place: &Place, script: &str) -> Create {
    let spec = Spec::usual(&place.rootfs(), ["sh", "-c", script]);
    Create { bundle: place.bundle(), spec, ..Create::default() }
}
