//! Roundings of small numbers in operations that every vector unit has. Conversions to integers are not among them:
//! Rust's saturate, which is done one by one.

/// To the nearest, ties to even, by the way of adding 1.5·2²³, as ggml does it; below 2²² in magnitude.
#[inline(always)]
pub(super) fn nearest(value: f32) -> i32 {
    ((value + 12_582_912.0).to_bits() & 0x007f_ffff) as i32 - 0x0040_0000
}

/// To the nearest, ties away from zero (`roundf`); below 2²² in magnitude.
#[inline(always)]
pub(super) fn half_away(value: f32) -> i32 {
    let near = nearest(value);
    let rest = value - near as f32;
    let up = (rest >= 0.5) & (value > 0.0);
    let down = (rest <= -0.5) & (value < 0.0);
    near + i32::from(up) - i32::from(down)
}

/// Down to a whole number; below 2²² in magnitude.
#[inline(always)]
pub(super) fn down(value: f32) -> i32 {
    let near = nearest(value);
    near - i32::from(near as f32 > value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ties_go_where_they_should() {
        let ties = [0.5, 1.5, 2.5, -0.5, -1.5, 3.2, 0.499_999_97];
        assert_eq!(ties.map(nearest), [0, 2, 2, 0, -2, 3, 0]);
        assert_eq!(ties.map(half_away), [1, 2, 3, -1, -2, 3, 0]);
        assert_eq!(ties.map(down), [0, 1, 2, -1, -2, 3, 0]);
    }

    proptest! {
        #[test]
        fn they_are_the_library_s(value in -4_000_000.0_f32..4_000_000.0, scale in 1_u32..23) {
            let value = value / (1 << scale) as f32;
            prop_assert_eq!(nearest(value), value.round_ties_even() as i32);
            prop_assert_eq!(half_away(value), value.round() as i32);
            prop_assert_eq!(down(value), value.floor() as i32);
        }
    }
}
