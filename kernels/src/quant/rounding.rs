//! Rounding of small numbers with operations of every vector unit. Rust's own conversions to integers saturate, which
//! is not vectorized.

/// Rounds to nearest, ties to even, by adding 1.5·2²³ (ggml's `nearest_int`); for magnitudes below 2²².
#[inline(always)]
pub(super) fn nearest_int(value: f32) -> i32 {
    ((value + 12_582_912.0).to_bits() & 0x007f_ffff) as i32 - 0x0040_0000
}

/// Rounds to nearest, ties away from zero (`roundf`); for magnitudes below 2²².
#[inline(always)]
pub(super) fn round_half_away(value: f32) -> i32 {
    let nearest = nearest_int(value);
    let remainder = value - nearest as f32;
    let up = (remainder >= 0.5) & (value > 0.0);
    let down = (remainder <= -0.5) & (value < 0.0);
    nearest + i32::from(up) - i32::from(down)
}

/// Rounds down (`floorf`); for magnitudes below 2²².
#[inline(always)]
pub(super) fn floor_int(value: f32) -> i32 {
    let nearest = nearest_int(value);
    nearest - i32::from(nearest as f32 > value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ties_round_as_documented() {
        let ties = [0.5, 1.5, 2.5, -0.5, -1.5, 3.2, 0.499_999_97];
        assert_eq!(ties.map(nearest_int), [0, 2, 2, 0, -2, 3, 0]);
        assert_eq!(ties.map(round_half_away), [1, 2, 3, -1, -2, 3, 0]);
        assert_eq!(ties.map(floor_int), [0, 1, 2, -1, -2, 3, 0]);
    }

    proptest! {
        #[test]
        fn results_are_those_of_the_standard_library(value in -4_000_000.0_f32..4_000_000.0, scale in 1_u32..23) {
            let value = value / (1 << scale) as f32;
            prop_assert_eq!(nearest_int(value), value.round_ties_even() as i32);
            prop_assert_eq!(round_half_away(value), value.round() as i32);
            prop_assert_eq!(floor_int(value), value.floor() as i32);
        }
    }
}
