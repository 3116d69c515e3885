//! How much of each changed tensor an export stores: the stored change (dequantized − base) against the wanted one (base
//! and adapter − base).

use std::ops::Range;

use kernels::change_sums::ChangeSums;

use super::model::ForwardModel;
use super::parallel::in_parallel;
use super::weights::{RowChunks, RowRange, require_shape, values};
use crate::error::Result;
use crate::progress::RunOptions;
use crate::report::TensorSurvival;

/// A tensor that an adapter changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChangedTensor {
    /// The name in the checkpoint.
    pub(super) name: String,
    /// The name in a GGUF file, which may be that of a stack.
    pub(super) stored_name: String,
    /// Its rows in the stack.
    pub(super) rows: Range<usize>,
}

/// The change of each tensor that the adapter changes, in each of these exports. A change of zero has no direction, and is left out.
pub(crate) fn weight_changes(
    base: &ForwardModel,
    fine_tuned: &ForwardModel,
    exports: &[ForwardModel],
    run: &RunOptions<'_>,
) -> Result<Vec<Vec<TensorSurvival>>> {
    let of_tensors = in_parallel(fine_tuned.changed_tensors().iter(), run, |tensor| {
        change(tensor, base, fine_tuned, exports, run)
    })?;
    let of_tensors: Vec<_> = of_tensors.into_iter().flatten().collect();
    let of_export = |export: usize| of_tensors.iter().map(|of_exports| of_exports[export].clone()).collect();
    Ok((0..exports.len()).map(of_export).collect())
}

fn change(
    tensor: &ChangedTensor,
    base: &ForwardModel,
    fine_tuned: &ForwardModel,
    exports: &[ForwardModel],
    run: &RunOptions<'_>,
) -> Result<Option<Vec<TensorSurvival>>> {
    let name = tensor.stored_name.as_str();
    // a tied lm_head is the embedding
    let or_embedding = |model: &ForwardModel| match model.weights().shape(name) {
        None if name == "output.weight" => "token_embd.weight",
        Some(_) | None => name,
    };
    let mut end = tensor.rows.end;
    for model in [base].into_iter().chain(exports) {
        end = end.min(require_shape(model.weights(), or_embedding(model))?.0);
    }
    let (_, columns) = require_shape(fine_tuned.weights(), name)?;
    let rows = RowRange { tensor: name, rows: tensor.rows.start.min(end)..end, columns };
    let mut sums = vec![ChangeSums::default(); exports.len()];
    let chunks = RowChunks::new(fine_tuned.weights(), rows, run)?;
    for first in chunks.starts() {
        let wanted = chunks.read(first)?;
        let count = wanted.nrows();
        let read = |model: &ForwardModel| model.weights().rows(or_embedding(model), first, count);
        let base = read(base)?;
        for (export, sums) in exports.iter().zip(&mut sums) {
            let stored = read(export)?;
            sums.add(columns, &values(&base), &values(&wanted), &values(&stored));
        }
    }
    if sums.iter().all(|sums| sums.wanted == 0.0) {
        return Ok(None);
    }
    let ratio = |part: f64, of: f64| if of > 0.0 { part / of } else { 0.0 };
    let of_export = |sums: ChangeSums| TensorSurvival {
        tensor: tensor.name.clone(),
        cosine: ratio(sums.product, (sums.wanted * sums.stored).sqrt()),
        norm_ratio: ratio(sums.stored, sums.wanted).sqrt(),
    };
    Ok(Some(sums.into_iter().map(of_export).collect()))
}
