//! `export gguf`

use std::error::Error;

use engine::{GgufOptions, GgufPlan, Imatrix, LocalOutput, Stage};

use crate::args::GgufArgs;
use crate::place::{check_new, folder_name, gguf_names, open_file, open_model};
use crate::{report, watch};

pub(crate) fn run(args: &GgufArgs) -> Result<(), Box<dyn Error>> {
    let model = open_model(&args.base, args.adapter.as_deref())?;
    let title = match &args.name {
        Some(name) => name.clone(),
        None => folder_name(args.adapter.as_ref().unwrap_or(&args.base)),
    };
    let (folder, names) = gguf_names(&args.out, &title, &args.quant)?;
    let mut plans = Vec::new();
    for (quant, name) in args.quant.iter().zip(names) {
        let plan = GgufPlan::new(&model, &options(args, GgufOptions::new(*quant, &title))?)?;
        check_new(&folder, &plan.files(&name), args.common.force)?;
        plans.push((plan, name));
    }
    let timer = report::Timer::start();
    let outcomes = watch::watched(Stage::Converting, args.common.threads, |run| {
        let mut output = LocalOutput::create(&folder)?;
        match plans.as_slice() {
            // one file after the other, hashed as it is written
            [(plan, name)] => Ok(vec![engine::gguf(plan, name, &mut output, run)?]),
            plans => engine::ggufs(plans, &mut output, run),
        }
    })?;
    for outcome in &outcomes {
        // of split files, the first is the one to name
        if let Some(first) = outcome.files.first() {
            report::print(&folder.join(&first.name), outcome, &timer);
        }
    }
    Ok(())
}

fn options(args: &GgufArgs, mut options: GgufOptions) -> Result<GgufOptions, Box<dyn Error>> {
    if let Some(path) = &args.imatrix {
        options = options.with_imatrix(Imatrix::open(&*open_file(path)?, path.display().to_string())?);
    }
    if let Some(most) = args.split_max_size {
        options = options.split_at(most);
    }
    Ok(options)
}
