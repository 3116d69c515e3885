//! The summary of the engine's report in the export's record.

use engine::{Model, Outcome, RunOptions};
use shared::domain::{LogitDivergence, Proof, Stage};

use super::ExportWork;
use crate::error::JobError;

/// Largest model whose logits are compared, in bytes of its weights, which are read twice more for it.
const MAX_COMPARED_SIZE: u64 = 32 << 30;

/// Summarizes the report of `outcome`. `file` is the one for download.
pub(super) fn summarize(
    outcome: &Outcome,
    file: Option<&str>,
    logits: Option<LogitDivergence>,
) -> Option<Proof> {
    let sha256 = |name: &str| {
        outcome.files.iter().find(|written| written.name == name).map(|written| written.sha256.clone())
    };
    let summary = &outcome.report.summary;
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Some(Proof {
        pairs: count(summary.pairs),
        tensors_changed: count(summary.tensors_changed),
        tensors_unchanged: count(summary.tensors_unchanged),
        largest_change: Some(f64::from(summary.largest_change)).filter(|n| n.is_finite()),
        rmse: summary.rmse.filter(|n| n.is_finite()),
        sha256: file.and_then(sha256),
        // the report is the last file of an export
        report_sha256: outcome.files.last()?.sha256.clone(),
        logits,
    })
}

/// Compares the logits of the written model with those of base and adapter, if the settings ask for it and the engine
/// can run the model.
pub(super) fn compare_logits(
    work: &ExportWork<'_>,
    model: &Model,
    compare: impl FnOnce(&RunOptions<'_>) -> Result<engine::LogitDivergence, JobError>,
) -> Result<Option<LogitDivergence>, JobError> {
    if !work.context.verify_logits {
        return Ok(None);
    }
    let bytes = model.bytes();
    let reason = match engine::check_comparable(model) {
        Err(error) => Some(error.to_string()),
        Ok(()) => {
            (bytes > MAX_COMPARED_SIZE).then(|| format!("its weights are over {MAX_COMPARED_SIZE} bytes"))
        }
    };
    if let Some(reason) = reason {
        tracing::info!(bytes, reason, "logits not compared");
        return Ok(None);
    }
    work.progress.begin(Stage::Export, "Comparing logits with those of base and adapter", 0);
    let engine::LogitDivergence { tokens, kl_mean, kl_max, top1 } = compare(&work.run_options(model))?;
    let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
    tracing::info!(tokens, kl_mean, kl_max, top1, "logits compared");
    Ok(Some(LogitDivergence { tokens, kl_mean, kl_max, top1 }))
}
