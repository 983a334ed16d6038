//! What a library must not do to the process that it is a guest in.

use std::sync::atomic::{AtomicBool, Ordering};

use super::common::Place;
use super::{runtime, script};

#[test]
fn threads_that_allocate_and_read_the_environment_hang_nothing() {
    let place = Place::new();
    let runtime = runtime(&place);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let value = std::env::var("PATH").unwrap_or_default();
                    let copies: Vec<_> = (0..64).map(|i| format!("{i}{value}")).collect();
                    assert_eq!(copies.len(), 64);
                    drop(std::fs::File::open("/dev/null"));
                }
            });
        }
        let _over = Over(&over);
        for round in 0..100 {
            let id = format!("threads{}", round % 3);
            let container = runtime.create(&id, &script(&place, "true")).unwrap();
            container.start().unwrap();
            container.wait().unwrap();
            container.delete().unwrap();
        }
    });
}

/// Says that it is over when it goes, by a failure too.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn several_threads_use_one_runtime() {
    let place = Place::new();
    let runtime = runtime(&place);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (runtime, place) = (&runtime, &place);
            scope.spawn(move || {
                for _ in 0..10 {
                    let id = format!("many{thread}");
                    let container = runtime.create(&id, &script(place, "true")).unwrap();
                    container.start().unwrap();
                    container.wait().unwrap();
                    container.delete().unwrap();
                }
            });
        }
    });
    assert_eq!(runtime.list().unwrap(), []);
}
