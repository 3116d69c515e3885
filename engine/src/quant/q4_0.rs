//! Q4_0: 32 weights in 4 bits with one `f16` scale, in 18 bytes. The largest weight is −8 scales.

use super::blocks::{decode_blocks, encode_weighted_blocks, map_array};
use super::legacy::{
    BLOCK_SIZE, inverse_or_zero, max_by_magnitude, pack_nibbles, read_f16, unpack_nibbles, write_f16,
};
use super::rounding::floor_int;
use super::scale_search::{interleave_groups, search_symmetric};
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
