//! `merged`: base model and adapter as one model, or the files of a full fine-tune.

use engine::{Adapter, MergePlan, Model};
use shared::adapters::storage::StorageError;

use super::{
    RequestedExport,
    prompts::{self, NamedPrompts},
};
use crate::{
    artifact_folder::ArtifactFolder,
    bucket::Bucket,
    error::JobError,
    fingerprint::Fingerprint,
    input_folder::InputFolder,
    inputs::{self, BaseModel, FineTune},
    manifest::ManifestFile,
};

/// The file for download.
pub(crate) const ZIP_FILE: &str = "merged.zip";

/// What becomes a merged model.
pub(crate) enum MergedInput {
    /// A base model and an adapter.
    BaseAndAdapter(Box<MergeInput>),
    /// A full fine-tune, whose files stay as they are.
    FullModel(InputFolder),
}

/// A base model and an adapter, and where the merged model is published.
pub(crate) struct MergeInput {
    pub(crate) base: BaseModel,
    pub(crate) adapter: Adapter,
    pub(crate) prompts: Option<NamedPrompts>,
    pub(crate) target: ArtifactFolder,
}

/// A merge of base model and adapter, or the files of a full fine-tune.
pub(crate) struct PlannedMerge {
    pub(crate) model: Model,
    pub(crate) plan: MergePlan,
}

impl PlannedMerge {
    pub(crate) fn new(base: &InputFolder, adapter: &Adapter) -> Result<Self, JobError> {
        let model = Model::with_adapter(&base.checkpoint()?, adapter)?;
        Ok(Self { plan: MergePlan::new(&model)?, model })
    }

    pub(crate) fn own_files(input: &InputFolder) -> Result<Self, JobError> {
        let model = Model::new(&input.checkpoint()?);
        Ok(Self { plan: MergePlan::own_files(&model)?, model })
    }
}

pub(crate) fn find_input(requested: &RequestedExport<'_>) -> Result<MergedInput, JobError> {
    let (adapter, input) = match inputs::fine_tune(&requested.sources, requested.training_job)? {
        FineTune::Adapter(adapter, input) => (adapter, input),
        FineTune::FullModel(input) => {
            prompts::refuse_for_full_model(requested)?;
            return Ok(MergedInput::FullModel(input));
        }
    };
    let prompts = prompts::find(requested)?;
    let base = inputs::base_model(&requested.sources, requested.training_job, &adapter)?;
    let target = raw_target(requested, &input, &base, prompts.as_ref())?;
    Ok(MergedInput::BaseAndAdapter(Box::new(MergeInput { base, adapter, prompts, target })))
}

/// `merged_models/{job_id}/` in the bucket of raw models.
pub(super) fn raw_folder(requested: &RequestedExport<'_>) -> Result<Bucket, StorageError> {
    let bucket = requested.sources.bucket(&requested.buckets.raw)?.join("merged_models")?;
    bucket.join(&super::folder_name(&requested.training_job.id))
}

/// The merged model in the bucket of raw models.
fn raw_target(
    requested: &RequestedExport<'_>,
    adapter: &InputFolder,
    base: &BaseModel,
    prompts: Option<&NamedPrompts>,
) -> Result<ArtifactFolder, JobError> {
    let files = Fingerprint::of("merged")
        .folder("adapter", &adapter.model_files())
        .folder("base", &base.input.model_files());
    let fingerprint = prompts::fingerprint(files, prompts);
    let target = ArtifactFolder::new(raw_folder(requested)?, "merged", fingerprint.finish());
    Ok(target.of_base(&base.name))
}

/// The zip file of these files, and the report beside it, which a full fine-tune does not have.
pub(crate) fn zip_target(
    requested: &RequestedExport<'_>,
    files: &[ManifestFile],
    report: Option<&ManifestFile>,
) -> Result<ArtifactFolder, JobError> {
    let packed =
        files.iter().fold(Fingerprint::of("merged.zip"), |all, file| all.option(&file.name, &file.sha256));
    let fingerprint =
        report.into_iter().fold(packed, |all, report| all.option("report beside it", &report.sha256));
    Ok(ArtifactFolder::new(requested.download_folder()?, "merged", fingerprint.finish()))
}
