//! Q8_0: 32 weights as signed bytes with one `f16` scale, in 34 bytes.
//!
//! The scale is the largest magnitude / 127. The bytes are rounded half away from zero with the scale as it was
//! before its own rounding to `f16`, as `quantize_row_q8_0_ref` of ggml does.

use super::blocks::{each_block, each_stored};
use super::legacy::{get_f16, size};
use super::rounding::half_away;
use crate::numerics::half::f32_to_f16;
use crate::numerics::simd::multiversion;

/// Weights in a block.
pub(super) const BLOCK: usize = 32;
/// Bytes of a block.
pub(super) const BYTES: usize = 34;

multiversion! {
    pub(super) fn encode(values: &[f32], bytes: &mut [u8]) {
        each_block!(values, bytes, encode_block);
    }
}

#[inline(always)]
fn encode_block(values: &[f32; BLOCK], out: &mut [u8; BYTES]) {
    let largest = size(values);
    let scale = largest / 127.0;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let (head, bytes) = out.split_at_mut(2);
    head.copy_from_slice(&f32_to_f16(scale).to_le_bytes());
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = half_away(value * inverse) as i8 as u8;
    }
}

multiversion! {
    /// `dequantize_row_q8_0` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        each_stored!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BYTES], values: &mut [f32; BLOCK]) {
    let (head, levels) = bytes.split_at(2);
    let scale = get_f16([head[0], head[1]]);
    for (value, level) in values.iter_mut().zip(levels) {
        *value = f32::from(*level as i8) * scale;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numerics::half::f16_to_f32;

    fn naive(values: &[f32; BLOCK]) -> Vec<u8> {
        let largest = values.iter().map(|v| v.abs()).fold(0.0, f32::max);
        let scale = largest / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let mut out = f32_to_f16(scale).to_le_bytes().to_vec();
        out.extend(values.iter().map(|v| (v * inverse).round() as i8 as u8));
        out
    }

    proptest! {
        #[test]
        fn the_fast_form_has_the_bytes_of_the_naive_one(values in prop::array::uniform32(-4.0_f32..4.0)) {
            let mut out = [0; BYTES];
            encode_block(&values, &mut out);
            prop_assert_eq!(&out[..], &naive(&values)[..]);
        }

        #[test]
        fn the_error_is_at_most_half_a_step(values in prop::array::uniform32(-4.0_f32..4.0)) {
            let mut out = [0; BYTES];
            encode_block(&values, &mut out);
            let scale = f16_to_f32(u16::from_le_bytes([out[0], out[1]]));
            for (value, byte) in values.iter().zip(&out[2..]) {
                let back = f32::from(*byte as i8) * scale;
                prop_assert!((value - back).abs() <= scale * 0.57, "{value} became {back}");
            }
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        let mut out = [1; BYTES];
        encode_block(&[0.0; BLOCK], &mut out);
        assert_eq!(out, [0; BYTES]);
    }
}
