//! Error statistics of two arrays: count, maximum, sum.
//!
//! A sum of floats depends on its order. Each row is summed in one fixed order, and rows are added in their order, so
//! the result depends neither on the size of chunks nor on the number of threads.

use serde::{Deserialize, Serialize};

use crate::numerics::Dtype;
use crate::numerics::simd::multiversion;
use crate::quant::TensorType;

/// Elements widened to `f32` and compared at a time: a multiple of every type's block.
const PIECE: usize = 1024;
/// Parallel partial sums.
const LANES: usize = 16;

/// Differences over whole rows of a tensor.
#[derive(Debug, Default)]
pub struct ErrorStats {
    /// Elements that differ at all.
    changed: u64,
    /// Elements compared.
    elements: u64,
    largest: f32,
    /// A sum for each row.
    rows: Vec<f64>,
}

/// Differences over a tensor. Serialized with every bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "(u64, u64, u32, u64)", from = "(u64, u64, u32, u64)")]
pub struct ErrorTotal {
    /// Elements that differ at all.
    pub changed: u64,
    /// Elements compared.
    pub elements: u64,
    /// The largest absolute difference; NaN if one of them is.
    pub largest: f32,
    /// The sum of the differences.
    pub sum: f64,
}

impl ErrorStats {
    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.rows.clear();
        (self.changed, self.elements, self.largest) = (0, 0, 0.0);
    }

    /// Adds absolute differences of stored values, in rows of `columns`. Elements that only `after` has are changed.
    pub fn add_changes(&mut self, dtype: Dtype, columns: usize, before: &[u8], after: &[u8]) {
        let width = dtype.bytes() as usize;
        self.changed += (after.len().saturating_sub(before.len()) / width) as u64;
        let (mut old, mut new) = ([0.0; PIECE], [0.0; PIECE]);
        for (before, after) in before.chunks(columns * width).zip(after.chunks(columns * width)) {
            let mut row = 0.0;
            for (before, after) in before.chunks(PIECE * width).zip(after.chunks(PIECE * width)) {
                let count = before.len() / width;
                let (old, new) = (&mut old[..count], &mut new[..count]);
                dtype.widen(before, old);
                dtype.widen(after, new);
                row += self.note(absolute(old, new));
            }
            self.rows.push(row);
            self.elements += (before.len() / width) as u64;
        }
    }

    /// Adds squared differences between values and their stored form, in rows of `columns`.
    pub fn add_errors(&mut self, stored: TensorType, columns: usize, values: &[f32], bytes: &[u8]) {
        let mut back = [0.0; PIECE];
        let (row_bytes, piece_bytes) = (stored.bytes(columns as u64), stored.bytes(PIECE as u64));
        for (values, bytes) in values.chunks(columns).zip(bytes.chunks(row_bytes as usize)) {
            let mut row = 0.0;
            for (values, bytes) in values.chunks(PIECE).zip(bytes.chunks(piece_bytes as usize)) {
                let back = &mut back[..values.len()];
                stored.decode(bytes, back);
                row += self.note(squared(values, back));
            }
            self.rows.push(row);
            self.elements += values.len() as u64;
        }
    }

    /// Whether no difference is larger than `limit`, or NaN.
    pub fn is_within(&self, limit: f32) -> bool {
        self.largest <= limit
    }

    fn note(&mut self, sums: LaneSums) -> f64 {
        self.changed += sums.changed.iter().map(|n| u64::from(*n)).sum::<u64>();
        self.largest = sums.largest.into_iter().fold(self.largest, larger);
        sums.sum.into_iter().map(f64::from).sum()
    }
}

impl ErrorTotal {
    /// Adds the next rows.
    pub fn add(&mut self, rows: &ErrorStats) {
        self.changed += rows.changed;
        self.elements += rows.elements;
        self.largest = larger(self.largest, rows.largest);
        self.sum = rows.rows.iter().fold(self.sum, |sum, row| sum + row);
    }

    /// Adds the differences over another tensor.
    pub fn join(&mut self, other: &Self) {
        self.changed += other.changed;
        self.elements += other.elements;
        self.largest = larger(self.largest, other.largest);
        self.sum += other.sum;
    }

    /// The sum over the number of elements; 0 for none.
    pub fn mean(&self) -> f64 {
        if self.elements == 0 { 0.0 } else { self.sum / self.elements as f64 }
    }
}

impl From<ErrorTotal> for (u64, u64, u32, u64) {
    fn from(ErrorTotal { changed, elements, largest, sum }: ErrorTotal) -> Self {
        (changed, elements, largest.to_bits(), sum.to_bits())
    }
}

impl From<(u64, u64, u32, u64)> for ErrorTotal {
    fn from((changed, elements, largest, sum): (u64, u64, u32, u64)) -> Self {
        Self { changed, elements, largest: f32::from_bits(largest), sum: f64::from_bits(sum) }
    }
}

/// The partial sums of a row.
struct LaneSums {
    changed: [u32; LANES],
    largest: [f32; LANES],
    sum: [f32; LANES],
}

