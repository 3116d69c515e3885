//! Q4_K: 256 weights in 4 bits, 8 groups with 6-bit scales and minima, in 144 bytes.

use super::blocks::{decode_blocks, encode_blocks_with_importance};
use super::k_quants::{BLOCK_SIZE, ScaleGroups, decode_affine_groups, pack_nibbles, unpack_nibbles};
use super::scale_search::AffineSearch;
use crate::numerics::simd::multiversion;

/// Bytes per block.
pub(super) const BLOCK_BYTES: usize = 144;
const MAX_LEVEL: i32 = 15;
const SEARCH: AffineSearch =
    AffineSearch { max_level: MAX_LEVEL, rmin: -1.0, rdelta: 0.1, nstep: 20, use_mad: false };

multiversion! {
    /// `quantize_row_q4_K_ref` of ggml; for one row with importances, `quantize_row_q4_K_impl`.
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
    pack_nibbles(&groups.levels(values, MAX_LEVEL), &mut out[16..]);
}

multiversion! {
    /// `dequantize_row_q4_K` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        decode_blocks!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BLOCK_BYTES], values: &mut [f32; BLOCK_SIZE]) {
    if let Some((header, levels)) = bytes.split_first_chunk() {
        decode_affine_groups(header, &unpack_nibbles(levels), values);
    }
}
