//! From the engine's report to the summary in the record.

use engine::{Model, Outcome, RunOptions};
use shared::domain::{LogitDivergence, Proof, Stage};

use super::Work;
use crate::error::JobError;

/// The largest model whose predictions are compared, in bytes of its weights: they are read twice more for it.
const LARGEST_COMPARED: u64 = 32 << 30;

/// What an export proved. `file` is the one that people download.
pub(super) fn of(outcome: &Outcome, file: Option<&str>, logits: Option<LogitDivergence>) -> Option<Proof> {
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
        // the report is what an export writes last
        report_sha256: outcome.files.last()?.sha256.clone(),
        logits,
    })
}

/// How close what was made predicts to base and adapter, where the job is told to compare and can.
pub(super) fn logits(
    work: &Work<'_>,
    model: &Model,
    compare: impl FnOnce(&RunOptions<'_>) -> Result<engine::LogitDivergence, JobError>,
) -> Result<Option<LogitDivergence>, JobError> {
    if !work.context.verify_logits {
        return Ok(None);
    }
    let bytes = model.bytes();
    let reason = match engine::check_comparable(model) {
        Err(error) => Some(error.to_string()),
        Ok(()) => (bytes > LARGEST_COMPARED).then(|| "the model is too large".to_owned()),
    };
    if let Some(reason) = reason {
        tracing::info!(bytes, reason, "predictions not compared");
        return Ok(None);
    }
    work.reporter.begin(Stage::Export, "Comparing predictions with those of base and adapter", 0);
    let run = RunOptions { progress: work.reporter.as_ref(), ..RunOptions::default() };
    let engine::LogitDivergence { tokens, kl_mean, kl_max, top1 } = compare(&run)?;
    let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
    tracing::info!(tokens, kl_mean, kl_max, top1, "predictions compared");
    Ok(Some(LogitDivergence { tokens, kl_mean, kl_max, top1 }))
}
