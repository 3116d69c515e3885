//! `gemma-export lora`

use std::path::Path;

use engine::{ExportReport, LocalOutput, LoraPlan, Stage};

use crate::args::{EngineArgs, LoraArgs};
use crate::disk_space::DiskSpace;
use crate::earlier_export::is_reported;
use crate::failure::Failure;
use crate::model::{OpenModel, open_model};
use crate::outputs::{check_early, check_files};
use crate::paths::{join, output_file};
use crate::progress::Run;
use crate::push::{ExportKind, PlannedPush, PreparedPush};
use crate::report::{self, ExportSummary};
use crate::sources::Sources;
use crate::terminal::{Summary, Terminal};

pub(crate) fn run(args: &LoraArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let (folder, name) = output_file(&args.out)?;
    let files = [join(folder, name), join(folder, &ExportReport::beside(name))];
    let is_export = |path: &Path| is_reported(path, name, "lora");
    check_early(&files, args.force, is_export)?;
    let sources = Sources::new(terminal);
    let OpenModel { model, title, base_repo, .. } =
        open_model(args.base.as_deref(), Some(&args.adapter), &sources)?;
    let title = args.name.clone().unwrap_or(title);
    let engine = EngineArgs { allow_non_finite: args.allow_non_finite, ..EngineArgs::default() };
    let run = Run::new(terminal, engine, &sources.inputs);
    let mut plan = LoraPlan::new(&model, args.quant, &title)?;
    if args.allow_non_finite {
        run.show(Stage::Verifying, |run| plan.check_values(run))?;
    }
    terminal.warnings(plan.warnings());
    terminal.findings(plan.findings());
    check_files(&files, &sources.inputs, args.force, is_export)?;
    let planned = PlannedPush {
        kind: ExportKind::Lora,
        names: vec![name.to_owned(), ExportReport::beside(name)],
        base_model: base_repo,
    };
    let push = PreparedPush::new(&args.push, planned, &sources)?;
    let mut space = DiskSpace::default();
    space.add(folder, plan.size());
    space.check()?;
    let written = run.show(Stage::Converting, |run| {
        plan.write(name, &mut LocalOutput::create(folder)?.create_new(!args.force), run)
    })?;
    let export = ExportSummary::of_lora(args.out.clone(), &written, plan.pairs())?;
    let summary = report::summary(vec![export], None);
    Ok(match push {
        Some(push) => push.finish(std::slice::from_ref(&args.out), summary),
        None => summary,
    })
}
