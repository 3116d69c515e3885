//! `adapter`: the adapter's files, in one zip file or as a repository on the Hub.

use std::sync::Arc;

use engine::{Adapter, is_adapter_file, is_companion};
use serde_json::{Map, Value};
use shared::domain::{Destination, HubRepo, Stage};

use super::{ExportResult, ExportWork, ModelFiles};
use crate::{
    archive,
    artifact_folder::{ArtifactFolder, NewArtifact},
    chunks,
    edited_folder::EditedFolder,
    error::JobError,
    fingerprint::Fingerprint,
    input_folder::{ADAPTER_CONFIG, InputFile, InputFolder},
    inputs::{self, FineTune, PublishedBase},
    manifest::ManifestFile,
};

const ZIP_FILE: &str = "adapter.zip";
const BASE_MODEL_FIELD: &str = "base_model_name_or_path";

pub(super) fn export(work: &ExportWork<'_>) -> Result<ExportResult, JobError> {
    let (adapter, mut input) = match inputs::fine_tune(&work.sources, work.training_job)? {
        FineTune::Adapter(adapter, input) => (adapter, input),
        FineTune::FullModel(input) => {
            return Err(JobError::InvalidInput(format!(
                "{} is a full fine-tuned model, not an adapter: export it as merged or gguf",
                input.location()
            )));
        }
    };
    input.files.retain(|file| !is_trainers_own(file));
    refuse_lfs_pointers(&input)?;
    let published = match work.has_destination(Destination::HfHub) {
        true => Some(PublishedAdapter::new(work, &adapter, input.clone())?),
        false => None,
    };
    let message = "Exported the adapter".to_owned();
    let mut result = ExportResult { artifacts: Vec::new(), proof: None, message };
    if work.has_destination(Destination::Gcs) {
        zip(work, &input, &mut result)?;
    }
    if let Some(PublishedAdapter { input, base }) = published {
        let files = hash_files(work, &input)?;
        let config = adapter.config();
        let description = format!("Trained with PEFT: rank {}, alpha {}.", config.rank, config.alpha);
        let model = ModelFiles {
            folder: Arc::clone(&input.folder),
            files: &files,
            base_model: base.as_ref().map(|base| &base.name),
            base_files: base.as_ref().map_or(&[], |base| &base.files),
            description: &description,
        };
        work.push_to(&model, &mut result)?;
    }
    Ok(result)
}

/// What is pushed to the Hub.
struct PublishedAdapter {
    input: InputFolder,
    base: Option<PublishedBase>,
}

impl PublishedAdapter {
    fn new(work: &ExportWork<'_>, adapter: &Adapter, mut input: InputFolder) -> Result<Self, JobError> {
        input.files.retain(is_published);
        let base = inputs::published_base(&work.sources, work.training_job, adapter)?;
        let input = match &base {
            Some(base) => with_base_model(input, &base.name)?,
            None => input,
        };
        Ok(Self { input, base })
    }
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
    result.artifacts.push(work.download(&obtained.artifact, ZIP_FILE)?);
    Ok(())
}

/// Refuses a file that was not downloaded from Git LFS.
fn refuse_lfs_pointers(input: &InputFolder) -> Result<(), JobError> {
    input.names().try_for_each(|name| {
        let location = format!("{}/{name}", input.location());
        let source = input.folder.open(name).map_err(JobError::bucket("read", &location))?;
        Ok(engine::refuse_lfs_pointer(&*source)?)
    })
}

/// Hidden files and pickles, which hold the trainer's state and can run code, are in no export.
fn is_trainers_own(file: &InputFile) -> bool {
    const PICKLES: [&str; 7] = [".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt"];
    file.name.starts_with('.') || PICKLES.iter().any(|end| file.name.ends_with(end))
}

/// What is published of an adapter: configuration and weights, tokenizer, templates and processors. The folder
/// can also have the trainer's logs and settings, in which tokens may be. The zip file, which is the owner's alone, has them.
fn is_published(file: &InputFile) -> bool {
    let is_weights = file.name.ends_with(".safetensors") || file.name.ends_with(".json");
    (is_adapter_file(&file.name) && is_weights) || is_companion(&file.name)
}

/// The adapter with the base model's name in `adapter_config.json`, if that has a path of the trainer's machine or another
/// base model.
fn with_base_model(mut input: InputFolder, base_model: &HubRepo) -> Result<InputFolder, JobError> {
    let location = format!("{}/{ADAPTER_CONFIG}", input.location());
    let source = input.folder.open(ADAPTER_CONFIG).map_err(JobError::bucket("read", &location))?;
    let mut content = vec![0; source.size() as usize];
    source.read_at(0, &mut content).map_err(JobError::bucket("read", &location))?;
    let mut config: Map<String, Value> = serde_json::from_slice(&content).map_err(|error| {
        JobError::InvalidInput(format!("{location} is not a JSON object ({error}): save it again"))
    })?;
    let named = config.get(BASE_MODEL_FIELD).and_then(Value::as_str);
    if named.is_some_and(|name| inputs::is_same_base(name, base_model.as_str())) {
        return Ok(input);
    }
    config.insert(BASE_MODEL_FIELD.to_owned(), base_model.as_str().into());
    let content =
        serde_json::to_vec_pretty(&config).map_err(|error| JobError::Internal(error.to_string()))?;
    for file in input.files.iter_mut().filter(|file| file.name == ADAPTER_CONFIG) {
        file.size = content.len() as u64;
    }
    input.folder = Arc::new(EditedFolder::new(input.folder, ADAPTER_CONFIG, content));
    Ok(input)
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
