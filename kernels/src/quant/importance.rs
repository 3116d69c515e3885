//! The importance of a tensor's columns, from an importance matrix.

use std::sync::Arc;

/// The importance of each column of a tensor, per expert.
#[derive(Debug, Clone)]
pub struct ColumnImportance {
    /// \[experts, columns\]
    pub values: Arc<[f32]>,
    /// Columns of the tensor.
    pub columns: usize,
    /// Rows per expert.
    pub rows: u64,
}

impl ColumnImportance {
    /// The importances of the columns of row `row`.
    pub fn for_row(&self, row: u64) -> &[f32] {
        let expert = (row / self.rows.max(1)) as usize;
        &self.values[expert * self.columns..][..self.columns]
    }
}

/// The weight of each error in a row: the column's importance times √(the row's mean square + the value's square).
pub(super) fn row_weights(row: &[f32], importance: &[f32]) -> Vec<f32> {
    let sum: f32 = row.iter().fold(0.0, |sum, x| sum + x * x);
    let mean = sum / row.len() as f32;
    row.iter().zip(importance).map(|(x, i)| i * (mean + x * x).sqrt()).collect()
}
