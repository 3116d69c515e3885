//! A stored change of weights against the wanted one.

use crate::numerics::simd::multiversion;

/// Parallel partial sums.
const LANES: usize = 8;

/// Sums over the elements of a tensor: squares of the wanted and of the stored change, and their products.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ChangeSums {
    /// Squares of wanted − base.
    pub wanted: f64,
    /// Squares of stored − base.
    pub stored: f64,
    /// Products of both.
    pub product: f64,
}

impl ChangeSums {
    /// Adds rows of `columns` weights. Each row is summed in one fixed order, and rows are added in their order.
    pub fn add(&mut self, columns: usize, base: &[f32], wanted: &[f32], stored: &[f32]) {
        let rows = base.chunks(columns.max(1)).zip(wanted.chunks(columns.max(1)));
        for ((base, wanted), stored) in rows.zip(stored.chunks(columns.max(1))) {
            let row = row_sums(base, wanted, stored);
            self.wanted += row.wanted.iter().sum::<f64>();
            self.stored += row.stored.iter().sum::<f64>();
            self.product += row.product.iter().sum::<f64>();
        }
    }
}

#[derive(Default)]
struct LaneChanges {
    wanted: [f64; LANES],
    stored: [f64; LANES],
    product: [f64; LANES],
}

multiversion! {
    fn row_sums(base: &[f32], wanted: &[f32], stored: &[f32]) -> LaneChanges {
        let mut sums = LaneChanges::default();
        let ((base, base_rest), (wanted, wanted_rest)) = (base.as_chunks::<LANES>(), wanted.as_chunks::<LANES>());
        let (stored, stored_rest) = stored.as_chunks::<LANES>();
        for ((base, wanted), stored) in base.iter().zip(wanted).zip(stored) {
            for lane in 0..LANES {
                sums.one(lane, base[lane], wanted[lane], stored[lane]);
            }
        }
        for (lane, ((base, wanted), stored)) in base_rest.iter().zip(wanted_rest).zip(stored_rest).enumerate() {
            sums.one(lane, *base, *wanted, *stored);
        }
        sums
    }
}

impl LaneChanges {
    #[inline(always)]
    fn one(&mut self, lane: usize, base: f32, wanted: f32, stored: f32) {
        let (wanted, stored) = (f64::from(wanted - base), f64::from(stored - base));
        self.wanted[lane] += wanted * wanted;
        self.stored[lane] += stored * stored;
        self.product[lane] += wanted * stored;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_those_of_the_elements_whatever_the_chunks() {
        let value = |i: usize, seed: usize| ((i * 37 + seed * 11) % 64) as f32;
        let of = |seed: usize| (0..60).map(|i| value(i, seed)).collect::<Vec<_>>();
        let (base, wanted, stored) = (of(1), of(2), of(3));
        let (mut whole, mut parts) = (ChangeSums::default(), ChangeSums::default());
        whole.add(20, &base, &wanted, &stored);
        for rows in [0..20, 20..60] {
            parts.add(20, &base[rows.clone()], &wanted[rows.clone()], &stored[rows]);
        }
        let sum = |of: &dyn Fn(usize) -> f32| (0..60).map(|i| f64::from(of(i))).sum::<f64>();
        let (to, is) = (|i: usize| wanted[i] - base[i], |i: usize| stored[i] - base[i]);
        let expected = ChangeSums {
            wanted: sum(&|i| to(i) * to(i)),
            stored: sum(&|i| is(i) * is(i)),
            product: sum(&|i| to(i) * is(i)),
        };
        assert_eq!((whole, parts), (expected, expected));
    }
}
