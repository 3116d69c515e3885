//! Q3_K: 256 weights in 3 bits, 16 groups with 6-bit scales, in 110 bytes.

use super::blocks::{each_block, each_stored, mapped};
use super::k_quants::{BLOCK, add_high_bits, get_pairs, mean_square, put_pairs};
use super::legacy::{get_f16, put_f16};
use super::rounding::nearest;
use super::scale_search::{EPSILON, side_by_side, symmetric};
use crate::numerics::half::round_to_f16;
use crate::numerics::simd::multiversion;

/// Bytes of a block.
pub(super) const BYTES: usize = 110;
/// Levels are −4..4.
const HALF: i32 = 4;

multiversion! {
    /// `quantize_row_q3_K_ref` of ggml; with importances, of one row, `quantize_row_q3_K_impl`.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        each_block!(values, importance, bytes, encode_block);
    }
}

struct Q3Groups {
    /// 0..64, standing for −32..32.
    scales: [u8; 16],
    scale: f32,
    /// The search's own levels, for groups whose scale is stored as zero.
    levels: [u8; BLOCK],
}

#[inline(always)]
fn plain(values: &[f32; BLOCK]) -> Q3Groups {
    let x: [[f32; 16]; 16] = side_by_side(values);
    let (found, lanes) = refine(&x);
    let (mut size, mut signed) = (0.0, 0.0);
    for scale in found {
        if scale.abs() > size {
            (size, signed) = (scale.abs(), scale);
        }
    }
    let inverse = -32.0 / signed;
    let zero = signed == 0.0;
    // a scale that is stored as nothing is six zero bits, not the 32 that stand for zero
    let scales = mapped(&found, |s| {
        if zero { 0 } else { (i32::from(nearest(inverse * s) as i8).clamp(-32, 31) + 32) as u8 }
    });
    let mut levels = [0; BLOCK];
    for (g, levels) in levels.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        for (level, lanes) in levels.iter_mut().zip(&lanes) {
            *level = lanes[g] as u8;
        }
    }
    Q3Groups { scales, scale: if zero { 0.0 } else { 1.0 / inverse }, levels }
}

/// A scale for each group, found by moving single levels as long as that helps, and the levels + 4
/// (`make_q3_quants`). Groups that are zero have levels 0.
#[inline(always)]
fn refine<const G: usize>(x: &[[f32; G]; 16]) -> ([f32; G], [[i32; G]; 16]) {
    let (mut largest, mut signed) = ([0.0; G], [0.0; G]);
    for x in x {
        for g in 0..G {
            let larger = x[g].abs() > largest[g];
            largest[g] = if larger { x[g].abs() } else { largest[g] };
            signed[g] = if larger { x[g] } else { signed[g] };
        }
    }
    let mut levels = [[0; G]; 16];
    let (mut sum_lx, mut sum_l2) = ([0.0; G], [0.0; G]);
    for (x, levels) in x.iter().zip(&mut levels) {
        for g in 0..G {
            levels[g] = nearest(-HALF as f32 / signed[g] * x[g]).clamp(-HALF, HALF - 1);
            let (weight, level) = (x[g] * x[g], levels[g] as f32);
            sum_lx[g] += weight * x[g] * level;
            sum_l2[g] += weight * level * level;
        }
    }
    for _ in 0..5 {
        let mut moved = false;
        for (x, levels) in x.iter().zip(&mut levels) {
            for g in 0..G {
                let (weight, old) = (x[g] * x[g], levels[g] as f32);
                let lx = sum_lx[g] - weight * x[g] * old;
                let l2 = sum_l2[g] - weight * old * old;
                let new = nearest(x[g] * l2 / lx).clamp(-HALF, HALF - 1);
                let level = new as f32;
                let (new_lx, new_l2) = (lx + weight * x[g] * level, l2 + weight * level * level);
                let better = new_lx * new_lx * sum_l2[g] > sum_lx[g] * sum_lx[g] * new_l2;
                let moves = lx > 0.0 && new != levels[g] && new_l2 > 0.0 && better;
                levels[g] = if moves { new } else { levels[g] };
                sum_lx[g] = if moves { new_lx } else { sum_lx[g] };
                sum_l2[g] = if moves { new_l2 } else { sum_l2[g] };
                moved |= moves;
            }
        }
        if !moved {
            break;
        }
    }
    let mut scales = [0.0; G];
    for g in 0..G {
        let zero = largest[g] < EPSILON;
        scales[g] = if zero || sum_l2[g] <= 0.0 { 0.0 } else { sum_lx[g] / sum_l2[g] };
        for levels in &mut levels {
            levels[g] = if zero { 0 } else { levels[g] + HALF };
        }
    }
    (scales, levels)
}

