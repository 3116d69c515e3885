//! Shared by ggml's legacy quants: blocks of 32 weights with one scale, and a minimum for some.

use super::blocks::map_array;
use crate::numerics::half::{f16_to_f32, f32_to_f16};

/// Weights per block.
pub(super) const BLOCK_SIZE: usize = 32;

/// Values processed in parallel.
const LANES: usize = 8;

/// The largest magnitude; NaN counts as 0. Bits are compared as integers, whose order does not depend on the sequence.
#[inline(always)]
pub(super) fn max_magnitude(values: &[f32; BLOCK_SIZE]) -> f32 {
    let mut largest = [0_u32; LANES];
    for values in values.as_chunks::<LANES>().0 {
        for (largest, value) in largest.iter_mut().zip(values) {
            let magnitude = value.to_bits() & 0x7fff_ffff;
            // bits above infinity's are NaN
            *largest = (*largest).max(if magnitude > 0x7f80_0000 { 0 } else { magnitude });
        }
    }
    f32::from_bits(largest.into_iter().fold(0, u32::max))
}

/// The value of the largest magnitude, with its sign; the first of equals.
#[inline(always)]
pub(super) fn max_by_magnitude(values: &[f32; BLOCK_SIZE]) -> f32 {
    let magnitude = max_magnitude(values);
    let is_largest = pack_bits(&map_array(values, |value| u32::from(value.abs() == magnitude)));
    values.get(is_largest.trailing_zeros() as usize).copied().unwrap_or(0.0)
}

/// Packs 32 bits, the first lowest.
#[inline(always)]
fn pack_bits(ones: &[u32; BLOCK_SIZE]) -> u32 {
    let mut bits = [0; LANES];
    for (n, ones) in ones.as_chunks::<LANES>().0.iter().enumerate() {
        for (lane, (bits, one)) in bits.iter_mut().zip(ones).enumerate() {
            *bits |= one << (n * LANES + lane);
        }
    }
    bits.into_iter().fold(0, |all, bits| all | bits)
}

/// The least and the greatest value.
#[inline(always)]
pub(super) fn min_max(values: &[f32; BLOCK_SIZE]) -> (f32, f32) {
    let (mut low, mut high) = (f32::MAX, -f32::MAX);
    for value in values {
        low = if *value < low { *value } else { low };
        high = if *value > high { *value } else { high };
    }
    (low, high)
}

/// 1 / x, or 0 if x is 0.
#[inline(always)]
pub(super) fn inverse_or_zero(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

/// Writes a value as `f16`, little endian.
#[inline(always)]
pub(super) fn write_f16(value: f32, out: &mut [u8]) {
    out.copy_from_slice(&f32_to_f16(value).to_le_bytes());
}

/// Packs the low four bits of levels: the first half of a block in the low nibbles, the second in the high.
#[inline(always)]
pub(super) fn pack_nibbles(levels: &[u8; BLOCK_SIZE], out: &mut [u8]) {
    let (first, second) = levels.split_at(BLOCK_SIZE / 2);
    for ((byte, low), high) in out.iter_mut().zip(first).zip(second) {
        *byte = (low & 15) | ((high & 15) << 4);
    }
}

/// Packs the fifth bits of levels, in order.
#[inline(always)]
pub(super) fn pack_fifth_bits(levels: &[u8; BLOCK_SIZE], out: &mut [u8]) {
    out.copy_from_slice(&pack_bits(&map_array(levels, |level| u32::from(level >> 4))).to_le_bytes());
}

/// Reads a little-endian `f16`.
#[inline(always)]
pub(super) fn read_f16(bytes: [u8; 2]) -> f32 {
    f16_to_f32(u16::from_le_bytes(bytes))
}

/// The inverse of [`pack_nibbles`].
#[inline(always)]
pub(super) fn unpack_nibbles(bytes: &[u8]) -> [u8; BLOCK_SIZE] {
    let mut levels = [0; BLOCK_SIZE];
    let (first, second) = levels.split_at_mut(BLOCK_SIZE / 2);
    for ((byte, low), high) in bytes.iter().zip(first).zip(second) {
        (*low, *high) = (byte & 15, byte >> 4);
    }
    levels
}

/// Adds the bits that [`pack_fifth_bits`] packed to the levels.
#[inline(always)]
pub(super) fn unpack_fifth_bits(bytes: [u8; 4], levels: &mut [u8; BLOCK_SIZE]) {
    let bits = u32::from_le_bytes(bytes);
    for (i, level) in levels.iter_mut().enumerate() {
        *level |= ((bits >> i & 1) as u8) << 4;
    }
}
