//! The summary of the engine's report in the export's record.

use engine::{ExportedModel, Model, Outcome, RunOptions, report::Survival};
use shared::domain::{
    AnswerSample, Finding, LogitDivergence, PromptSource, PromptUse, Proof, Quantization, Stage,
    SurvivalShare,
};

use super::ExportWork;
use crate::{
    bucket::Bucket,
    error::JobError,
    findings,
    plan::{comparison::PlannedComparison, prompts::NamedPrompts},
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

/// Compares the predictions of the model that was written to `folder` with those of base and adapter, and of the base alone if
/// there is an adapter; if the engine can run the model, and it takes no longer than the settings allow. Adds survival to the
/// report.
pub(super) fn compare_predictions(
    work: &ExportWork<'_>,
    model: &Model,
    prompts: Option<&NamedPrompts>,
    (outcome, folder): (&mut Outcome, &Bucket),
    open: impl FnOnce() -> Result<ExportedModel, JobError>,
) -> Result<ComparedPredictions, JobError> {
    let exported = outcome.files.iter().map(|file| file.size).sum();
    let planned = PlannedComparison::new(model, exported, prompts, work.context.machine)?;
    let finding = planned.finding(prompts);
    let set = match planned {
        PlannedComparison::Made { prompts, .. } => prompts,
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
    let mut measured = engine::measure_survival(model, &[export], &set, &options)?;
    let found = measured.pop().ok_or_else(|| JobError::Internal("survival was not measured".to_owned()))?;
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

/// Writes the report again, with what was measured.
fn add_to_report(outcome: &mut Outcome, survival: Survival, folder: &Bucket) -> Result<(), JobError> {
    outcome.report.findings.extend(survival.turn_end.as_ref().and_then(engine::check_turn_end));
    outcome.report.survival = Some(survival);
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
    SurvivalShare {
        survival: found.survival,
        kl_export: found.kl_export,
        kl_base: found.kl_base,
        changed_top1: found.changed_top1,
        prompts: PromptUse {
            source: if used.source == "file" { PromptSource::File } else { PromptSource::Fixed },
            available: count(used.available),
            used: count(used.used),
        },
        samples: found.samples.iter().take(AnswerSample::MOST).map(sample).collect(),
    }
}

/// What these files keep of the fine-tune, in a sentence for the model card; empty if that was not measured.
pub(super) fn survival_sentence(files: &[(&str, &Proof)]) -> String {
    let measured: Vec<_> =
        files.iter().filter_map(|(name, proof)| Some((name, proof.survival.as_ref()?))).collect();
    let kept = measured
        .iter()
        .filter_map(|(name, found)| Some(format!("{name} keeps {}", percent(found.survival?))));
    let kept = kept.collect::<Vec<_>>().join(", ");
    let prompts = measured.first().map(|(_, found)| found.prompts);
    match prompts.filter(|_| !kept.is_empty()) {
        Some(PromptUse { source: PromptSource::File, used, .. }) => {
            format!(" Of what the fine-tune changes in predictions, {kept}, measured on {used} prompts.")
        }
        Some(PromptUse { source: PromptSource::Fixed, .. }) => {
            format!(" Of what the fine-tune changes in predictions, {kept}, measured on four fixed texts.")
        }
        None => String::new(),
    }
}

/// A share, which is not 100 % where something is lost.
fn percent(share: f64) -> String {
    match 100.0 * share.max(0.0) {
        most if most > 99.9 => "more than 99.9 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
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

/// The end of a message about a file of a size, if it keeps little of the fine-tune.
pub(super) fn fitted_advice(survival: f64) -> String {
    if survival >= LOW_SURVIVAL {
        return String::new();
    }
    let percent = 100.0 * survival.max(0.0);
    format!("; it keeps {percent:.0} % of the fine-tune: allow more bytes")
}

#[cfg(test)]
mod tests {
    use shared::testing::fixtures;

    use super::*;
    use Quantization::{Q4_0, Q4_K_M, Q8_0};

    #[test]
    fn the_card_says_what_each_file_keeps() {
        let proof = |survival: Option<f64>| Proof {
            survival: fixtures::proof().survival.map(|found| SurvivalShare { survival, ..found }),
            ..fixtures::proof()
        };
        let (most, some, unknown) = (proof(Some(0.99995)), proof(Some(0.412)), proof(None));
        assert_eq!(
            survival_sentence(&[("`a.gguf`", &most), ("`b.gguf`", &some), ("`c.gguf`", &unknown)]),
            " Of what the fine-tune changes in predictions, `a.gguf` keeps more than 99.9 %, `b.gguf` keeps 41.2 %, measured on 16 \
             prompts."
        );
        assert_eq!(survival_sentence(&[("it", &unknown)]), "");
        let fixed = Proof {
            survival: some.survival.map(|found| SurvivalShare { prompts: PromptUse::default(), ..found }),
            ..proof(None)
        };
        assert!(
            survival_sentence(&[("it", &fixed)]).ends_with("it keeps 41.2 %, measured on four fixed texts.")
        );
        assert_eq!(survival_sentence(&[("it", &Proof { survival: None, ..fixed })]), "");
    }

    #[test]
    fn a_file_of_a_size_that_keeps_little_needs_more_bytes() {
        assert_eq!(fitted_advice(0.95), "");
        assert_eq!(fitted_advice(0.412), "; it keeps 41 % of the fine-tune: allow more bytes");
    }

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
