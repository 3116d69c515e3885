//! `gemma-export verify`

use std::error::Error;
use std::io::ErrorKind;
use std::path::Path;

use engine::{
    Checkpoint, ExportReport, Folder, GgufFile, GgufOptions, GgufPlan, Imatrix, LocalFolder, LogitDivergence,
    MergePlan, Model, Stage, Verification, split_name, split_of,
};
use indicatif::DecimalBytes;
use serde_json::Value;

use crate::args::VerifyArgs;
use crate::place::{open_file, open_folder, open_model, parent};
use crate::watch;

pub(crate) fn run(args: &VerifyArgs) -> Result<(), Box<dyn Error>> {
    let model = open_model(&args.base, args.adapter.as_deref())?;
    if args.logits {
        engine::check_comparable(&model)?;
    }
    let (verdict, logits) = if args.out.is_dir() { merged(args, &model)? } else { gguf(args, &model)? };
    print(&args.out, &verdict);
    if let Some(logits) = logits {
        print_logits(&logits);
    }
    match verdict.differences.len() {
        0 => Ok(()),
        1 => Err("one thing is not as it must be".into()),
        count => Err(format!("{count} things are not as they must be").into()),
    }
}

/// What the bytes say, and what the predictions say where that was asked for.
type Found = (Verification, Option<LogitDivergence>);

fn merged(args: &VerifyArgs, model: &Model) -> Result<Found, Box<dyn Error>> {
    let plan = MergePlan::new(model)?;
    let folder = open_folder(&args.out)?;
    watch::watched(Stage::Verifying, args.threads, |run| {
        let verdict = engine::verify_merge(&plan, &*folder, run)?;
        let logits = || engine::compare_merged(model, &Checkpoint::open(folder.clone())?, run);
        Ok((verdict, args.logits.then(logits).transpose()?))
    })
}

fn gguf(args: &VerifyArgs, model: &Model) -> Result<Found, Box<dyn Error>> {
    let name = args.out.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| format!("{} is neither a folder nor a file", args.out.display()))?;
    let folder = open_folder(parent(&args.out))?;
    let (name, count) = split_of(name).unwrap_or((name.to_owned(), 1));
    let (mut files, mut sources) = (Vec::new(), Vec::new());
    for number in 0..count {
        let part = if count == 1 { name.clone() } else { split_name(&name, number, count) };
        let source = open_file(&parent(&args.out).join(part))?;
        files.push(GgufFile::open(&*source)?);
        sources.push(source);
    }
    let options = options(args, &folder, &name, &files)?;
    let is_tower =
        |file: &GgufFile| file.keys.iter().any(|k| k.name == "general.type" && k.text() == "mmproj");
    let plan = match files.first() {
        Some(first) if is_tower(first) => GgufPlan::mmproj(model, &options)?,
        Some(_) | None => GgufPlan::new(model, &options)?,
    };
    watch::watched(Stage::Verifying, args.threads, |run| {
        let verdict = engine::verify_gguf(&plan, &name, &*folder, run)?;
        let logits = || engine::compare_gguf(model, &sources, run);
        Ok((verdict, args.logits.then(logits).transpose()?))
    })
}

/// How the file was made: what was typed, else what its report says, else what it says itself.
fn options(
    args: &VerifyArgs,
    folder: &LocalFolder,
    name: &str,
    files: &[GgufFile],
) -> Result<GgufOptions, Box<dyn Error>> {
    // whether towers went into another file too, this one does not say
    let mut options = GgufOptions::of_files(files, name)?.with_towers_apart();
    let reported = reported(folder, &ExportReport::beside(name))?;
    if let Some(name) = args.name.as_deref().or_else(|| reported["name"].as_str()) {
        options = options.named(name);
    }
    if reported["through"] == "f16" {
        options = options.through_f16();
    }
    if let Some(most) = reported["split_max_size"].as_u64() {
        options = options.split_at(most);
    }
    let imatrix = files.iter().flat_map(|file| &file.keys).find(|key| key.name == "quantize.imatrix.file");
    match (&args.imatrix, imatrix) {
        (Some(path), Some(key)) => Ok(options.with_imatrix(Imatrix::open(&*open_file(path)?, key.text())?)),
        (None, Some(key)) => {
            Err(format!("{name} was made with the importance matrix {}: give it as --imatrix", key.text())
                .into())
        }
        (Some(_), None) => Err(format!("{name} was made without an importance matrix").into()),
        (None, None) => Ok(options),
    }
}

/// The options in a report; nothing when there is none.
fn reported(folder: &LocalFolder, name: &str) -> Result<Value, Box<dyn Error>> {
    let source = match folder.open(name) {
        Ok(source) => source,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Value::Null),
        Err(error) => return Err(format!("cannot read {name}: {error}").into()),
    };
    let mut text = vec![0; usize::try_from(source.size())?];
    source.read_at(0, &mut text)?;
    // one that is broken says nothing, and the check finds it
    Ok(serde_json::from_slice::<Value>(&text).map_or(Value::Null, |report| report["options"].clone()))
}

fn print(place: &Path, verdict: &Verification) {
    const SHOWN: usize = 50;
    println!("{}", place.display());
    let size = DecimalBytes(verdict.bytes);
    println!("  compared {} tensors, {size} in {} files", verdict.tensors, verdict.files);
    println!("  report   {}", if verdict.reported { "compared" } else { "there is none" });
    for difference in verdict.differences.iter().take(SHOWN) {
        let tensor = difference.tensor.as_ref().map(|name| format!(": tensor {name}"));
        println!("  \u{2717} {}{} {}", difference.file, tensor.unwrap_or_default(), difference.problem);
    }
    match verdict.differences.len() {
        0 => println!("  \u{2713} everything is as base and adapter make it"),
        count if count > SHOWN => println!("  \u{2717} and {} more", count - SHOWN),
        _ => {}
    }
}

fn print_logits(logits: &LogitDivergence) {
    let LogitDivergence { tokens, kl_mean, kl_max, top1 } = logits;
    println!("  logits   of {tokens} tokens, beside base and adapter:");
    println!("           KL divergence {kl_mean:.2e} nats on average, {kl_max:.2e} at most");
    println!("           the same token first in {:.1} %", top1 * 100.0);
}
