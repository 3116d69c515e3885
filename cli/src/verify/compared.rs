//! The comparison of an export with its inputs, by kind.

use std::path::Path;
use std::sync::Arc;

use engine::report::Survival;
use engine::{
    AdapterPlan, Checkpoint, ExportedModel, Folder, GgufFile, GgufPlan, LocalFolder, LogitDivergence,
    LoraPlan, MergePlan, Model, RunOptions, Source, Stage, Verification, parse_split_name, split_name,
};
use serde_json::Value;

use super::gguf_options;
use crate::args::VerifyArgs;
use crate::failure::{Failure, FailureKind};
use crate::model::{OpenModel, open_adapter, open_model};
use crate::paths::{file_name, join, open_file, open_folder, parent};
use crate::progress::Run;
use crate::sources::{HubName, Sources};
use crate::survival::{MoreSurvival, SurvivalCheck};

/// An export that was compared.
pub(super) struct Compared {
    /// The comparison of bytes.
    pub(super) verdict: Verification,
    /// The survival that the arguments ask for.
    pub(super) check: Option<SurvivalCheck>,
    predicting: Option<Predicting>,
}

/// An export whose predictions may be measured, and its model.
struct Predicting {
    model: Model,
    export: Export,
}

enum Export {
    Merged(Arc<LocalFolder>),
    /// All parts of a file, with the plan and name by which it was compared.
    Gguf(Vec<Arc<dyn Source>>, Box<(GgufPlan, String)>),
}

/// What was measured besides bytes.
#[derive(Default)]
pub(super) struct Measured {
    /// With `--logits`.
    pub(super) logits: Option<LogitDivergence>,
    pub(super) survival: Option<Survival>,
}

/// Compares `--out`: a merged folder, the copy of an adapter, or a GGUF file of a model, a projector or an adapter. The hint is about
/// an adapter that is missing or too much.
pub(super) fn compare(
    args: &VerifyArgs,
    hint: Option<&str>,
    sources: &Sources,
    run: Run<'_>,
) -> Result<Compared, Failure> {
    if args.out.join("adapter_config.json").is_file() && !args.out.join("config.json").exists() {
        return adapter(args, sources, run);
    }
    if args.out.is_dir() && args.adapter.is_none() {
        let hint = hint.unwrap_or("a merged model is compared with base and adapter: give --adapter");
        return Err(Failure::usage(format!("{}: {hint}", args.out.display())));
    }
    if let Some(hint) = hint {
        // first, because the comparison can take minutes
        run.terminal.warn(hint);
    }
    let OpenModel { model, .. } = open_model(args.base.as_deref(), args.adapter.as_deref(), sources)?;
    if args.logits {
        engine::check_comparable(&model)?;
    }
    let check = SurvivalCheck::new(&args.survival, &model)?;
    let (verdict, export) = match args.out.is_dir() {
        true => merged(args, &model, run)?,
        false => gguf(args, &model, sources, run)?,
    };
    Ok(Compared { verdict, check, predicting: export.map(|export| Predicting { model, export }) })
}

impl Compared {
    /// What the export could keep more of the fine-tune with.
    pub(super) fn more_survival(&self) -> MoreSurvival {
        let quant = self.verdict.report["options"]["quantization"].as_str();
        let quant = quant.and_then(|quant| quant.parse().ok());
        quant.map_or(MoreSurvival::NoType, MoreSurvival::than)
    }

    /// Measures what the arguments ask for.
    pub(super) fn measure(&self, with_logits: bool, run: Run<'_>) -> Result<Measured, Failure> {
        let Some(Predicting { model, export }) = &self.predicting else { return Ok(Measured::default()) };
        let check = self.check.as_ref();
        if !with_logits && check.is_none() {
            return Ok(Measured::default());
        }
        let show = |compare: &dyn Fn(&RunOptions<'_>) -> engine::Result<LogitDivergence>| {
            with_logits.then(|| run.show(Stage::Verifying, compare)).transpose()
        };
        let (logits, measured) = match export {
            Export::Merged(folder) => {
                let merged = Checkpoint::open(Arc::clone(folder) as _)?;
                let logits = show(&|run| engine::compare_merged(model, &merged, run))?;
                (logits, check.map(|check| check.measure(model, &[ExportedModel::Merged(merged)], run)))
            }
            Export::Gguf(parts, plan) => {
                let logits = show(&|run| engine::compare_gguf(model, parts, run))?;
                let exports = [ExportedModel::Gguf(parts.clone())];
                let plans = std::slice::from_ref(&**plan);
                (logits, check.map(|check| check.measure_files(model, (plans, &exports), run)))
            }
        };
        let survival = measured.transpose()?.and_then(|mut of_exports| of_exports.pop());
        Ok(Measured { logits, survival })
    }
}

/// The copy of an adapter, for which no base is needed.
fn adapter(args: &VerifyArgs, sources: &Sources, run: Run<'_>) -> Result<Compared, Failure> {
    let copy = args.out.display();
    refuse_predictions(args, "an adapter as it is")?;
    let Some(path) = &args.adapter else {
        let message = format!("{copy} is an adapter as it is: give --adapter, of which it is a copy");
        return Err(Failure::usage(message));
    };
    let (original, _) = open_adapter(path, sources)?;
    let given = args.base.as_deref().filter(|path| !path.exists()).and_then(Path::to_str);
    let given = given.and_then(HubName::parse).map(|name| name.repo);
    // a copy names the base that --base gave, which no other file tells
    let base_model = given.or_else(|| named_base(&args.out));
    let plan = AdapterPlan::new(&original, base_model.as_deref())?;
    let folder = open_folder(&args.out)?;
    let verdict = run.show(Stage::Verifying, |run| engine::verify_adapter(&plan, &*folder, run))?;
    Ok(Compared { verdict, check: None, predicting: None })
}