multiversion! {
    fn absolute(a: &[f32], b: &[f32]) -> LaneSums {
        sums(a, b, |difference| difference)
    }
}

multiversion! {
    fn squared(a: &[f32], b: &[f32]) -> LaneSums {
        sums(a, b, |difference| difference * difference)
    }
}

/// The squares of the differences between a row and its stored form, and those of the row, each weighted by the importance of its column.
pub fn weighted_squares(values: &[f32], stored: &[f32], importance: Option<&[f32]>) -> (f64, f64) {
    let (mut error, mut size) = (0.0, 0.0);
    for (column, (value, stored)) in values.iter().zip(stored).enumerate() {
        let weight = f64::from(importance.map_or(1.0, |importance| importance[column]));
        error += weight * f64::from(value - stored).powi(2);
        size += weight * f64::from(*value).powi(2);
    }
    (error, size)
}

/// The larger of two values; NaN if one of them is.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

#[inline(always)]
fn sums(a: &[f32], b: &[f32], size: impl Fn(f32) -> f32) -> LaneSums {
    let mut sums = LaneSums { changed: [0; LANES], largest: [0.0; LANES], sum: [0.0; LANES] };
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums.one(lane, a[lane], b[lane], &size);
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums.one(lane, *a, *b, &size);
    }
    sums
}

impl LaneSums {
    #[inline(always)]
    fn one(&mut self, lane: usize, a: f32, b: f32, size: &impl Fn(f32) -> f32) {
        // equal infinities have the difference NaN
        let difference = if a == b { 0.0 } else { (a - b).abs() };
        self.changed[lane] += u32::from(a.to_bits() != b.to_bits());
        self.largest[lane] = larger(self.largest[lane], difference);
        self.sum[lane] += size(difference);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    proptest! {
        #[test]
        fn chunks_of_rows_add_up_to_the_whole(
            rows in 1_usize..9, columns in prop::sample::select(vec![1_usize, 15, 16, 255, 300, 700]), cut in 0_usize..9, seed in any::<u32>(),
        ) {
            let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / 1e7;
            let (a, b): (Vec<f32>, Vec<f32>) = (0..rows * columns).map(|i| (value(i), value(i + 77))).unzip();
            let total = |cuts: &[(usize, usize)]| {
                let mut total = ErrorTotal::default();
                for (from, to) in cuts {
                    let (mut stats, range) = (ErrorStats::default(), from * columns..to * columns);
                    stats.add_changes(Dtype::F32, columns, &bytes(&a[range.clone()]), &bytes(&b[range]));
                    total.add(&stats);
                }
                total
            };
            let cut = cut.min(rows);
            let whole = total(&[(0, rows)]);
            prop_assert_eq!(total(&[(0, cut), (cut, rows)]), whole);
            let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from((a - b).abs())).sum();
            prop_assert!((whole.sum - exact).abs() <= 1e-4 * exact + 1e-9);
            prop_assert_eq!(whole.largest, a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max));
        }
    }

    #[test]
    fn elements_without_a_counterpart_are_changed() {
        let mut stats = ErrorStats::default();
        stats.add_changes(Dtype::F32, 2, &bytes(&[1.0, 2.0]), &bytes(&[1.0, 4.0, 5.0, 6.0]));
        assert_eq!((stats.changed, stats.elements, stats.largest), (3, 2, 2.0));
    }

    #[test]
    fn errors_are_squared_differences_to_the_stored_values() {
        let mut stats = ErrorStats::default();
        stats.add_errors(TensorType::F32, 2, &[1.0, 2.0, 3.0, 4.0], &bytes(&[1.0, 2.5, 3.0, 4.0]));
        assert_eq!((stats.rows.as_slice(), stats.largest, stats.changed), (&[0.25, 0.0][..], 0.5, 1));
    }

    #[test]
    fn equal_infinities_do_not_differ() {
        let limits = [f32::INFINITY, f32::NEG_INFINITY, 1.0];
        let mut stats = ErrorStats::default();
        stats.add_errors(TensorType::F32, 3, &limits, &bytes(&limits));
        assert_eq!((stats.rows.as_slice(), stats.largest, stats.changed), (&[0.0][..], 0.0, 0));
        stats.add_errors(TensorType::F32, 1, &[f32::INFINITY], &bytes(&[f32::NEG_INFINITY]));
        assert_eq!((stats.largest, stats.changed), (f32::INFINITY, 1));
    }

    #[test]
    fn nan_stays_in_every_statistic() {
        let mut stats = ErrorStats::default();
        let after = [1.0, f32::NAN, 3.0, 9.0];
        stats.add_changes(Dtype::F32, 4, &bytes(&[1.0, 2.0, 3.0, 4.0]), &bytes(&after));
        stats.add_changes(Dtype::F32, 4, &bytes(&[0.0; 4]), &bytes(&[5.0; 4]));
        let mut total = ErrorTotal::default();
        total.add(&stats);
        assert!(total.largest.is_nan() && total.sum.is_nan() && total.mean().is_nan());
    }
}
