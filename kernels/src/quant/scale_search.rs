//! ggml's scale searches (`make_qkx2_quants` and the like) for several groups of weights at once.
//!
//! The sums of a group are taken strictly in ggml's order, because rounding depends on it. Vectors therefore run across
//! groups: a `[f32; G]` holds one value for each of G groups.

use super::blocks::map_array;
use super::rounding::nearest_int;

/// Groups whose largest magnitude is below this count as zero (ggml's `GROUP_MAX_EPS`).
pub(super) const GROUP_MAX_EPS: f32 = 1e-15;

/// Transposes G consecutive groups of N values: the result is \[N, G\].
#[inline(always)]
pub(super) fn interleave_groups<const N: usize, const G: usize>(values: &[f32]) -> [[f32; G]; N] {
    let mut interleaved = [[0.0; G]; N];
    for (g, group) in values.as_chunks::<N>().0.iter().take(G).enumerate() {
        for (i, value) in group.iter().enumerate() {
            interleaved[i][g] = *value;
        }
    }
    interleaved
}

/// Parameters of [`search_affine`], by ggml's names: levels are 0..=`max_level`, and the inverse scale is tried with
/// `max_level` + `rmin` + `rdelta`·step over the range of the values, for steps 0..=`nstep`.
#[derive(Clone, Copy)]
pub(super) struct AffineSearch {
    pub(super) max_level: i32,
    pub(super) rmin: f32,
    pub(super) rdelta: f32,
    pub(super) nstep: i32,
    /// Weighs errors by magnitude (mean absolute deviation) instead of by square.
    pub(super) use_mad: bool,
}

/// The scales of groups with minima: a weight is about `scale`·level − `min`.
pub(super) struct AffineScales<const G: usize> {
    pub(super) scale: [f32; G],
    pub(super) min: [f32; G],
    /// A level is `inverse`·(weight − `low`), rounded.
    inverse: [f32; G],
    low: [f32; G],
}

impl<const G: usize> AffineScales<G> {
    /// The level of a weight of group `g` with the unrounded scale.
    #[inline(always)]
    pub(super) fn level(&self, g: usize, value: f32, max_level: i32) -> u8 {
        nearest_int(self.inverse[g] * (value - self.low[g])).clamp(0, max_level) as u8
    }
}

/// Finds scale and minimum with the least weighted error (`make_qkx2_quants`, `make_qkx3_quants`).
#[inline(always)]
pub(super) fn search_affine<const N: usize, const G: usize>(
    x: &[[f32; G]; N],
    weights: &[[f32; G]; N],
    search: AffineSearch,
) -> AffineScales<G> {
    let groups = WeightedGroups { x, weights };
    let AffineSearch { max_level, rmin, rdelta, nstep, use_mad } = search;
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
    let mut result = AffineScales { scale: [0.0; G], min: [0.0; G], inverse: [0.0; G], low };
    let mut flat = [false; G];
    for g in 0..G {
        low[g] = if low[g] > 0.0 { 0.0 } else { low[g] };
        flat[g] = high[g] == low[g];
        result.low[g] = low[g];
        result.inverse[g] = max_level as f32 / (high[g] - low[g]);
        result.scale[g] = 1.0 / result.inverse[g];
    }
    let mut levels = [[0.0; G]; N];
    affine_levels(groups, max_level, &result.inverse, &low, &mut levels);
    let mut best = affine_error(groups, &levels, use_mad, &result.scale, &low);
    for step in 0..=nstep {
        let (mut inverse, mut scale, mut min, mut usable) = ([0.0; G], [0.0; G], [0.0; G], [false; G]);
        for g in 0..G {
            inverse[g] = (rmin + rdelta * step as f32 + max_level as f32) / (high[g] - low[g]);
        }
        let sum_l = affine_levels(groups, max_level, &inverse, &low, &mut levels);
        // one loop per sum: a loop with several is not vectorized
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
            let new_scale = (sum_w[g] * sum_xl[g] - sum_x[g] * sum_l[g]) / determinant;
            let new_min = (sum_l2[g] * sum_x[g] - sum_l[g] * sum_xl[g]) / determinant;
            let above = new_min > 0.0;
            min[g] = if above { 0.0 } else { new_min };
            scale[g] = if above { sum_xl[g] / sum_l2[g] } else { new_scale };
        }
        let error = affine_error(groups, &levels, use_mad, &scale, &min);
        for g in 0..G {
            let better = usable[g] & !flat[g] & (error[g] < best[g]);
            best[g] = if better { error[g] } else { best[g] };
            result.inverse[g] = if better { inverse[g] } else { result.inverse[g] };
            result.low[g] = if better { low[g] } else { result.low[g] };
            result.scale[g] = if better { scale[g] } else { result.scale[g] };
            // the next steps start from the better minimum
            low[g] = if better { min[g] } else { low[g] };
        }
    }
    for g in 0..G {
        result.inverse[g] = if flat[g] { 0.0 } else { result.inverse[g] };
        result.scale[g] = if flat[g] { 0.0 } else { result.scale[g] };
        result.min[g] = -low[g];
    }
    result
}

