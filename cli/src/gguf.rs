//! `gemma-export gguf`

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::{
    ExportReport, GgufOptions, GgufPlan, Imatrix, LocalOutput, Model, Outcome, OutputType, Stage, WrittenFile,
};

use crate::args::{GgufArgs, QatMode, RunArgs};
use crate::disk_space::DiskSpace;
use crate::earlier_export::{files_of_gguf, is_reported, remove_if_present};
use crate::failure::{Failure, FailureKind};
use crate::inputs::Inputs;
use crate::kept::{kept_bytes, reusable_bytes};
use crate::model::{OpenModel, open_model, open_target};
use crate::outputs::{check_early, check_files};
use crate::paths::{gguf_names, is_named_folder, join};
use crate::progress::Run;
use crate::push::{ExportKind, PlannedPush, PreparedPush};
use crate::report::{self, ExportSummary};
use crate::sources::Sources;
use crate::survival::{MeasuredExport, MoreSurvival, SurvivalCheck};
use crate::terminal::{Summary, Terminal};
use crate::{next_step, signals, survival, tensor_types};

pub(crate) fn run(args: &GgufArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let started = Instant::now();
    check_known_names(args)?;
    let sources = Sources::new(terminal);
    let OpenModel { model, title, base_repo, is_beside_adapter } =
        open_model(args.base.as_deref(), args.adapter.as_deref(), &sources)?;
    let run = Run::new(terminal, args.run.engine, &sources.inputs);
    if is_beside_adapter && model.adapter().is_none() {
        let base = model.base().location();
        terminal.warn(&format!(
            "{base} also contains an adapter, which is not applied: merge it with --adapter {base}"
        ));
    }
    let title = args.name.clone().unwrap_or(title);
    let (folder, plans) = match args.max_bytes {
        Some(max_bytes) => {
            let options = options(args, GgufOptions::new(OutputType::Q8_0, &title), &sources)?;
            fitted_plan(args, &model, (&options, &title), max_bytes, run)?
        }
        None => model_plans(args, &model, &title, &sources)?,
    };
    if args.imatrix.is_some() {
        warn_of_unused_imatrix(args, &plans, terminal);
    }
    let check = SurvivalCheck::new(&args.survival, &model)?;
    let mmproj = match &args.mmproj {
        Some(path) => Some(mmproj_plan(args, &model, &title, path)?),
        None => None,
    };
    let mmproj_file = mmproj.iter().map(|(plan, folder, name)| (plan, folder.as_path(), name.as_str()));
    let model_files = plans.iter().map(|(plan, name)| (plan, folder.as_path(), name.as_str()));
    let all = plans.iter().map(|(plan, _)| plan).chain(mmproj.iter().map(|(plan, ..)| plan));
    let mut warnings: Vec<_> = Vec::new();
    all.flat_map(GgufPlan::warnings).for_each(|warning| {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    });
    terminal.warnings(warnings);
    terminal.findings(plans.first().into_iter().flat_map(|(plan, _)| plan.findings()));
    if args.dry_run {
        let planned = model_files.clone().chain(mmproj_file.clone());
        // a folder that is named with a slash at its end is created
        let planned = planned.filter(|(_, folder, _)| folder.exists());
        if let Err(failure) = check_names(args, planned, &sources.inputs) {
            terminal.warn(&format!("without --dry-run this is refused: {failure}"));
        }
        return Ok(tensor_types::summary(model_files.chain(mmproj_file)));
    }
    let _created = [Some(&args.out), args.mmproj.as_ref()]
        .into_iter()
        .flatten()
        .map(|out| NamedFolder::create(out))
        .collect::<Result<Vec<_>, _>>()?;
    let left = check_outputs(args, model_files.clone().chain(mmproj_file.clone()), &sources.inputs)?;
    let planned = planned_push(model_files.chain(mmproj_file), base_repo.clone());
    let push = PreparedPush::new(&args.push, planned, &sources)?;
    let mmproj_path = mmproj.as_ref().map(|(_, folder, name)| join(folder, name));
    let encoder_bytes = mmproj.as_ref().map_or(0, |(plan, _, name)| planned_bytes(plan, name));
    let bytes = encoder_bytes + plans.iter().map(|(plan, name)| planned_bytes(plan, name)).sum::<u64>();
    let encoders = match &mmproj {
        Some((plan, folder, name)) => {
            Some(write_mmproj(plan, folder, name, &args.run, run.part_of(bytes, 0))?)
        }
        None => None,
    };
    let mut outcomes = match write_model(&folder, &plans, &args.run, run.part_of(bytes, encoder_bytes)) {
        Ok(outcomes) => outcomes,
        Err(failure) => {
            let mmproj = mmproj.as_ref().map(|(_, folder, name)| (folder.as_path(), name.as_str()));
            return Err(keep_encoders(failure, encoders.map(|(output, _)| output), mmproj));
        }
    };
    let elapsed = started.elapsed();
    let kept =
        || mmproj.as_ref().and_then(|(_, folder, name)| kept_bytes(folder, &ExportReport::beside(name)));
    let publish = |(output, summary): (LocalOutput, _)| match output.publish_deferred() {
        Ok(()) => Ok(summary),
        Err(error) => Err(Failure::from(error).keeping(kept())),
    };
    let encoders = encoders.map(publish).transpose()?;
    left.iter().try_for_each(|path| remove_if_present(path))?;
    let unmeasured =
        check.as_ref().and_then(|check| measure(check, &model, &folder, (&plans, &mut outcomes), run).err());
    let mmproj = encoders.as_ref().and(mmproj_path.as_deref());
    let base = args.base.clone().or(base_repo.map(PathBuf::from));
    let exports = plans.iter().zip(&outcomes).map(|((plan, _), outcome)| {
        let parts = base.as_deref().zip(args.adapter.as_deref()).filter(|_| plan.is_better_as_a_pair());
        model_summary(&folder, outcome, elapsed, mmproj, parts)
    });
    let exports = exports.chain(encoders.map(Ok)).collect::<Result<Vec<_>, _>>()?;
    let types: Vec<(String, MoreSurvival)> = match args.max_bytes {
        Some(_) => vec![("the file".to_owned(), MoreSurvival::MoreBytes)],
        None => args.quant.iter().map(|quant| (quant.to_string(), MoreSurvival::than(*quant))).collect(),
    };
    let measured = types.iter().zip(&outcomes).filter_map(|((name, more), outcome)| {
        let bytes = outcome.files.iter().map(|file| file.size).sum();
        Some(MeasuredExport { name, more: *more, bytes, survival: outcome.report.survival.as_ref()? })
    });
    let measured: Vec<_> = measured.collect();
    let failure = check.and_then(|check| match unmeasured {
        Some(failure) => Some(check.unmeasured(failure)),
        None => check.failure(&measured),
    });
    let summary = report::summary(exports, failure);
    let Some(push) = push else { return Ok(summary) };
    let mut paths: Vec<PathBuf> = plans.iter().map(|(_, name)| join(&folder, name)).collect();
    paths.extend(mmproj_path);
    Ok(push.finish(&paths, summary))
}

