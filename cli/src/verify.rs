//! `gemma-export verify`

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use engine::report::Survival;
use engine::{
    Checkpoint, ExportReport, ExportedModel, Folder, GgufFile, GgufOptions, GgufPlan, Imatrix, LocalFolder,
    LogitDivergence, MergePlan, Model, RunOptions, Source, Stage, Verification, parse_split_name, split_name,
};
use indicatif::DecimalBytes;
use serde_json::{Value, json};

use crate::args::VerifyArgs;
use crate::failure::{Failure, FailureKind};
use crate::model::{OpenModel, open_model, open_target};
use crate::paths::{file_name, join, open_file, open_folder, parent};
use crate::progress::Run;
use crate::sources::Sources;
use crate::survival::{MeasuredExport, SurvivalCheck};
use crate::terminal::{Summary, Terminal};
use crate::{report, survival};

pub(crate) fn run(args: &VerifyArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let cannot = |error: io::Error| Failure::input(format!("cannot read {}: {error}", args.out.display()));
    args.out.symlink_metadata().map_err(cannot)?;
    let sources = Sources::new(terminal);
    let OpenModel { model, .. } = open_model(args.base.as_deref(), args.adapter.as_deref(), &sources)?;
    let run = Run { terminal, engine: args.engine, inputs: &sources.inputs };
    if args.logits {
        engine::check_comparable(&model)?;
    }
    let check = SurvivalCheck::new(&args.survival, &model)?;
    let Compared { verdict, export } =
        if args.out.is_dir() { merged(args, &model, run)? } else { gguf(args, &model, &sources, run)? };
    let measured = export.measure(args.logits, check.as_ref(), &model, run);
    let Measured { logits, survival } = match measured {
        Ok(measured) => measured,
        // what differs is why it cannot be measured, and more important
        Err(failure) if difference(&verdict).is_some() && failure.kind != FailureKind::Interrupted => {
            terminal.warn(&format!("its predictions cannot be measured: {failure}"));
            Measured::default()
        }
        Err(failure) => return Err(failure),
    };
    let mut lines = comparison(&args.out, &verdict);
    lines.extend(logits.iter().flat_map(predictions));
    lines.extend(survival.iter().flat_map(survival::lines));
    let kind = args.out.display().to_string();
    let named =
        survival.iter().map(|survival| MeasuredExport { kind: &kind, bytes: verdict.bytes, survival });
    let named: Vec<_> = named.collect();
    let failure = difference(&verdict).or_else(|| check.and_then(|check| check.failure(&named)));
    let figures = json!({
        "path": args.out,
        "identical": verdict.differences.is_empty(),
        "files": verdict.files,
        "bytes": verdict.bytes,
        "tensors": verdict.tensors,
        "report_compared": verdict.reported,
        "differences": verdict.differences.iter().map(|difference| json!({
            "file": difference.file, "tensor": difference.tensor, "problem": difference.problem,
        })).collect::<Vec<_>>(),
        "logits": logits,
        "survival": survival,
        "expected_report": report::as_written(&verdict.report)?,
    });
    Ok(Summary { lines, figures, failure, ..Summary::default() })
}

fn difference(verdict: &Verification) -> Option<Failure> {
    let message = match verdict.differences.len() {
        0 => return None,
        1 => "verification failed: 1 difference".to_owned(),
        count => format!("verification failed: {count} differences"),
    };
    Some(Failure::new(FailureKind::Difference, message))
}

struct Compared {
    /// The comparison of bytes.
    verdict: Verification,
    export: Export,
}

/// The export whose predictions may be measured.
enum Export {
    Merged(Arc<LocalFolder>),
    /// All parts of a file, with the plan and name by which it was compared.
    Gguf(Vec<Arc<dyn Source>>, Box<(GgufPlan, String)>),
}

/// What was measured besides bytes.
#[derive(Default)]
struct Measured {
    /// With `--logits`.
    logits: Option<LogitDivergence>,
    survival: Option<Survival>,
}

