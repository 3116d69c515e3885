//! `gemma-export merge`

use std::error::Error;
use std::time::Instant;

use engine::{LocalOutput, MergePlan, Stage};

use crate::args::MergeArgs;
use crate::inputs::InputFileIds;
use crate::model::open_model;
use crate::output_folder::OutputFolder;
use crate::survival::SurvivalCheck;
use crate::{progress, report, survival};

pub(crate) fn run(args: &MergeArgs) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let inputs = InputFileIds::default();
    let model = open_model(&args.base, Some(&args.adapter), &inputs)?;
    let plan = MergePlan::new(&model)?;
    let check = SurvivalCheck::new(&args.survival, &model)?;
    report::warnings(plan.warnings());
    let folder = OutputFolder::prepare(&args.out, &plan.files(), &inputs, args.run.force)?;
    let mut outcome = progress::with_bar(Stage::Merging, args.run.engine, |run| {
        engine::merge(&plan, &mut LocalOutput::create(folder.staging())?, run)
    })?;
    folder.commit()?;
    let elapsed = started.elapsed();
    let Some(check) = check else {
        return Ok(report::print_export(&args.out, &report::export(&args.out, &outcome, elapsed))?);
    };
    let measured = check.measure(&model, &[survival::exported_folder(&args.out)?], args.run.engine)?;
    measured.iter().try_for_each(|survival| survival::record(&mut outcome, survival, &args.out))?;
    let mut lines = report::export(&args.out, &outcome, elapsed);
    lines.extend(measured.iter().flat_map(survival::lines));
    report::print_export(&args.out, &lines)?;
    let named: Vec<_> = measured.iter().map(|survival| ("the merged model".to_owned(), survival)).collect();
    Ok(check.check(&named)?)
}
