//! Q5_1: 32 weights in 5 bits with `f16` scale and minimum, in 24 bytes.

use super::blocks::{decode_blocks, encode_weighted_blocks, map_array};
use super::legacy::{
    BLOCK_SIZE, inverse_or_zero, min_max, pack_fifth_bits, pack_nibbles, read_f16, unpack_fifth_bits,
    unpack_nibbles, write_f16,
};
use super::rounding::floor_int;
use super::scale_search::{AffineSearch, interleave_groups, search_affine};
use crate::numerics::simd::multiversion;

/// Bytes per block.
pub(super) const BLOCK_BYTES: usize = 24;
const SEARCH: AffineSearch =
    AffineSearch { max_level: 31, rmin: -0.9, rdelta: 0.05, nstep: 36, use_mad: false };

multiversion! {
    /// `quantize_row_q5_1_ref` of ggml; for one row with importances, `quantize_row_q5_1_impl`.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        encode_weighted_blocks!(values, importance, bytes, encode_unweighted, encode_weighted);
    }
}

#[inline(always)]
fn encode_unweighted(values: &[f32; BLOCK_SIZE], out: &mut [u8; BLOCK_BYTES]) {
    let (low, high) = min_max(values);
    let scale = (high - low) / 31.0;
    let inverse = inverse_or_zero(scale);
    write_block(scale, low, &map_array(values, |x| floor_int((x - low) * inverse + 0.5) as u8), out);
}

#[inline(always)]
fn encode_weighted(values: &[f32; BLOCK_SIZE], weights: &[f32; BLOCK_SIZE], out: &mut [u8; BLOCK_BYTES]) {
    let x: [[f32; 1]; BLOCK_SIZE] = interleave_groups(values);
    let scales = search_affine(&x, &map_array(weights, |w| [w]), SEARCH);
    write_block(scales.scale[0], -scales.min[0], &map_array(values, |x| scales.level(0, x, 31)), out);
}

#[inline(always)]
fn write_block(scale: f32, low: f32, levels: &[u8; BLOCK_SIZE], out: &mut [u8; BLOCK_BYTES]) {
    write_f16(scale, &mut out[..2]);
    write_f16(low, &mut out[2..4]);
    pack_fifth_bits(levels, &mut out[4..8]);
    pack_nibbles(levels, &mut out[8..]);
}

multiversion! {
    /// `dequantize_row_q5_1` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        decode_blocks!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BLOCK_BYTES], values: &mut [f32; BLOCK_SIZE]) {
    let (scale, low) = (read_f16([bytes[0], bytes[1]]), read_f16([bytes[2], bytes[3]]));
    let mut levels = unpack_nibbles(&bytes[8..]);
    unpack_fifth_bits([bytes[4], bytes[5], bytes[6], bytes[7]], &mut levels);
    *values = map_array(&levels, |level| f32::from(level) * scale + low);
}
