//! IQ4_NL: 32 weights in 4 bits on uneven levels with one `f16` scale, in 18 bytes.

use super::blocks::{each_block, each_stored, mapped};
use super::iq4::{LEVELS, level, scale, weights};
use super::legacy::{BLOCK, get_f16, get_nibbles, inverse, put_f16, put_nibbles};
use crate::numerics::simd::multiversion;

/// Bytes of a block.
pub(super) const BYTES: usize = 18;

multiversion! {
    /// `quantize_iq4_nl` of ggml; with importances, of one row.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        each_block!(values, importance, bytes, encode_block);
    }
}

#[inline(always)]
fn encode_block(values: &[f32; BLOCK], importance: Option<&[f32; BLOCK]>, out: &mut [u8; BYTES]) {
    let sum = values.iter().fold(0.0, |sum: f32, x| sum + x * x);
    let weights = weights(values, importance.map(<[f32; BLOCK]>::as_slice), sum * (2.0 / BLOCK as f32));
    let scale = scale(values, &weights);
    let inverse = inverse(scale);
    put_f16(scale, &mut out[..2]);
    put_nibbles(&mapped(values, |x| level(inverse * x)), &mut out[2..]);
}

multiversion! {
    /// `dequantize_row_iq4_nl` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        each_stored!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BYTES], values: &mut [f32; BLOCK]) {
    let scale = get_f16([bytes[0], bytes[1]]);
    *values = mapped(&get_nibbles(&bytes[2..]), |level| f32::from(LEVELS[usize::from(level)]) * scale);
}
