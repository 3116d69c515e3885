//! Weights from nothing: the same name always gives the same numbers.

use sha2::{Digest as _, Sha256};

/// bf16 numbers of either sign between 2⁻¹¹ and 2⁻⁷, four at a time.
pub(crate) struct Weights(u64);

/// Sign, the two lowest bits of the exponent and the mantissa are random …
const RANDOM: u64 = 0x81ff_81ff_81ff_81ff;
/// … below these bits of the exponent.
const FIXED: u64 = 0x3a00_3a00_3a00_3a00;

impl Weights {
    pub(crate) fn of(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        Self(digest.iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte)))
    }

    /// The next four, packed. The generator is SplitMix64 (Steele, Lea, Flood 2014).
    fn four(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) & RANDOM) | FIXED
    }

    /// Fills `bytes`, a multiple of eight, with bf16 numbers.
    pub(crate) fn fill_bf16(&mut self, bytes: &mut [u8]) {
        for eight in bytes.chunks_exact_mut(8) {
            eight.copy_from_slice(&self.four().to_le_bytes());
        }
    }

    /// That many f32 numbers, as bytes.
    pub(crate) fn f32(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count * 4);
        while bytes.len() < count * 4 {
            for two in self.four().to_le_bytes().chunks_exact(2) {
                bytes.extend([0, 0, two[0], two[1]]);
            }
        }
        bytes.truncate(count * 4);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_small_of_both_signs_and_the_same_every_time() {
        let numbers = |name| -> Vec<f32> {
            let bytes = Weights::of(name).f32(1_001);
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let a = numbers("a");
        assert_eq!(a.len(), 1_001);
        assert!(a.iter().all(|w| (2f32.powi(-11)..2f32.powi(-7)).contains(&w.abs())));
        let negative = a.iter().filter(|w| **w < 0.0).count();
        assert!((400..600).contains(&negative), "{negative}");
        assert_eq!(a, numbers("a"));
        assert_ne!(a, numbers("b"));
    }
}