/// The values of G groups, \[N, G\], and the weights of their errors.
#[derive(Clone, Copy)]
struct WeightedGroups<'a, const N: usize, const G: usize> {
    x: &'a [[f32; G]; N],
    weights: &'a [[f32; G]; N],
}

/// Computes the levels for an inverse scale and a minimum; returns their weighted sum.
#[inline(always)]
fn affine_levels<const N: usize, const G: usize>(
    groups: WeightedGroups<'_, N, G>,
    max_level: i32,
    inverse: &[f32; G],
    low: &[f32; G],
    levels: &mut [[f32; G]; N],
) -> [f32; G] {
    let mut sum = [0.0; G];
    for ((x, w), levels) in groups.x.iter().zip(groups.weights).zip(levels) {
        for g in 0..G {
            levels[g] = nearest_int(inverse[g] * (x[g] - low[g])).clamp(0, max_level) as f32;
            sum[g] += w[g] * levels[g];
        }
    }
    sum
}

/// The weighted error of scales and minima.
#[inline(always)]
fn affine_error<const N: usize, const G: usize>(
    groups: WeightedGroups<'_, N, G>,
    levels: &[[f32; G]; N],
    use_mad: bool,
    scale: &[f32; G],
    min: &[f32; G],
) -> [f32; G] {
    let mut error = [0.0; G];
    for ((x, w), levels) in groups.x.iter().zip(groups.weights).zip(levels) {
        for g in 0..G {
            let difference = scale[g] * levels[g] + min[g] - x[g];
            let size = if use_mad { difference.abs() } else { difference * difference };
            error[g] += w[g] * size;
        }
    }
    error
}

/// The scales of groups without minima: a weight is about `scale`·(level − `nmax`).
pub(super) struct SymmetricScales<const G: usize> {
    pub(super) scale: [f32; G],
    /// A level is `inverse`·weight, rounded, plus `nmax`; meaningless for groups that are zero.
    inverse: [f32; G],
    zero: [bool; G],
}

impl<const G: usize> SymmetricScales<G> {
    /// The level of a weight of group `g` with the unrounded scale.
    #[inline(always)]
    pub(super) fn level(&self, g: usize, value: f32, nmax: i32) -> u8 {
        if self.zero[g] {
            0
        } else {
            (nearest_int(self.inverse[g] * value).clamp(-nmax, nmax - 1) + nmax) as u8
        }
    }
}

/// Finds the scale with the least weighted error for levels −`nmax`..`nmax` (`make_qx_quants` with `rmse_type` 1). The
/// default weights are the squares of the values.
#[inline(always)]
pub(super) fn search_symmetric<const N: usize, const G: usize>(
    x: &[[f32; G]; N],
    weights: Option<&[[f32; G]; N]>,
    nmax: i32,
) -> SymmetricScales<G> {
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
    let mut result = SymmetricScales { scale: [0.0; G], inverse: [0.0; G], zero: [false; G] };
    let mut best = [0.0; G];
    result.inverse = map_array(&signed, |signed: f32| -nmax as f32 / signed);
    let (sum_lx, sum_l2) = symmetric_sums(x, weights, nmax, &result.inverse);
    for g in 0..G {
        result.scale[g] = if sum_l2[g] == 0.0 { 0.0 } else { sum_lx[g] / sum_l2[g] };
        best[g] = result.scale[g] * sum_lx[g];
    }
    for step in (-9..=9).filter(|step| *step != 0) {
        let mut inverse = [0.0; G];
        for g in 0..G {
            inverse[g] = -(nmax as f32 + 0.1 * step as f32) / signed[g];
        }
        let (sum_lx, sum_l2) = symmetric_sums(x, weights, nmax, &inverse);
        for g in 0..G {
            let better = (sum_l2[g] > 0.0) & (sum_lx[g] * sum_lx[g] > best[g] * sum_l2[g]);
            let scale = sum_lx[g] / sum_l2[g];
            result.inverse[g] = if better { inverse[g] } else { result.inverse[g] };
            result.scale[g] = if better { scale } else { result.scale[g] };
            best[g] = if better { scale * sum_lx[g] } else { best[g] };
        }
    }
    result.zero = map_array(&largest, |largest| largest < GROUP_MAX_EPS);
    for g in 0..G {
        result.scale[g] = if result.zero[g] { 0.0 } else { result.scale[g] };
    }
    result
}

