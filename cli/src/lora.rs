//! `gemma-export lora`

use std::error::Error;

use engine::{ExportReport, LocalOutput, LoraPlan, Stage};

use crate::args::{EngineArgs, LoraArgs};
use crate::earlier_export::is_reported;
use crate::inputs::InputFileIds;
use crate::model::open_model;
use crate::outputs::check_files;
use crate::paths::{folder_name, join, output_file};
use crate::{progress, report};

pub(crate) fn run(args: &LoraArgs) -> Result<(), Box<dyn Error>> {
    let inputs = InputFileIds::default();
    let model = open_model(&args.base, Some(&args.adapter), &inputs)?;
    let title = args.name.clone().unwrap_or_else(|| folder_name(&args.adapter));
    let plan = LoraPlan::new(&model, args.quant, &title)?;
    report::warnings(plan.warnings());
    let (folder, name) = output_file(&args.out)?;
    let files = [join(folder, name), join(folder, &ExportReport::beside(name))];
    check_files(&files, &inputs, args.force, |path| is_reported(path, name, "lora"))?;
    let written = progress::with_bar(
        Stage::Converting,
        EngineArgs { allow_non_finite: args.allow_non_finite, ..EngineArgs::default() },
        |run| plan.write(name, &mut LocalOutput::create(folder)?, run),
    )?;
    Ok(report::print_export(&args.out, &report::lora(&args.out, &written, plan.pairs()))?)
}