/// The files that are pushed if `--push` asks for it, the reports among them.
fn planned_push<'a>(
    plans: impl Iterator<Item = (&'a GgufPlan, &'a Path, &'a str)>,
    base_model: Option<String>,
) -> PlannedPush {
    let names = |(plan, _, name): (&GgufPlan, _, &str)| {
        plan.files(name)
            .into_iter()
            .map(|file| file.name)
            .chain([ExportReport::beside(name)])
            .collect::<Vec<_>>()
    };
    PlannedPush { kind: ExportKind::Gguf, names: plans.flat_map(names).collect(), base_model }
}

/// The output folder, and plan and file name with types by tensor for a size.
fn fitted_plan(
    args: &GgufArgs,
    model: &Model,
    (options, title): (&GgufOptions, &str),
    max_bytes: u64,
    run: Run<'_>,
) -> Result<(PathBuf, Vec<(GgufPlan, String)>), Failure> {
    let fitted = run.show(Stage::Fitting, |run| engine::fit_types(model, options, max_bytes, run))?;
    run.terminal.note(&tensor_types::chosen(&fitted, max_bytes));
    let (folder, mut names) = gguf_names(&args.out, title, &[fitted.output_type()])?;
    Ok((folder, vec![(GgufPlan::new(model, &fitted.options)?, names.swap_remove(0))]))
}

/// Names the types that an importance matrix does not change.
fn warn_of_unused_imatrix(args: &GgufArgs, plans: &[(GgufPlan, String)], terminal: Terminal) {
    let unused = args.quant.iter().zip(plans).filter(|(_, (plan, _))| !plan.uses_imatrix());
    let unused: Vec<_> = unused.map(|(quant, _)| quant.as_str()).collect();
    if !unused.is_empty() {
        let types = unused.join(", ");
        terminal
            .warn(&format!("--imatrix is not used for {types}: weights of 8 bits and more are not weighted"));
    }
}

/// The output folder, and plan and file name of each type.
fn model_plans(
    args: &GgufArgs,
    model: &Model,
    title: &str,
    sources: &Sources,
) -> Result<(PathBuf, Vec<(GgufPlan, String)>), Failure> {
    let (folder, names) = gguf_names(&args.out, title, &args.quant)?;
    let types = tensor_types::overrides(&args.types)?;
    let mut plans = Vec::new();
    for (quant, name) in args.quant.iter().zip(names) {
        let options = options(args, GgufOptions::new(*quant, title), sources)?.with_types(types.clone());
        let plan = GgufPlan::new(model, &options)?;
        plans.push((plan, name));
    }
    Ok((folder, plans))
}