#[inline(always)]
fn symmetric_sums<const N: usize, const G: usize>(
    x: &[[f32; G]; N],
    weights: &[[f32; G]; N],
    nmax: i32,
    inverse: &[f32; G],
) -> ([f32; G], [f32; G]) {
    let mut levels = [[0.0; G]; N];
    let (mut sum_lx, mut sum_l2) = ([0.0; G], [0.0; G]);
    for ((x, w), levels) in x.iter().zip(weights).zip(&mut levels) {
        for g in 0..G {
            levels[g] = nearest_int(inverse[g] * x[g]).clamp(-nmax, nmax - 1) as f32;
            sum_lx[g] += w[g] * x[g] * levels[g];
        }
    }
    // a separate loop, as in `search_affine`
    for (w, levels) in weights.iter().zip(&levels) {
        for g in 0..G {
            sum_l2[g] += w[g] * levels[g] * levels[g];
        }
    }
    (sum_lx, sum_l2)
}

/// Finds a scale for non-negative values, and their levels 0..=`max_level` (`make_qp_quants`): with an importance
/// matrix, the scales and minima of groups are quantized so.
pub(super) fn search_positive<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    max_level: i32,
) -> (f32, [u8; N]) {
    let largest = x.iter().fold(0.0_f32, |most, v| if *v > most { *v } else { most });
    if largest < GROUP_MAX_EPS {
        return (0.0, [0; N]);
    }
    let mut inverse = max_level as f32 / largest;
    let scale = 1.0 / inverse;
    let mut best = 0.0;
    for (x, w) in x.iter().zip(weights) {
        let difference = x - scale * nearest_int(inverse * x) as f32;
        best += w * difference * difference;
    }
    for step in (-4..=4).filter(|step| *step != 0) {
        let candidate_inverse = (0.1 * step as f32 + max_level as f32) / largest;
        let candidate_scale = 1.0 / candidate_inverse;
        let mut error = 0.0;
        for (x, w) in x.iter().zip(weights) {
            let difference = x - candidate_scale * nearest_int(candidate_inverse * x).min(max_level) as f32;
            error += w * difference * difference;
        }
        if error < best {
            best = error;
            inverse = candidate_inverse;
        }
    }
    let mut levels = map_array(x, |x| nearest_int(inverse * x).min(max_level));
    let mut sums = LevelSums { lx: 0.0, l2: 0.0 };
    for ((x, w), level) in x.iter().zip(weights).zip(&levels) {
        let level = *level as f32;
        sums.lx += w * x * level;
        sums.l2 += w * level * level;
    }
    for _ in 0..5 {
        if !improve_positive(x, weights, max_level, &mut levels, &mut sums) {
            break;
        }
    }
    (if sums.l2 > 0.0 { sums.lx / sums.l2 } else { 0.0 }, map_array(&levels, |l| l as u8))
}

/// Weighted sums over levels: of level·value, and of level².
struct LevelSums {
    lx: f32,
    l2: f32,
}

/// Changes single levels where that lowers the error; returns whether any changed.
fn improve_positive<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    max_level: i32,
    levels: &mut [i32; N],
    sums: &mut LevelSums,
) -> bool {
    let mut changed = false;
    for ((x, w), level) in x.iter().zip(weights).zip(levels) {
        let old = *level as f32;
        let mut lx = sums.lx - w * x * old;
        let mut l2 = sums.l2 - w * old * old;
        if lx > 0.0 && l2 > 0.0 {
            let new = nearest_int(x * l2 / lx).min(max_level);
            if new != *level {
                lx += w * x * new as f32;
                l2 += w * new as f32 * new as f32;
                if lx * lx * sums.l2 > sums.lx * sums.lx * l2 {
                    (*level, *sums) = (new, LevelSums { lx, l2 });
                    changed = true;
                }
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_affine_finds_the_scale_of_values_exactly_on_levels() {
        let values: [[f32; 1]; 16] = std::array::from_fn(|i| [i as f32 * 0.5 - 2.0]);
        let search = AffineSearch { max_level: 15, rmin: -1.0, rdelta: 0.1, nstep: 20, use_mad: false };
        let result = search_affine(&values, &[[1.0]; 16], search);
        assert!((result.scale[0] - 0.5).abs() < 1e-6 && (result.min[0] - 2.0).abs() < 1e-5);
        assert_eq!(result.level(0, values[7][0], 15), 7);
    }

    #[test]
    fn groups_are_independent() {
        let both: [[f32; 2]; 16] =
            std::array::from_fn(|i| [(i as f32).sin(), (i as f32 * 7.0).cos() * 100.0]);
        let result = search_symmetric(&both, None, 32);
        for g in 0..2 {
            let alone = search_symmetric(&both.map(|x| [x[g]]), None, 32);
            assert_eq!(result.scale[g].to_bits(), alone.scale[0].to_bits());
        }
    }

    #[test]
    fn a_group_of_zeros_has_scale_zero() {
        assert_eq!(search_symmetric(&[[0.0]; 16], None, 32).scale, [0.0]);
        let search = AffineSearch { max_level: 15, rmin: -1.0, rdelta: 0.1, nstep: 20, use_mad: false };
        assert_eq!(search_affine(&[[0.0]; 32], &[[1.0]; 32], search).scale, [0.0]);
        assert_eq!(search_positive(&[0.0; 8], &[1.0; 8], 63).0, 0.0);
    }
}
