//! `adapter`: which of the adapter's files are packed, and which are published on the Hub.

use std::sync::Arc;

use engine::{Adapter, is_adapter_file, is_companion};
use serde_json::{Map, Value};
use shared::domain::{Destination, HubRepo};

use super::RequestedExport;
use crate::{
    artifact_folder::ArtifactFolder,
    edited_folder::EditedFolder,
    error::JobError,
    fingerprint::Fingerprint,
    input_folder::{ADAPTER_CONFIG, InputFile, InputFolder},
    inputs::{self, FineTune, PublishedBase},
};

/// The file for download.
pub(crate) const ZIP_FILE: &str = "adapter.zip";
const BASE_MODEL_FIELD: &str = "base_model_name_or_path";

/// An adapter, and what is exported of it.
pub(crate) struct AdapterInput {
    pub(crate) adapter: Adapter,
    /// The files of the zip file.
    pub(crate) packed: InputFolder,
    /// What is pushed to the Hub, if that is a destination.
    pub(crate) published: Option<PublishedAdapter>,
}

pub(crate) fn find_input(requested: &RequestedExport<'_>) -> Result<AdapterInput, JobError> {
    let (adapter, mut packed) = match inputs::fine_tune(&requested.sources, requested.training_job)? {
        FineTune::Adapter(adapter, input) => (adapter, input),
        FineTune::FullModel(_) => {
            return Err(JobError::InvalidInput(format!(
                "training job {} has made a full fine-tuned model, not an adapter: export it as merged or gguf",
                requested.training_job.id
            )));
        }
    };
    packed.files.retain(|file| !is_trainers_own(file));
    refuse_lfs_pointers(&packed)?;
    let published = match requested.has_destination(Destination::HfHub) {
        true => Some(PublishedAdapter::new(requested, &adapter, packed.clone())?),
        false => None,
    };
    Ok(AdapterInput { adapter, packed, published })
}

/// The zip file of these files.
pub(crate) fn zip_target(
    requested: &RequestedExport<'_>,
    packed: &InputFolder,
) -> Result<ArtifactFolder, JobError> {
    let fingerprint = Fingerprint::of("adapter").folder("adapter", &packed.files).finish();
    Ok(ArtifactFolder::new(requested.download_folder()?, "adapter", fingerprint))
}

/// What is pushed to the Hub.
pub(crate) struct PublishedAdapter {
    pub(crate) input: InputFolder,
    pub(crate) base: Option<PublishedBase>,
}

impl PublishedAdapter {
    fn new(
        requested: &RequestedExport<'_>,
        adapter: &Adapter,
        mut input: InputFolder,
    ) -> Result<Self, JobError> {
        input.files.retain(is_published);
        let base = inputs::published_base(&requested.sources, requested.training_job, adapter)?;
        let input = match &base {
            Some(base) => with_base_model(input, &base.name)?,
            None => input,
        };
        Ok(Self { input, base })
    }
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