/// A folder that was named with a slash at the end and did not exist. Removed when nothing was written to it.
struct NamedFolder<'a>(Option<&'a Path>);

impl<'a> NamedFolder<'a> {
    fn create(out: &'a Path) -> Result<Self, Failure> {
        if !out.to_string_lossy().ends_with(std::path::is_separator) || out.exists() {
            return Ok(Self(None));
        }
        signals::begin_work();
        std::fs::create_dir(out)
            .map_err(|error| Failure::unwritable(format_args!("cannot create {}", out.display()), &error))?;
        Ok(Self(Some(out)))
    }
}

impl Drop for NamedFolder<'_> {
    fn drop(&mut self) {
        if let Some(folder) = self.0 {
            // fails if there are files in it
            std::fs::remove_dir(folder).ok();
        }
    }
}

/// The bytes of the files that are planned under this name.
fn planned_bytes(plan: &GgufPlan, name: &str) -> u64 {
    plan.files(name).iter().map(|file| file.size).sum()
}

/// Fails unless every file of these plans can be written, the reports among them. Returns the files of earlier exports
/// that this one replaces and does not write, such as the parts of a file that was split otherwise.
fn check_outputs<'a>(
    args: &GgufArgs,
    plans: impl Iterator<Item = (&'a GgufPlan, &'a Path, &'a str)> + Clone,
    inputs: &Inputs,
) -> Result<Vec<PathBuf>, Failure> {
    let files = check_names(args, plans.clone(), inputs)?;
    let (mut space, mut earlier) = (DiskSpace::default(), Vec::new());
    for (plan, folder, name) in plans {
        let reused = reusable_bytes(folder, &ExportReport::beside(name), args.run.resume);
        space.add(folder, planned_bytes(plan, name).saturating_sub(reused));
        earlier.extend(files_of_gguf(folder, name));
    }
    space.check()?;
    earlier.retain(|path| !files.contains(path) && !inputs.contains(path));
    Ok(earlier)
}

/// Fails unless every file of these plans, the reports among them, may have its name. Returns the files.
fn check_names<'a>(
    args: &GgufArgs,
    plans: impl Iterator<Item = (&'a GgufPlan, &'a Path, &'a str)>,
    inputs: &Inputs,
) -> Result<Vec<PathBuf>, Failure> {
    let (mut files, mut exports) = (Vec::new(), HashMap::new());
    for (plan, folder, name) in plans {
        let planned = plan.files(name).into_iter().map(|file| file.name);
        for file in planned.chain([ExportReport::beside(name)]) {
            let path = join(folder, &file);
            exports.insert(path.clone(), name);
            files.push(path);
        }
    }
    let is_export = |path: &Path| exports.get(path).is_some_and(|name| is_reported(path, name, "gguf"));
    check_files(&files, inputs, args.run.force, is_export)?;
    Ok(files)
}

/// Fails before anything is read if the arguments alone tell that a file cannot be written, or that its name is wrong.
fn check_known_names(args: &GgufArgs) -> Result<(), Failure> {
    let types = [&*args.quant, args.quant.get(..1).unwrap_or_default()];
    for (out, types) in [Some(&args.out), args.mmproj.as_ref()].into_iter().zip(types) {
        let Some(out) = out else { continue };
        let (folder, names) = gguf_names(out, "", types)?;
        let is_fitted = args.max_bytes.is_some() && out.to_string_lossy().contains("{quant}");
        if args.dry_run || is_fitted || is_named_folder(out) {
            continue;
        }
        for name in names {
            let whole = args.split_max_size.is_none().then(|| join(&folder, &name));
            let files: Vec<_> =
                whole.into_iter().chain([join(&folder, &ExportReport::beside(&name))]).collect();
            check_early(&files, args.run.force, |path| is_reported(path, &name, "gguf"))?;
        }
    }
    Ok(())
}

fn write_model(
    folder: &Path,
    plans: &[(GgufPlan, String)],
    settings: &RunArgs,
    run: Run<'_>,
) -> Result<Vec<Outcome>, Failure> {
    let written = run.show(Stage::Converting, |run| {
        let mut output = LocalOutput::create(folder)?.create_new(!settings.force).resumable(settings.resume);
        match plans {
            // one type: sequential writes, hashed as written
            [(plan, name)] => Ok(vec![engine::gguf(plan, name, &mut output, run)?]),
            plans => engine::ggufs(plans, &mut output, run),
        }
    });
    let kept = || kept_bytes(folder, &ExportReport::beside(&plans.first()?.1));
    written.map_err(|failure| failure.keeping(kept()))
}

