//! The types of single tensors: the options of `gguf` that select them, and the list of `--dry-run`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use engine::{FittedTypes, GgufPlan, NamedType, TensorSummary, TypeOverrides};
use indicatif::DecimalBytes;
use serde_json::json;

use crate::args::TensorTypeArgs;
use crate::failure::Failure;
use crate::paths::join;
use crate::terminal::Summary;

/// The types that the arguments ask for, with those of the file.
pub(crate) fn overrides(args: &TensorTypeArgs) -> Result<TypeOverrides, Failure> {
    let mut tensors = args.tensor_type.clone();
    if let Some(path) = &args.tensor_type_file {
        tensors.extend(read(path)?);
    }
    Ok(TypeOverrides {
        tensors,
        output: args.output_tensor_type,
        token_embedding: args.token_embedding_type,
        pure: args.pure,
    })
}

fn read(path: &Path) -> Result<Vec<NamedType>, Failure> {
    let error = |problem: &dyn std::fmt::Display| {
        Failure::input(format!("cannot read {}: {problem}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|e| error(&e))?;
    text.split_whitespace().map(|word| word.parse().map_err(|e: String| error(&e))).collect()
}

/// The tensors of planned exports with their types and sizes, and the files with theirs.
pub(crate) fn summary<'a>(plans: impl Iterator<Item = (&'a GgufPlan, &'a Path, &'a str)>) -> Summary {
    let (mut all, mut exports) = (Vec::new(), Vec::new());
    for (plan, folder, name) in plans {
        all.extend(lines(plan, folder, name));
        let tensors = plan.tensors().map(|tensor| {
            let TensorSummary { name, shape, stored_type, bytes } = tensor;
            json!({ "name": name, "shape": shape, "type": stored_type.as_str(), "bytes": bytes })
        });
        let files = plan.files(name);
        let files = files.iter().map(|file| json!({ "name": file.name, "bytes": file.size }));
        exports.push(json!({
            "path": join(folder, name),
            "tensors": tensors.collect::<Vec<_>>(),
            "files": files.collect::<Vec<_>>(),
        }));
    }
    let figures = json!({ "planned": exports });
    Summary { lines: all, figures, ..Summary::default() }
}

fn lines(plan: &GgufPlan, folder: &Path, name: &str) -> Vec<String> {
    let tensors: Vec<TensorSummary<'_>> = plan.tensors().collect();
    let width = tensors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0);
    let shapes: Vec<String> = tensors.iter().map(|tensor| shape(tensor.shape)).collect();
    let shape_width = shapes.iter().map(String::len).max().unwrap_or(0);
    let tensor = |(tensor, shape): (&TensorSummary<'_>, &String)| {
        let TensorSummary { name, stored_type, bytes, .. } = tensor;
        format!("  {name:width$}  {shape:>shape_width$}  {:6}  {bytes:>12}", stored_type.as_str())
    };
    let mut lines = vec![join(folder, name).display().to_string()];
    lines.extend(tensors.iter().zip(&shapes).map(tensor));
    let elements: u64 = tensors.iter().map(|tensor| tensor.shape.iter().product::<u64>()).sum();
    let bytes: u64 = tensors.iter().map(|tensor| tensor.bytes).sum();
    let bits = bytes as f64 * 8.0 / elements.max(1) as f64;
    let count = tensors.len();
    lines.push(format!(
        "  tensors  {count}, {} ({bytes} bytes), {bits:.2} bits per weight",
        DecimalBytes(bytes)
    ));
    lines.extend(
        plan.files(name).iter().map(|file| format!("  file     {} ({} bytes)", file.name, file.size)),
    );
    lines
}

fn shape(shape: &[u64]) -> String {
    shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" \u{d7} ")
}

/// What was chosen for a size.
pub(crate) fn chosen(fitted: &FittedTypes, max_bytes: u64) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    fitted.types.iter().for_each(|(_, as_type)| *counts.entry(as_type.as_str()).or_default() += 1);
    let types: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let mixture = fitted.mixture.map_or_else(
        || "no mixture of llama-quantize is as small".to_owned(),
        |(mixture, error)| format!("{error:.3e} in {mixture}, the best mixture of that size"),
    );
    format!(
        "{} of {} at most: {}; sum of weighted errors {:.3e}, {mixture}",
        DecimalBytes(fitted.size),
        DecimalBytes(max_bytes),
        types.join(", "),
        fitted.error
    )
}
