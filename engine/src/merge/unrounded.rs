//! Rows of merged weights before they are rounded, computed by a matrix library instead of the merge's own kernel: the
//! reference of survival and of the logit check.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, Axis, Zip, s};

use super::{Model, ModelTensor};
use crate::error::Result;
use crate::peft::{AdapterTensor, ChangeKind};

/// Rows of a tensor.
#[derive(Debug, Clone, Copy)]
struct Rows {
    first: u64,
    count: u64,
    columns: u64,
}

impl Model {
    /// `count` rows of `columns` elements from `first` on, with every change of the adapter. NaN and infinity show in the logits.
    pub(crate) fn unrounded(
        &self,
        tensor: usize,
        first: u64,
        count: u64,
        columns: u64,
    ) -> Result<Array2<f32>> {
        let info = &self.tensors()[tensor];
        let rows = Rows { first, count, columns };
        let mut weights = match &info.replaced {
            Some(stored) => matrix(stored, first, count, columns)?,
            None => self.base_rows(info, rows)?,
        };
        for change in self.changes(info) {
            weights = self.changed(tensor, change, rows, weights)?;
        }
        Ok(weights)
    }

    fn changed(
        &self,
        tensor: usize,
        change: &ChangeKind,
        rows: Rows,
        mut weights: Array2<f32>,
    ) -> Result<Array2<f32>> {
        let Rows { first, count, columns } = rows;
        match change {
            // W + scaling·B·A, and with DoRA scaled to each row's magnitude
            ChangeKind::LowRank { a, b, scaling, magnitude, .. } => {
                let rank = a.shape[0];
                let (left, right) = (matrix(b, first, count, rank)?, matrix(a, 0, rank, columns)?);
                general_mat_mul(*scaling, &left, &right, 1.0, &mut weights);
                if let Some(magnitude) = magnitude {
                    return Ok(with_magnitudes(weights, &vector(magnitude, first, count)?));
                }
            }
            ChangeKind::ExpertLowRank { a, b, scaling, rank } => {
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
            }
            // the factors are transposed, and with DoRA each column is scaled to its magnitude
            ChangeKind::Embedding { a, b, scaling, .. } => {
                let (rank, all_rows) = (a.shape[0], a.shape[1]);
                let mut left = Array2::zeros((count as usize, rank as usize));
                for (k, mut column) in (0..rank).zip(left.columns_mut()) {
                    column.assign(&vector(a, k * all_rows + first, count)?);
                }
                general_mat_mul(*scaling, &left, &matrix(b, 0, columns, rank)?.t(), 1.0, &mut weights);
                if let Some(factors) = self.column_factors(tensor, change, true)? {
                    weights *= &Array1::from_vec(factors.to_vec());
                }
            }
            ChangeKind::TokenRows { rows: replaced, values } => {
                for (number, row) in
                    (0..).zip(replaced).filter(|(_, row)| (first..first + count).contains(row))
                {
                    let stored = vector(values, number * columns, columns)?;
                    weights.row_mut((row - first) as usize).assign(&stored);
                }
            }
            // has begun with these values
            ChangeKind::Replace(_) => {}
            ChangeKind::LoraBias { values, scaling } => {
                let stored = matrix(values, first, count, columns)?;
                weights.scaled_add(*scaling, &stored);
            }
        }
        Ok(weights)
    }

    fn base_rows(&self, tensor: &ModelTensor, rows: Rows) -> Result<Array2<f32>> {
        let Rows { first, count, columns } = rows;
        let width = tensor.info.dtype.bytes();
        let mut bytes = vec![0; (count * columns * width) as usize];
        self.base().read(&self.base().tensors()[tensor.base], first * columns * width, &mut bytes)?;
        let mut values = Array2::zeros((count as usize, columns as usize));
        if let Some(values) = values.as_slice_mut() {
            tensor.info.dtype.widen(&bytes, values);
        }
        Ok(values)
    }
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::io::LocalFolder;
    use crate::merge::{ElementRange, MergeScratch, MergedChunk};
    use crate::peft::Adapter;

    fn models() -> Vec<(String, Model)> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let open = |path: std::path::PathBuf| Arc::new(LocalFolder::open(path).unwrap());
        let of_case = |case: std::path::PathBuf| {
            let expected = std::fs::read(case.join("expected.json")).ok()?;
            let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
            let base = fixtures.join(expected["base"].as_str()?).join("base");
            let adapter = Adapter::open(open(case.join("adapter"))).unwrap();
            let model = Model::with_adapter(&Checkpoint::open(open(base)).unwrap(), &adapter).unwrap();
            Some((case.file_name()?.to_str()?.to_owned(), model))
        };
        let cases = std::fs::read_dir(fixtures.join("adapters")).unwrap();
        cases.filter_map(|case| of_case(case.unwrap().path())).collect()
    }

    /// The merge is what is left of these weights in the tensor's type. A low-rank delta that is rounded before it is added can make
    /// two steps of it.
    #[test]
    fn the_merge_is_within_two_steps_of_weights_that_are_not_rounded() {
        let models = models();
        assert!(models.len() > 20, "{}", models.len());
        for (case, model) in models {
            let mut between = 0;
            for (tensor, of) in model.tensors().iter().enumerate().filter(|(_, of)| of.is_target()) {
                let columns = of.row_length();
                let elements = of.info.shape.iter().product::<u64>();
                let mut merged = MergedChunk::default();
                let range = ElementRange { tensor, first: 0, count: elements };
                model.read(range, &mut MergeScratch::default(), &mut merged).unwrap();
                let (mut stored, mut base) = (vec![0.0; elements as usize], vec![0.0; elements as usize]);
                of.info.dtype.widen(merged.stored(), &mut stored);
                let held = merged.base.len() / of.info.dtype.bytes() as usize;
                of.info.dtype.widen(&merged.base, &mut base[..held]);
                // in two chunks
                let rows = elements / columns;
                let exact = [0..rows / 2, rows / 2..rows].into_iter().flat_map(|rows| {
                    model.unrounded(tensor, rows.start, rows.end - rows.start, columns).unwrap()
                });
                for (at, ((exact, stored), base)) in exact.zip(stored).zip(base).enumerate() {
                    let size = exact.abs().max(stored.abs()).max(base.abs());
                    let is_near = (exact - stored).abs() <= size / 64.0 + 1e-6;
                    assert!(is_near, "{case} {} {at}: {exact} {stored}", of.info.name);
                    between += usize::from(exact != stored);
                }
            }
            // no fixture has changes that its base's type holds
            assert!(between > 0, "{case}");
        }
    }
}
