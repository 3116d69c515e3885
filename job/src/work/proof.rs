//! The summary of the engine's report in the export's record.

use engine::{ExportedModel, Model, Outcome, PromptSet, RunOptions};
use shared::domain::{LogitDivergence, Proof, Quantization, Stage, SurvivalShare};

use super::ExportWork;
use crate::{error::JobError, estimate, findings};

/// An export's predictions beside those of the models it was made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct ComparedPredictions {
    logits: LogitDivergence,
    /// `None` if there is no adapter.
    survival: Option<SurvivalShare>,
}

/// Summarizes the report of `outcome`. `file` is the one for download.
pub(super) fn summarize(
    outcome: &Outcome,
    file: Option<&str>,
    compared: Option<ComparedPredictions>,
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
        logits: compared.map(|compared| compared.logits),
        survival: compared.and_then(|compared| compared.survival),
        findings: findings::of_engine(&outcome.report.findings),
    })
}

/// Compares the predictions of the written model with those of base and adapter, and of the base alone if there is an
/// adapter; if the engine can run the model, and it takes no longer than the settings allow.
pub(super) fn compare_predictions(
    work: &ExportWork<'_>,
    model: &Model,
    outcome: &Outcome,
    open: impl FnOnce() -> Result<ExportedModel, JobError>,
) -> Result<Option<ComparedPredictions>, JobError> {
    let limit = work.context.verify_logits;
    if limit.is_zero() {
        return Ok(None);
    }
    let (bytes, exported) = (model.bytes(), outcome.files.iter().map(|file| file.size).sum());
    let cpus = std::thread::available_parallelism().map_or(1.0, |cpus| cpus.get() as f64);
    let time = estimate::comparison_time(bytes, exported, cpus);
    let reason = match engine::check_comparable(model) {
        Err(error) => Some(error.to_string()),
        Ok(()) => (time > limit).then(|| format!("it would take {time:.0?}, and may take {limit:.0?}")),
    };
    if let Some(reason) = reason {
        tracing::info!(bytes, reason, "logits not compared");
        return Ok(None);
    }
    work.progress.begin(Stage::Export, "Comparing logits with those of base and adapter", 0);
    let compared = compare(model, &open()?, &work.run_options(model))?;
    let LogitDivergence { tokens, kl_mean, kl_max, top1 } = compared.logits;
    let survival = compared.survival.and_then(|survival| survival.survival);
    tracing::info!(tokens, kl_mean, kl_max, top1, survival, "logits compared");
    Ok(Some(compared))
}

fn compare(
    model: &Model,
    export: &ExportedModel,
    options: &RunOptions<'_>,
) -> Result<ComparedPredictions, JobError> {
    let count = |tokens: usize| u32::try_from(tokens).unwrap_or(u32::MAX);
    if model.adapter().is_none() {
        let engine::LogitDivergence { tokens, kl_mean, kl_max, top1 } = match export {
            ExportedModel::Merged(merged) => engine::compare_merged(model, merged, options)?,
            ExportedModel::Gguf(files) => engine::compare_gguf(model, files, options)?,
        };
        let logits = LogitDivergence { tokens: count(tokens), kl_mean, kl_max, top1 };
        return Ok(ComparedPredictions { logits, survival: None });
    }
    let measured =
        engine::measure_survival(model, std::slice::from_ref(export), &PromptSet::fixed(), options)?;
    let [found] = &measured[..] else {
        return Err(JobError::Internal("survival was not measured".to_owned()));
    };
    let logits = LogitDivergence {
        tokens: count(found.tokens),
        kl_mean: found.kl_export,
        kl_max: found.kl_export_max,
        top1: found.top1,
    };
    let survival = SurvivalShare {
        survival: found.survival,
        kl_export: found.kl_export,
        kl_base: found.kl_base,
        changed_top1: found.changed_top1,
    };
    Ok(ComparedPredictions { logits, survival: Some(survival) })
}

/// A survival below this is said in the message.
const LOW_SURVIVAL: f64 = 0.9;

/// The end of a message about GGUF files of these types, if one keeps little of the fine-tune: what each keeps, and which to take.
pub(super) fn survival_advice(measured: &[(Quantization, f64)]) -> String {
    if measured.iter().all(|(_, survival)| *survival >= LOW_SURVIVAL) {
        return String::new();
    }
    let kept = measured.iter().enumerate().map(|(number, (quantization, survival))| {
        let percent = 100.0 * survival.max(0.0);
        match number {
            0 => format!("{quantization} keeps {percent:.0} % of the fine-tune"),
            _ => format!("{quantization} {percent:.0} %"),
        }
    });
    let kept = kept.collect::<Vec<_>>().join(", ");
    // the smallest that keeps enough: types are ordered by precision
    let precision =
        |quantization: &Quantization| Quantization::ALL.iter().position(|one| one == quantization);
    let enough = measured.iter().filter(|(_, survival)| *survival >= LOW_SURVIVAL);
    let advice = match enough.max_by_key(|(quantization, _)| precision(quantization)) {
        Some((smallest, _)) => smallest.as_str(),
        None if measured.iter().any(|(quantization, _)| *quantization == Quantization::Q8_0) => {
            "f16 or merged"
        }
        None => "q8_0",
    };
    format!("; {kept}: take {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use Quantization::{Q4_0, Q4_K_M, Q8_0};

    #[test]
    fn a_type_that_keeps_little_is_named_with_one_that_keeps_more() {
        assert_eq!(survival_advice(&[(Q8_0, 0.99), (Q4_K_M, 0.93)]), "");
        assert_eq!(
            survival_advice(&[(Q4_0, 0.41), (Q4_K_M, 0.93), (Q8_0, 0.99)]),
            "; q4_0 keeps 41 % of the fine-tune, q4_k_m 93 %, q8_0 99 %: take q4_k_m"
        );
        assert_eq!(survival_advice(&[(Q4_0, -0.2)]), "; q4_0 keeps 0 % of the fine-tune: take q8_0");
        assert!(survival_advice(&[(Q8_0, 0.5)]).ends_with("take f16 or merged"));
    }
}
