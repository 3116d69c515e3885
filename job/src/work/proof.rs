//! From the engine's report to the summary in the record.

use engine::Outcome;
use shared::domain::Proof;

/// What an export proved. `file` is the one that people download.
pub(super) fn of(outcome: &Outcome, file: Option<&str>) -> Option<Proof> {
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
    })
}
