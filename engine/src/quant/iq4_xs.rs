//! IQ4_XS: 256 weights in 4 bits on uneven levels, 8 groups with 6-bit scales, in 136 bytes.

use super::blocks::{each_block, each_stored, mapped};
use super::iq4::{LEVELS, level, scale, weights};
use super::k_quants::BLOCK;
use super::legacy;
use super::legacy::{get_f16, get_nibbles, inverse, put_f16, put_nibbles};
use super::rounding::nearest;
use crate::numerics::simd::multiversion;

/// Bytes of a block.
pub(super) const BYTES: usize = 136;

multiversion! {
    /// `quantize_iq4_xs` of ggml; with importances, of one row.
    pub(super) fn encode(values: &[f32], importance: Option<&[f32]>, bytes: &mut [u8]) {
        each_block!(values, importance, bytes, encode_block);
    }
}

#[inline(always)]
fn encode_block(values: &[f32; BLOCK], importance: Option<&[f32; BLOCK]>, out: &mut [u8; BYTES]) {
    let sum = values.iter().fold(0.0, |sum: f32, x| sum + x * x);
    let mean = sum * (2.0 / BLOCK as f32);
    let groups = values.as_chunks::<{ legacy::BLOCK }>().0;
    let mut scales = [0.0; 8];
    let (mut size, mut signed) = (0.0, 0.0);
    for (g, values) in groups.iter().enumerate() {
        let importance = importance.map(|i| &i[g * legacy::BLOCK..]);
        scales[g] = scale(values, &weights(values, importance, mean));
        if scales[g].abs() > size {
            (size, signed) = (scales[g].abs(), scales[g]);
        }
    }
    let outer = -signed / 32.0;
    let outer_inverse = inverse(outer);
    put_f16(outer, &mut out[..2]);
    let mut high = 0_u16;
    let (head, bytes) = out.split_at_mut(8);
    let low = &mut head[4..8];
    low.fill(0);
    for (g, (values, bytes)) in groups.iter().zip(bytes.chunks_mut(legacy::BLOCK / 2)).enumerate() {
        let stored = nearest(outer_inverse * scales[g]).clamp(-32, 31);
        let inverse = inverse(outer * stored as f32);
        put_nibbles(&mapped(values, |x| level(inverse * x)), bytes);
        let stored = (stored + 32) as u8;
        low[g / 2] |= (stored & 15) << (4 * (g % 2));
        high |= u16::from(stored >> 4) << (2 * g);
    }
    head[2..4].copy_from_slice(&high.to_le_bytes());
}

multiversion! {
    /// `dequantize_row_iq4_xs` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        each_stored!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BYTES], values: &mut [f32; BLOCK]) {
    let scale = get_f16([bytes[0], bytes[1]]);
    let high = u16::from_le_bytes([bytes[2], bytes[3]]);
    let (head, groups) = bytes.split_at(8);
    for (g, (values, bytes)) in values
        .as_chunks_mut::<{ legacy::BLOCK }>()
        .0
        .iter_mut()
        .zip(groups.chunks(legacy::BLOCK / 2))
        .enumerate()
    {
        let stored = head[4 + g / 2] >> (4 * (g % 2)) & 15 | ((high >> (2 * g) & 3) as u8) << 4;
        let scale = scale * (f32::from(stored) - 32.0);
        *values = mapped(&get_nibbles(bytes), |level| scale * f32::from(LEVELS[usize::from(level)]));
    }
}