impl Export {
    fn measure(
        self,
        with_logits: bool,
        check: Option<&SurvivalCheck>,
        model: &Model,
        run: Run<'_>,
    ) -> Result<Measured, Failure> {
        if !with_logits && check.is_none() {
            return Ok(Measured::default());
        }
        let show = |compare: &dyn Fn(&RunOptions<'_>) -> engine::Result<LogitDivergence>| {
            with_logits.then(|| run.show(Stage::Verifying, compare)).transpose()
        };
        let (logits, measured) = match self {
            Self::Merged(folder) => {
                let merged = Checkpoint::open(folder)?;
                let logits = show(&|run| engine::compare_merged(model, &merged, run))?;
                (logits, check.map(|check| check.measure(model, &[ExportedModel::Merged(merged)], run)))
            }
            Self::Gguf(parts, plan) => {
                let logits = show(&|run| engine::compare_gguf(model, &parts, run))?;
                let (plans, exports) = ([*plan], [ExportedModel::Gguf(parts)]);
                (logits, check.map(|check| check.measure_files(model, (&plans, &exports), run)))
            }
        };
        let survival = measured.transpose()?.and_then(|mut of_exports| of_exports.pop());
        Ok(Measured { logits, survival })
    }
}

fn merged(args: &VerifyArgs, model: &Model, run: Run<'_>) -> Result<Compared, Failure> {
    if args.out.join("adapter_config.json").is_file() && !args.out.join("config.json").exists() {
        let message = "is an adapter as it is, which is not verified: `gemma-export adapter` copies it again, with the same bytes";
        return Err(Failure::input(format!("{} {message}", args.out.display())));
    }
    let plan = MergePlan::new(model)?;
    let folder = open_folder(&args.out)?;
    let verdict = run.show(Stage::Verifying, |run| engine::verify_merge(&plan, &*folder, run))?;
    Ok(Compared { verdict, export: Export::Merged(folder) })
}

fn gguf(args: &VerifyArgs, model: &Model, sources: &Sources, run: Run<'_>) -> Result<Compared, Failure> {
    let name = file_name(&args.out)
        .ok_or_else(|| Failure::input(format!("{} is neither a folder nor a file", args.out.display())))?;
    let folder = open_folder(parent(&args.out))?;
    let (name, count) = parse_split_name(name).unwrap_or((name.to_owned(), 1));
    let parts = open_parts(parent(&args.out), &name, count)?;
    // a header that cannot be read is not that of an export
    let open = |source: &Arc<dyn Source>| {
        GgufFile::open(&**source).map_err(|error| match matches!(error, engine::Error::Invalid { .. }) {
            true => Failure::new(FailureKind::Difference, error.to_string()),
            false => error.into(),
        })
    };
    let files = parts.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let has_type = |file: &GgufFile, expected: &str| {
        file.key_values.iter().any(|pair| pair.key == "general.type" && pair.text() == expected)
    };
    if files.first().is_some_and(|first| has_type(first, "adapter")) {
        let message = "is an adapter as GGUF, which is not verified: `gemma-export lora` makes it again, with the same bytes";
        return Err(Failure::input(format!("{} {message}", args.out.display())));
    }
    let options = options(args, sources, &folder, (&name, &files))?;
    let is_mmproj = |file: &GgufFile| has_type(file, "mmproj");
    let plan = match files.first() {
        Some(first) if is_mmproj(first) => {
            if args.logits || args.survival.is_asked() {
                let message =
                    "is a projector, which predicts no tokens: omit --logits, --survival and --prompts";
                return Err(Failure::usage(format!("{} {message}", args.out.display())));
            }
            GgufPlan::mmproj(model, &options)?
        }
        Some(_) | None => GgufPlan::new(model, &options)?,
    };
    let verdict = run.show(Stage::Verifying, |run| engine::verify_gguf(&plan, &name, &*folder, run))?;
    Ok(Compared { verdict, export: Export::Gguf(parts, Box::new((plan, name))) })
}

/// Opens the file, or all parts of a split one.
fn open_parts(folder: &Path, name: &str, count: usize) -> Result<Vec<Arc<dyn Source>>, Failure> {
    let part = |number| if count == 1 { name.to_owned() } else { split_name(name, number, count) };
    (0..count).map(|number| open_file(&join(folder, &part(number)))).collect()
}