#[inline(always)]
fn weighted(values: &[f32; BLOCK], importance: &[f32; BLOCK]) -> Q3Groups {
    let mean = mean_square(values, 2.0);
    let x: [[f32; 16]; 16] = side_by_side(values);
    let mut weights: [[f32; 16]; 16] = side_by_side(importance);
    let mut sums = [[0.0]; 16];
    for (x, weights) in x.iter().zip(&mut weights) {
        for g in 0..16 {
            weights[g] *= (mean + x[g] * x[g]).sqrt();
            sums[g][0] += weights[g];
        }
    }
    let found = symmetric(&x, Some(&weights), HALF);
    let outer = symmetric(&mapped(&found.scale, |s| [s]), Some(&sums), 32);
    let mut levels = [0; BLOCK];
    for (i, (level, x)) in levels.iter_mut().zip(values).enumerate() {
        *level = found.level(i / 16, *x, HALF);
    }
    Q3Groups { scales: mapped(&found.scale, |s| outer.level(0, s, 32)), scale: outer.scale[0], levels }
}

#[inline(always)]
fn encode_block(values: &[f32; BLOCK], importance: Option<&[f32; BLOCK]>, out: &mut [u8; BYTES]) {
    let Q3Groups { scales, scale, mut levels } = match importance {
        None => plain(values),
        Some(importance) => weighted(values, importance),
    };
    for (g, (levels, values)) in
        levels.as_chunks_mut::<16>().0.iter_mut().zip(values.as_chunks::<16>().0).enumerate()
    {
        let scale = round_to_f16(scale) * (f32::from(scales[g]) - 32.0);
        for (level, x) in levels.iter_mut().zip(values) {
            let stored = (nearest(x / scale).clamp(-HALF, HALF - 1) + HALF) as u8;
            *level = if scale == 0.0 { *level } else { stored };
        }
    }
    // the third bits: of each 32 weights in one bit of 32 bytes
    for (i, byte) in out[..32].iter_mut().enumerate() {
        *byte = (0..8).fold(0, |bits, g| bits | (u8::from(levels[32 * g + i] > 3) << g));
    }
    put_pairs(&mapped(&levels, |l| if l > 3 { l - 4 } else { l }), &mut out[32..96]);
    put_scales(&scales, &mut out[96..108]);
    put_f16(scale, &mut out[108..]);
}

/// The lower four bits of two scales in a byte, the upper two of four.
#[inline(always)]
fn put_scales(scales: &[u8; 16], out: &mut [u8]) {
    for g in 0..8 {
        out[g] = (scales[g] & 15) | ((scales[g + 8] & 15) << 4);
    }
    for g in 0..4 {
        out[8 + g] = (0..4).fold(0, |bits, n| bits | ((scales[4 * n + g] >> 4) << (2 * n)));
    }
}

multiversion! {
    /// `dequantize_row_q3_K` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        each_stored!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BYTES], values: &mut [f32; BLOCK]) {
    let scale = get_f16([bytes[108], bytes[109]]);
    let mut levels = get_pairs(&bytes[32..96]);
    add_high_bits(&bytes[..32], 4, &mut levels);
    let scales = get_scales(&bytes[96..108]);
    for (g, (values, levels)) in
        values.as_chunks_mut::<16>().0.iter_mut().zip(levels.as_chunks::<16>().0).enumerate()
    {
        let scale = scale * (f32::from(scales[g]) - 32.0);
        for (value, level) in values.iter_mut().zip(levels) {
            *value = scale * (f32::from(*level) - HALF as f32);
        }
    }
}

/// Undoes [`put_scales`].
#[inline(always)]
fn get_scales(bytes: &[u8]) -> [u8; 16] {
    std::array::from_fn(|g| {
        let low = bytes[g % 8] >> (g / 8 * 4) & 15;
        low | (bytes[8 + g % 4] >> (g / 4 * 2) & 3) << 4
    })
}
