//! Q3_K: 256 weights in 3 bits, 16 groups with 6-bit scales, in 110 bytes.

use super::blocks::{decode_blocks, encode_blocks_with_importance, map_array};
use super::k_quants::{BLOCK_SIZE, mean_square, pack_2_bits, unpack_2_bits, unpack_high_bits};
use super::legacy::{read_f16, write_f16};
use super::rounding::nearest_int;
use super::scale_search::{GROUP_MAX_EPS, interleave_groups, search_symmetric};
use crate::numerics::half::round_to_f16;
use crate::numerics::simd::multiversion;

/// Bytes per block.
pub(super) const BLOCK_BYTES: usize = 110;
/// Levels are −NMAX..NMAX.
const NMAX: i32 = 4;

multiversion! {
    /// `quantize_row_q3_K_ref` of ggml; for one row with importances, `quantize_row_q3_K_impl`.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        encode_blocks_with_importance!(values, importance, bytes, encode_block);
    }
}

/// Quantized scales of a super-block's groups.
struct Q3Groups {
    /// 0..64 for −32..32.
    scales: [u8; 16],
    scale: f32,
    /// Levels by the unrounded scales, for groups whose scale rounds to zero.
    levels: [u8; BLOCK_SIZE],
}

#[inline(always)]
fn unweighted(values: &[f32; BLOCK_SIZE]) -> Q3Groups {
    let x: [[f32; 16]; 16] = interleave_groups(values);
    let (unrounded, interleaved) = search_q3(&x);
    let (mut magnitude, mut signed) = (0.0, 0.0);
    for scale in unrounded {
        if scale.abs() > magnitude {
            (magnitude, signed) = (scale.abs(), scale);
        }
    }
    let inverse = -32.0 / signed;
    let zero = signed == 0.0;
    // if all scales are zero, ggml writes zero bits instead of 32, the code of zero
    let scales = map_array(&unrounded, |s| {
        if zero { 0 } else { (i32::from(nearest_int(inverse * s) as i8).clamp(-32, 31) + 32) as u8 }
    });
    let mut levels = [0; BLOCK_SIZE];
    for (g, levels) in levels.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        for (level, groups) in levels.iter_mut().zip(&interleaved) {
            *level = groups[g] as u8;
        }
    }
    Q3Groups { scales, scale: if zero { 0.0 } else { 1.0 / inverse }, levels }
}

/// Finds the scale of each group, changing single levels while that lowers the error, and the levels + NMAX
/// (`make_q3_quants`). Groups of zeros have levels 0.
#[inline(always)]
fn search_q3<const G: usize>(x: &[[f32; G]; 16]) -> ([f32; G], [[i32; G]; 16]) {
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
            levels[g] = nearest_int(-NMAX as f32 / signed[g] * x[g]).clamp(-NMAX, NMAX - 1);
            let (weight, level) = (x[g] * x[g], levels[g] as f32);
            sum_lx[g] += weight * x[g] * level;
            sum_l2[g] += weight * level * level;
        }
    }
    for _ in 0..5 {
        let mut changed = false;
        for (x, levels) in x.iter().zip(&mut levels) {
            for g in 0..G {
                let (weight, old) = (x[g] * x[g], levels[g] as f32);
                let lx = sum_lx[g] - weight * x[g] * old;
                let l2 = sum_l2[g] - weight * old * old;
                let new = nearest_int(x[g] * l2 / lx).clamp(-NMAX, NMAX - 1);
                let level = new as f32;
                let (new_lx, new_l2) = (lx + weight * x[g] * level, l2 + weight * level * level);
                let better = new_lx * new_lx * sum_l2[g] > sum_lx[g] * sum_lx[g] * new_l2;
                let improves = lx > 0.0 && new != levels[g] && new_l2 > 0.0 && better;
                levels[g] = if improves { new } else { levels[g] };
                sum_lx[g] = if improves { new_lx } else { sum_lx[g] };
                sum_l2[g] = if improves { new_l2 } else { sum_l2[g] };
                changed |= improves;
            }
        }
        if !changed {
            break;
        }
    }
    let mut scales = [0.0; G];
    for g in 0..G {
        let zero = largest[g] < GROUP_MAX_EPS;
        scales[g] = if zero || sum_l2[g] <= 0.0 { 0.0 } else { sum_lx[g] / sum_l2[g] };
        for levels in &mut levels {
            levels[g] = if zero { 0 } else { levels[g] + NMAX };
        }
    }
    (scales, levels)
}

