//! Survival of the fine-tune in exports: what is measured, printed and recorded, and the minimum.

use std::path::Path;

use engine::report::{AnswerSample, PromptUse, Survival, TensorSurvival};
use engine::{
    Checkpoint, ExportedModel, Finding, GgufPlan, LocalOutput, LoraPlan, Model, Outcome, OutputType,
    PromptSet, Stage, WrittenFile,
};

use crate::args::SurvivalArgs;
use crate::failure::{Failure, FailureKind};
use crate::paths::{content, join, open_file, open_folder};
use crate::progress::Run;

/// The name of a merged model in messages.
pub(crate) const MERGED: &str = "the merged model";

/// What an export could keep more of the fine-tune with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MoreSurvival {
    /// A type with more bits.
    MoreBits,
    /// A larger `--max-bytes`.
    MoreBytes,
    /// No other type.
    NoType,
}

impl MoreSurvival {
    /// That of a GGUF file of a type.
    pub(crate) fn than(quant: OutputType) -> Self {
        let has_most =
            matches!(quant, OutputType::F32 | OutputType::BF16 | OutputType::F16 | OutputType::Q8_0);
        if has_most { Self::NoType } else { Self::MoreBits }
    }
}

/// What is measured of an export.
pub(crate) struct SurvivalCheck {
    prompts: PromptSet,
    minimum: Option<f64>,
    /// Whether the adapter can be a GGUF file beside its base.
    is_lora: bool,
}

impl SurvivalCheck {
    /// What the arguments ask for; `None` if nothing.
    ///
    /// # Errors
    /// When the prompts cannot be read, or survival of this model cannot be measured.
    pub(crate) fn new(args: &SurvivalArgs, model: &Model) -> Result<Option<Self>, Failure> {
        let SurvivalArgs { prompts, min_survival: minimum, .. } = args;
        if !args.is_asked() {
            return Ok(None);
        }
        if model.adapter().is_none() {
            let message = "survival compares a fine-tune with its base: give both, --base and --adapter";
            return Err(Failure::usage(message));
        }
        engine::check_comparable(model)?;
        let prompts = match prompts {
            Some(path) => read_prompts(path)?,
            None => PromptSet::fixed(),
        };
        // says what is wrong with prompts before anything is exported
        engine::survival_cost(model, &prompts)?;
        let is_lora = LoraPlan::is_possible(model);
        Ok(Some(Self { prompts, minimum: *minimum, is_lora }))
    }

    /// The survival in each of these exports.
    pub(crate) fn measure(
        &self,
        model: &Model,
        exports: &[ExportedModel],
        run: Run<'_>,
    ) -> Result<Vec<Survival>, Failure> {
        run.show(Stage::Verifying, |run| engine::measure_survival(model, exports, &self.prompts, run))
    }

    /// The survival in each of these files, and of the adapter beside the base where it moves weights off a grid.
    pub(crate) fn measure_files(
        &self,
        model: &Model,
        (plans, exports): (&[(GgufPlan, String)], &[ExportedModel]),
        run: Run<'_>,
    ) -> Result<Vec<Survival>, Failure> {
        let mut bases = plans.iter().map(|(plan, _)| plan.base_on_grid()).enumerate();
        let Some((number, base)) = bases.find_map(|(number, base)| Some((number, base?))) else {
            return self.measure(model, exports, run);
        };
        let (mut measured, beside) = run.show(Stage::Verifying, |run| {
            engine::measure_survival_beside(model, exports, base, &self.prompts, run)
        })?;
        if let Some(found) = measured.get_mut(number) {
            found.adapter_beside = beside;
        }
        Ok(measured)
    }

    /// Why the command fails, if survival could not be measured after the export.
    pub(crate) fn unmeasured(&self, failure: Failure) -> Failure {
        let mut failure = failure.after_export();
        if failure.kind == FailureKind::Input && self.minimum.is_some() {
            failure.kind = FailureKind::Survival;
        }
        failure
    }

