//! Q4_0: 32 weights in 4 bits with one `f16` scale, in 18 bytes. The largest weight is −8 scales.

use super::blocks::{decode_blocks, encode_weighted_blocks, map_array};
use super::legacy::{
    BLOCK_SIZE, inverse_or_zero, max_by_magnitude, max_magnitude, pack_nibbles, read_f16, unpack_nibbles,
    write_f16,
};
use super::rounding::floor_int;
use super::scale_search::{interleave_groups, search_symmetric};
use crate::numerics::half::round_to_f16;
use crate::numerics::simd::multiversion;

/// Bytes per block.
pub(super) const BLOCK_BYTES: usize = 18;

multiversion! {
    /// `quantize_row_q4_0_ref` of ggml; for one row with importances, `quantize_row_q4_0_impl`.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        encode_weighted_blocks!(values, importance, bytes, encode_unweighted, encode_weighted);
    }
}

#[inline(always)]
fn encode_unweighted(values: &[f32; BLOCK_SIZE], out: &mut [u8; BLOCK_BYTES]) {
    let scale = max_by_magnitude(values) / -8.0;
    let inverse = inverse_or_zero(scale);
    write_f16(scale, &mut out[..2]);
    pack_nibbles(&map_array(values, |x| (floor_int(x * inverse + 8.5) as i8).min(15) as u8), &mut out[2..]);
}

#[inline(always)]
fn encode_weighted(values: &[f32; BLOCK_SIZE], weights: &[f32; BLOCK_SIZE], out: &mut [u8; BLOCK_BYTES]) {
    let x: [[f32; 1]; BLOCK_SIZE] = interleave_groups(values);
    let scales = search_symmetric(&x, Some(&map_array(weights, |w| [w])), 8);
    write_f16(scales.scale[0], &mut out[..2]);
    pack_nibbles(&map_array(values, |x| scales.level(0, x, 8)), &mut out[2..]);
}

/// How far a weight may be from a level of its grid, in steps. Rounding to `bf16` moves weight and step by 1/512 of their sizes,
/// and the largest level is 8.
const GRID_TOLERANCE: f32 = 0.04;

/// As [`encode`], but blocks whose weights lie on a grid of 16 levels get the step of that grid, as quantization-aware training
/// leaves them. ggml takes the largest weight for level −8, and misses grids whose largest level is another one.
pub(super) fn encode_on_grid(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
    encode(values, importance, bytes);
    for (values, block) in values.as_chunks().0.iter().zip(bytes.as_chunks_mut::<BLOCK_BYTES>().0) {
        if let Some(grid) = Grid::of(values) {
            write_f16(grid.step, &mut block[..2]);
            pack_nibbles(&grid.levels.map(|level| (level + 8) as u8), &mut block[2..]);
        }
    }
}

/// The weights of a block as multiples of a step.
pub(super) struct Grid {
    /// As it is stored, in `f16`.
    step: f32,
    levels: [i8; BLOCK_SIZE],
}

impl Grid {
    /// The grid on which all weights of a block lie, and on which they are nearest; `None` if there is none.
    pub(super) fn of(values: &[f32; BLOCK_SIZE]) -> Option<Self> {
        let largest = max_magnitude(values);
        if largest == 0.0 || !largest.is_finite() {
            return None;
        }
        let steps =
            (1..=8_u8).flat_map(|level| [largest, -largest].map(|largest| largest / f32::from(level)));
        let grids = steps.filter_map(|step| Self::with_step(values, step));
        let nearest = grids.map(|grid| (grid.error(values), grid)).min_by(|a, b| a.0.total_cmp(&b.0));
        nearest.map(|(_, grid)| grid)
    }

    /// Whether the weights have several sizes: any block of one size lies on a grid.
    pub(super) fn has_several_sizes(&self) -> bool {
        let sizes: std::collections::BTreeSet<u8> =
            self.levels.iter().map(|level| level.unsigned_abs()).collect();
        sizes.len() > 2
    }

    fn with_step(values: &[f32; BLOCK_SIZE], step: f32) -> Option<Self> {
        let mut levels = [0; BLOCK_SIZE];
        for (level, value) in levels.iter_mut().zip(values) {
            let steps = value / step;
            let nearest = steps.round();
            if !(-8.0..=7.0).contains(&nearest) || (steps - nearest).abs() > GRID_TOLERANCE {
                return None;
            }
            *level = nearest as i8;
        }
        // the step with the least squared error for these levels
        let squares: f32 = levels.iter().map(|level| f32::from(*level).powi(2)).sum();
        let products: f32 = levels.iter().zip(values).map(|(level, value)| f32::from(*level) * value).sum();
        Some(Self { step: round_to_f16(products / squares), levels })
    }

    fn error(&self, values: &[f32; BLOCK_SIZE]) -> f32 {
        self.levels
            .iter()
            .zip(values)
            .map(|(level, value)| (f32::from(*level) * self.step - value).powi(2))
            .sum()
    }
}

multiversion! {
    /// `dequantize_row_q4_0` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        decode_blocks!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BLOCK_BYTES], values: &mut [f32; BLOCK_SIZE]) {
    let scale = read_f16([bytes[0], bytes[1]]);
    *values = map_array(&unpack_nibbles(&bytes[2..]), |level| (f32::from(level) - 8.0) * scale);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::Dtype;

    fn bf16(value: f32) -> f32 {
        let (mut bytes, mut rounded) = ([0; 2], [0.0]);
        Dtype::Bf16.narrow(&[value], &mut bytes);
        Dtype::Bf16.widen(&bytes, &mut rounded);
        rounded[0]
    }

    /// A block on a grid with this step, whose levels are at most `largest` of either sign.
    fn on_grid(step: f32, largest: i32) -> [f32; BLOCK_SIZE] {
        let level = |i: usize| (i as i32 * 4 + 1) % (2 * largest + 1) - largest;
        std::array::from_fn(|i| bf16(step * level(i) as f32))
    }

    fn relative_error(values: &[f32], encode: impl Fn(&[f32], Option<&[f32]>, &mut [u8])) -> f32 {
        let (mut bytes, mut decoded) = ([0; BLOCK_BYTES], [0.0; BLOCK_SIZE]);
        encode(values, None, &mut bytes);
        decode(&bytes, &mut decoded);
        let squares = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>();
        let error = squares(&mut decoded.iter().zip(values).map(|(a, b)| a - b));
        (error / squares(&mut values.iter().copied())).sqrt()
    }

    #[test]
    fn a_block_on_a_grid_gets_the_grids_step() {
        for largest in 1..=7 {
            for step in [0.0123, -0.0123, 3.7e-4, 1.9] {
                let values = on_grid(step, largest);
                // half a unit in the last place of bf16, and of the step in f16
                let error = relative_error(&values, encode_on_grid);
                assert!(error < 2.5e-3, "{largest} {step}: {error}");
            }
        }
        let reference = relative_error(&on_grid(0.0123, 5), encode);
        assert!(reference > 0.03, "{reference}");
    }

    #[test]
    fn any_other_block_has_the_bytes_of_ggml() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            let values: [f32; BLOCK_SIZE] = std::array::from_fn(|_| bf16(2.0 * random.f32() - 1.0));
            let (mut on_grid, mut reference) = ([0; BLOCK_BYTES], [0; BLOCK_BYTES]);
            encode_on_grid(&values, None, &mut on_grid);
            encode(&values, None, &mut reference);
            assert_eq!(on_grid, reference);
        }
    }
}
