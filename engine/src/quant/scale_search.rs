//! The searches for scales that ggml's k-quants do, for several groups of weights at once.
//!
//! A group's sums are taken strictly in order, as ggml takes them, because rounding depends on it; so it is the
//! groups that are put side by side in vectors. A `[f32; G]` holds one value for each of G groups.

use super::blocks::mapped;
use super::rounding::nearest;

/// Groups with a magnitude below this count as zero.
pub(super) const EPSILON: f32 = 1e-15;

/// Puts G consecutive groups of N values side by side.
#[inline(always)]
pub(super) fn side_by_side<const N: usize, const G: usize>(values: &[f32]) -> [[f32; G]; N] {
    let mut lanes = [[0.0; G]; N];
    for (g, group) in values.as_chunks::<N>().0.iter().take(G).enumerate() {
        for (i, value) in group.iter().enumerate() {
            lanes[i][g] = *value;
        }
    }
    lanes
}

/// How `affine` searches: levels 0..=`top`, first guesses `from` + `by`·0, 1, …, `steps` around it.
#[derive(Clone, Copy)]
pub(super) struct AffineSearch {
    pub(super) top: i32,
    pub(super) from: f32,
    pub(super) by: f32,
    pub(super) steps: i32,
    /// Whether errors count by magnitude and not by square.
    pub(super) absolute: bool,
}

/// What `affine` found: a weight is about `scale`·level − `min`.
pub(super) struct AffineFound<const G: usize> {
    pub(super) scale: [f32; G],
    pub(super) min: [f32; G],
    /// What makes the levels, with `low`, of the weights.
    inverse: [f32; G],
    low: [f32; G],
}

impl<const G: usize> AffineFound<G> {
    /// The level of a weight of group `g` by the search itself.
    #[inline(always)]
    pub(super) fn level(&self, g: usize, value: f32, top: i32) -> u8 {
        nearest(self.inverse[g] * (value - self.low[g])).clamp(0, top) as u8
    }
}

/// Scale and minimum with the least weighted error (`make_qkx2_quants`, `make_qkx3_quants`).
#[inline(always)]
pub(super) fn affine<const N: usize, const G: usize>(
    x: &[[f32; G]; N],
    weights: &[[f32; G]; N],
    how: AffineSearch,
) -> AffineFound<G> {
    let AffineSearch { top, from, by, steps, absolute } = how;
    let (mut low, mut high) = (x[0], x[0]);
    let (mut sum_w, mut sum_x) = ([0.0; G], [0.0; G]);
    for (x, w) in x.iter().zip(weights) {
        for g in 0..G {
            low[g] = if x[g] < low[g] { x[g] } else { low[g] };
            high[g] = if x[g] > high[g] { x[g] } else { high[g] };
            sum_w[g] += w[g];
            sum_x[g] += w[g] * x[g];
        }
    }
    let mut found = AffineFound { scale: [0.0; G], min: [0.0; G], inverse: [0.0; G], low };
    let mut flat = [false; G];
    for g in 0..G {
        low[g] = if low[g] > 0.0 { 0.0 } else { low[g] };
        flat[g] = high[g] == low[g];
        found.low[g] = low[g];
        found.inverse[g] = top as f32 / (high[g] - low[g]);
        found.scale[g] = 1.0 / found.inverse[g];
    }
    let mut levels = [[0.0; G]; N];
    affine_levels(x, weights, top, &found.inverse, &low, &mut levels);
    let mut best = affine_error(x, weights, &levels, absolute, &found.scale, &low);
    for step in 0..=steps {
        let (mut inverse, mut scale, mut min, mut usable) = ([0.0; G], [0.0; G], [0.0; G], [false; G]);
        for g in 0..G {
            inverse[g] = (from + by * step as f32 + top as f32) / (high[g] - low[g]);
        }
        let sum_l = affine_levels(x, weights, top, &inverse, &low, &mut levels);
        // one loop for each sum: a loop with several is not put into vectors
        let (mut sum_l2, mut sum_xl) = ([0.0; G], [0.0; G]);
        for (w, levels) in weights.iter().zip(&levels) {
            for g in 0..G {
                sum_l2[g] += w[g] * levels[g] * levels[g];
            }
        }
        for ((x, w), levels) in x.iter().zip(weights).zip(&levels) {
            for g in 0..G {
                sum_xl[g] += w[g] * levels[g] * x[g];
            }
        }
        for g in 0..G {
            let determinant = sum_w[g] * sum_l2[g] - sum_l[g] * sum_l[g];
            usable[g] = determinant > 0.0;
            let this_scale = (sum_w[g] * sum_xl[g] - sum_x[g] * sum_l[g]) / determinant;
            let this_min = (sum_l2[g] * sum_x[g] - sum_l[g] * sum_xl[g]) / determinant;
            let above = this_min > 0.0;
            min[g] = if above { 0.0 } else { this_min };
            scale[g] = if above { sum_xl[g] / sum_l2[g] } else { this_scale };
        }
        let error = affine_error(x, weights, &levels, absolute, &scale, &min);
        for g in 0..G {
            let better = usable[g] & !flat[g] & (error[g] < best[g]);
            best[g] = if better { error[g] } else { best[g] };
            found.inverse[g] = if better { inverse[g] } else { found.inverse[g] };
            found.low[g] = if better { low[g] } else { found.low[g] };
            found.scale[g] = if better { scale[g] } else { found.scale[g] };
            // the next guesses start from the better minimum
            low[g] = if better { min[g] } else { low[g] };
        }
    }
    for g in 0..G {
        found.inverse[g] = if flat[g] { 0.0 } else { found.inverse[g] };
        found.scale[g] = if flat[g] { 0.0 } else { found.scale[g] };
        found.min[g] = -low[g];
    }
    found
}

