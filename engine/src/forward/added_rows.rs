//! A base whose vocabulary a fine-tune made larger, so that both can be compared: rows that the base lacks are the mean of its
//! rows, as transformers starts them (`resize_token_embeddings`).

use std::collections::HashMap;

use ndarray::{Array1, Array2, Axis, s};

use super::weights::WeightSource;
use crate::error::Result;

/// The matrices with a row for each token.
const OF_VOCABULARY: [&str; 3] = ["token_embd.weight", "output.weight", "per_layer_token_embd.weight"];

/// Rows whose sum is computed at a time.
const STEP: usize = 1 << 10;

pub(super) struct AddedRows<W> {
    base: W,
    /// By the names of the matrices.
    added: HashMap<&'static str, Added>,
}

struct Added {
    /// All rows, with those that were added.
    rows: usize,
    mean: Array1<f32>,
}

impl<W: WeightSource> AddedRows<W> {
    /// With as many rows as `fine_tuned` has.
    pub(super) fn new(base: W, fine_tuned: &dyn WeightSource) -> Result<Self> {
        let mut added = HashMap::new();
        for name in OF_VOCABULARY {
            let (Some((before, _)), Some((rows, _))) = (base.shape(name), fine_tuned.shape(name)) else {
                continue;
            };
            if rows > before {
                added.insert(name, Added { rows, mean: mean(&base, name, before)? });
            }
        }
        Ok(Self { base, added })
    }
}

/// The mean of the first `count` rows of a matrix.
fn mean(weights: &dyn WeightSource, name: &str, count: usize) -> Result<Array1<f32>> {
    let mut sum = Array1::<f64>::default(weights.shape(name).map_or(0, |(_, columns)| columns));
    for first in (0..count).step_by(STEP) {
        for row in weights.rows(name, first, STEP.min(count - first))?.rows() {
            sum.zip_mut_with(&row, |sum, value| *sum += f64::from(*value));
        }
    }
    Ok(sum.mapv(|sum| (sum / count as f64) as f32))
}

impl<W: WeightSource> WeightSource for AddedRows<W> {
    fn shape(&self, name: &str) -> Option<(usize, usize)> {
        let (rows, columns) = self.base.shape(name)?;
        Some((self.added.get(name).map_or(rows, |added| added.rows), columns))
    }

    fn rows(&self, name: &str, first: usize, count: usize) -> Result<Array2<f32>> {
        let (Some(added), Some((before, columns))) = (self.added.get(name), self.base.shape(name)) else {
            return self.base.rows(name, first, count);
        };
        let stored = before.saturating_sub(first).min(count);
        let mut rows = Array2::default((count, columns));
        if stored > 0 {
            rows.slice_mut(s![..stored, ..]).assign(&self.base.rows(name, first, stored)?);
        }
        rows.slice_mut(s![stored.., ..]).axis_iter_mut(Axis(0)).for_each(|mut row| row.assign(&added.mean));
        Ok(rows)
    }

    fn location(&self) -> &str {
        self.base.location()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// Matrices of two columns with `rows` rows of 0 and 1, 2 and 3, and so on.
    struct Counting {
        rows: usize,
    }

    impl WeightSource for Counting {
        fn shape(&self, name: &str) -> Option<(usize, usize)> {
            (name != "output.weight").then_some((self.rows, 2))
        }

        fn rows(&self, _: &str, first: usize, count: usize) -> Result<Array2<f32>> {
            if first + count > self.rows {
                return Err(Error::invalid("x", "has not so many rows"));
            }
            Ok(Array2::from_shape_fn((count, 2), |(row, column)| ((first + row) * 2 + column) as f32))
        }

        fn location(&self) -> &str {
            "x"
        }
    }

    #[test]
    fn rows_that_the_base_lacks_are_the_mean_of_its_rows() {
        let weights = AddedRows::new(Counting { rows: 3 }, &Counting { rows: 5 }).unwrap();
        let rows = |first, count| weights.rows("token_embd.weight", first, count).unwrap();
        assert_eq!(weights.shape("token_embd.weight"), Some((5, 2)));
        assert_eq!(rows(0, 2), ndarray::array![[0.0, 1.0], [2.0, 3.0]]);
        assert_eq!(rows(2, 3), ndarray::array![[4.0, 5.0], [2.0, 3.0], [2.0, 3.0]]);
        assert_eq!(rows(4, 1), ndarray::array![[2.0, 3.0]]);
        assert_eq!(weights.shape("output.weight"), None);
        assert_eq!(weights.shape("blk.0.ffn_up.weight"), Some((3, 2)));
    }

    #[test]
    fn a_smaller_vocabulary_changes_nothing() {
        let weights = AddedRows::new(Counting { rows: 3 }, &Counting { rows: 2 }).unwrap();
        assert_eq!(weights.shape("token_embd.weight"), Some((3, 2)));
    }
}
