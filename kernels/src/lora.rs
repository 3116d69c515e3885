//! The arithmetic of a merge, in the order that gives PEFT's bits.
//!
//! For every element: a chain of fused multiply-adds over the rank, ascending, in `f32`; times the scaling; plus
//! the base; and one rounding to the checkpoint's type. Columns are independent, so they are vectorized;
//! with or without vector instructions the result is the same to the bit.

use crate::numerics::simd::multiversion;

/// Columns computed together, so that their sums stay in registers.
const LANES: usize = 32;
/// Columns of A (times the rank) that stay in the first-level cache while the rows go by.
const TILE_COLUMNS: usize = 256;

/// The factors of some rows of a delta weight.
pub struct Tile<'a> {
    /// \[rank, columns\]
    pub a: &'a [f32],
    /// \[rows, rank\]
    pub b: &'a [f32],
    /// The rank of the factors.
    pub rank: usize,
    /// The columns of a row.
    pub columns: usize,
    /// What B·A is multiplied by.
    pub scaling: f32,
}

multiversion! {
    /// Adds scaling·B·A to `weights` (\[rows, columns\]).
    pub fn add(tile: &Tile<'_>, weights: &mut [f32]) {
        let mut first = 0;
        while first < tile.columns {
            let span = first..tile.columns.min(first + TILE_COLUMNS);
            let pairs = weights.chunks_mut(2 * tile.columns).zip(tile.b.chunks(2 * tile.rank));
            for (rows, b) in pairs {
                let (row, other) = rows.split_at_mut(tile.columns);
                let (b, b_other) = b.split_at(tile.rank);
                if other.is_empty() {
                    add_row(tile, b, span.start, &mut row[span.clone()]);
                } else {
                    let rows = (&mut row[span.clone()], &mut other[span.clone()]);
                    add_two_rows(tile, (b, b_other), span.start, rows);
                }
            }
            first = span.end;
        }
    }
}

/// Adds to the columns of a row from `first` on.
#[inline(always)]
fn add_row(tile: &Tile<'_>, b: &[f32], first: usize, row: &mut [f32]) {
    let (full, rest) = row.as_chunks_mut::<LANES>();
    let last = first + full.len() * LANES;
    for (n, lanes) in full.iter_mut().enumerate() {
        let mut sums = [0.0_f32; LANES];
        for (k, &factor) in b.iter().enumerate() {
            add_product(factor, &tile.a[k * tile.columns + first + n * LANES..], &mut sums);
        }
        add_scaled(&sums, tile.scaling, lanes);
    }
    add_rest(tile, b, last, rest);
}

/// The same for two rows, which share each load of A.
#[inline(always)]
fn add_two_rows(tile: &Tile<'_>, b: (&[f32], &[f32]), first: usize, rows: (&mut [f32], &mut [f32])) {
    let (full, rest) = rows.0.as_chunks_mut::<LANES>();
    let (full_other, rest_other) = rows.1.as_chunks_mut::<LANES>();
    let last = first + full.len() * LANES;
    for (n, (lanes, other)) in full.iter_mut().zip(full_other).enumerate() {
        let (mut sums, mut other_sums) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        for (k, (&factor, &factor_other)) in b.0.iter().zip(b.1).enumerate() {
            let a = &tile.a[k * tile.columns + first + n * LANES..];
            add_product(factor, a, &mut sums);
            add_product(factor_other, a, &mut other_sums);
        }
        add_scaled(&sums, tile.scaling, lanes);
        add_scaled(&other_sums, tile.scaling, other);
    }
    add_rest(tile, b.0, last, rest);
    add_rest(tile, b.1, last, rest_other);
}

#[inline(always)]
fn add_product(factor: f32, a: &[f32], sums: &mut [f32; LANES]) {
    for (sum, &a) in sums.iter_mut().zip(&a[..LANES]) {
        *sum = factor.mul_add(a, *sum);
    }
}

#[inline(always)]
fn add_scaled(sums: &[f32; LANES], scaling: f32, weights: &mut [f32; LANES]) {
    for (weight, sum) in weights.iter_mut().zip(sums) {
        *weight += sum * scaling;
    }
}

/// The columns after the last whole vector.
#[inline(always)]
fn add_rest(tile: &Tile<'_>, b: &[f32], first: usize, rest: &mut [f32]) {
    for (n, weight) in rest.iter_mut().enumerate() {
        let chain =
            |sum: f32, (k, factor): (usize, &f32)| factor.mul_add(tile.a[k * tile.columns + first + n], sum);
        *weight += b.iter().enumerate().fold(0.0, chain) * tile.scaling;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(tile: &Tile<'_>, weights: &mut [f32]) {
        for (i, weight) in weights.iter_mut().enumerate() {
            let (row, column) = (i / tile.columns, i % tile.columns);
            let mut sum = 0.0_f32;
            for k in 0..tile.rank {
                sum = tile.b[row * tile.rank + k].mul_add(tile.a[k * tile.columns + column], sum);
            }
            let delta = sum * tile.scaling;
            *weight += delta;
        }
    }

    proptest! {
        #[test]
        fn the_vectorized_sum_has_the_bits_of_the_naive_one(
            rank in 1_usize..20, rows in 1_usize..5, columns in prop::sample::select(vec![1, 7, 31, 32, 33, 100, 512, 513, 1152]),
            seed in any::<u64>(), scaling in 0.01_f32..8.0,
        ) {
            let mut state = seed | 1;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / 8_388_608.0 - 1.0
            };
            let a: Vec<f32> = (0..rank * columns).map(|_| next()).collect();
            let b: Vec<f32> = (0..rank * rows).map(|_| next()).collect();
            let mut fast: Vec<f32> = (0..rows * columns).map(|_| next()).collect();
            let mut slow = fast.clone();
            let tile = Tile { a: &a, b: &b, rank, columns, scaling };
            add(&tile, &mut fast);
            naive(&tile, &mut slow);
            prop_assert!(fast.iter().zip(&slow).all(|(x, y)| x.to_bits() == y.to_bits()));
        }
    }
}
