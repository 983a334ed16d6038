//! Copy-on-write tables: cloning a world counts references, and changing one copies what changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Pid;

/// A table whose rows are shared with the clones of its world until they change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Table<V>(Arc<BTreeMap<u32, Arc<V>>>);

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self(Arc::new(BTreeMap::new()))
    }
}

impl<V: Clone> Table<V> {
    pub(super) fn get(&self, key: u32) -> Option<&V> {
        self.0.get(&key).map(|row| &**row)
    }

    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut V> {
        if !self.0.contains_key(&key) {
            return None;
        }
        Arc::make_mut(&mut self.0).get_mut(&key).map(Arc::make_mut)
    }

    pub(super) fn insert(&mut self, key: u32, value: V) {
        Arc::make_mut(&mut self.0).insert(key, Arc::new(value));
    }

    pub(super) fn remove(&mut self, key: u32) -> Option<V> {
        if !self.0.contains_key(&key) {
            return None;
        }
        Arc::make_mut(&mut self.0).remove(&key).map(Arc::unwrap_or_clone)
    }

    pub(super) fn has(&self, key: u32) -> bool {
        self.0.contains_key(&key)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &V)> {
        self.0.iter().map(|(key, row)| (*key, &**row))
    }

    pub(super) fn keys(&self) -> Vec<u32> {
        self.0.keys().copied().collect()
    }

    /// Returns the lowest number from 1 up that no row has: reuse keeps equal worlds equal.
    pub(super) fn free(&self) -> u32 {
        self.free_from(1)
    }

    fn free_from(&self, first: u32) -> u32 {
        let mut free = first;
        for key in self.0.range(first..).map(|(key, _)| *key) {
            if key != free {
                break;
            }
            free += 1;
        }
        free
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
