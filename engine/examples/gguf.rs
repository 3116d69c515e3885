//! Converts a model with its LoRA adapter to GGUF: `cargo run --release --example gguf -- BASE ADAPTER OUT.gguf [TYPE]`.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use engine::{
    Adapter, Checkpoint, GgufOptions, GgufPlan, LocalFolder, LocalOutput, Model, Progress, ProgressUpdate,
    RunOptions,
};

/// Prints each percent of the output.
struct Percent;

impl Progress for Percent {
    fn report(&self, update: ProgressUpdate) {
        eprint!("\r{} %", update.done * 100 / update.total.max(1));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or("usage: gguf BASE ADAPTER OUT.gguf [TYPE]");
    let (base, adapter, out) = (next()?, next()?, next()?);
    let output_type = args.next().as_deref().unwrap_or("q4_k_m").parse()?;
    let base = Checkpoint::open(Arc::new(LocalFolder::open(base)?))?;
    let adapter = Adapter::open(Arc::new(LocalFolder::open(adapter)?))?;
    let model = Model::with_adapter(&base, &adapter)?;
    let plan = GgufPlan::new(&model, &GgufOptions::new(output_type, "My model"))?;
    let out = Path::new(&out);
    let name = out.file_name().and_then(|name| name.to_str()).ok_or("OUT.gguf is not a file name")?;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let run = RunOptions { progress: &Percent, ..RunOptions::default() };
    let outcome = engine::gguf(&plan, name, &mut LocalOutput::create(folder)?, &run)?;
    for file in outcome.files {
        println!("\n{}  {} bytes  {}", file.name, file.size, file.sha256);
    }
    Ok(())
}
