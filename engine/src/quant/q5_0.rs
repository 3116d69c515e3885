//! Q5_0: 32 weights in 5 bits with one `f16` scale, in 22 bytes. The largest weight is −16 scales.

use super::blocks::{each_block, each_stored, mapped};
use super::legacy::{
    BLOCK, add_fifth_bits, get_f16, get_nibbles, inverse, largest, put_f16, put_fifth_bits, put_nibbles,
};
use super::rounding::down;
use super::scale_search::{side_by_side, symmetric};
use crate::numerics::simd::multiversion;

/// Bytes of a block.
pub(super) const BYTES: usize = 22;

multiversion! {
    /// `quantize_row_q5_0_ref` of ggml; with importances, of one row, `quantize_row_q5_0_impl`.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        each_block!(values, importance, bytes, plain, weighted);
    }
}

#[inline(always)]
fn plain(values: &[f32; BLOCK], out: &mut [u8; BYTES]) {
    let scale = largest(values) / -16.0;
    let inverse = inverse(scale);
    put(scale, &mapped(values, |x| (down(x * inverse + 16.5) as i8).min(31) as u8), out);
}

#[inline(always)]
fn weighted(values: &[f32; BLOCK], weights: &[f32; BLOCK], out: &mut [u8; BYTES]) {
    let x: [[f32; 1]; BLOCK] = side_by_side(values);
    let found = symmetric(&x, Some(&mapped(weights, |w| [w])), 16);
    put(found.scale[0], &mapped(values, |x| found.level(0, x, 16)), out);
}

#[inline(always)]
fn put(scale: f32, levels: &[u8; BLOCK], out: &mut [u8; BYTES]) {
    put_f16(scale, &mut out[..2]);
    put_fifth_bits(levels, &mut out[2..6]);
    put_nibbles(levels, &mut out[6..]);
}

multiversion! {
    /// `dequantize_row_q5_0` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        each_stored!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BYTES], values: &mut [f32; BLOCK]) {
    let scale = get_f16([bytes[0], bytes[1]]);
    let mut levels = get_nibbles(&bytes[6..]);
    add_fifth_bits([bytes[2], bytes[3], bytes[4], bytes[5]], &mut levels);
    *values = mapped(&levels, |level| (f32::from(level) - 16.0) * scale);
}
