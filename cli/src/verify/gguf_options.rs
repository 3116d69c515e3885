//! The options with which a GGUF file was made.

use std::io::ErrorKind;

use engine::{ExportReport, Folder, GgufFile, GgufOptions, GgufPlan, Imatrix, LocalFolder, Model};
use serde_json::Value;

use crate::args::VerifyArgs;
use crate::failure::Failure;
use crate::model::open_target;
use crate::paths::open_file;
use crate::sources::Sources;

/// The options of the export: those of the command line, else of its report, else of the file.
pub(super) fn options(
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

/// The plan by which files were made, and its options: without a report, the types of tensors are those of the files.
pub(super) fn plan(
    model: &Model,
    options: GgufOptions,
    folder: &LocalFolder,
    (name, files): (&str, &[GgufFile]),
) -> Result<(GgufPlan, GgufOptions), Failure> {
    let plan = GgufPlan::new(model, &options)?;
    if !reported(folder, &ExportReport::beside(name))?.is_null() {
        return Ok((plan, options));
    }
    let Some(types) = plan.other_types(files) else { return Ok((plan, options)) };
    let typed = options.clone().with_types(types);
    // types that no export has are found by the comparison
    Ok(GgufPlan::new(model, &typed).map_or((plan, options), |plan| (plan, typed)))
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
