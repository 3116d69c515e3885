//! Shared by IQ4_NL and IQ4_XS: the table of 16 nonlinear values, denser near zero.

use super::blocks::map_array;
use super::legacy::BLOCK_SIZE;
use super::scale_search::GROUP_MAX_EPS;

/// ggml's `kvalues_iq4nl`.
pub(super) const VALUES: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The index of the nearest value of the table (`best_index_int8`).
#[inline(always)]
pub(super) fn nearest_index(x: f32) -> u8 {
    let value = |i: usize| f32::from(VALUES[i]);
    if x <= value(0) {
        return 0;
    }
    if x >= value(15) {
        return 15;
    }
    // comparisons with NaN are false: the search ends at one side, as in ggml
    let (mut low, mut high) = (0, 15);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if x < value(middle) { high = middle } else { low = middle }
    }
    (if x - value(high - 1) < value(high) - x { high - 1 } else { high }) as u8
}

/// The weight of each error: the value's square, or with importances, importance·√(`mean` + the value's square).
#[inline(always)]
pub(super) fn error_weights(
    values: &[f32; BLOCK_SIZE],
    importance: Option<&[f32]>,
    mean: f32,
) -> [f32; BLOCK_SIZE] {
    let mut weights = map_array(values, |x| x * x);
    if let Some(importance) = importance {
        for ((weight, x), importance) in weights.iter_mut().zip(values).zip(importance) {
            *weight = importance * (mean + x * x).sqrt();
        }
    }
    weights
}

/// Finds the scale with the least weighted error.
#[inline(always)]
pub(super) fn search_scale(values: &[f32; BLOCK_SIZE], weights: &[f32; BLOCK_SIZE]) -> f32 {
    const NTRY: i32 = 7;
    let (mut magnitude, mut signed) = (0.0, 0.0);
    for x in values {
        if x.abs() > magnitude {
            (magnitude, signed) = (x.abs(), *x);
        }
    }
    if magnitude < GROUP_MAX_EPS {
        return 0.0;
    }
    let lowest = f32::from(VALUES[0]);
    let (sum_qx, sum_q2) = sums(values, weights, 1.0 / (-signed / lowest));
    let mut scale = if sum_q2 > 0.0 { sum_qx / sum_q2 } else { 0.0 };
    let mut best = scale * sum_qx;
    for step in -NTRY..=NTRY {
        let (sum_qx, sum_q2) = sums(values, weights, (step as f32 + lowest) / signed);
        if sum_q2 > 0.0 && sum_qx * sum_qx > best * sum_q2 {
            scale = sum_qx / sum_q2;
            best = scale * sum_qx;
        }
    }
    scale
}

#[inline(always)]
fn sums(values: &[f32; BLOCK_SIZE], weights: &[f32; BLOCK_SIZE], inverse: f32) -> (f32, f32) {
    let (mut sum_qx, mut sum_q2) = (0.0, 0.0);
    for (x, w) in values.iter().zip(weights) {
        let q = f32::from(VALUES[usize::from(nearest_index(inverse * x))]);
        sum_qx += w * q * x;
        sum_q2 += w * q * q;
    }
    (sum_qx, sum_q2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_nearest_to_itself() {
        for (i, value) in VALUES.iter().enumerate() {
            assert_eq!(usize::from(nearest_index(f32::from(*value))), i);
        }
        assert_eq!((nearest_index(-1000.0), nearest_index(1000.0), nearest_index(-5.0)), (0, 15, 7));
    }
}
