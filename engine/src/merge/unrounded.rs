//! Rows of merged weights before they are rounded, computed by a matrix library instead of the merge's own kernel: the
//! reference of the logit check.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, Axis, Zip, s};

use super::{ElementRange, MergeScratch, MergedChunk, Model, ModelTensor};
use crate::error::Result;
use crate::peft::{AdapterTensor, ChangeKind};

impl Model {
    /// `rows` rows of `columns` elements from `first` on: W + scaling·B·A, and with DoRA scaled to each row's
    /// magnitude. Other changes replace or add values and are read as the merge makes them.
    pub(crate) fn unrounded(
        &self,
        tensor: usize,
        first: u64,
        rows: u64,
        columns: u64,
    ) -> Result<Array2<f32>> {
        let info = &self.tensors()[tensor];
        let changes: Vec<&ChangeKind> = self.changes(info).collect();
        match (&info.replaced, &changes[..]) {
            (None, [ChangeKind::LowRank { a, b, scaling, magnitude, .. }]) => {
                let rank = a.shape[0];
                let factor = matrix(a, 0, rank, columns)?;
                let mut weights = self.base_rows(info, first, rows, columns)?;
                general_mat_mul(*scaling, &matrix(b, first, rows, rank)?, &factor, 1.0, &mut weights);
                match magnitude {
                    Some(magnitude) => Ok(with_magnitudes(weights, &vector(magnitude, first, rows)?)),
                    None => Ok(weights),
                }
            }
            (None, [ChangeKind::ExpertLowRank { a, b, scaling, rank }]) => {
                let mut weights = self.base_rows(info, first, rows, columns)?;
                let (experts, of_expert) = (a.shape[0] / rank, b.shape[0]);
                let mut factor = (u64::MAX, Array2::zeros((0, 0)));
                for (row, mut values) in (first..).zip(weights.rows_mut()) {
                    let expert = row / of_expert;
                    if factor.0 != expert {
                        factor = (expert, matrix(a, expert * rank, *rank, columns)?);
                    }
                    let left = vector(b, row % of_expert * b.shape[1], b.shape[1])?;
                    let left = left.slice(s![expert as usize..;experts as usize]);
                    values += &(left.dot(&factor.1) * *scaling);
                }
                Ok(weights)
            }
            _ => {
                // NaN and infinity show in the logits
                let mut scratch = MergeScratch::with_non_finite();
                let mut chunk = MergedChunk::default();
                let range = ElementRange { tensor, first: first * columns, count: rows * columns };
                self.read(range, &mut scratch, &mut chunk)?;
                Ok(widened(info, chunk.stored(), rows, columns))
            }
        }
    }

    fn base_rows(&self, tensor: &ModelTensor, first: u64, rows: u64, columns: u64) -> Result<Array2<f32>> {
        let width = tensor.info.dtype.bytes();
        let mut bytes = vec![0; (rows * columns * width) as usize];
        self.base().read(&self.base().tensors()[tensor.base], first * columns * width, &mut bytes)?;
        Ok(widened(tensor, &bytes, rows, columns))
    }
}

fn widened(tensor: &ModelTensor, bytes: &[u8], rows: u64, columns: u64) -> Array2<f32> {
    let mut values = Array2::zeros((rows as usize, columns as usize));
    if let Some(values) = values.as_slice_mut() {
        tensor.info.dtype.widen(bytes, values);
    }
    values
}

fn with_magnitudes(weights: Array2<f32>, magnitudes: &Array1<f32>) -> Array2<f32> {
    let norms = weights.map_axis(Axis(1), |row| row.dot(&row).sqrt());
    let factors = Zip::from(magnitudes).and(&norms).map_collect(|m, n| m / n);
    weights * factors.insert_axis(Axis(1))
}

fn matrix(stored: &AdapterTensor, first: u64, rows: u64, columns: u64) -> Result<Array2<f32>> {
    let mut values = Vec::new();
    stored.read(first * columns, rows * columns, &mut Vec::new(), &mut values)?;
    Array2::from_shape_vec((rows as usize, columns as usize), values).map_err(|e| stored.error(e.to_string()))
}

fn vector(stored: &AdapterTensor, first: u64, rows: u64) -> Result<Array1<f32>> {
    let mut values = Vec::new();
    stored.read(first, rows, &mut Vec::new(), &mut values)?;
    Ok(Array1::from_vec(values))
}
