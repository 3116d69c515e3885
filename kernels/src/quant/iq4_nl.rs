//! IQ4_NL: 32 weights in 4 bits on nonlinear levels with one `f16` scale, in 18 bytes.

use super::blocks::{decode_blocks, encode_blocks_with_importance, map_array};
use super::iq4::{VALUES, error_weights, nearest_index, search_scale};
use super::legacy::{BLOCK_SIZE, inverse_or_zero, pack_nibbles, read_f16, unpack_nibbles, write_f16};
use crate::numerics::simd::multiversion;

/// Bytes per block.
pub(super) const BLOCK_BYTES: usize = 18;

multiversion! {
    /// `quantize_iq4_nl` of ggml; with importances, for one row.
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
    let sum = values.iter().fold(0.0, |sum: f32, x| sum + x * x);
    let weights =
        error_weights(values, importance.map(<[f32; BLOCK_SIZE]>::as_slice), sum * (2.0 / BLOCK_SIZE as f32));
    let scale = search_scale(values, &weights);
    let inverse = inverse_or_zero(scale);
    write_f16(scale, &mut out[..2]);
    pack_nibbles(&map_array(values, |x| nearest_index(inverse * x)), &mut out[2..]);
}

multiversion! {
    /// `dequantize_row_iq4_nl` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        decode_blocks!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BLOCK_BYTES], values: &mut [f32; BLOCK_SIZE]) {
    let scale = read_f16([bytes[0], bytes[1]]);
    *values = map_array(&unpack_nibbles(&bytes[2..]), |index| f32::from(VALUES[usize::from(index)]) * scale);
}
