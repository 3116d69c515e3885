//! Q5_0: 32 weights in 5 bits with one `f16` scale, in 22 bytes. The largest weight is −16 scales.

use super::blocks::{decode_blocks, encode_weighted_blocks, map_array};
use super::legacy::{
    BLOCK_SIZE, inverse_or_zero, max_by_magnitude, pack_fifth_bits, pack_nibbles, read_f16,
    unpack_fifth_bits, unpack_nibbles, write_f16,
};
use super::rounding::floor_int;
use super::scale_search::{interleave_groups, search_symmetric};
use crate::numerics::simd::multiversion;

/// Bytes per block.
pub(super) const BLOCK_BYTES: usize = 22;

multiversion! {
    /// `quantize_row_q5_0_ref` of ggml; for one row with importances, `quantize_row_q5_0_impl`.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        encode_weighted_blocks!(values, importance, bytes, encode_unweighted, encode_weighted);
    }
}

#[inline(always)]
fn encode_unweighted(values: &[f32; BLOCK_SIZE], out: &mut [u8; BLOCK_BYTES]) {
    let scale = max_by_magnitude(values) / -16.0;
    let inverse = inverse_or_zero(scale);
    write_block(scale, &map_array(values, |x| (floor_int(x * inverse + 16.5) as i8).min(31) as u8), out);
}

#[inline(always)]
fn encode_weighted(values: &[f32; BLOCK_SIZE], weights: &[f32; BLOCK_SIZE], out: &mut [u8; BLOCK_BYTES]) {
    let x: [[f32; 1]; BLOCK_SIZE] = interleave_groups(values);
    let scales = search_symmetric(&x, Some(&map_array(weights, |w| [w])), 16);
    write_block(scales.scale[0], &map_array(values, |x| scales.level(0, x, 16)), out);
}

#[inline(always)]
fn write_block(scale: f32, levels: &[u8; BLOCK_SIZE], out: &mut [u8; BLOCK_BYTES]) {
    write_f16(scale, &mut out[..2]);
    pack_fifth_bits(levels, &mut out[2..6]);
    pack_nibbles(levels, &mut out[6..]);
}

multiversion! {
    /// `dequantize_row_q5_0` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        decode_blocks!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BLOCK_BYTES], values: &mut [f32; BLOCK_SIZE]) {
    let scale = read_f16([bytes[0], bytes[1]]);
    let mut levels = unpack_nibbles(&bytes[6..]);
    unpack_fifth_bits([bytes[2], bytes[3], bytes[4], bytes[5]], &mut levels);
    *values = map_array(&levels, |level| (f32::from(level) - 16.0) * scale);
}
