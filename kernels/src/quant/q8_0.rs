//! Q8_0: 32 weights as signed bytes with one `f16` scale, in 34 bytes.
//!
//! The scale is the largest magnitude / 127. Bytes are rounded half away from zero, with the scale before its rounding
//! to `f16`, as in ggml's `quantize_row_q8_0_ref`.

use super::blocks::{decode_blocks, encode_blocks};
use super::legacy::{BLOCK_SIZE, inverse_or_zero, max_magnitude, read_f16, write_f16};
use super::rounding::round_half_away;
use crate::numerics::simd::multiversion;

/// Bytes per block.
pub(super) const BLOCK_BYTES: usize = 34;

multiversion! {
    pub(super) fn encode(values: &[f32], bytes: &mut [u8]) {
        encode_blocks!(values, bytes, encode_block);
    }
}

#[inline(always)]
fn encode_block(values: &[f32; BLOCK_SIZE], out: &mut [u8; BLOCK_BYTES]) {
    let largest = max_magnitude(values);
    let scale = largest / 127.0;
    let inverse = inverse_or_zero(scale);
    let (header, bytes) = out.split_at_mut(2);
    write_f16(scale, header);
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = round_half_away(value * inverse) as i8 as u8;
    }
}

multiversion! {
    /// `dequantize_row_q8_0` of ggml.
    pub(super) fn decode(bytes: &[u8], values: &mut [f32]) {
        decode_blocks!(bytes, values, decode_block);
    }
}

#[inline(always)]
fn decode_block(bytes: &[u8; BLOCK_BYTES], values: &mut [f32; BLOCK_SIZE]) {
    let (header, levels) = bytes.split_at(2);
    let scale = read_f16([header[0], header[1]]);
    for (value, level) in values.iter_mut().zip(levels) {
        *value = f32::from(*level as i8) * scale;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numerics::half::{f16_to_f32, f32_to_f16};

    fn naive(values: &[f32; BLOCK_SIZE]) -> Vec<u8> {
        let largest = values.iter().map(|v| v.abs()).fold(0.0, f32::max);
        let scale = largest / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let mut out = f32_to_f16(scale).to_le_bytes().to_vec();
        out.extend(values.iter().map(|v| (v * inverse).round() as i8 as u8));
        out
    }

    proptest! {
        #[test]
        fn the_vectorized_encoder_has_the_bytes_of_the_naive_one(values in prop::array::uniform32(-4.0_f32..4.0)) {
            let mut out = [0; BLOCK_BYTES];
            encode_block(&values, &mut out);
            prop_assert_eq!(&out[..], &naive(&values)[..]);
        }

        #[test]
        fn the_error_is_at_most_half_a_step(values in prop::array::uniform32(-4.0_f32..4.0)) {
            let mut out = [0; BLOCK_BYTES];
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
        let mut out = [1; BLOCK_BYTES];
        encode_block(&[0.0; BLOCK_SIZE], &mut out);
        assert_eq!(out, [0; BLOCK_BYTES]);
    }
}
