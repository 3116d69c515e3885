//! What the types with 32 weights and no second level of scales have in common.

use super::blocks::mapped;
use crate::numerics::half::{f16_to_f32, f32_to_f16};

/// Weights in a block.
pub(super) const BLOCK: usize = 32;

/// How much each weight of a row matters when there is an importance matrix: the column's importance and the
/// weight's own size, against the row's mean square.
pub(super) fn row_weights(row: &[f32], importance: &[f32]) -> Vec<f32> {
    let sum: f32 = row.iter().fold(0.0, |sum, x| sum + x * x);
    let mean = sum / row.len() as f32;
    row.iter().zip(importance).map(|(x, i)| i * (mean + x * x).sqrt()).collect()
}

/// Steps that are taken side by side.
const LANES: usize = 8;

/// The largest magnitude. Compared as whole numbers, which have one order and so can be compared in any.
#[inline(always)]
pub(super) fn size(values: &[f32; BLOCK]) -> f32 {
    let mut largest = [0_u32; LANES];
    for values in values.as_chunks::<LANES>().0 {
        for (largest, value) in largest.iter_mut().zip(values) {
            let size = value.to_bits() & 0x7fff_ffff;
            // above infinity is what is not a number
            *largest = (*largest).max(if size > 0x7f80_0000 { 0 } else { size });
        }
    }
    f32::from_bits(largest.into_iter().fold(0, u32::max))
}

/// The value with the largest magnitude, the first of equals.
#[inline(always)]
pub(super) fn largest(values: &[f32; BLOCK]) -> f32 {
    let size = size(values);
    let places = bits(&mapped(values, |value| u32::from(value.abs() == size)));
    values.get(places.trailing_zeros() as usize).copied().unwrap_or(0.0)
}

/// One bit of each, the first lowest.
#[inline(always)]
fn bits(ones: &[u32; BLOCK]) -> u32 {
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
pub(super) fn range(values: &[f32; BLOCK]) -> (f32, f32) {
    let (mut low, mut high) = (f32::MAX, -f32::MAX);
    for value in values {
        low = if *value < low { *value } else { low };
        high = if *value > high { *value } else { high };
    }
    (low, high)
}

/// 1 / x, and 0 for 0.
#[inline(always)]
pub(super) fn inverse(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}

/// Stores an `f32` as `f16`, little endian.
#[inline(always)]
pub(super) fn put_f16(value: f32, out: &mut [u8]) {
    out.copy_from_slice(&f32_to_f16(value).to_le_bytes());
}

/// Packs the lower four bits of levels: the first half of a block in the low nibbles, the second in the high.
#[inline(always)]
pub(super) fn put_nibbles(levels: &[u8; BLOCK], out: &mut [u8]) {
    let (first, second) = levels.split_at(BLOCK / 2);
    for ((byte, low), high) in out.iter_mut().zip(first).zip(second) {
        *byte = (low & 15) | ((high & 15) << 4);
    }
}

/// Packs the fifth bits of levels, in order.
#[inline(always)]
pub(super) fn put_fifth_bits(levels: &[u8; BLOCK], out: &mut [u8]) {
    out.copy_from_slice(&bits(&mapped(levels, |level| u32::from(level >> 4))).to_le_bytes());
}

/// A stored `f16`.
#[inline(always)]
pub(super) fn get_f16(bytes: [u8; 2]) -> f32 {
    f16_to_f32(u16::from_le_bytes(bytes))
}

/// Undoes [`put_nibbles`].
#[inline(always)]
pub(super) fn get_nibbles(bytes: &[u8]) -> [u8; BLOCK] {
    let mut levels = [0; BLOCK];
    let (first, second) = levels.split_at_mut(BLOCK / 2);
    for ((byte, low), high) in bytes.iter().zip(first).zip(second) {
        (*low, *high) = (byte & 15, byte >> 4);
    }
    levels
}

/// Adds what [`put_fifth_bits`] packed.
#[inline(always)]
pub(super) fn add_fifth_bits(bytes: [u8; 4], levels: &mut [u8; BLOCK]) {
    let bits = u32::from_le_bytes(bytes);
    for (i, level) in levels.iter_mut().enumerate() {
        *level |= ((bits >> i & 1) as u8) << 4;
    }
}
