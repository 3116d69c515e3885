//! `gemma-export merge`

use std::time::Instant;

use engine::{LocalOutput, MergePlan, Stage};

use crate::args::MergeArgs;
use crate::failure::Failure;
use crate::inputs::InputFileIds;
use crate::model::open_model;
use crate::output_folder::OutputFolder;
use crate::report::{self, ExportSummary};
use crate::survival::SurvivalCheck;
use crate::terminal::{Summary, Terminal};
use crate::{next_step, progress, survival};

pub(crate) fn run(args: &MergeArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let started = Instant::now();
    let inputs = InputFileIds::default();
    let model = open_model(&args.base, Some(&args.adapter), &inputs)?;
    let plan = MergePlan::new(&model)?;
    let check = SurvivalCheck::new(&args.survival, &model, args.run.engine, terminal)?;
    terminal.warnings(plan.warnings());
    let folder = OutputFolder::prepare(&args.out, &plan.files(), &inputs, args.run.force)?;
    let mut outcome = progress::show(terminal, Stage::Merging, args.run.engine, |run| {
        engine::merge(&plan, &mut LocalOutput::create(folder.staging())?, run)
    })?;
    folder.commit()?;
    let elapsed = started.elapsed();
    let survival = match &check {
        Some(check) => check.measure(&model, &[survival::exported_folder(&args.out)?])?,
        None => Vec::new(),
    };
    survival.iter().try_for_each(|survival| survival::record(&mut outcome, survival, &args.out))?;
    let export = ExportSummary::new(args.out.clone(), &outcome, elapsed, next_step::merged(&args.out))?;
    let named: Vec<_> = survival.iter().map(|survival| ("the merged model".to_owned(), survival)).collect();
    Ok(report::summary(vec![export], check.and_then(|check| check.failure(&named))))
}
