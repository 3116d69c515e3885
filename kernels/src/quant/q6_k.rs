//! Q6_K: 256 weights in 6 bits, 16 groups with 8-bit scales, in 210 bytes.

use super::blocks::{decode_blocks, encode_blocks_with_importance, map_array};
use super::k_quants::BLOCK_SIZE;
use super::legacy::{read_f16, write_f16};
use super::rounding::nearest_int;
use super::scale_search::{GROUP_MAX_EPS, interleave_groups, search_symmetric};
use crate::numerics::half::round_to_f16;
use crate::numerics::simd::multiversion;

/// Bytes per block.
pub(super) const BLOCK_BYTES: usize = 210;

multiversion! {
    /// `quantize_row_q6_K_ref` of ggml; for one row with importances, `quantize_row_q6_K_impl`.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        encode_blocks_with_importance!(values, importance, bytes, encode_block);
    }
}

#[inline(always)]
fn encode_block(
    values: &[f32; BLOCK_SIZE],
    importance: Option<&[f32; BLOCK_SIZE]>,
    out: &mut [u8; BLOCK_BYTES],
) {
    let x: [[f32; 16]; 16] = interleave_groups(values);
    let weights: Option<[[f32; 16]; 16]> = importance.map(|i| interleave_groups(i));
    let unrounded = search_symmetric(&x, weights.as_ref(), 32);
    let (mut magnitude, mut signed) = (0.0, 0.0);
    for scale in unrounded.scale {
        if scale.abs() > magnitude {
            (magnitude, signed) = (scale.abs(), scale);
        }
    }
    if magnitude < GROUP_MAX_EPS {
        out.fill(0);
        return;
    }
    let inverse = -128.0 / signed;
    let scale = 1.0 / inverse;
    let scales = map_array(&unrounded.scale, |s| nearest_int(inverse * s).min(127) as i8);
    let mut levels = [0; BLOCK_SIZE];
    for (g, (levels, values)) in
        levels.as_chunks_mut::<16>().0.iter_mut().zip(values.as_chunks::<16>().0).enumerate()
    {
        let scale = round_to_f16(scale) * f32::from(scales[g]);
        for (level, x) in levels.iter_mut().zip(values) {
            *level = if scale == 0.0 {
                unrounded.level(g, *x, 32)
            } else {
                (nearest_int(x / scale).clamp(-32, 31) + 32) as u8
            };
        }
    }
    pack_levels(&levels, out);
    for (byte, scale) in out[192..208].iter_mut().zip(scales) {
        *byte = scale as u8;
    }
    write_f16(scale, &mut out[208..]);
}

/// Packs the low four bits in 128 bytes, the high two in 64.
#[inline(always)]
fn pack_levels(levels: &[u8; BLOCK_SIZE], out: &mut [u8; BLOCK_BYTES]) {
    let (low, rest) = out.split_at_mut(128);
    for (n, levels) in levels.as_chunks::<128>().0.iter().enumerate() {
        for i in 0..32 {
            let (a, b, c, d) = (levels[i], levels[i + 32], levels[i + 64], levels[i + 96]);
            low[64 * n + i] = (a & 15) | ((c & 15) << 4);
            low[64 * n + i + 32] = (b & 15) | ((d & 15) << 4);
            rest[32 * n + i] = (a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((d >> 4) << 6);
        }
    }
}

multiversion! {
    /// `dequantize_row_q6_K` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        decode_blocks!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BLOCK_BYTES], values: &mut [f32; BLOCK_SIZE]) {
    let scale = read_f16([bytes[208], bytes[209]]);
    let levels = unpack_levels(bytes);
    for (g, (values, levels)) in
        values.as_chunks_mut::<16>().0.iter_mut().zip(levels.as_chunks::<16>().0).enumerate()
    {
        let scale = scale * f32::from(bytes[192 + g] as i8);
        for (value, level) in values.iter_mut().zip(levels) {
            *value = scale * (f32::from(*level) - 32.0);
        }
    }
}

/// The inverse of [`pack_levels`].
#[inline(always)]
fn unpack_levels(bytes: &[u8; BLOCK_BYTES]) -> [u8; BLOCK_SIZE] {
    let mut levels = [0; BLOCK_SIZE];
    for (n, levels) in levels.as_chunks_mut::<128>().0.iter_mut().enumerate() {
        let (low, high) = (&bytes[64 * n..64 * n + 64], &bytes[128 + 32 * n..160 + 32 * n]);
        for i in 0..32 {
            levels[i] = low[i] & 15 | (high[i] & 3) << 4;
            levels[i + 32] = low[i + 32] & 15 | (high[i] >> 2 & 3) << 4;
            levels[i + 64] = low[i] >> 4 | (high[i] >> 4 & 3) << 4;
            levels[i + 96] = low[i + 32] >> 4 | high[i] >> 6 << 4;
        }
    }
    levels
}
