//! Q5_K: 256 weights in 5 bits, 8 groups with 6-bit scales and minima, in 176 bytes.

use super::blocks::{each_block, each_stored};
use super::k_quants::{BLOCK, ScaleGroups, add_high_bits, affine_values, get_nibbles, put_nibbles};
use super::scale_search::AffineSearch;
use crate::numerics::simd::multiversion;

/// Bytes of a block.
pub(super) const BYTES: usize = 176;
const TOP: i32 = 31;
const SEARCH: AffineSearch = AffineSearch { top: TOP, from: -0.5, by: 0.1, steps: 15, absolute: false };

multiversion! {
    /// `quantize_row_q5_K_ref` of ggml; with importances, of one row, `quantize_row_q5_K_impl`.
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
    let levels = groups.levels(values, TOP);
    // the fifth bits: of each 32 weights in one bit of 32 bytes
    for i in 0..32 {
        out[16 + i] = (0..8).fold(0, |bits, g| bits | ((levels[32 * g + i] >> 4) << g));
    }
    put_nibbles(&levels, &mut out[48..]);
}

multiversion! {
    /// `dequantize_row_q5_K` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        each_stored!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BYTES], values: &mut [f32; BLOCK]) {
    if let Some((head, rest)) = bytes.split_first_chunk() {
        let mut levels = get_nibbles(&rest[32..]);
        add_high_bits(&rest[..32], 16, &mut levels);
        affine_values(head, &levels, values);
    }
}
