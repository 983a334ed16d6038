//! Work that is shared out among as many threads as there are processors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Returns what each thread has made of the items that it got, one after the other.
pub(crate) fn shared<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&mut dyn Iterator<Item = &T>) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let one = || {
        let mut own = std::iter::from_fn(|| items.get(next.fetch_add(1, Ordering::Relaxed)));
        work(&mut own)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("work that ends well")).collect()
    })
}
