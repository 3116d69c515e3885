//! `gguf`: one file for llama.cpp and Ollama, from base model and adapter, from a full fine-tune, or, if those no
//! longer exist, from the merged model of an earlier export.

use engine::{Adapter, Folder as _, Model};
use shared::domain::{ArtifactKind, Destination, HubRepo, Stage, Variant};

use super::{ExportResult, ExportWork, ModelFiles, proof};
use crate::{
    artifact_folder::{ArtifactFolder, NewArtifact, PublishedArtifact},
    bucket::Bucket,
    error::JobError,
    fingerprint::Fingerprint,
    input_folder::InputFolder,
    inputs::{self, BaseModel, FineTune},
    maker::ObtainedArtifact,
    manifest::Manifest,
    plan::{GgufRequest, PlannedGguf},
};

pub(super) fn export(work: &ExportWork<'_>) -> Result<ExportResult, JobError> {
    let request = GgufRequest::new(work.export, work.training_job);
    let input = find_input(work)?;
    let artifact = format!("gguf {}", request.quantization);
    let target = ArtifactFolder::new(work.download_folder()?, artifact, input.fingerprint(&request));
    let obtained = match target.published()? {
        Some(artifact) => ObtainedArtifact { artifact, is_reused: true },
        None => {
            let model = input.model()?;
            let files = request.plan(&model)?;
            work.obtain(&target, |folder| write(work, &model, folder, &files))?
        }
    };
    let ObtainedArtifact { artifact: PublishedArtifact { manifest, bucket, files }, is_reused } = obtained;
    let message = match is_reused {
        true => {
            format!("Reused the {} file of an earlier export: its inputs are unchanged", request.quantization)
        }
        false => written_message(&request, &manifest),
    };
    let mut result = ExportResult { artifacts: Vec::new(), proof: manifest.proof.clone(), message };
    if work.has_destination(Destination::Gcs) {
        result.artifacts.push(work.artifact(Variant::File, bucket.url_of(&request.file_name)?));
    }
    let model = ModelFiles {
        folder: files,
        files: &manifest.files,
        base_model: input.base_model.as_ref(),
        description: &format!("Converted for llama.cpp as {}.", request.quantization),
    };
    work.push(&model, &mut result)?;
    Ok(result)
}

fn written_message(request: &GgufRequest, manifest: &Manifest) -> String {
    let mut message = format!("Wrote the {} file", request.quantization);
    if manifest.files.iter().any(|file| file.name == request.mmproj_name) {
        message.push_str(&format!(", and {} for image and audio input", request.mmproj_name));
    }
    message
}

/// Writes `files`, of which the first is the language model.
fn write(
    work: &ExportWork<'_>,
    model: &Model,
    folder: &Bucket,
    files: &[PlannedGguf],
) -> Result<NewArtifact, JobError> {
    let (mut written, mut proof) = (Vec::new(), None);
    for (index, PlannedGguf { plan, file_name }) in files.iter().enumerate() {
        work.progress.begin(Stage::Export, format!("Writing {file_name}"), 0);
        let outcome = engine::gguf(plan, file_name, &mut folder.upload(), &work.run_options(model))?;
        if index == 0 {
            let logits = proof::compare_logits(work, model, |options| {
                let files = folder.snapshot().map_err(JobError::bucket("list", folder.location()))?;
                let file = files.open(file_name).map_err(JobError::bucket("read", file_name))?;
                Ok(engine::compare_gguf(model, &[file], options)?)
            })?;
            proof = proof::summarize(&outcome, Some(file_name), logits);
        }
        written.extend(outcome.files.into_iter().map(Into::into));
    }
    Ok(NewArtifact { files: written, proof })
}

/// The model to convert.
struct GgufInput {
    weights: ModelWeights,
    /// The fingerprint of its files.
    files: Fingerprint,
    base_model: Option<HubRepo>,
}

enum ModelWeights {
    /// A full model.
    FullModel(InputFolder),
    /// A base model and an adapter. Preferred to a merged model of an earlier export: a GGUF file has the tensor order
    /// of its input, and the same export must give the same bytes.
    BaseAndAdapter(InputFolder, Adapter),
}

impl GgufInput {
    fn full_model(work: &ExportWork<'_>, input: InputFolder) -> Self {
        let files = Fingerprint::of("gguf").folder("model", &input.files);
        let base_model = work.training_job.base_model_id.as_deref().and_then(|name| name.parse().ok());
        Self { weights: ModelWeights::FullModel(input), files, base_model }
    }

    fn model(&self) -> Result<Model, JobError> {
        Ok(match &self.weights {
            ModelWeights::FullModel(input) => Model::new(&input.checkpoint()?),
            ModelWeights::BaseAndAdapter(base, adapter) => Model::with_adapter(&base.checkpoint()?, adapter)?,
        })
    }

    fn fingerprint(&self, request: &GgufRequest) -> String {
        let files = self.files.clone();
        files
            .option("quantization", request.quantization.as_str())
            .option("name", &request.model_name)
            .finish()
    }
}

fn find_input(work: &ExportWork<'_>) -> Result<GgufInput, JobError> {
    let (adapter, input) = match inputs::fine_tune(&work.sources, work.training_job) {
        Ok(FineTune::Adapter(adapter, input)) => (adapter, input),
        Ok(FineTune::FullModel(input)) => return Ok(GgufInput::full_model(work, input)),
        Err(error) => return merged_model(work, error),
    };
    let BaseModel { name, input: base } = match inputs::base_model(&work.sources, work.training_job, &adapter)
    {
        Ok(base) => base,
        // of which revision an earlier merge was made is not known
        Err(error) if adapter.config().revision.is_some() || error.is_stopped() => return Err(error),
        Err(error) => return merged_model(work, error),
    };
    let files = Fingerprint::of("gguf").folder("adapter", &input.files).folder("base", &base.files);
    Ok(GgufInput { weights: ModelWeights::BaseAndAdapter(base, adapter), files, base_model: Some(name) })
}

/// The merged model of an earlier export, if there is one; else `error`, which base model or adapter gave.
fn merged_model(work: &ExportWork<'_>, error: JobError) -> Result<GgufInput, JobError> {
    let Some(url) = work.training_job.artifacts.path(Variant::Raw, ArtifactKind::Merged) else {
        return Err(error);
    };
    let input = work.sources.input_folder(url)?;
    if !input.has("config.json") {
        return Err(error);
    }
    tracing::info!(
        reason = &error as &dyn std::error::Error,
        from = input.location(),
        "using the merged model of an earlier export"
    );
    Ok(GgufInput::full_model(work, input))
}
