//! How much each column of a tensor matters, from an importance matrix.

use std::sync::Arc;

/// How much the columns of a tensor matter, of each of its experts.
#[derive(Debug, Clone)]
pub(crate) struct ColumnImportance {
    pub(crate) values: Arc<[f32]>,
    pub(crate) columns: usize,
    /// Rows of an expert.
    pub(crate) rows: u64,
}

impl ColumnImportance {
    /// The importances of this row's columns.
    pub(crate) fn of_row(&self, row: u64) -> &[f32] {
        let expert = (row / self.rows.max(1)) as usize;
        &self.values[expert * self.columns..][..self.columns]
    }
}
