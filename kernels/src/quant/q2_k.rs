//! Q2_K: 256 weights in 2 bits, 16 groups with 4-bit scales and minima, in 84 bytes.

use super::blocks::{decode_blocks, encode_blocks_with_importance, map_array};
use super::k_quants::{BLOCK_SIZE, mean_square, pack_2_bits, unpack_2_bits};
use super::legacy::{read_f16, write_f16};
use super::rounding::nearest_int;
use super::scale_search::{AffineScales, AffineSearch, interleave_groups, search_affine, search_positive};
use crate::numerics::half::round_to_f16;
use crate::numerics::simd::multiversion;

/// Bytes per block.
pub(super) const BLOCK_BYTES: usize = 84;
const MAX_LEVEL: i32 = 3;

multiversion! {
    /// `quantize_row_q2_K_ref` of ggml; for one row with importances, `quantize_row_q2_K_impl`.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        encode_blocks_with_importance!(values, importance, bytes, encode_block);
    }
}

/// Quantized scales and minima of a super-block's groups.
struct Q2Groups {
    /// 4 bits each.
    scales: [u8; 16],
    mins: [u8; 16],
    scale: f32,
    min: f32,
    unrounded: AffineScales<16>,
}

#[inline(always)]
fn unweighted(values: &[f32; BLOCK_SIZE]) -> Q2Groups {
    let x: [[f32; 16]; 16] = interleave_groups(values);
    let mut weights = x;
    weights.as_flattened_mut().iter_mut().for_each(|weight| *weight = weight.abs());
    let unrounded = search_affine(
        &x,
        &weights,
        AffineSearch { max_level: MAX_LEVEL, rmin: -0.5, rdelta: 0.1, nstep: 15, use_mad: true },
    );
    let max = |values: &[f32; 16]| values.iter().fold(0.0, |max: f32, v| if *v > max { *v } else { max });
    let (scale, min) = (max(&unrounded.scale), max(&unrounded.min));
    let levels = |values: &[f32; 16], max: f32| {
        let inverse = 15.0 / max;
        map_array(values, |v| if max > 0.0 { nearest_int(inverse * v) as u8 } else { 0 })
    };
    let (scales, mins) = (levels(&unrounded.scale, scale), levels(&unrounded.min, min));
    let super_scale = |max: f32| if max > 0.0 { max / 15.0 } else { 0.0 };
    Q2Groups { scales, mins, scale: super_scale(scale), min: super_scale(min), unrounded }
}

#[inline(always)]
fn weighted(values: &[f32; BLOCK_SIZE], importance: &[f32; BLOCK_SIZE]) -> Q2Groups {
    let mean = mean_square(values, 1.0);
    let x: [[f32; 16]; 16] = interleave_groups(values);
    let mut weights: [[f32; 16]; 16] = interleave_groups(importance);
    let mut sums = [0.0; 16];
    for (x, weights) in x.iter().zip(&mut weights) {
        for g in 0..16 {
            weights[g] *= (mean + x[g] * x[g]).sqrt();
            sums[g] += weights[g];
        }
    }
    let unrounded = search_affine(
        &x,
        &weights,
        AffineSearch { max_level: MAX_LEVEL, rmin: -0.9, rdelta: 0.05, nstep: 36, use_mad: false },
    );
    let (scale, scales) = search_positive(&unrounded.scale, &sums, 15);
    let (min, mins) = search_positive(&unrounded.min, &sums, 15);
    Q2Groups { scales, mins, scale, min, unrounded }
}

#[inline(always)]
fn encode_block(
    values: &[f32; BLOCK_SIZE],
    importance: Option<&[f32; BLOCK_SIZE]>,
    out: &mut [u8; BLOCK_BYTES],
) {
    let groups = match importance {
        None => unweighted(values),
        Some(importance) => weighted(values, importance),
    };
    let (scale, min) = (round_to_f16(groups.scale), round_to_f16(groups.min));
    let mut levels = [0; BLOCK_SIZE];
    for (g, (levels, values)) in
        levels.as_chunks_mut::<16>().0.iter_mut().zip(values.as_chunks::<16>().0).enumerate()
    {
        let (scale, min) = (scale * f32::from(groups.scales[g]), min * f32::from(groups.mins[g]));
        for (level, x) in levels.iter_mut().zip(values) {
            *level = if scale == 0.0 {
                groups.unrounded.level(g, *x, MAX_LEVEL)
            } else {
                nearest_int((x + min) / scale).clamp(0, MAX_LEVEL) as u8
            };
        }
    }
    for (byte, (scale, min)) in out.iter_mut().zip(groups.scales.iter().zip(groups.mins)) {
        *byte = scale | (min << 4);
    }
    pack_2_bits(&levels, &mut out[16..80]);
    write_f16(groups.scale, &mut out[80..82]);
    write_f16(groups.min, &mut out[82..]);
}

multiversion! {
    /// `dequantize_row_q2_K` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        decode_blocks!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BLOCK_BYTES], values: &mut [f32; BLOCK_SIZE]) {
    let (scale, min) = (read_f16([bytes[80], bytes[81]]), read_f16([bytes[82], bytes[83]]));
    let levels = unpack_2_bits(&bytes[16..80]);
    for (g, (values, levels)) in
        values.as_chunks_mut::<16>().0.iter_mut().zip(levels.as_chunks::<16>().0).enumerate()
    {
        let (scale, min) = (scale * f32::from(bytes[g] & 15), min * f32::from(bytes[g] >> 4));
        for (value, level) in values.iter_mut().zip(levels) {
            *value = scale * f32::from(*level) - min;
        }
    }
}