/// The levels that a guess gives, and their weighted sum.
#[inline(always)]
fn affine_levels<const N: usize, const G: usize>(
    x: &[[f32; G]; N],
    weights: &[[f32; G]; N],
    top: i32,
    inverse: &[f32; G],
    low: &[f32; G],
    levels: &mut [[f32; G]; N],
) -> [f32; G] {
    let mut sum = [0.0; G];
    for ((x, w), levels) in x.iter().zip(weights).zip(levels) {
        for g in 0..G {
            levels[g] = nearest(inverse[g] * (x[g] - low[g])).clamp(0, top) as f32;
            sum[g] += w[g] * levels[g];
        }
    }
    sum
}

/// The weighted error of a guess.
#[inline(always)]
fn affine_error<const N: usize, const G: usize>(
    x: &[[f32; G]; N],
    weights: &[[f32; G]; N],
    levels: &[[f32; G]; N],
    absolute: bool,
    scale: &[f32; G],
    min: &[f32; G],
) -> [f32; G] {
    let mut error = [0.0; G];
    for ((x, w), levels) in x.iter().zip(weights).zip(levels) {
        for g in 0..G {
            let difference = scale[g] * levels[g] + min[g] - x[g];
            let size = if absolute { difference.abs() } else { difference * difference };
            error[g] += w[g] * size;
        }
    }
    error
}

/// What `symmetric` found: a weight is about `scale`·(level − `half`).
pub(super) struct SymmetricFound<const G: usize> {
    pub(super) scale: [f32; G],
    /// What makes the levels of the weights; zero for groups that are zero.
    inverse: [f32; G],
    zero: [bool; G],
}

impl<const G: usize> SymmetricFound<G> {
    /// The level of a weight of group `g` by the search itself.
    #[inline(always)]
    pub(super) fn level(&self, g: usize, value: f32, half: i32) -> u8 {
        if self.zero[g] { 0 } else { (nearest(self.inverse[g] * value).clamp(-half, half - 1) + half) as u8 }
    }
}

/// The scale with the least weighted error for levels −`half`..`half` (`make_qx_quants` with `rmse_type` 1). Without
/// weights, squares of the values are the weights.
#[inline(always)]
pub(super) fn symmetric<const N: usize, const G: usize>(
    x: &[[f32; G]; N],
    weights: Option<&[[f32; G]; N]>,
    half: i32,
) -> SymmetricFound<G> {
    let mut squares = *x;
    for squares in &mut squares {
        for square in squares {
            *square *= *square;
        }
    }
    let weights = weights.unwrap_or(&squares);
    let (mut largest, mut signed) = ([0.0; G], [0.0; G]);
    for x in x {
        for g in 0..G {
            let size = x[g].abs();
            let larger = size > largest[g];
            largest[g] = if larger { size } else { largest[g] };
            signed[g] = if larger { x[g] } else { signed[g] };
        }
    }
    let mut found = SymmetricFound { scale: [0.0; G], inverse: [0.0; G], zero: [false; G] };
    let mut best = [0.0; G];
    found.inverse = mapped(&signed, |signed: f32| -half as f32 / signed);
    let (sum_lx, sum_l2) = symmetric_sums(x, weights, half, &found.inverse);
    for g in 0..G {
        found.scale[g] = if sum_l2[g] == 0.0 { 0.0 } else { sum_lx[g] / sum_l2[g] };
        best[g] = found.scale[g] * sum_lx[g];
    }
    for step in (-9..=9).filter(|step| *step != 0) {
        let mut inverse = [0.0; G];
        for g in 0..G {
            inverse[g] = -(half as f32 + 0.1 * step as f32) / signed[g];
        }
        let (sum_lx, sum_l2) = symmetric_sums(x, weights, half, &inverse);
        for g in 0..G {
            let better = (sum_l2[g] > 0.0) & (sum_lx[g] * sum_lx[g] > best[g] * sum_l2[g]);
            let scale = sum_lx[g] / sum_l2[g];
            found.inverse[g] = if better { inverse[g] } else { found.inverse[g] };
            found.scale[g] = if better { scale } else { found.scale[g] };
            best[g] = if better { scale * sum_lx[g] } else { best[g] };
        }
    }
    found.zero = mapped(&largest, |largest| largest < EPSILON);
    for g in 0..G {
        found.scale[g] = if found.zero[g] { 0.0 } else { found.scale[g] };
    }
    found
}

