//! `adapter`: the adapter's files as they are, in one zip file or as a repository on the Hub.

use std::sync::Arc;

use engine::Folder;
use sha2::{Digest, Sha256};
use shared::domain::{Destination, Stage, Variant};

use super::{Made, Pushable, Work};
use crate::{
    archive,
    blocks::{self, Fault},
    error::JobError,
    fingerprint::Fingerprint,
    input_folder::{InputFile, InputFolder},
    inputs::{self, FineTune},
    manifest::{ManifestFile, Shelf},
};

const FILE: &str = "adapter.zip";

pub(super) fn export(work: &Work<'_>) -> Result<Made, JobError> {
    let (adapter, mut input) = match inputs::fine_tune(&work.sources, work.training_job)? {
        FineTune::Adapter(adapter, input) => (adapter, input),
        FineTune::FullModel(input) => {
            return Err(JobError::Inputs(format!(
                "{} holds a full fine-tuned model, not an adapter: export it as gguf",
                input.location()
            )));
        }
    };
    input.files.retain(is_part_of_an_adapter);
    let mut made = Made { artifacts: Vec::new(), proof: None, message: "The adapter is exported".to_owned() };
    if work.goes_to(Destination::Gcs) {
        zip(work, &input, &mut made)?;
    }
    if work.goes_to(Destination::HfHub) {
        let files = hashed(work, &input)?;
        let base = inputs::base_name(work.training_job, &adapter).ok();
        let how =
            format!("Trained with PEFT: rank {}, alpha {}.", adapter.config().rank, adapter.config().alpha);
        let folder = Arc::clone(&input.folder);
        work.push(&Pushable { folder, files: &files, base: base.as_ref(), how: &how }, &mut made)?;
    }
    Ok(made)
}

fn zip(work: &Work<'_>, input: &InputFolder, made: &mut Made) -> Result<(), JobError> {
    let fingerprint = Fingerprint::of("adapter").folder("adapter", &input.files).finish();
    let shelf = Shelf::new(work.files()?, format!("{FILE}.manifest.json"), fingerprint);
    made.artifacts.push(work.artifact(Variant::File, shelf.folder.url_of(FILE)?));
    if shelf.existing()?.is_some() {
        made.message = "The adapter had been exported before and is unchanged".to_owned();
        return Ok(());
    }
    let bytes = input.files.iter().map(|file| file.size).sum();
    work.reporter.begin(Stage::Upload, "Packing the adapter", bytes);
    let names: Vec<String> = input.files.iter().map(|file| file.name.clone()).collect();
    shelf.clear()?;
    let packed = archive::pack(input.folder.as_ref(), &names, &shelf.folder, FILE, work.reporter)?;
    shelf.seal(work.export.id, [packed], None)?;
    Ok(())
}

/// Everything the training left but its own state, which is of no use with the adapter and comes as pickles, which
/// run code when they are opened.
fn is_part_of_an_adapter(file: &InputFile) -> bool {
    let pickle = [".bin", ".pt", ".pth", ".pkl"].iter().any(|end| file.name.ends_with(end));
    !pickle && !file.name.starts_with('.')
}

/// The files with their hashes. An adapter is read once more for them: it is small.
fn hashed(work: &Work<'_>, input: &InputFolder) -> Result<Vec<ManifestFile>, JobError> {
    let bytes = input.files.iter().map(|file| file.size).sum();
    work.reporter.begin(Stage::Export, "Hashing the adapter", bytes);
    let hash = |file: &InputFile| {
        let sha256 = hash_file(work, input.folder.as_ref(), &file.name)?;
        Ok(ManifestFile { name: file.name.clone(), size: file.size, sha256 })
    };
    input.files.iter().map(hash).collect()
}

fn hash_file(work: &Work<'_>, folder: &dyn Folder, name: &str) -> Result<String, JobError> {
    let failed = |e| JobError::bucket("read", &format!("{}/{name}", folder.location()))(e);
    let source = folder.open(name).map_err(failed)?;
    let mut hash = Sha256::new();
    let update = |block: &[u8]| {
        hash.update(block);
        Ok(())
    };
    blocks::each(&*source, work.reporter, update).map_err(|fault| match fault {
        Fault::Read(e) | Fault::Taker(e) => failed(e),
        Fault::Stopped => JobError::Stopped,
    })?;
    Ok(hex::encode(hash.finalize()))
}
