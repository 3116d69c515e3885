//! Q4_K: 256 weights in 4 bits, 8 groups with 6-bit scales and minima, in 144 bytes.

use super::blocks::{each_block, each_stored};
use super::k_quants::{BLOCK, ScaleGroups, affine_values, get_nibbles, put_nibbles};
use super::scale_search::AffineSearch;
use crate::numerics::simd::multiversion;

/// Bytes of a block.
pub(super) const BYTES: usize = 144;
const TOP: i32 = 15;
const SEARCH: AffineSearch = AffineSearch { top: TOP, from: -1.0, by: 0.1, steps: 20, absolute: false };

multiversion! {
    /// `quantize_row_q4_K_ref` of ggml; with importances, of one row, `quantize_row_q4_K_impl`.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        each_block!(values, importance, bytes, encode_block);
    }
}

#[inline(always)]
fn encode_block(values: &[f32; BLOCK], importance: Option<&[f32; BLOCK]>, out: &mut [u8; BYTES]) {
    let groups = match importance {
        None => ScaleGroups::plain(values, SEARCH),
        Some(importance) => ScaleGroups::weighted(values, importance, TOP),
    };
    groups.put(&mut out[..16]);
    put_nibbles(&groups.levels(values, TOP), &mut out[16..]);
}

multiversion! {
    /// `dequantize_row_q4_K` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        each_stored!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BYTES], values: &mut [f32; BLOCK]) {
    if let Some((head, levels)) = bytes.split_first_chunk() {
        affine_values(head, &get_nibbles(levels), values);
    }
}
