//! `gemma-export verify`

mod compared;
mod gguf_options;

use std::io;
use std::path::Path;

use engine::{ExportReport, LogitDivergence, Verification, parse_split_name};
use indicatif::DecimalBytes;
use serde_json::json;

use crate::args::VerifyArgs;
use crate::earlier_export::names_adapter;
use crate::failure::{Failure, FailureKind};
use crate::paths::file_name;
use crate::progress::Run;
use crate::sources::Sources;
use crate::survival::{self, MeasuredExport};
use crate::terminal::{Summary, Terminal};
use compared::Measured;

pub(crate) fn run(args: &VerifyArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let cannot = |error: io::Error| Failure::input(format!("cannot read {}: {error}", args.out.display()));
    args.out.symlink_metadata().map_err(cannot)?;
    let hint = adapter_hint(args);
    let sources = Sources::new(terminal);
    let run = Run::new(terminal, args.engine, &sources.inputs);
    let compared = compared::compare(args, hint, &sources, run)?;
    let verdict = &compared.verdict;
    let Measured { logits, survival } = match compared.measure(args.logits, run) {
        Ok(measured) => measured,
        // what differs is why it cannot be measured, and more important
        Err(failure) if !verdict.differences.is_empty() && failure.kind != FailureKind::Interrupted => {
            terminal.warn(&format!("its predictions cannot be measured: {failure}"));
            Measured::default()
        }
        Err(failure) => return Err(failure),
    };
    let mut lines = comparison(&args.out, verdict);
    lines.extend(logits.iter().flat_map(predictions));
    lines.extend(survival.iter().flat_map(survival::lines));
    let (name, more) = (args.out.display().to_string(), compared.more_survival());
    let named =
        survival.iter().map(|survival| MeasuredExport { name: &name, more, bytes: verdict.bytes, survival });
    let named: Vec<_> = named.collect();
    let failure =
        difference(hint, verdict).or_else(|| compared.check.as_ref().and_then(|check| check.failure(&named)));
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
        "expected_report": verdict.report,
    });
    Ok(Summary { lines, figures, failure, ..Summary::default() })
}

fn difference(hint: Option<&str>, verdict: &Verification) -> Option<Failure> {
    let message = match verdict.differences.len() {
        0 => return None,
        1 => "verification failed: 1 difference".to_owned(),
        count => format!("verification failed: {count} differences"),
    };
    let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
    Some(Failure::new(FailureKind::Difference, message + &hint))
}

/// What to do where the export's report names an adapter and the arguments do not, or the reverse.
fn adapter_hint(args: &VerifyArgs) -> Option<&'static str> {
    let reports = match args.out.is_dir() {
        true => vec![args.out.join(ExportReport::FILE)],
        false => {
            let name = file_name(&args.out)?;
            let whole = parse_split_name(name).map(|(whole, _)| whole);
            let names = [Some(name.to_owned()), whole].into_iter().flatten();
            names.map(|name| args.out.with_file_name(ExportReport::beside(&name))).collect()
        }
    };
    match (reports.iter().find_map(|report| names_adapter(report))?, args.adapter.is_some()) {
        (true, false) => Some("the export was made with an adapter: give it as --adapter"),
        (false, true) => Some("the export was made without an adapter: omit --adapter"),
        (true, true) | (false, false) => None,
    }
}

fn comparison(path: &Path, verdict: &Verification) -> Vec<String> {
    const SHOWN: usize = 50;
    let size = DecimalBytes(verdict.bytes);
    let files = if verdict.files == 1 { "1 file".to_owned() } else { format!("{} files", verdict.files) };
    let tensors = verdict.tensors.map(|count| format!("{count} tensors, ")).unwrap_or_default();
    let mut lines = vec![
        path.display().to_string(),
        format!("  compared {tensors}{size} in {files}"),
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
