//! Pseudo-random weights, the same on every machine.

use sha2::{Digest as _, Sha256};

use crate::DType;

/// Makes the weights of a file, tensor after tensor.
pub trait WeightSource {
    /// Announces the tensor that the next bytes are for.
    fn begin_tensor(&mut self, name: &str);

    /// Fills `bytes` with the next weights of the tensor.
    fn fill(&mut self, dtype: DType, bytes: &mut [u8]);
}

/// Weights of either sign between 2⁻¹¹ and 2⁻⁷ whose mantissas have 7 bits, so that bf16 and F32 files hold the same
/// numbers. They depend on the tensor's name and on nothing else.
#[derive(Debug, Default)]
pub struct SeededWeights(u64);

impl SeededWeights {
    /// The bits of four bf16 numbers that are random: sign, the two lowest bits of the exponent, mantissa.
    const RANDOM: u64 = 0x81ff_81ff_81ff_81ff;
    /// The other bits of the exponents.
    const EXPONENT: u64 = 0x3a00_3a00_3a00_3a00;

    /// The next four as bf16, little-endian. The generator is SplitMix64 (Steele, Lea, Flood 2014).
    fn next_four(&mut self) -> [u8; 8] {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) & Self::RANDOM) | Self::EXPONENT).to_le_bytes()
    }
}

impl WeightSource for SeededWeights {
    fn begin_tensor(&mut self, name: &str) {
        let digest = Sha256::digest(name.as_bytes());
        self.0 = digest.iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte));
    }

    fn fill(&mut self, dtype: DType, bytes: &mut [u8]) {
        match dtype {
            DType::BF16 => {
                for four in bytes.chunks_mut(8) {
                    four.copy_from_slice(&self.next_four()[..four.len()]);
                }
            }
            DType::F32 => {
                for four in bytes.chunks_mut(16) {
                    let next = self.next_four();
                    for (weight, bf16) in four.chunks_exact_mut(4).zip(next.chunks_exact(2)) {
                        weight.copy_from_slice(&[0, 0, bf16[0], bf16[1]]);
                    }
                }
            }
        }
    }
}

/// Weights that are about normally distributed with a deviation of 0.02, in one sequence over all tensors of a file.
#[derive(Debug)]
pub struct NormalWeights(u64);

impl Default for NormalWeights {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl NormalWeights {
    /// The generator is xorshift64* (Vigna 2016); the sum of four uniform numbers is about normal.
    fn next_weight(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let sum: i32 = (0..4).map(|i| i32::from((bits >> (16 * i)) as u16)).sum();
        (sum - 2 * 65_535) as f32 * (0.02 / 37_837.0)
    }
}

impl WeightSource for NormalWeights {
    fn begin_tensor(&mut self, _: &str) {}

    fn fill(&mut self, dtype: DType, bytes: &mut [u8]) {
        match dtype {
            DType::BF16 => {
                for weight in bytes.chunks_exact_mut(2) {
                    weight.copy_from_slice(&self.next_weight().to_le_bytes()[2..]);
                }
            }
            DType::F32 => {
                for weight in bytes.chunks_exact_mut(4) {
                    weight.copy_from_slice(&self.next_weight().to_le_bytes());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(source: &mut impl WeightSource, name: &str) -> Vec<f32> {
        source.begin_tensor(name);
        let mut bytes = vec![0; 4 * 1_001];
        source.fill(DType::F32, &mut bytes);
        bytes.chunks_exact(4).map(|weight| f32::from_le_bytes(weight.try_into().unwrap())).collect()
    }

    #[test]
    fn seeded_weights_are_small_and_depend_on_the_name_only() {
        let mut source = SeededWeights::default();
        let a = weights(&mut source, "a");
        assert!(a.iter().all(|weight| (2f32.powi(-11)..2f32.powi(-7)).contains(&weight.abs())));
        let negative = a.iter().filter(|weight| **weight < 0.0).count();
        assert!((400..600).contains(&negative), "{negative}");
        assert_ne!(a, weights(&mut source, "b"));
        assert_eq!(a, weights(&mut source, "a"));
    }

    #[test]
    fn seeded_weights_are_the_same_in_bf16_and_f32() {
        let mut source = SeededWeights::default();
        let f32s = weights(&mut source, "a");
        source.begin_tensor("a");
        let mut bytes = vec![0; 2 * 1_001];
        source.fill(DType::BF16, &mut bytes);
        let bf16s = bytes.chunks_exact(2).map(|weight| f32::from_le_bytes([0, 0, weight[0], weight[1]]));
        assert!(bf16s.eq(f32s));
    }

    #[test]
    fn normal_weights_have_a_mean_of_0_and_a_deviation_of_0_02() {
        let weights = weights(&mut NormalWeights::default(), "a");
        let mean = weights.iter().sum::<f32>() / 1_001.0;
        let deviation = (weights.iter().map(|weight| (weight - mean).powi(2)).sum::<f32>() / 1_001.0).sqrt();
        assert!(mean.abs() < 0.003 && (0.018..0.022).contains(&deviation), "{mean} {deviation}");
    }
}