/// The options of the export: those of the command line, else of its report, else of the file.
fn options(
    args: &VerifyArgs,
    sources: &Sources,
    folder: &LocalFolder,
    (name, files): (&str, &[GgufFile]),
) -> Result<GgufOptions, Failure> {
    // a GGUF file does not record whether an mmproj file was written too
    let mut options = GgufOptions::from_files(files, name)?.with_separate_mmproj();
    let report = reported(folder, &ExportReport::beside(name))?;
    let reported = &report["options"];
    if let Some(name) = args.name.as_deref().or_else(|| reported["name"].as_str()) {
        options = options.with_name(name);
    }
    if reported["through"] == "f16" {
        options = options.through_f16();
    }
    if reported.is_object() && reported["qat"].is_null() && !is_moved_off_grid(&report) {
        options = options.without_grid();
    }
    // a broken report is found by the comparison
    options = options.with_types(serde_json::from_value(reported["types"].clone()).unwrap_or_default());
    if let Some(most) = reported["split_max_size"].as_u64() {
        options = options.with_split_size(most);
    }
    if let Some(folder) = &args.target_model {
        options = options.with_target(&open_target(folder, sources)?);
    }
    let imatrix =
        files.iter().flat_map(|file| &file.key_values).find(|pair| pair.key == "quantize.imatrix.file");
    match (&args.imatrix, imatrix) {
        (Some(path), Some(key)) => Ok(options.with_imatrix(Imatrix::open(&*open_file(path)?, key.text())?)),
        (None, Some(key)) => Err(Failure::usage(format!(
            "{name} was quantized with the importance matrix {}: pass it as --imatrix",
            key.text()
        ))),
        (Some(_), None) => {
            Err(Failure::usage(format!("{name} was quantized without an importance matrix: omit --imatrix")))
        }
        (None, None) => Ok(options),
    }
}

/// Whether a grid was looked for and found, and the adapter moves every weight in Q4_0 off it.
fn is_moved_off_grid(report: &Value) -> bool {
    report["warnings"].as_array().into_iter().flatten().any(|warning| warning["code"] == "moved_off_grid")
}

/// The report; `Null` when there is none.
fn reported(folder: &LocalFolder, name: &str) -> Result<Value, Failure> {
    let cannot = |error: &dyn std::fmt::Display| Failure::input(format!("cannot read {name}: {error}"));
    let source = match folder.open(name) {
        Ok(source) => source,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Value::Null),
        Err(error) => return Err(cannot(&error)),
    };
    let mut text = vec![0; usize::try_from(source.size()).map_err(|error| cannot(&error))?];
    source.read_at(0, &mut text).map_err(|error| cannot(&error))?;
    // a broken report is found by the comparison
    Ok(serde_json::from_slice::<Value>(&text).unwrap_or_default())
}

fn comparison(path: &Path, verdict: &Verification) -> Vec<String> {
    const SHOWN: usize = 50;
    let size = DecimalBytes(verdict.bytes);
    let mut lines = vec![
        path.display().to_string(),
        format!("  compared {} tensors, {size} in {} files", verdict.tensors, verdict.files),
        format!("  report   {}", if verdict.reported { "compared" } else { "not found" }),
    ];
    lines.extend(verdict.differences.iter().take(SHOWN).map(|difference| {
        let tensor = difference.tensor.as_ref().map(|name| format!(": tensor {name}"));
        format!("  \u{2717} {}{} {}", difference.file, tensor.unwrap_or_default(), difference.problem)
    }));
    match verdict.differences.len() {
        0 => lines.push("  \u{2713} identical to a new export of the same inputs".to_owned()),
        count if count > SHOWN => lines.push(format!("  \u{2717} {} more differences", count - SHOWN)),
        _ => {}
    }
    lines
}

fn predictions(logits: &LogitDivergence) -> [String; 3] {
    let LogitDivergence { tokens, kl_mean, kl_max, top1 } = logits;
    [
        format!("  logits   {tokens} tokens, compared with base and adapter"),
        format!("           KL divergence: mean {kl_mean:.2e} nats, max {kl_max:.2e}"),
        format!("           same most likely token: {:.1} %", top1 * 100.0),
    ]
}
