//! 16-bit floats: widening, and rounding to nearest, ties to even.
//!
//! NaNs stay NaNs: `f32` to `bf16` gives torch's one quiet NaN, to `f16` it keeps the upper payload bits.

/// The value of a `bf16`, exactly.
#[inline]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest `bf16`.
#[inline]
pub fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
    if value.is_nan() { 0x7fc0 } else { rounded }
}

/// The value of an `f16`, exactly.
#[inline]
pub fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let mantissa = u32::from(bits & 0x3ff);
    match exponent {
        0 => {
            // subnormal: the mantissa counts units of 2^-24
            let magnitude = mantissa as f32 * f32::from_bits(0x3380_0000);
            f32::from_bits(sign | magnitude.to_bits())
        }
        31 => f32::from_bits(sign | 0x7f80_0000 | (mantissa << 13)),
        _ => f32::from_bits(sign | ((exponent + 112) << 23) | (mantissa << 13)),
    }
}

/// The nearest `f16`; too large values become infinite.
#[inline]
pub fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00 | ((magnitude >> 13) & 0x3ff) as u16;
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // below the smallest normal: adding 0.5 leaves the rounded count of 2^-24 in the low bits
        let sum = f32::from_bits(magnitude) + 0.5;
        return sign | (sum.to_bits() & 0x7fff) as u16;
    }
    let odd = (magnitude >> 13) & 1;
    // rounding up from the largest normal gives 0x7c00, infinity, by itself
    sign | ((magnitude - 0x3800_0000 + 0x0fff + odd) >> 13) as u16
}

/// Rounds to the nearest `f16` and converts back.
#[inline(always)]
pub fn round_to_f16(value: f32) -> f32 {
    f16_to_f32(f32_to_f16(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_survives_the_round_trip() {
        for bits in 0..=u16::MAX {
            let value = f16_to_f32(bits);
            if value.is_nan() {
                assert!(f16_to_f32(f32_to_f16(value)).is_nan(), "{bits:#x}");
            } else {
                assert_eq!(f32_to_f16(value), bits, "{bits:#x}");
            }
        }
    }

    #[test]
    fn every_bf16_survives_the_round_trip() {
        for bits in 0..=u16::MAX {
            let value = bf16_to_f32(bits);
            if value.is_nan() {
                assert_eq!(f32_to_bf16(value), 0x7fc0);
            } else {
                assert_eq!(f32_to_bf16(value), bits, "{bits:#x}");
            }
        }
    }

    /// Finds the two 16-bit floats around `value` by binary search and rounds to nearest, ties to even.
    fn nearest_by_search(value: f32, widen: impl Fn(u16) -> f32, infinity: u16) -> u16 {
        let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
        let magnitude = f64::from(value.abs());
        let (mut low, mut high) = (0_u16, infinity);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if f64::from(widen(middle)) <= magnitude { low = middle } else { high = middle }
        }
        // the step above the largest finite value counts as the next power of two, as IEEE 754 has it
        let above = if high == infinity {
            2.0 * f64::from(widen(low)) - f64::from(widen(low - 1))
        } else {
            f64::from(widen(high))
        };
        let (down, up) = (magnitude - f64::from(widen(low)), above - magnitude);
        let pick = if down < up || (down == up && low % 2 == 0) { low } else { high };
        sign | pick
    }

    proptest::proptest! {
        #[test]
        fn f16_rounds_to_nearest_even(bits in proptest::num::u32::ANY) {
            let value = f32::from_bits(bits);
            proptest::prop_assume!(value.is_finite());
            proptest::prop_assert_eq!(f32_to_f16(value), nearest_by_search(value, f16_to_f32, 0x7c00));
        }

        #[test]
        fn bf16_rounds_to_nearest_even(bits in proptest::num::u32::ANY) {
            let value = f32::from_bits(bits);
            proptest::prop_assume!(value.is_finite());
            proptest::prop_assert_eq!(f32_to_bf16(value), nearest_by_search(value, bf16_to_f32, 0x7f80));
        }
    }
}
