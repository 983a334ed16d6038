//! A quick hash, since whoever explores hashes every world that it comes to.
//!
//! Each word is folded in with a full multiplication, as wyhash does.

use std::hash::{BuildHasherDefault, Hash, Hasher};

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns a number that equal values share, and others hardly: one of 64 bits.
pub fn digest(value: impl Hash) -> u64 {
    let mut hasher = Fold::default();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A hash of 64 bits.
#[derive(Clone, Copy)]
struct Fold(u64);

impl Default for Fold {
    fn default() -> Self {
        Self(0x2d35_8dcc_aa6c_78a5)
    }
}

impl Fold {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(ODD);
        let bytes = product.to_le_bytes();
        let half = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        self.0 = (half(0) ^ half(8)).rotate_left(23).wrapping_add(word);
    }
}

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.fold(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.fold(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.fold(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.fold(word as u64);
    }

    fn finish(&self) -> u64 {
        let mut last = *self;
        last.fold(ODD);
        last.fold(ODD >> 1);
        last.0
    }
}

/// For keys that are hashes already.
pub type Digested = BuildHasherDefault<Taken>;

/// Takes a key as its own hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken(u64);

impl Hasher for Taken {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are single words");
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