/// The failure of the model after its encoders were written. These are kept too, unless the model fails by its content.
fn keep_encoders(failure: Failure, encoders: Option<LocalOutput>, mmproj: Option<(&Path, &str)>) -> Failure {
    if failure.keeps_some() {
        return failure;
    }
    if failure.kind == FailureKind::Input {
        encoders.iter().for_each(LocalOutput::discard);
    }
    // unlocks what is kept
    drop(encoders);
    failure.keeping(mmproj.and_then(|(folder, name)| kept_bytes(folder, &ExportReport::beside(name))))
}

/// Measures the survival in all files, and adds it to their reports.
fn measure(
    check: &SurvivalCheck,
    model: &Model,
    folder: &Path,
    (plans, outcomes): (&[(GgufPlan, String)], &mut [Outcome]),
    run: Run<'_>,
) -> Result<(), Failure> {
    let exports = outcomes.iter().map(|outcome| survival::exported_gguf(folder, &outcome.files));
    let exports = exports.collect::<Result<Vec<_>, _>>()?;
    let measured = check.measure_files(model, (plans, &exports), run)?;
    outcomes
        .iter_mut()
        .zip(&measured)
        .try_for_each(|(outcome, survival)| survival::record(outcome, survival, folder))?;
    run.terminal.findings(measured.first().and_then(survival::turn_end_finding).as_ref());
    Ok(())
}

/// The summary of a file, which may be split, with the time until all files were written, planning included. `parts` are base and
/// adapter, if they are better as two files.
fn model_summary(
    folder: &Path,
    outcome: &Outcome,
    elapsed: Duration,
    mmproj: Option<&Path>,
    parts: Option<(&Path, &Path)>,
) -> Result<ExportSummary, Failure> {
    let path = |file: &WrittenFile| join(folder, &file.name);
    // llama.cpp loads split files from the first
    let first = outcome.files.first().map(path).unwrap_or_default();
    let modelfile = outcome.files.iter().find(|file| file.name.ends_with(".Modelfile")).map(path);
    let mut next_steps = next_step::gguf(&first, modelfile.as_deref(), mmproj);
    next_steps.extend(parts.into_iter().flat_map(|(base, adapter)| next_step::pair(base, adapter, &first)));
    ExportSummary::new(first, outcome, elapsed, next_steps)
}

/// Plan, folder and name of the file of vision and audio encoders. Its type is the first of `--quant`.
fn mmproj_plan(
    args: &GgufArgs,
    model: &Model,
    title: &str,
    path: &Path,
) -> Result<(GgufPlan, PathBuf, String), Failure> {
    let quant = args.quant.first().copied().unwrap_or(OutputType::F16);
    let plan = GgufPlan::mmproj(model, &GgufOptions::new(quant, title))?;
    let (folder, mut names) = gguf_names(path, "mmproj", &[quant])?;
    let name = names.swap_remove(0);
    if args.push.push.is_some() && !name.contains("mmproj") {
        return Err(Failure::usage(format!(
            "llama.cpp finds the encoders in a repository by `mmproj` in their file's name: call {name} mmproj-{name}"
        )));
    }
    Ok((plan, folder, name))
}

/// Writes the encoders, which are visible only when the output is published.
fn write_mmproj(
    plan: &GgufPlan,
    folder: &Path,
    name: &str,
    settings: &RunArgs,
    run: Run<'_>,
) -> Result<(LocalOutput, ExportSummary), Failure> {
    let started = Instant::now();
    let output = LocalOutput::create(folder)?.create_new(!settings.force);
    let mut output = output.deferred().resumable(settings.resume);
    let outcome = match run.show(Stage::Converting, |run| engine::gguf(plan, name, &mut output, run)) {
        Ok(outcome) => outcome,
        Err(failure) => {
            // unlocks what is kept
            drop(output);
            return Err(failure.keeping(kept_bytes(folder, &ExportReport::beside(name))));
        }
    };
    let summary = ExportSummary::new(join(folder, name), &outcome, started.elapsed(), Vec::new())?;
    Ok((output, summary))
}

fn options(args: &GgufArgs, mut options: GgufOptions, sources: &Sources) -> Result<GgufOptions, Failure> {
    if let Some(path) = &args.imatrix {
        options = options
            .with_imatrix(Imatrix::open(&*sources.inputs.open_file(path)?, path.display().to_string())?);
    }
    if args.qat == QatMode::Off {
        options = options.without_grid();
    }
    if args.through_f16 {
        options = options.through_f16();
    }
    if let Some(most) = args.split_max_size {
        options = options.with_split_size(most);
    }
    if let Some(folder) = &args.target_model {
        options = options.with_target(&open_target(folder, sources)?);
    }
    if args.mmproj.is_some() {
        options = options.with_separate_mmproj();
    }
    Ok(options)
}
