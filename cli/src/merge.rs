//! `gemma-export merge`

use std::error::Error;
use std::time::Instant;

use engine::{LocalOutput, MergePlan, Stage};

use crate::args::MergeArgs;
use crate::outputs::{InputHandles, OutputFolder};
use crate::paths::open_model;
use crate::{progress, report};

pub(crate) fn run(args: &MergeArgs) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let plan = MergePlan::new(&open_model(&args.base, Some(&args.adapter))?)?;
    report::warnings(plan.warnings());
    let inputs = InputHandles::open([args.base.as_path(), &args.adapter]);
    let folder = OutputFolder::prepare(&args.out, &inputs, args.run.force)?;
    let outcome = progress::with_bar(Stage::Merging, args.run.engine, |run| {
        engine::merge(&plan, &mut LocalOutput::create(folder.staging())?, run)
    })?;
    folder.commit()?;
    Ok(report::print_export(&args.out, &report::export(&args.out, &outcome, started.elapsed()))?)
}
