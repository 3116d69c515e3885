//! What was made, for people and for scripts that read lines.

use std::path::Path;
use std::time::{Duration, Instant};

use engine::report::ReportSummary;
use engine::{Outcome, WrittenFile};
use indicatif::DecimalBytes;

pub(crate) struct Timer(Instant);

impl Timer {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Prints path, files with sizes and hashes, time, and what was applied.
pub(crate) fn print(place: &Path, outcome: &Outcome, timer: &Timer) {
    let total: u64 = outcome.files.iter().map(|f| f.size).sum();
    let seconds = timer.elapsed().as_secs_f64();
    let rate = DecimalBytes((total as f64 / seconds.max(1e-9)) as u64);
    println!("{}", place.display());
    let width = outcome.files.iter().map(|f| f.name.len()).max().unwrap_or(0);
    for file in &outcome.files {
        println!("  {:width$}  {:>10}  {}", file.name, DecimalBytes(file.size).to_string(), file.sha256);
    }
    println!("  size    {} in {} files ({total} bytes)", DecimalBytes(total), outcome.files.len());
    println!("  time    {seconds:.1} s ({rate}/s)");
    println!("  applied {}", applied(&outcome.report.summary));
    proof(&outcome.report.summary).iter().for_each(|line| println!("  {line}"));
}

/// How far the result is from the base, and a GGUF file from the weights it was made of.
fn proof(proof: &ReportSummary) -> Vec<String> {
    let mut lines = Vec::new();
    if proof.tensors_changed > 0 {
        let ReportSummary { elements_changed, largest_change, mean_change, .. } = proof;
        lines.push(format!(
            "changed {elements_changed} weights, by {largest_change:.3e} at the most and {mean_change:.3e} in the mean"
        ));
    }
    if let (Some(rmse), Some(largest)) = (proof.rmse, proof.largest_error) {
        lines.push(format!("error   {rmse:.3e} (root mean square), {largest:.3e} at the most"));
    }
    lines
}

/// Prints path, size and hash of an adapter's file, and what is in it.
pub(crate) fn print_lora(place: &Path, file: &WrittenFile, pairs: usize) {
    println!("{}", place.display());
    println!("  size    {} ({} bytes)", DecimalBytes(file.size), file.size);
    println!("  sha256  {}", file.sha256);
    println!("  holds   {pairs} LoRA pairs");
}

fn applied(summary: &ReportSummary) -> String {
    let ReportSummary { pairs, tensors_changed, tensors_zero: zero, tensors_unchanged: unchanged, .. } =
        summary;
    if *pairs == 0 {
        return format!("no adapter: {unchanged} tensors as they were");
    }
    let mut text =
        format!("{pairs} LoRA pairs to {} tensors, {unchanged} tensors unchanged", tensors_changed + zero);
    if *zero > 0 {
        text.push_str(&format!(" ({zero} of the pairs are zero: they were never trained)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(pairs: usize, changed: usize, zero: usize, unchanged: usize) -> ReportSummary {
        ReportSummary {
            pairs,
            tensors_changed: changed,
            tensors_zero: zero,
            tensors_unchanged: unchanged,
            elements_changed: 0,
            largest_change: 0.0,
            mean_change: 0.0,
            rmse: None,
            largest_error: None,
        }
    }

    #[test]
    fn the_summary_counts_pairs_and_tensors() {
        assert_eq!(applied(&summary(14, 14, 0, 12)), "14 LoRA pairs to 14 tensors, 12 tensors unchanged");
    }

    #[test]
    fn untrained_pairs_are_mentioned() {
        assert!(applied(&summary(3, 1, 2, 5)).contains("2 of the pairs are zero"));
    }
}
