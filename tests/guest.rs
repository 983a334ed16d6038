//! The library is a guest in its caller's process: it changes nothing there and leaves nothing.
//!
//! One test alone in its process, since it counts what the process has.

mod common;

use std::os::fd::AsRawFd;

use cofferdam::backend::linux::Linux;
use cofferdam::spec::Spec;
use cofferdam::{Create, Exec, Runtime, Stdio};

use common::{Place, children, descriptors, self_portrait};

#[test]
fn nothing_of_the_caller_changes_and_nothing_of_it_leaks() {
    let place = Place::new();
    let runtime = Runtime::new(Linux, place.state()).unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let life = || {
        let spec = Spec::usual(&place.rootfs(), ["sleep", "100"]);
        let mut create = Create { bundle: place.bundle(), spec, ..Create::default() };
        create.spec.process.as_mut().unwrap().oom_score_adj = Some(500);
        create.stdio[0] = Stdio::Fd(null.as_raw_fd());
        let container = runtime.create("guest", &create).unwrap();
        container.start().unwrap();
        let (process, _) = container.process().unwrap();
        let mut process = process.unwrap();
        process.args = vec!["true".to_owned()];
        let process = container.exec(&Exec { process, ..Exec::default() }).unwrap();
        process.wait().unwrap();
        container.kill(9).unwrap();
        container.wait().unwrap();
        container.delete().unwrap();
        create.spec = Spec::usual(&place.rootfs(), ["nosuchprogram"]);
        runtime.create("guest", &create).unwrap_err();
    };
    life();
    let (before, open) = (self_portrait(), descriptors());
    for _ in 0..20 {
        life();
    }
    assert_eq!(self_portrait(), before);
    assert_eq!(descriptors(), open);
    assert_eq!(children(), [""; 0]);
}
