//! `adapter`: the adapter's files as they are, in one zip file.

use object_store::ObjectMeta;
use shared::domain::{Stage, Variant};

use super::{Made, Work};
use crate::{
    archive,
    error::JobError,
    fingerprint::Fingerprint,
    inputs::{self, Tuned},
    manifest::Shelf,
};

const FILE: &str = "adapter.zip";

pub(super) fn export(work: &Work<'_>) -> Result<Made, JobError> {
    let input = match inputs::tuned(work)? {
        Tuned::Adapter(_, input) => input,
        Tuned::FullModel(input) => {
            return Err(JobError::Inputs(format!(
                "{} holds a full fine-tuned model, not an adapter: export it as gguf",
                engine::Folder::location(&input.folder)
            )));
        }
    };
    let files: Vec<ObjectMeta> = input.files.into_iter().filter(is_part_of_an_adapter).collect();
    let fingerprint = Fingerprint::of("adapter").folder("adapter", &files).finish();
    let shelf = Shelf::new(work.files()?, format!("{FILE}.manifest.json"), fingerprint);
    let path = shelf.folder.url_of(FILE)?;
    let made = |message: &str| Made {
        artifacts: vec![work.artifact(Variant::File, path.clone())],
        message: message.to_owned(),
    };
    if shelf.existing()?.is_some() {
        return Ok(made("The adapter had been exported before and is unchanged"));
    }
    let bytes = files.iter().map(|file| file.size).sum();
    work.reporter.begin(Stage::Upload, "Packing the adapter", bytes);
    let names: Vec<String> = files.iter().filter_map(|f| f.location.filename().map(str::to_owned)).collect();
    shelf.clear()?;
    let packed = archive::pack(&input.folder, &names, &shelf.folder, FILE, work.reporter)?;
    shelf.seal(work.export.id, [packed])?;
    Ok(made("The adapter is exported"))
}

/// Everything the training left but its own state, which is of no use with the adapter and comes as pickles, which
/// run code when they are opened.
fn is_part_of_an_adapter(file: &ObjectMeta) -> bool {
    let name = file.location.filename().unwrap_or_default();
    let pickle = [".bin", ".pt", ".pth", ".pkl"].iter().any(|end| name.ends_with(end));
    !pickle && !name.starts_with('.')
}
