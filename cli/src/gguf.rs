//! `gemma-export gguf`

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use engine::{GgufOptions, GgufPlan, Imatrix, LocalOutput, Model, OutputType, Stage};

use crate::args::GgufArgs;
use crate::paths::{check_absent, folder_name, gguf_names, join, open_file, open_model};
use crate::{progress, report};

pub(crate) fn run(args: &GgufArgs) -> Result<(), Box<dyn Error>> {
    let model = open_model(&args.base, args.adapter.as_deref())?;
    let title = match &args.name {
        Some(name) => name.clone(),
        None => folder_name(args.adapter.as_ref().unwrap_or(&args.base)),
    };
    let (folder, plans) = model_plans(args, &model, &title)?;
    let mmproj = match &args.mmproj {
        Some(path) => Some(mmproj_plan(args, &model, &title, path)?),
        None => None,
    };
    write_model(args, &folder, &plans)?;
    mmproj.map_or(Ok(()), |(plan, folder, name)| write_mmproj(args, &plan, &folder, &name))
}

/// The output folder, and plan and file name of each type.
fn model_plans(
    args: &GgufArgs,
    model: &Model,
    title: &str,
) -> Result<(PathBuf, Vec<(GgufPlan, String)>), Box<dyn Error>> {
    let (folder, names) = gguf_names(&args.out, title, &args.quant)?;
    let mut plans = Vec::new();
    for (quant, name) in args.quant.iter().zip(names) {
        let plan = GgufPlan::new(model, &options(args, GgufOptions::new(*quant, title))?)?;
        check_absent(&folder, &plan.files(&name), args.run.force)?;
        plans.push((plan, name));
    }
    Ok((folder, plans))
}

fn write_model(args: &GgufArgs, folder: &Path, plans: &[(GgufPlan, String)]) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let outcomes = progress::with_bar(Stage::Converting, args.run.engine, |run| {
        let mut output = LocalOutput::create(folder)?;
        match plans {
            // one type: sequential writes, hashed as written
            [(plan, name)] => Ok(vec![engine::gguf(plan, name, &mut output, run)?]),
            plans => engine::ggufs(plans, &mut output, run),
        }
    })?;
    for outcome in &outcomes {
        // llama.cpp loads split files from the first
        if let Some(first) = outcome.files.first() {
            report::print(&report::export(&join(folder, &first.name), outcome, started.elapsed()))?;
        }
    }
    Ok(())
}

/// Plan, folder and name of the file of vision and audio encoders. Its type is the first of `--quant`.
fn mmproj_plan(
    args: &GgufArgs,
    model: &Model,
    title: &str,
    path: &Path,
) -> Result<(GgufPlan, PathBuf, String), Box<dyn Error>> {
    let quant = args.quant.first().copied().unwrap_or(OutputType::F16);
    let plan = GgufPlan::mmproj(model, &GgufOptions::new(quant, title))?;
    let (folder, mut names) = gguf_names(path, "mmproj", &[quant])?;
    let name = names.swap_remove(0);
    if path == args.out {
        return Err("--mmproj and --out are the same file: give different names".into());
    }
    check_absent(&folder, &plan.files(&name), args.run.force)?;
    Ok((plan, folder, name))
}

fn write_mmproj(args: &GgufArgs, plan: &GgufPlan, folder: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let outcome = progress::with_bar(Stage::Converting, args.run.engine, |run| {
        engine::gguf(plan, name, &mut LocalOutput::create(folder)?, run)
    })?;
    Ok(report::print(&report::export(&join(folder, name), &outcome, started.elapsed()))?)
}

fn options(args: &GgufArgs, mut options: GgufOptions) -> Result<GgufOptions, Box<dyn Error>> {
    if let Some(path) = &args.imatrix {
        options = options.with_imatrix(Imatrix::open(&*open_file(path)?, path.display().to_string())?);
    }
    if args.through_f16 {
        options = options.through_f16();
    }
    if let Some(most) = args.split_max_size {
        options = options.with_split_size(most);
    }
    if args.mmproj.is_some() {
        options = options.with_separate_mmproj();
    }
    Ok(options)
}
