//! Summaries of exports on standard output, one fact per line.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use engine::report::{ExportWarning, ReportSummary};
use engine::{Outcome, WrittenFile};
use indicatif::DecimalBytes;

/// Prints lines.
pub(crate) fn print(lines: &[String]) -> Result<(), String> {
    put(lines).map_err(|error| format!("cannot write to standard output: {error}"))
}

/// Writes lines to standard output. A reader that has closed the pipe, such as `head`, is no error.
fn put(lines: &[String]) -> io::Result<()> {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Prints the summary of an export that is complete at `path`.
pub(crate) fn print_export(path: &Path, lines: &[String]) -> Result<(), String> {
    put(lines).map_err(|error| {
        let path = path.display();
        format!("{path} is complete, but its summary cannot be written to standard output: {error}")
    })
}

/// Prints a line to standard error. Where that cannot be written, there is nobody to tell.
pub(crate) fn warn(line: &str) {
    writeln!(io::stderr(), "{line}").ok();
}

/// Prints what an export could not check.
pub(crate) fn warnings<'a>(warnings: impl IntoIterator<Item = &'a ExportWarning>) {
    warnings.into_iter().for_each(|warning| warn(&format!("warning: {}", warning.message)));
}

/// The path, the files with sizes and SHA-256, the time, and the report's summary.
pub(crate) fn export(path: &Path, outcome: &Outcome, elapsed: Duration) -> Vec<String> {
    let total: u64 = outcome.files.iter().map(|f| f.size).sum();
    let seconds = elapsed.as_secs_f64();
    let rate = DecimalBytes((total as f64 / seconds.max(1e-9)) as u64);
    let width = outcome.files.iter().map(|f| f.name.len()).max().unwrap_or(0);
    let file = |f: &WrittenFile| {
        format!("  {:width$}  {:>10}  {}", f.name, DecimalBytes(f.size).to_string(), f.sha256)
    };
    let mut lines = vec![path.display().to_string()];
    lines.extend(outcome.files.iter().map(file));
    let count = outcome.files.len();
    lines.push(format!("  size     {} in {count} files ({total} bytes)", DecimalBytes(total)));
    lines.push(format!("  time     {seconds:.1} s ({rate}/s)"));
    lines.extend(summary(&outcome.report.summary));
    lines.extend(dropped(&outcome.report.dropped_modules));
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

/// Path, size, SHA-256 and number of LoRA pairs of a GGUF adapter.
pub(crate) fn lora(path: &Path, file: &WrittenFile, pairs: usize) -> Vec<String> {
    vec![
        path.display().to_string(),
        format!("  size     {} ({} bytes)", DecimalBytes(file.size), file.size),
        format!("  sha256   {}", file.sha256),
        format!("  adapter  {pairs} LoRA pairs"),
    ]
}

/// What the adapter changed, and the quantization error of a GGUF file.
fn summary(proof: &ReportSummary) -> Vec<String> {
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
        text.push_str(&format!(" ({tensors_zero} pairs are zero: they were never trained)"));
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
            summary(&proof(14, 14, 0, 12)),
            [
                "  adapter  14 LoRA pairs merged into 14 tensors; 12 tensors unchanged",
                "  weights  7 changed (max 5.000e-1, mean 2.500e-1)",
            ]
        );
        assert_eq!(summary(&proof(0, 0, 0, 26)), ["  adapter  none; 26 tensors unchanged"]);
    }

    #[test]
    fn a_gguf_summary_states_the_quantization_error() {
        let proof = ReportSummary { rmse: Some(0.001), largest_error: Some(0.25), ..proof(0, 0, 0, 26) };
        assert_eq!(summary(&proof)[1], "  error    RMSE 1.000e-3, max 2.500e-1 (quantization)");
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
        assert!(adapter(&proof(3, 1, 2, 5)).contains("2 pairs are zero"));
    }
}
