//! `gemma-export merge`

use std::time::Instant;

use engine::{ExportReport, LocalOutput, MergePlan, Stage};

use crate::args::MergeArgs;
use crate::failure::Failure;
use crate::kept::kept_bytes;
use crate::model::{OpenModel, open_model};
use crate::output_folder::OutputFolder;
use crate::progress::Run;
use crate::push::{ExportKind, PlannedPush, PreparedPush};
use crate::report::{self, ExportSummary};
use crate::sources::Sources;
use crate::survival::SurvivalCheck;
use crate::terminal::{Summary, Terminal};
use crate::{next_step, survival};

pub(crate) fn run(args: &MergeArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let started = Instant::now();
    let sources = Sources::new(terminal);
    let OpenModel { model, base_repo, .. } = open_model(args.base.as_deref(), Some(&args.adapter), &sources)?;
    let run = Run { terminal, engine: args.run.engine, inputs: &sources.inputs };
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
    let survival = match &check {
        Some(check) => check.measure(&model, &[survival::exported_folder(&args.out)?], run)?,
        None => Vec::new(),
    };
    survival.iter().try_for_each(|survival| survival::record(&mut outcome, survival, &args.out))?;
    terminal.findings(survival.first().and_then(survival::turn_end_finding).as_ref());
    let export = ExportSummary::new(args.out.clone(), &outcome, elapsed, next_step::merged(&args.out))?;
    let named: Vec<_> = survival.iter().map(|survival| ("the merged model".to_owned(), survival)).collect();
    let summary = report::summary(vec![export], check.and_then(|check| check.failure(&named)));
    Ok(match push {
        Some(push) => push.finish(std::slice::from_ref(&args.out), summary),
        None => summary,
    })
}
