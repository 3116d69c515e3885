//! What the k-quants have in common: 256 weights in groups, each group's scale itself quantised.

use super::blocks::mapped;
use super::legacy::{get_f16, put_f16};
use super::rounding::nearest;
use super::scale_search::{AffineFound, AffineSearch, affine, positive, side_by_side};
use crate::numerics::half::round_to_f16;

/// Weights in a block.
pub(super) const BLOCK: usize = 256;

/// The mean of squares over a block, times `factor`, summed in order.
#[inline(always)]
pub(super) fn mean_square(values: &[f32; BLOCK], factor: f32) -> f32 {
    let sum = values.iter().fold(0.0, |sum: f32, x| sum + x * x);
    factor * sum / BLOCK as f32
}

/// Packs 2-bit levels: 32 bytes for each 128 weights, every byte with one of each 32.
#[inline(always)]
pub(super) fn put_pairs(levels: &[u8; BLOCK], out: &mut [u8]) {
    for (levels, out) in levels.as_chunks::<128>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = levels[i] | (levels[i + 32] << 2) | (levels[i + 64] << 4) | (levels[i + 96] << 6);
        }
    }
}

/// Packs the lower four bits of levels: 32 bytes for each 64 weights.
#[inline(always)]
pub(super) fn put_nibbles(levels: &[u8; BLOCK], out: &mut [u8]) {
    for (levels, out) in levels.as_chunks::<64>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = (levels[i] & 15) | ((levels[i + 32] & 15) << 4);
        }
    }
}

/// Scales and minima of 8 groups of 32 weights, as Q4_K and Q5_K have them.
pub(super) struct ScaleGroups {
    /// 6 bits each.
    scales: [u8; 8],
    mins: [u8; 8],
    scale: f32,
    min: f32,
    found: AffineFound<8>,
}

impl ScaleGroups {
    /// Searches them with the weights' own sizes (`quantize_row_q4_K_ref`, `quantize_row_q5_K_ref`).
    #[inline(always)]
    pub(super) fn plain(values: &[f32; BLOCK], how: AffineSearch) -> Self {
        let x: [[f32; 8]; 32] = side_by_side(values);
        let mut sums = [0.0; 8];
        for x in &x {
            for g in 0..8 {
                sums[g] += x[g] * x[g];
            }
        }
        let averages = mapped(&sums, |sum: f32| (sum / 32.0).sqrt());
        let mut weights = x;
        for weights in &mut weights {
            for g in 0..8 {
                weights[g] = averages[g] + weights[g].abs();
            }
        }
        let found = affine(&x, &weights, how);
        let most =
            |values: &[f32; 8]| values.iter().fold(0.0, |most: f32, v| if *v > most { *v } else { most });
        let (scale, min) = (most(&found.scale), most(&found.min));
        let levels = |values: &[f32; 8], most: f32| {
            let inverse = if most > 0.0 { 63.0 / most } else { 0.0 };
            mapped(values, |v| (nearest(inverse * v) as u8).min(63))
        };
        let (scales, mins) = (levels(&found.scale, scale), levels(&found.min, min));
        Self { scales, mins, scale: scale / 63.0, min: min / 63.0, found }
    }

    /// Searches them with importances (`quantize_row_q4_K_impl`, `quantize_row_q5_K_impl`).
    #[inline(always)]
    pub(super) fn weighted(values: &[f32; BLOCK], importance: &[f32; BLOCK], top: i32) -> Self {
        let mean = mean_square(values, 2.0);
        let x: [[f32; 8]; 32] = side_by_side(values);
        let mut weights: [[f32; 8]; 32] = side_by_side(importance);
        let mut sums = [0.0; 8];
        for (x, weights) in x.iter().zip(&mut weights) {
            for g in 0..8 {
                weights[g] *= (mean + x[g] * x[g]).sqrt();
                sums[g] += weights[g];
            }
        }
        let how = AffineSearch { top, from: -0.9, by: 0.05, steps: 36, absolute: false };
        let found = affine(&x, &weights, how);
        let (scale, scales) = positive(&found.scale, &sums, 63);
        let (min, mins) = positive(&found.min, &sums, 63);
        Self { scales, mins, scale, min, found }
    }

