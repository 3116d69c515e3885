//! Summaries of exports: lines for people, and an object for programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::report::ReportSummary;
use engine::{CopiedAdapter, ExportReport, Outcome, WrittenFile};
use indicatif::DecimalBytes;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::terminal::Summary;
use crate::{next_step, survival};

/// The summary of an export that is complete.
pub(crate) struct ExportSummary {
    path: PathBuf,
    lines: Vec<String>,
    next_steps: Vec<String>,
    figures: Value,
}

/// The result of a command that made these exports.
pub(crate) fn summary(exports: Vec<ExportSummary>, failure: Option<Failure>) -> Summary {
    let complete = exports.first().map(|export| export.path.clone());
    let (mut lines, mut next_steps, mut figures) = (Vec::new(), Vec::new(), Vec::new());
    for export in exports {
        lines.extend(export.lines);
        next_steps.extend(export.next_steps);
        figures.push(export.figures);
    }
    Summary {
        lines,
        next_steps,
        figures: json!({ "exports": figures }),
        complete,
        failure,
        ..Summary::default()
    }
}

impl ExportSummary {
    /// Of a model at `path`, with the time until all of its files were written, and commands that use it.
    pub(crate) fn new(
        path: PathBuf,
        outcome: &Outcome,
        elapsed: Duration,
        next_steps: Vec<String>,
    ) -> Result<Self, Failure> {
        let (files, report) = (&outcome.files, &outcome.report);
        let mut lines = written(&path, files, elapsed);
        lines.extend(effect(&report.summary));
        lines.extend(dropped(&report.dropped_modules));
        lines.extend(report.survival.iter().flat_map(survival::lines));
        let mut figures = figures(&path, files, &next_steps);
        figures["seconds"] = elapsed.as_secs_f64().into();
        figures["report"] = as_written(report)?;
        Ok(Self { path, lines, next_steps, figures })
    }

    /// Of an adapter that was copied to `path`.
    pub(crate) fn of_adapter(
        path: &Path,
        copied: &CopiedAdapter,
        elapsed: Duration,
        base_model: Option<&str>,
    ) -> Result<Self, Failure> {
        let next_steps = next_step::adapter(path, base_model);
        let lines = written(path, &copied.files, elapsed);
        let mut figures = figures(path, &copied.files, &next_steps);
        figures["seconds"] = elapsed.as_secs_f64().into();
        figures["report"] = read_report(&path.join(ExportReport::FILE))?;
        Ok(Self { path: path.to_owned(), lines, next_steps, figures })
    }

    /// Of an adapter as GGUF at `path`.
    pub(crate) fn of_lora(path: PathBuf, file: &WrittenFile, pairs: usize) -> Result<Self, Failure> {
        let next_steps = next_step::lora(&path);
        let lines = vec![
            path.display().to_string(),
            format!("  size     {} ({} bytes)", DecimalBytes(file.size), file.size),
            format!("  sha256   {}", file.sha256),
            format!("  adapter  {pairs} LoRA pairs"),
        ];
        let mut figures = figures(&path, std::slice::from_ref(file), &next_steps);
        figures["report"] = read_report(&path.with_file_name(ExportReport::beside(&file.name)))?;
        Ok(Self { path, lines, next_steps, figures })
    }
}

/// A report as its file has it, with numbers of the same digits.
pub(crate) fn as_written(report: &ExportReport) -> Result<Value, Failure> {
    Ok(serde_json::from_slice(&report.to_json()?)?)
}

fn read_report(path: &Path) -> Result<Value, Failure> {
    let text = std::fs::read(path);
    let text = text.map_err(|e| Failure::output(format!("cannot read {}: {e}", path.display())))?;
    Ok(serde_json::from_slice(&text)?)
}

fn figures(path: &Path, files: &[WrittenFile], next_steps: &[String]) -> Value {
    let file = |f: &WrittenFile| json!({ "name": f.name, "bytes": f.size, "sha256": f.sha256 });
    json!({
        "path": path,
        "bytes": files.iter().map(|f| f.size).sum::<u64>(),
        "files": files.iter().map(file).collect::<Vec<_>>(),
        "next_steps": next_steps,
    })
}

