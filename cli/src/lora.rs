//! `gemma-export lora`

use std::error::Error;

use engine::{LocalOutput, LoraPlan, Stage};

use crate::args::{EngineArgs, LoraArgs};
use crate::outputs::{InputHandles, check_files, is_gguf_adapter};
use crate::paths::{folder_name, open_model, output_file};
use crate::{progress, report};

pub(crate) fn run(args: &LoraArgs) -> Result<(), Box<dyn Error>> {
    let model = open_model(&args.base, Some(&args.adapter))?;
    let title = args.name.clone().unwrap_or_else(|| folder_name(&args.adapter));
    let plan = LoraPlan::new(&model, args.quant, &title)?;
    report::warnings(plan.warnings());
    let (folder, name) = output_file(&args.out)?;
    let inputs = InputHandles::open([args.base.as_path(), &args.adapter]);
    check_files(std::slice::from_ref(&args.out), &inputs, args.force, is_gguf_adapter)?;
    let written = progress::with_bar(
        Stage::Converting,
        EngineArgs { allow_non_finite: args.allow_non_finite, ..EngineArgs::default() },
        |run| plan.write(name, &mut LocalOutput::create(folder)?, run),
    )?;
    Ok(report::print_export(&args.out, &report::lora(&args.out, &written, plan.pairs()))?)
}
