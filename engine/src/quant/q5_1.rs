//! Q5_1: 32 weights in 5 bits with `f16` scale and minimum, in 24 bytes.

use super::blocks::{each_block, each_stored, mapped};
use super::legacy::{
    BLOCK, add_fifth_bits, get_f16, get_nibbles, inverse, put_f16, put_fifth_bits, put_nibbles, range,
};
use super::rounding::down;
use super::scale_search::{AffineSearch, affine, side_by_side};
use crate::numerics::simd::multiversion;

/// Bytes of a block.
pub(super) const BYTES: usize = 24;
const SEARCH: AffineSearch = AffineSearch { top: 31, from: -0.9, by: 0.05, steps: 36, absolute: false };

multiversion! {
    /// `quantize_row_q5_1_ref` of ggml; with importances, of one row, `quantize_row_q5_1_impl`.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        each_block!(values, importance, bytes, plain, weighted);
    }
}

#[inline(always)]
fn plain(values: &[f32; BLOCK], out: &mut [u8; BYTES]) {
    let (low, high) = range(values);
    let scale = (high - low) / 31.0;
    let inverse = inverse(scale);
    put(scale, low, &mapped(values, |x| down((x - low) * inverse + 0.5) as u8), out);
}

#[inline(always)]
fn weighted(values: &[f32; BLOCK], weights: &[f32; BLOCK], out: &mut [u8; BYTES]) {
    let x: [[f32; 1]; BLOCK] = side_by_side(values);
    let found = affine(&x, &mapped(weights, |w| [w]), SEARCH);
    put(found.scale[0], -found.min[0], &mapped(values, |x| found.level(0, x, 31)), out);
}

#[inline(always)]
fn put(scale: f32, low: f32, levels: &[u8; BLOCK], out: &mut [u8; BYTES]) {
    put_f16(scale, &mut out[..2]);
    put_f16(low, &mut out[2..4]);
    put_fifth_bits(levels, &mut out[4..8]);
    put_nibbles(levels, &mut out[8..]);
}

multiversion! {
    /// `dequantize_row_q5_1` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        each_stored!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BYTES], values: &mut [f32; BLOCK]) {
    let (scale, low) = (get_f16([bytes[0], bytes[1]]), get_f16([bytes[2], bytes[3]]));
    let mut levels = get_nibbles(&bytes[8..]);
    add_fifth_bits([bytes[4], bytes[5], bytes[6], bytes[7]], &mut levels);
    *values = mapped(&levels, |level| f32::from(level) * scale + low);
}