/// The path, the files with sizes and SHA-256, and the time.
fn written(path: &Path, files: &[WrittenFile], elapsed: Duration) -> Vec<String> {
    let total: u64 = files.iter().map(|f| f.size).sum();
    let seconds = elapsed.as_secs_f64();
    let rate = DecimalBytes((total as f64 / seconds.max(1e-9)) as u64);
    let width = files.iter().map(|f| f.name.len()).max().unwrap_or(0);
    let file = |f: &WrittenFile| {
        format!("  {:width$}  {:>10}  {}", f.name, DecimalBytes(f.size).to_string(), f.sha256)
    };
    let mut lines = vec![path.display().to_string()];
    lines.extend(files.iter().map(file));
    let count = files.len();
    lines.push(format!("  size     {} in {count} files ({total} bytes)", DecimalBytes(total)));
    lines.push(format!("  time     {seconds:.1} s ({rate}/s)"));
    lines
}

/// The modules of the adapter that were left out.
fn dropped(modules: &[String]) -> Option<String> {
    const SHOWN: usize = 3;
    let named = modules.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if modules.len() > SHOWN { ", …" } else { "" };
    let count = modules.len();
    (count > 0)
        .then(|| format!("  dropped  {count} changes that are zero and not in the base: {named}{more}"))
}

/// What the adapter changed, and the quantization error of a GGUF file.
fn effect(proof: &ReportSummary) -> Vec<String> {
    let mut lines = vec![format!("  adapter  {}", adapter(proof))];
    if proof.tensors_changed > 0 {
        let ReportSummary { elements_changed, largest_change, mean_change, .. } = proof;
        lines.push(format!(
            "  weights  {elements_changed} changed (max {largest_change:.3e}, mean {mean_change:.3e})"
        ));
    }
    if let (Some(rmse), Some(largest)) = (proof.rmse, proof.largest_error) {
        lines.push(format!("  error    RMSE {rmse:.3e}, max {largest:.3e} (quantization)"));
    }
    lines
}

fn adapter(proof: &ReportSummary) -> String {
    let ReportSummary { pairs, tensors_changed, tensors_zero, tensors_unchanged, .. } = *proof;
    if pairs == 0 {
        return format!("none; {tensors_unchanged} tensors unchanged");
    }
    let targets = tensors_changed + tensors_zero;
    let mut text =
        format!("{pairs} LoRA pairs merged into {targets} tensors; {tensors_unchanged} tensors unchanged");
    if tensors_zero > 0 {
        text.push_str(&format!(", and {tensors_zero} of the {targets} get a change of zero"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(pairs: usize, changed: usize, zero: usize, unchanged: usize) -> ReportSummary {
        ReportSummary {
            pairs,
            tensors_changed: changed,
            tensors_zero: zero,
            tensors_unchanged: unchanged,
            elements_changed: 7,
            largest_change: 0.5,
            mean_change: 0.25,
            rmse: None,
            largest_error: None,
        }
    }

    #[test]
    fn the_summary_states_each_count_once() {
        assert_eq!(
            effect(&proof(14, 14, 0, 12)),
            [
                "  adapter  14 LoRA pairs merged into 14 tensors; 12 tensors unchanged",
                "  weights  7 changed (max 5.000e-1, mean 2.500e-1)",
            ]
        );
        assert_eq!(effect(&proof(0, 0, 0, 26)), ["  adapter  none; 26 tensors unchanged"]);
    }

    #[test]
    fn a_gguf_summary_states_the_quantization_error() {
        let proof = ReportSummary { rmse: Some(0.001), largest_error: Some(0.25), ..proof(0, 0, 0, 26) };
        assert_eq!(effect(&proof)[1], "  error    RMSE 1.000e-3, max 2.500e-1 (quantization)");
    }

    #[test]
    fn dropped_modules_are_named() {
        let modules = ["a", "b", "c", "d"].map(str::to_owned);
        assert_eq!(dropped(&[]), None);
        let line = dropped(&modules).unwrap();
        assert_eq!(line, "  dropped  4 changes that are zero and not in the base: a, b, c, …");
    }

    #[test]
    fn untrained_pairs_are_mentioned() {
        assert!(adapter(&proof(3, 1, 2, 5)).ends_with("and 2 of the 3 get a change of zero"));
    }
}
