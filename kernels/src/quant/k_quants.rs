//! Shared by ggml's k-quants: super-blocks of 256 weights in groups whose scales are quantized themselves.

use super::blocks::map_array;
use super::legacy::{read_f16, write_f16};
use super::rounding::nearest_int;
use super::scale_search::{AffineScales, AffineSearch, interleave_groups, search_affine, search_positive};
use crate::numerics::half::round_to_f16;

/// Weights per super-block (`QK_K`).
pub(super) const BLOCK_SIZE: usize = 256;

/// The mean of squares over a block, times `factor`, summed in order.
#[inline(always)]
pub(super) fn mean_square(values: &[f32; BLOCK_SIZE], factor: f32) -> f32 {
    let sum = values.iter().fold(0.0, |sum: f32, x| sum + x * x);
    factor * sum / BLOCK_SIZE as f32
}

/// Packs 2-bit levels: 32 bytes per 128 weights; byte i has the levels i, i + 32, i + 64 and i + 96.
#[inline(always)]
pub(super) fn pack_2_bits(levels: &[u8; BLOCK_SIZE], out: &mut [u8]) {
    for (levels, out) in levels.as_chunks::<128>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = levels[i] | (levels[i + 32] << 2) | (levels[i + 64] << 4) | (levels[i + 96] << 6);
        }
    }
}

/// Packs the low four bits of levels: 32 bytes per 64 weights; byte i has the levels i and i + 32.
#[inline(always)]
pub(super) fn pack_nibbles(levels: &[u8; BLOCK_SIZE], out: &mut [u8]) {
    for (levels, out) in levels.as_chunks::<64>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = (levels[i] & 15) | ((levels[i + 32] & 15) << 4);
        }
    }
}

/// Quantized scales and minima of 8 groups of 32 weights (Q4_K, Q5_K).
pub(super) struct ScaleGroups {
    /// 6 bits each.
    scales: [u8; 8],
    mins: [u8; 8],
    /// Of the super-block.
    scale: f32,
    min: f32,
    unrounded: AffineScales<8>,
}

impl ScaleGroups {
    /// Finds them with errors weighted by magnitude (`quantize_row_q4_K_ref`, `quantize_row_q5_K_ref`).
    #[inline(always)]
    pub(super) fn unweighted(values: &[f32; BLOCK_SIZE], search: AffineSearch) -> Self {
        let x: [[f32; 8]; 32] = interleave_groups(values);
        let mut sums = [0.0; 8];
        for x in &x {
            for g in 0..8 {
                sums[g] += x[g] * x[g];
            }
        }
        let averages = map_array(&sums, |sum: f32| (sum / 32.0).sqrt());
        let mut weights = x;
        for weights in &mut weights {
            for g in 0..8 {
                weights[g] = averages[g] + weights[g].abs();
            }
        }
        let unrounded = search_affine(&x, &weights, search);
        let max = |values: &[f32; 8]| values.iter().fold(0.0, |max: f32, v| if *v > max { *v } else { max });
        let (scale, min) = (max(&unrounded.scale), max(&unrounded.min));
        let levels = |values: &[f32; 8], max: f32| {
            let inverse = if max > 0.0 { 63.0 / max } else { 0.0 };
            map_array(values, |v| (nearest_int(inverse * v) as u8).min(63))
        };
        let (scales, mins) = (levels(&unrounded.scale, scale), levels(&unrounded.min, min));
        Self { scales, mins, scale: scale / 63.0, min: min / 63.0, unrounded }
    }

    /// Finds them with errors weighted by importance (`quantize_row_q4_K_impl`, `quantize_row_q5_K_impl`).
    #[inline(always)]
    pub(super) fn weighted(
        values: &[f32; BLOCK_SIZE],
        importance: &[f32; BLOCK_SIZE],
        max_level: i32,
    ) -> Self {
        let mean = mean_square(values, 2.0);
        let x: [[f32; 8]; 32] = interleave_groups(values);
        let mut weights: [[f32; 8]; 32] = interleave_groups(importance);
        let mut sums = [0.0; 8];
        for (x, weights) in x.iter().zip(&mut weights) {
            for g in 0..8 {
                weights[g] *= (mean + x[g] * x[g]).sqrt();
                sums[g] += weights[g];
            }
        }
        let search = AffineSearch { max_level, rmin: -0.9, rdelta: 0.05, nstep: 36, use_mad: false };
        let unrounded = search_affine(&x, &weights, search);
        let (scale, scales) = search_positive(&unrounded.scale, &sums, 63);
        let (min, mins) = search_positive(&unrounded.min, &sums, 63);
        Self { scales, mins, scale, min, unrounded }
    }

