//! Copy-on-write tables: cloning a world counts references, and changing one copies what changed.
//!
//! A table and each of its rows know their hash once somebody has asked for it, until they change:
//! hashing a world again costs what has changed since.
//!
//! **Invariant:** whoever can change a row has made its hash, and the table's, unknown before.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Pid;
use super::hash::digest;

/// A table whose rows are shared with the clones of its world until they change.
#[derive(Clone, Debug)]
pub(super) struct Table<V>(Arc<Rows<V>>);

/// The rows, ascending by their numbers.
#[derive(Clone, Debug)]
struct Rows<V> {
    known: Known,
    rows: Vec<Row<V>>,
}

#[derive(Clone, Debug)]
struct Row<V> {
    key: u32,
    held: Arc<Held<V>>,
}

/// What a row has, shared with its hash.
#[derive(Clone, Debug)]
struct Held<V> {
    known: Known,
    value: V,
}

impl<V: PartialEq> PartialEq for Held<V> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<V: Eq> Eq for Held<V> {}

/// A hash that may be known: 0 is not yet.
#[derive(Default)]
struct Known(AtomicU64);

impl Known {
    /// Returns the hash, from `find` the first time.
    fn or(&self, find: impl FnOnce() -> u64) -> u64 {
        // Whoever finds it finds the same: no order among threads is needed.
        match self.0.load(Ordering::Relaxed) {
            0 => {
                let found = find().max(1);
                self.0.store(found, Ordering::Relaxed);
                found
            }
            known => known,
        }
    }

    fn forget(&mut self) {
        *self.0.get_mut() = 0;
    }
}

impl Clone for Known {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0.load(Ordering::Relaxed))
    }
}

impl<V: Eq> PartialEq for Table<V> {
    fn eq(&self, other: &Self) -> bool {
        // Shared rows are equal at a glance: an `Arc` compares its address first.
        let same = |(a, b): (&Row<V>, &Row<V>)| a.key == b.key && a.held == b.held;
        let (ours, others) = (&self.0.rows, &other.0.rows);
        Arc::ptr_eq(&self.0, &other.0)
            || ours.len() == others.len() && ours.iter().zip(others).all(same)
    }
}

impl<V: Eq> Eq for Table<V> {}

impl<V: Hash> Hash for Table<V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Rows { known, rows } = &*self.0;
        state.write_u64(known.or(|| {
            let held = |held: &Held<V>| held.known.or(|| digest(&held.value));
            let row = |row: &Row<V>| (row.key, held(&row.held));
            digest(Folded(rows.iter().map(row)))
        }));
    }
}

/// What an iterator gives, hashed one after the other.
struct Folded<I>(I);

impl<I: Iterator<Item = (u32, u64)> + Clone> Hash for Folded<I> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (key, hash) in self.0.clone() {
            state.write_u32(key);
            state.write_u64(hash);
        }
    }
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self(Arc::new(Rows { known: Known::default(), rows: Vec::new() }))
    }
}

impl<V: Clone> Table<V> {
    fn place(&self, key: u32) -> Result<usize, usize> {
        // Numbers are given lowest first, so most rows stand where their number says.
        let guess = (key as usize).wrapping_sub(1);
        if self.0.rows.get(guess).is_some_and(|row| row.key == key) {
            return Ok(guess);
        }
        self.0.rows.binary_search_by_key(&key, |row| row.key)
    }

    /// Returns the rows to be changed.
    fn rows(&mut self) -> &mut Vec<Row<V>> {
        let rows = Arc::make_mut(&mut self.0);
        rows.known.forget();
        &mut rows.rows
    }

    pub(super) fn get(&self, key: u32) -> Option<&V> {
        let place = self.place(key).ok()?;
        self.0.rows.get(place).map(|row| &row.held.value)
    }

    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut V> {
        let place = self.place(key).ok()?;
        self.rows().get_mut(place).map(|row| {
            let held = Arc::make_mut(&mut row.held);
            held.known.forget();
            &mut held.value
        })
    }

    pub(super) fn insert(&mut self, key: u32, value: V) {
        let row = Row { key, held: Arc::new(Held { known: Known::default(), value }) };
        match self.place(key) {
            Ok(place) => self.rows()[place] = row,
            Err(place) => self.rows().insert(place, row),
        }
    }

    pub(super) fn remove(&mut self, key: u32) -> Option<V> {
        let place = self.place(key).ok()?;
        Some(Arc::unwrap_or_clone(self.rows().remove(place).held).value)
    }

    pub(super) fn has(&self, key: u32) -> bool {
        self.place(key).is_ok()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &V)> {
        self.0.rows.iter().map(|row| (row.key, &row.held.value))
    }

    pub(super) fn keys(&self) -> Vec<u32> {
        self.0.rows.iter().map(|row| row.key).collect()
    }

    /// Returns the lowest number from 1 up that no row has: reuse keeps equal worlds equal.
    pub(super) fn free(&self) -> u32 {
        self.free_from(1)
    }

    fn free_from(&self, first: u32) -> u32 {
        let before = self.place(first).unwrap_or_else(|place| place);
        let taken = self.0.rows.iter().skip(before).map(|row| row.key);
        let held = taken.zip(first..).take_while(|(key, expected)| key == expected);
        held.last().map_or(first, |(key, _)| key + 1)
    }

    /// Adds a row under the lowest free number.
    pub(super) fn add(&mut self, value: V) -> u32 {
        let key = self.free();
        self.insert(key, value);
        key
    }

    /// Adds a row under the lowest free number of a process: what one process numbers does not
    /// depend on what another has numbered meanwhile.
    pub(super) fn add_by(&mut self, pid: Pid, value: V) -> u32 {
        let key = self.free_from(pid << 10);
        self.insert(key, value);
        key
    }
}
