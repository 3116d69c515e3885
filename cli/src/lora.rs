//! `gemma-export lora`

use engine::{ExportReport, LocalOutput, LoraPlan, Stage};

use crate::args::{EngineArgs, LoraArgs};
use crate::disk_space::DiskSpace;
use crate::earlier_export::is_reported;
use crate::failure::Failure;
use crate::inputs::InputFileIds;
use crate::model::open_model;
use crate::outputs::check_files;
use crate::paths::{folder_name, join, output_file};
use crate::progress;
use crate::report::{self, ExportSummary};
use crate::terminal::{Summary, Terminal};

pub(crate) fn run(args: &LoraArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let inputs = InputFileIds::default();
    let model = open_model(&args.base, Some(&args.adapter), &inputs)?;
    let title = args.name.clone().unwrap_or_else(|| folder_name(&args.adapter));
    let plan = LoraPlan::new(&model, args.quant, &title)?;
    terminal.warnings(plan.warnings());
    let (folder, name) = output_file(&args.out)?;
    let files = [join(folder, name), join(folder, &ExportReport::beside(name))];
    check_files(&files, &inputs, args.force, |path| is_reported(path, name, "lora"))?;
    let mut space = DiskSpace::default();
    space.add(folder, plan.size());
    space.check()?;
    let written = progress::show(
        terminal,
        Stage::Converting,
        EngineArgs { allow_non_finite: args.allow_non_finite, ..EngineArgs::default() },
        |run| plan.write(name, &mut LocalOutput::create(folder)?, run),
    )?;
    let export = ExportSummary::of_lora(args.out.clone(), &written, plan.pairs())?;
    Ok(report::summary(vec![export], None))
}
