//! What IQ4_NL and IQ4_XS have in common: 16 levels that lie closer together near zero.

use super::blocks::mapped;
use super::legacy::BLOCK;
use super::scale_search::EPSILON;

/// The levels (`kvalues_iq4nl`).
pub(super) const LEVELS: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// The number of the nearest level.
#[inline(always)]
pub(super) fn level(x: f32) -> u8 {
    let value = |i: usize| f32::from(LEVELS[i]);
    if x <= value(0) {
        return 0;
    }
    if x >= value(15) {
        return 15;
    }
    // not a number is neither above nor below: it ends at one side, as in ggml
    let (mut low, mut high) = (0, 15);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if x < value(middle) { high = middle } else { low = middle }
    }
    (if x - value(high - 1) < value(high) - x { high - 1 } else { high }) as u8
}

/// How much each weight matters: its square, or with importances, its column's and its own size against `mean`.
#[inline(always)]
pub(super) fn weights(values: &[f32; BLOCK], importance: Option<&[f32]>, mean: f32) -> [f32; BLOCK] {
    let mut weights = mapped(values, |x| x * x);
    if let Some(importance) = importance {
        for ((weight, x), importance) in weights.iter_mut().zip(values).zip(importance) {
            *weight = importance * (mean + x * x).sqrt();
        }
    }
    weights
}

/// The scale with the least weighted error.
#[inline(always)]
pub(super) fn scale(values: &[f32; BLOCK], weights: &[f32; BLOCK]) -> f32 {
    const TRIES: i32 = 7;
    let (mut size, mut signed) = (0.0, 0.0);
    for x in values {
        if x.abs() > size {
            (size, signed) = (x.abs(), *x);
        }
    }
    if size < EPSILON {
        return 0.0;
    }
    let lowest = f32::from(LEVELS[0]);
    let (sum_qx, sum_q2) = sums(values, weights, 1.0 / (-signed / lowest));
    let mut scale = if sum_q2 > 0.0 { sum_qx / sum_q2 } else { 0.0 };
    let mut best = scale * sum_qx;
    for step in -TRIES..=TRIES {
        let (sum_qx, sum_q2) = sums(values, weights, (step as f32 + lowest) / signed);
        if sum_q2 > 0.0 && sum_qx * sum_qx > best * sum_q2 {
            scale = sum_qx / sum_q2;
            best = scale * sum_qx;
        }
    }
    scale
}

#[inline(always)]
fn sums(values: &[f32; BLOCK], weights: &[f32; BLOCK], inverse: f32) -> (f32, f32) {
    let (mut sum_qx, mut sum_q2) = (0.0, 0.0);
    for (x, w) in values.iter().zip(weights) {
        let q = f32::from(LEVELS[usize::from(level(inverse * x))]);
        sum_qx += w * q * x;
        sum_q2 += w * q * q;
    }
    (sum_qx, sum_q2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_nearest_to_itself() {
        for (i, value) in LEVELS.iter().enumerate() {
            assert_eq!(usize::from(level(f32::from(*value))), i);
        }
        assert_eq!((level(-1000.0), level(1000.0), level(-5.0)), (0, 15, 7));
    }
}