#[inline(always)]
fn symmetric_sums<const N: usize, const G: usize>(
    x: &[[f32; G]; N],
    weights: &[[f32; G]; N],
    half: i32,
    inverse: &[f32; G],
) -> ([f32; G], [f32; G]) {
    let mut levels = [[0.0; G]; N];
    let (mut sum_lx, mut sum_l2) = ([0.0; G], [0.0; G]);
    for ((x, w), levels) in x.iter().zip(weights).zip(&mut levels) {
        for g in 0..G {
            levels[g] = nearest(inverse[g] * x[g]).clamp(-half, half - 1) as f32;
            sum_lx[g] += w[g] * x[g] * levels[g];
        }
    }
    // a loop of its own, as in `affine`
    for (w, levels) in weights.iter().zip(&levels) {
        for g in 0..G {
            sum_l2[g] += w[g] * levels[g] * levels[g];
        }
    }
    (sum_lx, sum_l2)
}

/// A scale for non-negative values and their levels 0..=`top`, with weights (`make_qp_quants`): how scales and
/// minima of groups are themselves stored when there is an importance matrix.
pub(super) fn positive<const N: usize>(x: &[f32; N], weights: &[f32; N], top: i32) -> (f32, [u8; N]) {
    let largest = x.iter().fold(0.0_f32, |most, v| if *v > most { *v } else { most });
    if largest < EPSILON {
        return (0.0, [0; N]);
    }
    let mut inverse = top as f32 / largest;
    let scale = 1.0 / inverse;
    let mut best = 0.0;
    for (x, w) in x.iter().zip(weights) {
        let difference = x - scale * nearest(inverse * x) as f32;
        best += w * difference * difference;
    }
    for step in (-4..=4).filter(|step| *step != 0) {
        let inverse_here = (0.1 * step as f32 + top as f32) / largest;
        let scale_here = 1.0 / inverse_here;
        let mut error = 0.0;
        for (x, w) in x.iter().zip(weights) {
            let difference = x - scale_here * nearest(inverse_here * x).min(top) as f32;
            error += w * difference * difference;
        }
        if error < best {
            best = error;
            inverse = inverse_here;
        }
    }
    let mut levels = mapped(x, |x| nearest(inverse * x).min(top));
    let (mut sum_lx, mut sum_l2) = (0.0, 0.0);
    for ((x, w), level) in x.iter().zip(weights).zip(&levels) {
        let level = *level as f32;
        sum_lx += w * x * level;
        sum_l2 += w * level * level;
    }
    for _ in 0..5 {
        if !improve_positive(x, weights, top, &mut levels, &mut sum_lx, &mut sum_l2) {
            break;
        }
    }
    (if sum_l2 > 0.0 { sum_lx / sum_l2 } else { 0.0 }, mapped(&levels, |l| l as u8))
}

/// Moves single levels as long as that helps; says whether any moved.
fn improve_positive<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    top: i32,
    levels: &mut [i32; N],
    sum_lx: &mut f32,
    sum_l2: &mut f32,
) -> bool {
    let mut moved = false;
    for ((x, w), level) in x.iter().zip(weights).zip(levels) {
        let old = *level as f32;
        let mut lx = *sum_lx - w * x * old;
        let mut l2 = *sum_l2 - w * old * old;
        if lx > 0.0 && l2 > 0.0 {
            let new = nearest(x * l2 / lx).min(top);
            if new != *level {
                lx += w * x * new as f32;
                l2 += w * new as f32 * new as f32;
                if lx * lx * *sum_l2 > *sum_lx * *sum_lx * l2 {
                    (*level, *sum_lx, *sum_l2) = (new, lx, l2);
                    moved = true;
                }
            }
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affine_finds_what_is_exactly_on_its_levels() {
        let values: [[f32; 1]; 16] = std::array::from_fn(|i| [i as f32 * 0.5 - 2.0]);
        let how = AffineSearch { top: 15, from: -1.0, by: 0.1, steps: 20, absolute: false };
        let found = affine(&values, &[[1.0]; 16], how);
        assert!((found.scale[0] - 0.5).abs() < 1e-6 && (found.min[0] - 2.0).abs() < 1e-5);
        assert_eq!(found.level(0, values[7][0], 15), 7);
    }

    #[test]
    fn groups_do_not_disturb_each_other() {
        let together: [[f32; 2]; 16] =
            std::array::from_fn(|i| [(i as f32).sin(), (i as f32 * 7.0).cos() * 100.0]);
        let found = symmetric(&together, None, 32);
        for g in 0..2 {
            let alone = symmetric(&together.map(|x| [x[g]]), None, 32);
            assert_eq!(found.scale[g].to_bits(), alone.scale[0].to_bits());
        }
    }

    #[test]
    fn a_group_of_zeros_has_scale_zero() {
        assert_eq!(symmetric(&[[0.0]; 16], None, 32).scale, [0.0]);
        let how = AffineSearch { top: 15, from: -1.0, by: 0.1, steps: 20, absolute: false };
        assert_eq!(affine(&[[0.0]; 32], &[[1.0]; 32], how).scale, [0.0]);
        assert_eq!(positive(&[0.0; 8], &[1.0; 8], 63).0, 0.0);
    }
}
