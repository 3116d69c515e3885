//! Products of few rows with the rows of a matrix: a pass over weights for single tokens.
//!
//! A matrix library rearranges the matrix before it multiplies, which takes longer than the product while the other factor has few
//! rows. Here each weight is loaded once for two rows.

use crate::numerics::simd::multiversion;

/// Columns whose sums are in one register.
const LANES: usize = 8;
/// Columns multiplied at a time, so that the rows stay in the first-level cache.
const TILE_COLUMNS: usize = 512;
/// Rows of the matrix, and of the other factor, multiplied with each other at a time.
const TILE_WEIGHTS: usize = 4;
const TILE_ROWS: usize = 2;

multiversion! {
    /// x·Wᵀ: `x` is \[rows, columns\], `weights` \[outputs, columns\], `out` \[rows, outputs\].
    pub fn with_transposed(columns: usize, x: &[f32], weights: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        let outputs = weights.len() / columns.max(1);
        for first in (0..columns).step_by(TILE_COLUMNS) {
            let span = (first, columns.min(first + TILE_COLUMNS));
            let matrices = Matrices { columns, span, outputs, x, weights };
            let mut output = 0;
            while output + TILE_WEIGHTS <= outputs {
                matrices.add_outputs::<TILE_WEIGHTS>(output, out);
                output += TILE_WEIGHTS;
            }
            while output < outputs {
                matrices.add_outputs::<1>(output, out);
                output += 1;
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Matrices<'a> {
    columns: usize,
    /// The first column and the one after the last.
    span: (usize, usize),
    outputs: usize,
    x: &'a [f32],
    weights: &'a [f32],
}

impl Matrices<'_> {
    /// Adds the products of all rows with W rows of the matrix.
    #[inline(always)]
    fn add_outputs<const W: usize>(self, output: usize, out: &mut [f32]) {
        let rows = out.len() / self.outputs;
        let mut row = 0;
        while row + TILE_ROWS <= rows {
            self.add_tile::<W, TILE_ROWS>(output, row, out);
            row += TILE_ROWS;
        }
        while row < rows {
            self.add_tile::<W, 1>(output, row, out);
            row += 1;
        }
    }

    /// Adds the products of R rows with W rows of the matrix.
    #[inline(always)]
    fn add_tile<const W: usize, const R: usize>(self, output: usize, row: usize, out: &mut [f32]) {
        let (mut weights, mut x) = ([RowSpan::default(); W], [RowSpan::default(); R]);
        for (w, span) in weights.iter_mut().enumerate() {
            *span = self.row_span(self.weights, output + w);
        }
        for (r, span) in x.iter_mut().enumerate() {
            *span = self.row_span(self.x, row + r);
        }
        let mut sums = [[[0.0_f32; LANES]; R]; W];
        for step in 0..self.steps() {
            for w in 0..W {
                for r in 0..R {
                    sums[w][r] = multiply_add(&weights[w].whole[step], &x[r].whole[step], sums[w][r]);
                }
            }
        }
        for (w, (weights, sums)) in weights.iter().zip(sums).enumerate() {
            for (r, (x, sums)) in x.iter().zip(sums).enumerate() {
                let rest: f32 = weights.rest.iter().zip(x.rest).map(|(weight, x)| weight * x).sum();
                out[(row + r) * self.outputs + output + w] += sums.iter().sum::<f32>() + rest;
            }
        }
    }

    /// The whole vectors of a span.
    #[inline(always)]
    fn steps(self) -> usize {
        (self.span.1 - self.span.0) / LANES
    }

    /// The columns of a row that are multiplied.
    #[inline(always)]
    fn row_span<'m>(self, matrix: &'m [f32], row: usize) -> RowSpan<'m> {
        let span = &matrix[row * self.columns + self.span.0..row * self.columns + self.span.1];
        let (whole, rest) = span.as_chunks();
        // the length that all have, so that no step checks it
        RowSpan { whole: &whole[..self.steps()], rest }
    }
}

#[derive(Clone, Copy, Default)]
struct RowSpan<'a> {
    whole: &'a [[f32; LANES]],
    rest: &'a [f32],
}

#[inline(always)]
fn multiply_add(a: &[f32; LANES], b: &[f32; LANES], mut sum: [f32; LANES]) -> [f32; LANES] {
    for lane in 0..LANES {
        sum[lane] = a[lane].mul_add(b[lane], sum[lane]);
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_element_is_the_product_of_its_rows(
            rows in 0_usize..6, outputs in 0_usize..10, columns in prop::sample::select(vec![1, 7, 8, 40, 511, 512, 520, 1152, 1153]),
            seed in any::<u64>(),
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut values = |count: usize| -> Vec<f32> { (0..count).map(|_| random.f32() - 0.5).collect() };
            let (x, weights, mut out) = (values(rows * columns), values(outputs * columns), values(rows * outputs));
            with_transposed(columns, &x, &weights, &mut out);
            for (at, found) in out.iter().enumerate() {
                let (row, output) = (at / outputs, at % outputs);
                let pairs = x[row * columns..].iter().zip(&weights[output * columns..]).take(columns);
                let expected: f64 = pairs.map(|(x, weight)| f64::from(*x) * f64::from(*weight)).sum();
                prop_assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} {expected}");
            }
        }
    }
}