    /// The levels 0..=`top` of the weights, for the scales as they are stored.
    #[inline(always)]
    pub(super) fn levels(&self, values: &[f32; BLOCK], top: i32) -> [u8; BLOCK] {
        let (scale, min) = (round_to_f16(self.scale), round_to_f16(self.min));
        let mut levels = [0; BLOCK];
        for (g, (levels, values)) in
            levels.as_chunks_mut::<32>().0.iter_mut().zip(values.as_chunks::<32>().0).enumerate()
        {
            let (scale, min) = (scale * f32::from(self.scales[g]), min * f32::from(self.mins[g]));
            for (level, x) in levels.iter_mut().zip(values) {
                *level = if scale == 0.0 {
                    self.found.level(g, *x, top)
                } else {
                    nearest((x + min) / scale).clamp(0, top) as u8
                };
            }
        }
        levels
    }

    /// Stores `f16` scale and minimum, and 8 times 6 + 6 bits, in 16 bytes.
    #[inline(always)]
    pub(super) fn put(&self, out: &mut [u8]) {
        put_f16(self.scale, &mut out[..2]);
        put_f16(self.min, &mut out[2..4]);
        let packed = &mut out[4..16];
        for g in 0..4 {
            let (scale, min) = (self.scales[g + 4], self.mins[g + 4]);
            packed[g] = self.scales[g] | ((scale >> 4) << 6);
            packed[g + 4] = self.mins[g] | ((min >> 4) << 6);
            packed[g + 8] = (scale & 15) | ((min & 15) << 4);
        }
    }
}

/// Undoes [`put_pairs`].
#[inline(always)]
pub(super) fn get_pairs(bytes: &[u8]) -> [u8; BLOCK] {
    let mut levels = [0; BLOCK];
    for (levels, bytes) in levels.as_chunks_mut::<128>().0.iter_mut().zip(bytes.as_chunks::<32>().0) {
        for (n, levels) in levels.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for (level, byte) in levels.iter_mut().zip(bytes) {
                *level = byte >> (2 * n) & 3;
            }
        }
    }
    levels
}

/// Undoes [`put_nibbles`].
#[inline(always)]
pub(super) fn get_nibbles(bytes: &[u8]) -> [u8; BLOCK] {
    let mut levels = [0; BLOCK];
    for (levels, bytes) in levels.as_chunks_mut::<64>().0.iter_mut().zip(bytes.as_chunks::<32>().0) {
        for (i, byte) in bytes.iter().enumerate() {
            (levels[i], levels[i + 32]) = (byte & 15, byte >> 4);
        }
    }
    levels
}

/// Adds `bit` to the levels whose bit is set: of each 32 weights in one bit of 32 bytes.
#[inline(always)]
pub(super) fn add_high_bits(bytes: &[u8], bit: u8, levels: &mut [u8; BLOCK]) {
    for (g, levels) in levels.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (level, byte) in levels.iter_mut().zip(bytes) {
            *level |= (byte >> g & 1) * bit;
        }
    }
}

/// The weights of 8 groups whose scales and minima [`Groups::put`] stored.
#[inline(always)]
pub(super) fn affine_values(head: &[u8; 16], levels: &[u8; BLOCK], values: &mut [f32; BLOCK]) {
    let (scale, min) = (get_f16([head[0], head[1]]), get_f16([head[2], head[3]]));
    let packed = &head[4..];
    for (g, (values, levels)) in
        values.as_chunks_mut::<32>().0.iter_mut().zip(levels.as_chunks::<32>().0).enumerate()
    {
        let (of_scale, of_min) = if g < 4 {
            (packed[g] & 63, packed[g + 4] & 63)
        } else {
            let low = packed[g + 4];
            (low & 15 | packed[g - 4] >> 6 << 4, low >> 4 | packed[g] >> 6 << 4)
        };
        let (scale, min) = (scale * f32::from(of_scale), min * f32::from(of_min));
        for (value, level) in values.iter_mut().zip(levels) {
            *value = scale * f32::from(*level) - min;
        }
    }
}
