//! `gemma-export lora`

use std::error::Error;

use engine::{LocalOutput, LoraPlan, PlannedFile, Stage};

use crate::args::LoraArgs;
use crate::place::{check_new, folder_name, open_model, parent};
use crate::{report, watch};

pub(crate) fn run(args: &LoraArgs) -> Result<(), Box<dyn Error>> {
    let model = open_model(&args.base, Some(&args.adapter))?;
    let title = args.name.clone().unwrap_or_else(|| folder_name(&args.adapter));
    let plan = LoraPlan::new(&model, args.quant, &title)?;
    let name = args.out.file_name().and_then(|name| name.to_str()).filter(|_| !args.out.is_dir());
    let Some(name) = name else {
        return Err(format!("{} is a folder: give the file to make", args.out.display()).into());
    };
    let planned = PlannedFile { name: name.to_owned(), size: plan.size() };
    check_new(parent(&args.out), &[planned], args.force)?;
    let written = watch::watched(Stage::Converting, None, |run| {
        plan.write(name, &mut LocalOutput::create(parent(&args.out))?, run)
    })?;
    report::print_lora(&args.out, &written, plan.pairs());
    Ok(())
}
