//! Hashing for the modules' maps: fast, and the same in every run.
//!
//! Not for data from an attacker who knows it: colliding keys cost time, bounded by the host's
//! limit on a call. Fixed seeds keep iteration order, and so outputs and snapshots, reproducible.

use std::hash::{BuildHasherDefault, Hasher as _};

/// A hash map that iterates in the same order in every run.
pub type HashMap<K, V> = std::collections::HashMap<K, V, FastHash>;
/// A hash set that iterates in the same order in every run.
pub type HashSet<K> = std::collections::HashSet<K, FastHash>;
/// Builds the hasher of [`HashMap`].
pub type FastHash = BuildHasherDefault<Hasher>;

const K: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes two words into one. Wasm has no cheap 128-bit product, so this is a multiplication with a
/// shift, as in MurmurHash3's finaliser.
#[inline]
pub fn mix(a: u64, b: u64) -> u64 {
    let mixed = (a.rotate_left(23) ^ b).wrapping_mul(K);
    mixed ^ (mixed >> 32)
}

/// A 64-bit hash of bytes.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = Hasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// A multiply-shift hasher.
#[derive(Debug, Default, Clone, Copy)]
pub struct Hasher(u64);

impl std::hash::Hasher for Hasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut state = self.0 ^ (bytes.len() as u64).wrapping_mul(0x2d35_8dcc_aa6c_78a5);
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            state = mix(state, u64::from_le_bytes(word));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            state = mix(state, u64::from_le_bytes(word));
        }
        self.0 = state;
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0, value);
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        // A map takes its bucket from the low bits and its tag from the high ones: both must be mixed.
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 33)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_inputs_hash_apart() {
        let mut seen = HashSet::default();
        for length in 0..40 {
            for byte in 0..=255u8 {
                if length == 0 && byte > 0 {
                    continue;
                }
                assert!(seen.insert(hash_bytes(&vec![byte; length])), "{byte} × {length}");
            }
        }
    }
}
