//! IQ4_XS: 256 weights in 4 bits on nonlinear levels, 8 groups with 6-bit scales, in 136 bytes.

use super::blocks::{decode_blocks, encode_blocks_with_importance, map_array};
use super::iq4::{VALUES, error_weights, nearest_index, search_scale};
use super::k_quants::BLOCK_SIZE;
use super::legacy;
use super::legacy::{inverse_or_zero, pack_nibbles, read_f16, unpack_nibbles, write_f16};
use super::rounding::nearest_int;
use crate::numerics::simd::multiversion;

/// Bytes per block.
pub(super) const BLOCK_BYTES: usize = 136;

multiversion! {
    /// `quantize_iq4_xs` of ggml; with importances, for one row.
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
    let mean = sum * (2.0 / BLOCK_SIZE as f32);
    let groups = values.as_chunks::<{ legacy::BLOCK_SIZE }>().0;
    let mut scales = [0.0; 8];
    let (mut magnitude, mut signed) = (0.0, 0.0);
    for (g, values) in groups.iter().enumerate() {
        let importance = importance.map(|i| &i[g * legacy::BLOCK_SIZE..]);
        scales[g] = search_scale(values, &error_weights(values, importance, mean));
        if scales[g].abs() > magnitude {
            (magnitude, signed) = (scales[g].abs(), scales[g]);
        }
    }
    let super_scale = -signed / 32.0;
    let super_inverse = inverse_or_zero(super_scale);
    write_f16(super_scale, &mut out[..2]);
    let mut high = 0_u16;
    let (header, bytes) = out.split_at_mut(8);
    let low = &mut header[4..8];
    low.fill(0);
    for (g, (values, bytes)) in groups.iter().zip(bytes.chunks_mut(legacy::BLOCK_SIZE / 2)).enumerate() {
        let stored = nearest_int(super_inverse * scales[g]).clamp(-32, 31);
        let inverse = inverse_or_zero(super_scale * stored as f32);
        pack_nibbles(&map_array(values, |x| nearest_index(inverse * x)), bytes);
        let stored = (stored + 32) as u8;
        low[g / 2] |= (stored & 15) << (4 * (g % 2));
        high |= u16::from(stored >> 4) << (2 * g);
    }
    header[2..4].copy_from_slice(&high.to_le_bytes());
}

multiversion! {
    /// `dequantize_row_iq4_xs` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        decode_blocks!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BLOCK_BYTES], values: &mut [f32; BLOCK_SIZE]) {
    let scale = read_f16([bytes[0], bytes[1]]);
    let high = u16::from_le_bytes([bytes[2], bytes[3]]);
    let (header, groups) = bytes.split_at(8);
    for (g, (values, bytes)) in values
        .as_chunks_mut::<{ legacy::BLOCK_SIZE }>()
        .0
        .iter_mut()
        .zip(groups.chunks(legacy::BLOCK_SIZE / 2))
        .enumerate()
    {
        let stored = header[4 + g / 2] >> (4 * (g % 2)) & 15 | ((high >> (2 * g) & 3) as u8) << 4;
        let scale = scale * (f32::from(stored) - 32.0);
        *values = map_array(&unpack_nibbles(bytes), |index| scale * f32::from(VALUES[usize::from(index)]));
    }
}