#[inline(always)]
fn weighted(values: &[f32; BLOCK_SIZE], importance: &[f32; BLOCK_SIZE]) -> Q3Groups {
    let mean = mean_square(values, 2.0);
    let x: [[f32; 16]; 16] = interleave_groups(values);
    let mut weights: [[f32; 16]; 16] = interleave_groups(importance);
    let mut sums = [[0.0]; 16];
    for (x, weights) in x.iter().zip(&mut weights) {
        for g in 0..16 {
            weights[g] *= (mean + x[g] * x[g]).sqrt();
            sums[g][0] += weights[g];
        }
    }
    let unrounded = search_symmetric(&x, Some(&weights), NMAX);
    let super_scale = search_symmetric(&map_array(&unrounded.scale, |s| [s]), Some(&sums), 32);
    let mut levels = [0; BLOCK_SIZE];
    for (i, (level, x)) in levels.iter_mut().zip(values).enumerate() {
        *level = unrounded.level(i / 16, *x, NMAX);
    }
    Q3Groups {
        scales: map_array(&unrounded.scale, |s| super_scale.level(0, s, 32)),
        scale: super_scale.scale[0],
        levels,
    }
}

#[inline(always)]
fn encode_block(
    values: &[f32; BLOCK_SIZE],
    importance: Option<&[f32; BLOCK_SIZE]>,
    out: &mut [u8; BLOCK_BYTES],
) {
    let Q3Groups { scales, scale, mut levels } = match importance {
        None => unweighted(values),
        Some(importance) => weighted(values, importance),
    };
    for (g, (levels, values)) in
        levels.as_chunks_mut::<16>().0.iter_mut().zip(values.as_chunks::<16>().0).enumerate()
    {
        let scale = round_to_f16(scale) * (f32::from(scales[g]) - 32.0);
        for (level, x) in levels.iter_mut().zip(values) {
            let stored = (nearest_int(x / scale).clamp(-NMAX, NMAX - 1) + NMAX) as u8;
            *level = if scale == 0.0 { *level } else { stored };
        }
    }
    // third bits: bit g of 32 bytes for the g-th 32 weights
    for (i, byte) in out[..32].iter_mut().enumerate() {
        *byte = (0..8).fold(0, |bits, g| bits | (u8::from(levels[32 * g + i] > 3) << g));
    }
    pack_2_bits(&map_array(&levels, |l| if l > 3 { l - 4 } else { l }), &mut out[32..96]);
    pack_scales(&scales, &mut out[96..108]);
    write_f16(scale, &mut out[108..]);
}

/// Packs the low four bits of two scales per byte, then the high two of four per byte.
#[inline(always)]
fn pack_scales(scales: &[u8; 16], out: &mut [u8]) {
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
        decode_blocks!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BLOCK_BYTES], values: &mut [f32; BLOCK_SIZE]) {
    let scale = read_f16([bytes[108], bytes[109]]);
    let mut levels = unpack_2_bits(&bytes[32..96]);
    unpack_high_bits(&bytes[..32], 4, &mut levels);
    let scales = unpack_scales(&bytes[96..108]);
    for (g, (values, levels)) in
        values.as_chunks_mut::<16>().0.iter_mut().zip(levels.as_chunks::<16>().0).enumerate()
    {
        let scale = scale * (f32::from(scales[g]) - 32.0);
        for (value, level) in values.iter_mut().zip(levels) {
            *value = scale * (f32::from(*level) - NMAX as f32);
        }
    }
}

/// The inverse of [`pack_scales`].
#[inline(always)]
fn unpack_scales(bytes: &[u8]) -> [u8; 16] {
    std::array::from_fn(|g| {
        let low = bytes[g % 8] >> (g / 8 * 4) & 15;
        low | (bytes[8 + g % 4] >> (g / 4 * 2) & 3) << 4
    })
}
