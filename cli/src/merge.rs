//! `gemma-export merge`

use std::time::Instant;

use engine::{ExportReport, GgufPlan, LocalOutput, MergePlan, Model, Outcome, Stage};

use crate::args::MergeArgs;
use crate::failure::Failure;
use crate::kept::kept_bytes;
use crate::model::{OpenModel, open_model};
use crate::output_folder::OutputFolder;
use crate::progress::Run;
use crate::push::{ExportKind, PlannedPush, PreparedPush};
use crate::report::{self, ExportSummary};
use crate::sources::Sources;
use crate::survival::{MERGED, MeasuredExport, MoreSurvival, SurvivalCheck};
use crate::terminal::{Summary, Terminal};
use crate::{next_step, survival};

pub(crate) fn run(args: &MergeArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let started = Instant::now();
    OutputFolder::check_early(&args.out, args.run.force)?;
    let sources = Sources::new(terminal);
    let OpenModel { model, base_repo, .. } = open_model(args.base.as_deref(), Some(&args.adapter), &sources)?;
    let run = Run::new(terminal, args.run.engine, &sources.inputs);
    let plan = MergePlan::new(&model)?;
    let check = SurvivalCheck::new(&args.survival, &model)?;
    terminal.warnings(plan.warnings());
    terminal.findings(plan.findings());
    let files = plan.files().into_iter().map(|file| file.name);
    let planned = PlannedPush {
        kind: ExportKind::Merged,
        names: files.chain([ExportReport::FILE.to_owned()]).collect(),
        base_model: base_repo,
    };
    let push = PreparedPush::new(&args.push, planned, &sources)?;
    let folder = OutputFolder::prepare(&args.out, &plan.files(), &sources.inputs, &args.run)?;
    let written = run.show(Stage::Merging, |run| {
        let mut output = LocalOutput::create(folder.staging())?.resumable(args.run.resume);
        engine::merge(&plan, &mut output, run)
    });
    let kept = || kept_bytes(folder.staging(), ExportReport::FILE);
    let mut outcome = written.map_err(|failure| failure.keeping(kept()))?;
    folder.commit()?;
    let elapsed = started.elapsed();
    let failure = check.and_then(|check| {
        measure(&check, &model, &mut outcome, args, run)
            .unwrap_or_else(|failure| Some(check.unmeasured(failure)))
    });
    let has_tokenizer = !plan.findings().iter().any(|finding| finding.code == "tokenizer_invalid");
    let converts = has_tokenizer && GgufPlan::supports(&model);
    let next_steps = next_step::merged(&args.out, converts);
    let export = ExportSummary::new(args.out.clone(), &outcome, elapsed, next_steps)?;
    let summary = report::summary(vec![export], failure);
    Ok(match push {
        Some(push) => push.finish(std::slice::from_ref(&args.out), summary),
        None => summary,
    })
}

/// Measures the survival in the merged model, adds it to the report, and returns why it is not enough.
fn measure(
    check: &SurvivalCheck,
    model: &Model,
    outcome: &mut Outcome,
    args: &MergeArgs,
    run: Run<'_>,
) -> Result<Option<Failure>, Failure> {
    let measured = check.measure(model, &[survival::exported_folder(&args.out)?], run)?;
    measured.iter().try_for_each(|survival| survival::record(outcome, survival, &args.out))?;
    run.terminal.findings(measured.first().and_then(survival::turn_end_finding).as_ref());
    let bytes = outcome.files.iter().map(|file| file.size).sum();
    let more = MoreSurvival::NoType;
    let named = measured.iter().map(|survival| MeasuredExport { name: MERGED, more, bytes, survival });
    Ok(check.failure(&named.collect::<Vec<_>>()))
}