    /// Why the command fails, if one of these exports keeps less than the minimum.
    pub(crate) fn failure(&self, measured: &[MeasuredExport<'_>]) -> Option<Failure> {
        let minimum = self.minimum?;
        let keeps_enough =
            |export: &&MeasuredExport<'_>| export.survival.survival.is_some_and(|share| share >= minimum);
        let (enough, below): (Vec<_>, Vec<_>) = measured.iter().partition(keeps_enough);
        let failure = |message| Some(Failure::new(FailureKind::Survival, message));
        let first = below.first()?;
        if first.survival.survival.is_none() {
            let reason = first.survival.unmeasured.as_deref().unwrap_or_default();
            return failure(format!(
                "the survival of the fine-tune in {} is not known: {reason}",
                first.name
            ));
        }
        let kept = |exports: &[&MeasuredExport<'_>]| {
            exports
                .iter()
                .map(|export| kept(export.name, export.survival.survival.unwrap_or_default()))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let problem = format!("of the fine-tune, {}, less than --min-survival {minimum}", kept(&below));
        let advice = match enough.iter().min_by_key(|export| export.bytes) {
            Some(smallest) => format!("{}: take {}", kept(&enough), smallest.name),
            None => self.advice(measured, minimum),
        };
        failure(format!("the export is complete, but {problem}; {advice}"))
    }

    /// What to do where none of these exports keeps enough.
    fn advice(&self, measured: &[MeasuredExport<'_>], minimum: f64) -> String {
        let has = |more| measured.iter().any(|export| export.more == more);
        if has(MoreSurvival::NoType) {
            return match self.is_lora {
                true => "the adapter beside its base keeps all of it (gemma-export lora)".to_owned(),
                false => "no type keeps more".to_owned(),
            };
        }
        let more = match has(MoreSurvival::MoreBytes) {
            true => "allow more bytes (--max-bytes)",
            false => "take a type with more bits (q8_0 keeps most)",
        };
        let matrix = "an importance matrix made of texts like the training data";
        match self.is_lora {
            true => format!(
                "to keep {minimum} {more}, {matrix}, or the adapter beside its base (gemma-export lora)"
            ),
            false => format!("to keep {minimum} {more}, or {matrix}"),
        }
    }
}

/// An export whose survival was measured.
pub(crate) struct MeasuredExport<'a> {
    /// Its type, or its path.
    pub(crate) name: &'a str,
    pub(crate) more: MoreSurvival,
    /// The size of its files.
    pub(crate) bytes: u64,
    pub(crate) survival: &'a Survival,
}

/// The prompts of a file.
pub(crate) fn read_prompts(path: &Path) -> Result<PromptSet, Failure> {
    let bytes = content(&*open_file(path)?, path)?;
    Ok(PromptSet::parse(&path.display().to_string(), &bytes)?)
}

/// Rounded down, so that no share below the whole reads as 100 %.
fn percent(share: f64) -> String {
    format!("{:.2} %", (share * 10_000.0).floor() / 100.0)
}

fn kept(name: &str, share: f64) -> String {
    match share < 0.0 {
        true => format!("{name} keeps nothing ({}, {})", percent(share), Survival::BELOW_ZERO),
        false => format!("{name} keeps {}", percent(share)),
    }
}

/// A GGUF file in all its parts.
pub(crate) fn exported_gguf(folder: &Path, files: &[WrittenFile]) -> Result<ExportedModel, Failure> {
    let ggufs = files.iter().filter(|file| file.name.ends_with(".gguf"));
    Ok(ExportedModel::Gguf(ggufs.map(|file| open_file(&join(folder, &file.name))).collect::<Result<_, _>>()?))
}

/// A merged folder.
pub(crate) fn exported_folder(folder: &Path) -> Result<ExportedModel, Failure> {
    Ok(ExportedModel::Merged(Checkpoint::open(open_folder(folder)?)?))
}

/// Adds the survival to an export's report.
pub(crate) fn record(outcome: &mut Outcome, survival: &Survival, folder: &Path) -> Result<(), Failure> {
    outcome.report.survival = Some(survival.clone());
    outcome.report.findings.extend(turn_end_finding(survival));
    if let Some(file) = outcome.files.last_mut() {
        *file = engine::rewrite_report(&outcome.report, &file.name, &mut LocalOutput::create(folder)?)?;
    }
    Ok(())
}

/// What was measured about the end of answers, if it is a finding.
pub(crate) fn turn_end_finding(survival: &Survival) -> Option<Finding> {
    survival.turn_end.as_ref().and_then(engine::check_turn_end)
}

/// The lines about an export's survival.
pub(crate) fn lines(survival: &Survival) -> Vec<String> {
    let Survival { kl_export, kl_base, tokens, changed_tokens, .. } = survival;
    let mut lines = vec![match survival.survival {
        Some(share) => left(share),
        None => format!("  survival not measured: {}", survival.unmeasured.as_deref().unwrap_or_default()),
    }];
    lines.push(format!("           {}", prompts(&survival.prompts)));
    lines.extend(survival.prompts.left_out.as_ref().map(|left_out| format!("           {left_out}")));
    lines.push(format!(
        "           {tokens} tokens; KL divergence from base and adapter: export {kl_export:.2e} nats, base {kl_base:.2e}"
    ));
    if let Some(share) = survival.changed_top1 {
        lines.push(format!(
            "           {} of the {changed_tokens} tokens that the fine-tune changes are the same",
            percent(share)
        ));
    }
    if let Some(share) = survival.adapter_beside.and_then(|beside| beside.survival) {
        lines.push(format!(
            "           {} with the adapter beside the base in this type (gemma-export lora)",
            percent(share)
        ));
    }
    if !survival.worst_tensors.is_empty() {
        lines.push("           tensors whose change is kept least, the worst first:".to_owned());
    }
    lines.extend(survival.worst_tensors.iter().map(|worst| {
        let TensorSurvival { tensor, cosine, norm_ratio } = worst;
        format!("             cosine {cosine:.3}, norm × {norm_ratio:.2}  {tensor}")
    }));
    lines.extend(survival.samples.iter().flat_map(sample));
    lines
}

/// What is left of the fine-tune.
fn left(share: f64) -> String {
    match share < 0.0 {
        true => format!("  survival {}: nothing of the fine-tune, {}", percent(share), Survival::BELOW_ZERO),
        false => format!("  survival {} of the fine-tune", percent(share)),
    }
}

fn prompts(used: &PromptUse) -> String {
    let PromptUse { source, available, used, answered, .. } = used;
    match *source {
        "fixed" => format!("{used} fixed texts: give --prompts like the training data for a better measure"),
        _ => format!(
            "{used} of {available} prompts, {answered} of them with the fine-tuned model's own answer"
        ),
    }
}

fn sample(sample: &AnswerSample) -> [String; 4] {
    let AnswerSample { prompt, base, fine_tuned, export } = sample;
    let line = |name: &str, text: &str| format!("             {name:10} {}", shortened(text));
    [
        format!("           {}", shortened(prompt)),
        line("base", base),
        line("fine-tuned", fine_tuned),
        line("export", export),
    ]
}

/// A text in one line of at most 100 characters.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 100;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}\u{2026}", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_zero_nothing_is_left() {
        assert_eq!(kept("q2_k", 0.41299), "q2_k keeps 41.29 %");
        let nothing = "q2_k keeps nothing (-12.30 %, further from the fine-tuned model than the base is)";
        assert_eq!(kept("q2_k", -0.123), nothing);
        assert_eq!(left(0.5), "  survival 50.00 % of the fine-tune");
        assert_eq!(left(0.999_998), "  survival 99.99 % of the fine-tune");
        assert_eq!(left(1.0), "  survival 100.00 % of the fine-tune");
        let nothing = "  survival -12.30 %: nothing of the fine-tune, further from the fine-tuned model than the base is";
        assert_eq!(left(-0.123), nothing);
    }
}
