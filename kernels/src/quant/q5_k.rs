//! Q5_K: 256 weights in 5 bits, 8 groups with 6-bit scales and minima, in 176 bytes.

use super::blocks::{decode_blocks, encode_blocks_with_importance};
use super::k_quants::{
    BLOCK_SIZE, ScaleGroups, decode_affine_groups, pack_nibbles, unpack_high_bits, unpack_nibbles,
};
use super::scale_search::AffineSearch;
use crate::numerics::simd::multiversion;

/// Bytes per block.
pub(super) const BLOCK_BYTES: usize = 176;
const MAX_LEVEL: i32 = 31;
const SEARCH: AffineSearch =
    AffineSearch { max_level: MAX_LEVEL, rmin: -0.5, rdelta: 0.1, nstep: 15, use_mad: false };

multiversion! {
    /// `quantize_row_q5_K_ref` of ggml; for one row with importances, `quantize_row_q5_K_impl`.
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
    let groups = match importance {
        None => ScaleGroups::unweighted(values, SEARCH),
        Some(importance) => ScaleGroups::weighted(values, importance, MAX_LEVEL),
    };
    groups.write(&mut out[..16]);
    let levels = groups.levels(values, MAX_LEVEL);
    // fifth bits: bit g of 32 bytes for the g-th 32 weights
    for i in 0..32 {
        out[16 + i] = (0..8).fold(0, |bits, g| bits | ((levels[32 * g + i] >> 4) << g));
    }
    pack_nibbles(&levels, &mut out[48..]);
}

multiversion! {
    /// `dequantize_row_q5_K` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        decode_blocks!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BLOCK_BYTES], values: &mut [f32; BLOCK_SIZE]) {
    if let Some((header, rest)) = bytes.split_first_chunk() {
        let mut levels = unpack_nibbles(&rest[32..]);
        unpack_high_bits(&rest[..32], 16, &mut levels);
        decode_affine_groups(header, &levels, values);
    }
}
