//! Q4_0: 32 weights in 4 bits with one `f16` scale, in 18 bytes. The largest weight is −8 scales.

use super::blocks::{each_block, each_stored, mapped};
use super::legacy::{BLOCK, get_f16, get_nibbles, inverse, largest, put_f16, put_nibbles};
use super::rounding::down;
use super::scale_search::{side_by_side, symmetric};
use crate::numerics::simd::multiversion;

/// Bytes of a block.
pub(super) const BYTES: usize = 18;

multiversion! {
    /// `quantize_row_q4_0_ref` of ggml; with importances, of one row, `quantize_row_q4_0_impl`.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        each_block!(values, importance, bytes, plain, weighted);
    }
}

#[inline(always)]
fn plain(values: &[f32; BLOCK], out: &mut [u8; BYTES]) {
    let scale = largest(values) / -8.0;
    let inverse = inverse(scale);
    put_f16(scale, &mut out[..2]);
    put_nibbles(&mapped(values, |x| (down(x * inverse + 8.5) as i8).min(15) as u8), &mut out[2..]);
}

#[inline(always)]
fn weighted(values: &[f32; BLOCK], weights: &[f32; BLOCK], out: &mut [u8; BYTES]) {
    let x: [[f32; 1]; BLOCK] = side_by_side(values);
    let found = symmetric(&x, Some(&mapped(weights, |w| [w])), 8);
    put_f16(found.scale[0], &mut out[..2]);
    put_nibbles(&mapped(values, |x| found.level(0, x, 8)), &mut out[2..]);
}

multiversion! {
    /// `dequantize_row_q4_0` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        each_stored!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BYTES], values: &mut [f32; BLOCK]) {
    let scale = get_f16([bytes[0], bytes[1]]);
    *values = mapped(&get_nibbles(&bytes[2..]), |level| (f32::from(level) - 8.0) * scale);
}
