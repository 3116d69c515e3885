//! Q2_K: 256 weights in 2 bits, 16 groups with 4-bit scales and minima, in 84 bytes.

use super::blocks::{each_block, each_stored, mapped};
use super::k_quants::{BLOCK, get_pairs, mean_square, put_pairs};
use super::legacy::{get_f16, put_f16};
use super::rounding::nearest;
use super::scale_search::{AffineFound, AffineSearch, affine, positive, side_by_side};
use crate::numerics::half::round_to_f16;
use crate::numerics::simd::multiversion;

/// Bytes of a block.
pub(super) const BYTES: usize = 84;
const TOP: i32 = 3;

multiversion! {
    /// `quantize_row_q2_K_ref` of ggml; with importances, of one row, `quantize_row_q2_K_impl`.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        each_block!(values, importance, bytes, encode_block);
    }
}

struct Q2Groups {
    /// 4 bits each.
    scales: [u8; 16],
    mins: [u8; 16],
    scale: f32,
    min: f32,
    found: AffineFound<16>,
}

#[inline(always)]
fn plain(values: &[f32; BLOCK]) -> Q2Groups {
    let x: [[f32; 16]; 16] = side_by_side(values);
    let mut weights = x;
    weights.as_flattened_mut().iter_mut().for_each(|weight| *weight = weight.abs());
    let found =
        affine(&x, &weights, AffineSearch { top: TOP, from: -0.5, by: 0.1, steps: 15, absolute: true });
    let most = |values: &[f32; 16]| values.iter().fold(0.0, |most: f32, v| if *v > most { *v } else { most });
    let (scale, min) = (most(&found.scale), most(&found.min));
    let levels = |values: &[f32; 16], most: f32| {
        let inverse = 15.0 / most;
        mapped(values, |v| if most > 0.0 { nearest(inverse * v) as u8 } else { 0 })
    };
    let (scales, mins) = (levels(&found.scale, scale), levels(&found.min, min));
    let stored = |most: f32| if most > 0.0 { most / 15.0 } else { 0.0 };
    Q2Groups { scales, mins, scale: stored(scale), min: stored(min), found }
}

#[inline(always)]
fn weighted(values: &[f32; BLOCK], importance: &[f32; BLOCK]) -> Q2Groups {
    let mean = mean_square(values, 1.0);
    let x: [[f32; 16]; 16] = side_by_side(values);
    let mut weights: [[f32; 16]; 16] = side_by_side(importance);
    let mut sums = [0.0; 16];
    for (x, weights) in x.iter().zip(&mut weights) {
        for g in 0..16 {
            weights[g] *= (mean + x[g] * x[g]).sqrt();
            sums[g] += weights[g];
        }
    }
    let found =
        affine(&x, &weights, AffineSearch { top: TOP, from: -0.9, by: 0.05, steps: 36, absolute: false });
    let (scale, scales) = positive(&found.scale, &sums, 15);
    let (min, mins) = positive(&found.min, &sums, 15);
    Q2Groups { scales, mins, scale, min, found }
}

#[inline(always)]
fn encode_block(values: &[f32; BLOCK], importance: Option<&[f32; BLOCK]>, out: &mut [u8; BYTES]) {
    let groups = match importance {
        None => plain(values),
        Some(importance) => weighted(values, importance),
    };
    let (scale, min) = (round_to_f16(groups.scale), round_to_f16(groups.min));
    let mut levels = [0; BLOCK];
    for (g, (levels, values)) in
        levels.as_chunks_mut::<16>().0.iter_mut().zip(values.as_chunks::<16>().0).enumerate()
    {
        let (scale, min) = (scale * f32::from(groups.scales[g]), min * f32::from(groups.mins[g]));
        for (level, x) in levels.iter_mut().zip(values) {
            *level = if scale == 0.0 {
                groups.found.level(g, *x, TOP)
            } else {
                nearest((x + min) / scale).clamp(0, TOP) as u8
            };
        }
    }
    for (byte, (scale, min)) in out.iter_mut().zip(groups.scales.iter().zip(groups.mins)) {
        *byte = scale | (min << 4);
    }
    put_pairs(&levels, &mut out[16..80]);
    put_f16(groups.scale, &mut out[80..82]);
    put_f16(groups.min, &mut out[82..]);
}

multiversion! {
    /// `dequantize_row_q2_K` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        each_stored!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BYTES], values: &mut [f32; BLOCK]) {
    let (scale, min) = (get_f16([bytes[80], bytes[81]]), get_f16([bytes[82], bytes[83]]));
    let levels = get_pairs(&bytes[16..80]);
    for (g, (values, levels)) in
        values.as_chunks_mut::<16>().0.iter_mut().zip(levels.as_chunks::<16>().0).enumerate()
    {
        let (scale, min) = (scale * f32::from(bytes[g] & 15), min * f32::from(bytes[g] >> 4));
        for (value, level) in values.iter_mut().zip(levels) {
            *value = scale * f32::from(*level) - min;
        }
    }
}
