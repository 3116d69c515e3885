//! Finds NaN and infinity in stored values.

use super::Dtype;
use super::simd::multiversion;

/// Values that are tested before the search stops.
const STEP: usize = 4096;

/// The position of the first value that is NaN or infinite. Integers are always finite.
pub fn first_non_finite(dtype: Dtype, bytes: &[u8]) -> Option<usize> {
    match dtype {
        Dtype::Bf16 => find(bytes.as_chunks::<2>().0, |values| any_16(values, 0x7f80)),
        Dtype::F16 => find(bytes.as_chunks::<2>().0, |values| any_16(values, 0x7c00)),
        Dtype::F32 => find(bytes.as_chunks::<4>().0, any_32),
        Dtype::Other(_) => None,
    }
}

fn find<T>(values: &[T], any: impl Fn(&[T]) -> bool) -> Option<usize> {
    let step = values.chunks(STEP).position(&any)?;
    let start = step * STEP;
    values[start..].chunks(1).position(any).map(|offset| start + offset)
}

multiversion! {
    /// Whether a 16-bit value has all bits of `exponent`.
    fn any_16(values: &[[u8; 2]], exponent: u16) -> bool {
        values.iter().fold(false, |any, value| any | (u16::from_le_bytes(*value) & exponent == exponent))
    }
}

multiversion! {
    /// Whether an `f32` has all bits of its exponent.
    fn any_32(values: &[[u8; 4]]) -> bool {
        const EXPONENT: u32 = 0x7f80_0000;
        values.iter().fold(false, |any, value| any | (u32::from_le_bytes(*value) & EXPONENT == EXPONENT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_nan_or_infinity_is_found_in_every_float_type() {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            for (position, value) in
                [(0, f32::NAN), (4095, f32::INFINITY), (4096, f32::NEG_INFINITY), (9999, -f32::NAN)]
            {
                let mut values = vec![1.5_f32; 10_000];
                let mut bytes = vec![0; values.len() * dtype.bytes() as usize];
                dtype.narrow(&values, &mut bytes);
                assert_eq!(first_non_finite(dtype, &bytes), None);
                values[position] = value;
                values[9_999] = f32::NAN;
                dtype.narrow(&values, &mut bytes);
                assert_eq!(first_non_finite(dtype, &bytes), Some(position), "{dtype} {value}");
            }
        }
    }

    #[test]
    fn the_largest_values_are_finite() {
        for (dtype, bits) in
            [(Dtype::F16, 0x7bff_u16), (Dtype::Bf16, 0x7f7f), (Dtype::F16, 0xfbff), (Dtype::Bf16, 0xff7f)]
        {
            assert_eq!(first_non_finite(dtype, &bits.to_le_bytes()), None);
        }
        assert_eq!(first_non_finite(Dtype::F32, &f32::MAX.to_le_bytes()), None);
    }
}
