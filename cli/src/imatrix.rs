//! `gemma-export imatrix`

use std::path::Path;

use engine::{CalibrationText, Imatrix, LocalOutput, Stage, measure_imatrix};
use indicatif::DecimalBytes;
use serde_json::json;

use crate::args::ImatrixArgs;
use crate::failure::Failure;
use crate::model::{OpenModel, open_model};
use crate::next_step;
use crate::outputs::{check_early, check_files};
use crate::paths::{content, join, open_file, output_file};
use crate::progress::Run;
use crate::sources::Sources;
use crate::terminal::{Summary, Terminal};

pub(crate) fn run(args: &ImatrixArgs, terminal: Terminal) -> Result<Summary, Failure> {
    let (folder, name) = output_file(&args.out)?;
    let files = [join(folder, name)];
    check_early(&files, args.force, is_imatrix)?;
    let sources = Sources::new(terminal);
    let OpenModel { model, .. } = open_model(args.base.as_deref(), args.adapter.as_deref(), &sources)?;
    engine::check_comparable(&model)?;
    let text = sources.inputs.open_file(&args.text)?;
    let bytes = content(&*text, &args.text)?;
    check_files(&files, &sources.inputs, args.force, is_imatrix)?;
    let file = args.text.display().to_string();
    let text = CalibrationText { file: &file, bytes: &bytes, max_chunks: args.chunks.get() };
    let run = Run::new(terminal, args.engine, &sources.inputs);
    let measured = run.show(Stage::Calibrating, |run| measure_imatrix(&model, &text, run))?;
    let written = measured.write(name, &mut LocalOutput::create(folder)?.create_new(!args.force))?;
    let (chunks, tokens, tensors) = (measured.chunks(), measured.tokens(), measured.tensors());
    let next_steps = next_step::imatrix(args.base.as_deref(), args.adapter.as_deref(), &args.out);
    let mut lines = vec![
        args.out.display().to_string(),
        format!("  size     {} ({} bytes)", DecimalBytes(written.size), written.size),
        format!("  sha256   {}", written.sha256),
        format!("  text     {tokens} tokens in {chunks} chunks"),
    ];
    lines.extend(measured.left_out().map(|left_out| format!("           conversations {left_out}")));
    lines.push(format!("  tensors  {tensors}"));
    Ok(Summary {
        lines,
        figures: json!({
            "path": args.out,
            "bytes": written.size,
            "sha256": written.sha256,
            "chunks": chunks,
            "tokens": tokens,
            "left_out": measured.left_out(),
            "tensors": tensors,
            "next_steps": next_steps,
        }),
        next_steps,
        complete: Some(args.out.clone()),
        ..Summary::default()
    })
}

/// Whether a file is an importance matrix, which another one may replace.
fn is_imatrix(path: &Path) -> bool {
    open_file(path).is_ok_and(|file| Imatrix::open(&*file, "").is_ok())
}
