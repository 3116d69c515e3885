//! `adapter`: the adapter's files unchanged, in one zip file or as a repository on the Hub.

use std::sync::Arc;

use shared::domain::{Destination, Stage, Variant};

use super::{ExportResult, ExportWork, ModelFiles};
use crate::{
    archive,
    artifact_folder::{ArtifactFolder, NewArtifact},
    chunks,
    error::JobError,
    fingerprint::Fingerprint,
    input_folder::{InputFile, InputFolder},
    inputs::{self, FineTune},
    manifest::ManifestFile,
};

const ZIP_FILE: &str = "adapter.zip";

pub(super) fn export(work: &ExportWork<'_>) -> Result<ExportResult, JobError> {
    let (adapter, mut input) = match inputs::fine_tune(&work.sources, work.training_job)? {
        FineTune::Adapter(adapter, input) => (adapter, input),
        FineTune::FullModel(input) => {
            return Err(JobError::InvalidInput(format!(
                "{} is a full fine-tuned model, not an adapter: export it as gguf",
                input.location()
            )));
        }
    };
    input.files.retain(is_adapter_file);
    let message = "Exported the adapter".to_owned();
    let mut result = ExportResult { artifacts: Vec::new(), proof: None, message };
    if work.has_destination(Destination::Gcs) {
        zip(work, &input, &mut result)?;
    }
    if work.has_destination(Destination::HfHub) {
        let files = hash_files(work, &input)?;
        let base_model = inputs::base_model_name(work.training_job, &adapter).ok();
        let config = adapter.config();
        let description = format!("Trained with PEFT: rank {}, alpha {}.", config.rank, config.alpha);
        let model = ModelFiles {
            folder: Arc::clone(&input.folder),
            files: &files,
            base_model: base_model.as_ref(),
            description: &description,
        };
        work.push(&model, &mut result)?;
    }
    Ok(result)
}

fn zip(work: &ExportWork<'_>, input: &InputFolder, result: &mut ExportResult) -> Result<(), JobError> {
    let fingerprint = Fingerprint::of("adapter").folder("adapter", &input.files).finish();
    let target = ArtifactFolder::new(work.download_folder()?, "adapter", fingerprint);
    let obtained = work.obtain(&target, |folder| {
        work.progress.begin(Stage::Upload, "Packing the adapter", input.size());
        let files: Vec<_> = input.files.iter().map(|file| (file.name.as_str(), file.size)).collect();
        let archive = archive::write_zip(input.folder.as_ref(), &files, folder, ZIP_FILE, work.progress)?;
        Ok(NewArtifact { files: vec![archive], proof: None })
    })?;
    if obtained.is_reused {
        result.message = "Reused the adapter of an earlier export: its inputs are unchanged".to_owned();
    }
    result.artifacts.push(work.artifact(Variant::File, obtained.artifact.bucket.url_of(ZIP_FILE)?));
    Ok(())
}

/// All files except the trainer's state, which an adapter does not need and which is pickled: loading a pickle can run
/// code.
fn is_adapter_file(file: &InputFile) -> bool {
    let is_pickle = [".bin", ".pt", ".pth", ".pkl"].iter().any(|end| file.name.ends_with(end));
    !is_pickle && !file.name.starts_with('.')
}

/// The files with their hashes, for which all of them are read.
fn hash_files(work: &ExportWork<'_>, input: &InputFolder) -> Result<Vec<ManifestFile>, JobError> {
    work.progress.begin(Stage::Export, "Hashing the adapter", input.size());
    let hash = |file: &InputFile| {
        let location = format!("{}/{}", input.location(), file.name);
        let source = input.folder.open(&file.name).map_err(JobError::bucket("read", &location))?;
        let sha256 = chunks::sha256(&*source, work.progress)?;
        Ok(ManifestFile { name: file.name.clone(), size: file.size, sha256 })
    };
    input.files.iter().map(hash).collect()
}
