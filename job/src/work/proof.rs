//! The summary of the engine's report in the export's record.

use engine::{ExportedModel, GgufPlan, Model, Outcome, PromptSet, RunOptions, report::Survival};
use shared::domain::{
    AdapterBeside, AnswerSample, Finding, LeftOutPrompts, LogitDivergence, PromptSource, PromptUse, Proof,
    Stage, SurvivalShare, TensorSurvival,
};

use super::ExportWork;
use crate::{
    bucket::Bucket,
    error::JobError,
    findings,
    plan::comparison::{ComparedExport, PlannedComparison},
};

/// An export's predictions beside those of the models it was made from.
#[derive(Debug, Clone, Default)]
pub(super) struct ComparedPredictions {
    /// `None` if they were not compared.
    logits: Option<LogitDivergence>,
    /// `None` also if there is no adapter.
    survival: Option<SurvivalShare>,
    /// Why they were not compared.
    finding: Option<Finding>,
}

/// Summarizes the report of `outcome`. `file` is the one for download.
pub(super) fn summarize(
    outcome: &Outcome,
    file: Option<&str>,
    compared: ComparedPredictions,
) -> Option<Proof> {
    let sha256 = |name: &str| {
        outcome.files.iter().find(|written| written.name == name).map(|written| written.sha256.clone())
    };
    let summary = &outcome.report.summary;
    let mut findings = findings::of_engine(&outcome.report.findings);
    findings.extend(compared.finding);
    Some(Proof {
        pairs: count(summary.pairs),
        tensors_changed: count(summary.tensors_changed),
        tensors_unchanged: count(summary.tensors_unchanged),
        largest_change: Some(f64::from(summary.largest_change)).filter(|n| n.is_finite()),
        rmse: summary.rmse.filter(|n| n.is_finite()),
        sha256: file.and_then(sha256),
        // the report is the last file of an export
        report_sha256: outcome.files.last()?.sha256.clone(),
        logits: compared.logits,
        survival: compared.survival,
        findings,
    })
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Compares the predictions of the model that was written to `folder` with those of base and adapter, of the base alone if there
/// is an adapter, and of the base on its grid with the adapter beside it; if the engine can run the model, and it takes no longer
/// than the settings allow. Adds survival to the report.
pub(super) fn compare_predictions(
    work: &ExportWork<'_>,
    compared: ComparedExport<'_>,
    (outcome, folder): (&mut Outcome, &Bucket),
    open: impl FnOnce() -> Result<ExportedModel, JobError>,
) -> Result<ComparedPredictions, JobError> {
    let exported = outcome.files.iter().map(|file| file.size).sum();
    let planned = PlannedComparison::new(&compared, exported, work.context.machine)?;
    let ComparedExport { model, prompts, base_on_grid } = compared;
    let finding = planned.finding(prompts);
    let (set, base_on_grid) = match planned {
        PlannedComparison::Made { prompts, work } => (prompts, base_on_grid.filter(|_| work.adapter_beside)),
        PlannedComparison::TooLong(reason) | PlannedComparison::NotPossible(reason) => {
            tracing::info!(exported, reason, "logits not compared");
            return Ok(ComparedPredictions { finding, ..ComparedPredictions::default() });
        }
    };
    work.progress.begin(Stage::Export, "Comparing logits with those of base and adapter", 0);
    let (export, options) = (open()?, work.run_options(model));
    if model.adapter().is_none() {
        return Ok(ComparedPredictions {
            logits: Some(compare(model, &export, &options)?),
            ..Default::default()
        });
    }
    let found = survival(model, export, base_on_grid, &set, &options)?;
    let compared = ComparedPredictions {
        logits: Some(divergence(&found)),
        survival: Some(share(&found)),
        finding: None,
    };
    tracing::info!(
        tokens = found.tokens,
        kl_mean = found.kl_export,
        survival = found.survival,
        "logits compared"
    );
    add_to_report(outcome, found, folder)?;
    Ok(compared)
}

/// Measures the file, and in the same pass the base on its grid with the adapter beside it.
fn survival(
    model: &Model,
    export: ExportedModel,
    base_on_grid: Option<GgufPlan>,
    prompts: &PromptSet,
    options: &RunOptions<'_>,
) -> Result<Survival, JobError> {
    let (mut measured, adapter_beside) = match base_on_grid {
        Some(base) => engine::measure_survival_beside(model, &[export], base, prompts, options)?,
        None => (engine::measure_survival(model, &[export], prompts, options)?, None),
    };
    let found = measured.pop().ok_or_else(|| JobError::Internal("survival was not measured".to_owned()))?;
    Ok(Survival { adapter_beside, ..found })
}

/// Writes the report again, with what was measured.
fn add_to_report(outcome: &mut Outcome, survival: Survival, folder: &Bucket) -> Result<(), JobError> {
    outcome.report.findings.extend(survival.turn_end.as_ref().and_then(engine::check_turn_end));
    outcome.report.survival = Some(survival);
    write_report(outcome, folder)
}

/// Adds a finding to the report, and writes it again.
pub(super) fn add_finding(
    outcome: &mut Outcome,
    finding: engine::Finding,
    folder: &Bucket,
) -> Result<(), JobError> {
    outcome.report.findings.push(finding);
    write_report(outcome, folder)
}

fn write_report(outcome: &mut Outcome, folder: &Bucket) -> Result<(), JobError> {
    if let Some(file) = outcome.files.last_mut() {
        *file = engine::rewrite_report(&outcome.report, &file.name, &mut folder.upload())?;
    }
    Ok(())
}

fn compare(
    model: &Model,
    export: &ExportedModel,
    options: &RunOptions<'_>,
) -> Result<LogitDivergence, JobError> {
    let engine::LogitDivergence { tokens, kl_mean, kl_max, top1 } = match export {
        ExportedModel::Merged(merged) => engine::compare_merged(model, merged, options)?,
        ExportedModel::Gguf(files) => engine::compare_gguf(model, files, options)?,
    };
    tracing::info!(tokens, kl_mean, kl_max, top1, "logits compared");
    Ok(LogitDivergence { tokens: count(tokens), kl_mean, kl_max, top1 })
}

fn divergence(found: &Survival) -> LogitDivergence {
    LogitDivergence {
        tokens: count(found.tokens),
        kl_mean: found.kl_export,
        kl_max: found.kl_export_max,
        top1: found.top1,
    }
}

/// What the record has of it.
fn share(found: &Survival) -> SurvivalShare {
    let used = &found.prompts;
    let sample = |one: &engine::report::AnswerSample| {
        AnswerSample::shortened(&one.prompt, &one.base, &one.fine_tuned, &one.export)
    };
    let tensor = |one: &engine::report::TensorSurvival| {
        let engine::report::TensorSurvival { tensor, cosine, norm_ratio } = one;
        TensorSurvival { tensor: tensor.clone(), cosine: *cosine, norm_ratio: *norm_ratio }
    };
    SurvivalShare {
        survival: found.survival,
        kl_export: found.kl_export,
        kl_base: found.kl_base,
        changed_top1: found.changed_top1,
        prompts: PromptUse {
            source: if used.source == "file" { PromptSource::File } else { PromptSource::Fixed },
            available: count(used.available),
            used: count(used.used),
            left_out: used
                .left_out
                .as_ref()
                .map(|left_out| LeftOutPrompts::shortened(count(left_out.count), &left_out.first)),
        },
        adapter_beside: found.adapter_beside.map(|beside| {
            let engine::report::AdapterBeside { survival, kl, changed_top1 } = beside;
            AdapterBeside { survival, kl, changed_top1 }
        }),
        worst_tensors: found.worst_tensors.iter().map(tensor).collect(),
        samples: found.samples.iter().take(AnswerSample::MOST).map(sample).collect(),
    }
}