/// The base model that `adapter_config.json` names, if it can be read; what it differs in is found by the comparison.
fn named_base(folder: &Path) -> Option<String> {
    let config = std::fs::read(folder.join("adapter_config.json")).ok()?;
    let config: Value = serde_json::from_slice(&config).ok()?;
    config["base_model_name_or_path"].as_str().map(str::to_owned)
}

fn merged(args: &VerifyArgs, model: &Model, run: Run<'_>) -> Result<(Verification, Option<Export>), Failure> {
    let plan = MergePlan::new(model)?;
    let folder = open_folder(&args.out)?;
    let verdict = run.show(Stage::Verifying, |run| engine::verify_merge(&plan, &*folder, run))?;
    Ok((verdict, Some(Export::Merged(folder))))
}

fn gguf(
    args: &VerifyArgs,
    model: &Model,
    sources: &Sources,
    run: Run<'_>,
) -> Result<(Verification, Option<Export>), Failure> {
    let OpenGguf { name, parts, files } = OpenGguf::open(&args.out)?;
    let folder = open_folder(parent(&args.out))?;
    let has_type = |expected: &str| {
        files.first().is_some_and(|file| text(file, "general.type") == Some(expected.to_owned()))
    };
    if has_type("adapter") {
        refuse_predictions(args, "an adapter as GGUF")?;
        let [file] = &files[..] else {
            return Err(Failure::input(format!("{} is an adapter in several files", args.out.display())));
        };
        let plan = LoraPlan::of_file(model, file, &name, args.name.as_deref())?;
        return Ok((adapter_file(plan, &name, &*folder, run)?, None));
    }
    let options = gguf_options::options(args, sources, &folder, (&name, &files))?;
    let verify =
        |plan: &GgufPlan| run.show(Stage::Verifying, |run| engine::verify_gguf(plan, &name, &*folder, run));
    if has_type("mmproj") {
        refuse_predictions(args, "a projector")?;
        let plan = GgufPlan::mmproj(model, &options)?;
        let verdict = verify(&plan)?;
        return Ok((verdict, Some(Export::Gguf(parts, Box::new((plan, name))))));
    }
    let (plan, options) = gguf_options::plan(model, options, &folder, (&name, &files))?;
    let mut compared = (verify(&plan)?, plan);
    let is_guess = !compared.0.reported && !compared.0.differences.is_empty();
    if is_guess && compared.0.report["options"]["qat"] == "grid" {
        // a file does not say whether it was made with --qat off
        let plan = GgufPlan::new(model, &options.without_grid())?;
        let verdict = verify(&plan)?;
        if verdict.differences.len() < compared.0.differences.len() {
            compared = (verdict, plan);
        }
    }
    let (verdict, plan) = compared;
    Ok((verdict, Some(Export::Gguf(parts, Box::new((plan, name))))))
}

/// An adapter as GGUF, of which the values are checked too if they need not be finite.
fn adapter_file(
    mut plan: LoraPlan,
    name: &str,
    folder: &dyn Folder,
    run: Run<'_>,
) -> Result<Verification, Failure> {
    let checked = if run.engine.allow_non_finite { plan.weight_file_bytes() } else { 0 };
    let total = checked + plan.size();
    if run.engine.allow_non_finite {
        run.part_of(total, 0).show(Stage::Verifying, |run| plan.check_values(run))?;
    }
    run.part_of(total, checked).show(Stage::Verifying, |run| engine::verify_lora(&plan, name, folder, run))
}

/// Refuses options that measure predictions, of what has none.
fn refuse_predictions(args: &VerifyArgs, what: &str) -> Result<(), Failure> {
    if !args.logits && !args.survival.is_asked() {
        return Ok(());
    }
    let message = "which predicts no tokens: omit --logits, --survival and --prompts";
    Err(Failure::usage(format!("{} is {what}, {message}", args.out.display())))
}

/// A GGUF file, or all parts of a split one.
struct OpenGguf {
    /// Without the number of a part.
    name: String,
    parts: Vec<Arc<dyn Source>>,
    files: Vec<GgufFile>,
}

impl OpenGguf {
    fn open(path: &Path) -> Result<Self, Failure> {
        let name = file_name(path)
            .ok_or_else(|| Failure::input(format!("{} is neither a folder nor a file", path.display())))?;
        let given = open_file(path)?;
        let file = read_header(&*given)?;
        let is_split = text(&file, "split.count").is_some();
        let Some((name, count)) = parse_split_name(name).filter(|_| is_split) else {
            return Ok(Self { name: name.to_owned(), parts: vec![given], files: vec![file] });
        };
        let part = |number| open_file(&join(parent(path), &split_name(&name, number, count)));
        let parts = (0..count).map(part).collect::<Result<Vec<_>, _>>()?;
        let files = parts.iter().map(|part| read_header(&**part)).collect::<Result<_, _>>()?;
        Ok(Self { name, parts, files })
    }
}

/// The header, which is not that of an export if it cannot be read.
fn read_header(source: &dyn Source) -> Result<GgufFile, Failure> {
    GgufFile::open(source).map_err(|error| match matches!(error, engine::Error::Invalid { .. }) {
        true => Failure::new(FailureKind::Difference, error.to_string()),
        false => error.into(),
    })
}

fn text(file: &GgufFile, key: &str) -> Option<String> {
    file.key_values.iter().find(|pair| pair.key == key).map(engine::GgufKeyValue::text)
}
