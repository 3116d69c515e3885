//! The model that an export is made of.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use engine::{Adapter, Checkpoint, Model};

use crate::base_revision;
use crate::failure::Failure;
use crate::inputs::InputFileIds;

/// Opens the base model, and the adapter to merge into it if there is one.
pub(crate) fn open_model(
    base: &Path,
    adapter: Option<&Path>,
    inputs: &InputFileIds,
) -> Result<Model, Failure> {
    check_is_folder("--base", base, "the model's folder: config.json, safetensors files, tokenizer")?;
    let folder = base;
    let base = Checkpoint::open(inputs.open_folder(folder)?)?;
    let Some(adapter) = adapter else { return Ok(Model::new(&base)) };
    check_is_folder(
        "--adapter",
        adapter,
        "the folder that PEFT saved: adapter_config.json, adapter_model.safetensors",
    )?;
    let adapter = Adapter::open(inputs.open_folder(adapter)?)?;
    base_revision::check(folder, adapter.config())?;
    Ok(Model::with_adapter(&base, &adapter)?)
}

/// Opens the model that a drafter drafts for.
pub(crate) fn open_target(path: &Path, inputs: &InputFileIds) -> Result<Checkpoint, Failure> {
    check_is_folder("--target-model", path, "the target model's folder: config.json, tokenizer")?;
    Ok(Checkpoint::open(inputs.open_folder(path)?)?)
}

/// Refuses a path that does not exist, and a file where a folder is expected.
fn check_is_folder(option: &str, path: &Path, expected: &str) -> Result<(), Failure> {
    if fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Err(Failure::input(format!(
            "{option} {} does not exist: give {expected} (`hf download NAME --local-dir DIR` gets one from the Hub)",
            path.display()
        )));
    }
    if !path.is_file() {
        return Ok(());
    }
    let mut magic = [0; 4];
    let is_gguf =
        File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"GGUF";
    let kind = if is_gguf { "a GGUF file, which cannot be exported again" } else { "a file" };
    Err(Failure::input(format!("{option} {} is {kind}: give {expected}", path.display())))
}