    /// The levels 0..=`max_level` of the weights for the quantized scales.
    #[inline(always)]
    pub(super) fn levels(&self, values: &[f32; BLOCK_SIZE], max_level: i32) -> [u8; BLOCK_SIZE] {
        let (scale, min) = (round_to_f16(self.scale), round_to_f16(self.min));
        let mut levels = [0; BLOCK_SIZE];
        for (g, (levels, values)) in
            levels.as_chunks_mut::<32>().0.iter_mut().zip(values.as_chunks::<32>().0).enumerate()
        {
            let (scale, min) = (scale * f32::from(self.scales[g]), min * f32::from(self.mins[g]));
            for (level, x) in levels.iter_mut().zip(values) {
                *level = if scale == 0.0 {
                    self.unrounded.level(g, *x, max_level)
                } else {
                    nearest_int((x + min) / scale).clamp(0, max_level) as u8
                };
            }
        }
        levels
    }

    /// Writes `f16` scale and minimum of the super-block and 6 + 6 bits per group: 16 bytes.
    #[inline(always)]
    pub(super) fn write(&self, out: &mut [u8]) {
        write_f16(self.scale, &mut out[..2]);
        write_f16(self.min, &mut out[2..4]);
        let packed = &mut out[4..16];
        for g in 0..4 {
            let (scale, min) = (self.scales[g + 4], self.mins[g + 4]);
            packed[g] = self.scales[g] | ((scale >> 4) << 6);
            packed[g + 4] = self.mins[g] | ((min >> 4) << 6);
            packed[g + 8] = (scale & 15) | ((min & 15) << 4);
        }
    }
}

/// The inverse of [`pack_2_bits`].
#[inline(always)]
pub(super) fn unpack_2_bits(bytes: &[u8]) -> [u8; BLOCK_SIZE] {
    let mut levels = [0; BLOCK_SIZE];
    for (levels, bytes) in levels.as_chunks_mut::<128>().0.iter_mut().zip(bytes.as_chunks::<32>().0) {
        for (n, levels) in levels.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for (level, byte) in levels.iter_mut().zip(bytes) {
                *level = byte >> (2 * n) & 3;
            }
        }
    }
    levels
}

/// The inverse of [`pack_nibbles`].
#[inline(always)]
pub(super) fn unpack_nibbles(bytes: &[u8]) -> [u8; BLOCK_SIZE] {
    let mut levels = [0; BLOCK_SIZE];
    for (levels, bytes) in levels.as_chunks_mut::<64>().0.iter_mut().zip(bytes.as_chunks::<32>().0) {
        for (i, byte) in bytes.iter().enumerate() {
            (levels[i], levels[i + 32]) = (byte & 15, byte >> 4);
        }
    }
    levels
}

/// Adds `bit` to the levels whose high bit is set: bit g of 32 bytes for the g-th 32 weights.
#[inline(always)]
pub(super) fn unpack_high_bits(bytes: &[u8], bit: u8, levels: &mut [u8; BLOCK_SIZE]) {
    for (g, levels) in levels.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (level, byte) in levels.iter_mut().zip(bytes) {
            *level |= (byte >> g & 1) * bit;
        }
    }
}

/// Decodes the weights of 8 groups; `header` is what [`ScaleGroups::write`] wrote.
#[inline(always)]
pub(super) fn decode_affine_groups(
    header: &[u8; 16],
    levels: &[u8; BLOCK_SIZE],
    values: &mut [f32; BLOCK_SIZE],
) {
    let (scale, min) = (read_f16([header[0], header[1]]), read_f16([header[2], header[3]]));
    let packed = &header[4..];
    for (g, (values, levels)) in
        values.as_chunks_mut::<32>().0.iter_mut().zip(levels.as_chunks::<32>().0).enumerate()
    {
        let (group_scale, group_min) = if g < 4 {
            (packed[g] & 63, packed[g + 4] & 63)
        } else {
            let low = packed[g + 4];
            (low & 15 | packed[g - 4] >> 6 << 4, low >> 4 | packed[g] >> 6 << 4)
        };
        let (scale, min) = (scale * f32::from(group_scale), min * f32::from(group_min));
        for (value, level) in values.iter_mut().zip(levels) {
            *value = scale * f32::from(*level) - min;
        }
    }
}
