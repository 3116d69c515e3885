//! The inputs of an export: the training job's adapter or full fine-tune, and the adapter's base model.

use std::sync::Arc;

use engine::Adapter;
use shared::domain::{HubRepo, InvalidId, TrainingJob};

use crate::{error::JobError, input_folder::InputFolder, sources::InputSources};

/// transformers' folder of chat templates besides the default one.
const TEMPLATE_FOLDER: &str = "additional_chat_templates/";

/// The result of the training job.
pub(crate) enum FineTune {
    /// A LoRA adapter.
    Adapter(Adapter, InputFolder),
    /// A full fine-tuned model, which needs no base model.
    FullModel(InputFolder),
}

/// A base model and its name on the Hub.
pub(crate) struct BaseModel {
    pub(crate) name: HubRepo,
    pub(crate) input: InputFolder,
}

/// Opens the training job's adapter or full fine-tune.
pub(crate) fn fine_tune(sources: &InputSources<'_>, job: &TrainingJob) -> Result<FineTune, JobError> {
    let Some(url) = &job.adapter_path else {
        return Err(JobError::InvalidInput(format!(
            "training job {} names no adapter (neither adapter_path nor artifacts.raw.adapter): train it again",
            job.id
        )));
    };
    let mut input = sources.input_folder(url)?;
    if input.files.is_empty() {
        return Err(JobError::NotFound(format!(
            "there are no files at {url}, the adapter of training job {}: train it again",
            job.id
        )));
    }
    if input.has("adapter_config.json") {
        // the trainer's checkpoints are in folders below the adapter, too
        input.files.retain(|file| !file.name.contains('/') || file.name.starts_with(TEMPLATE_FOLDER));
        Ok(FineTune::Adapter(Adapter::open(Arc::clone(&input.folder))?, input))
    } else if input.has("config.json") {
        Ok(FineTune::FullModel(input))
    } else {
        Err(JobError::InvalidInput(format!(
            "the adapter at {url} has no adapter_config.json: save it with PEFT's save_pretrained"
        )))
    }
}

/// Opens the base model of `adapter`. For a bitsandbytes 4-bit copy that is its 16-bit sibling, whose weights the copy
/// was quantized from; if there is none, the copy itself, which the engine dequantizes.
pub(crate) fn base_model(
    sources: &InputSources<'_>,
    job: &TrainingJob,
    adapter: &Adapter,
) -> Result<BaseModel, JobError> {
    if let Some(revision) = revision(job, adapter) {
        // a revision is one of the repository that is named, not of a sibling
        let name = parse(job, declared_base_model(job, adapter)?)?;
        return Ok(BaseModel { input: sources.base_model(&name, Some(revision))?, name });
    }
    let sibling = base_model_name(job, adapter)?;
    let error = match sources.base_model(&sibling, None) {
        Err(error) if error.is_repo_not_found() => error,
        result => return Ok(BaseModel { name: sibling, input: result? }),
    };
    let copy = parse(job, declared_base_model(job, adapter)?)?;
    if copy == sibling {
        return Err(error);
    }
    tracing::warn!(base = %copy, missing = %sibling, "no 16-bit base model: using the 4-bit copy");
    match sources.base_model(&copy, None) {
        Err(other) if other.is_repo_not_found() => Err(error),
        result => Ok(BaseModel { name: copy, input: result? }),
    }
}

/// The revision of the base model that the adapter was trained on, unless the training job names another model.
fn revision<'a>(job: &TrainingJob, adapter: &'a Adapter) -> Option<&'a str> {
    let config = adapter.config();
    let is_same = job.base_model_id.as_ref().is_none_or(|id| Some(id) == config.base_model.as_ref());
    config.revision.as_deref().filter(|_| is_same)
}

/// The base model's name on the Hub; for a bitsandbytes 4-bit copy that of its 16-bit sibling.
pub(crate) fn base_model_name(job: &TrainingJob, adapter: &Adapter) -> Result<HubRepo, JobError> {
    parse(job, sixteen_bit(declared_base_model(job, adapter)?))
}

/// The base model that the training job names, else the one in `adapter_config.json`.
fn declared_base_model<'a>(job: &'a TrainingJob, adapter: &'a Adapter) -> Result<&'a str, JobError> {
    let declared = job.base_model_id.as_deref().or(adapter.config().base_model.as_deref());
    declared.ok_or_else(|| {
        JobError::InvalidInput(format!(
            "neither training job {} (base_model_id) nor its adapter (base_model_name_or_path) names a base model: \
             set one of them",
            job.id
        ))
    })
}

fn parse(job: &TrainingJob, name: &str) -> Result<HubRepo, JobError> {
    let invalid = |why| format!("base_model_id {name:?} of training job {}: {why}", job.id);
    name.parse().map_err(|why: InvalidId| JobError::InvalidInput(invalid(why)))
}

fn sixteen_bit(name: &str) -> &str {
    let name = name.strip_suffix("-bnb-4bit").unwrap_or(name);
    name.strip_suffix("-unsloth").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_4_bit_copy_has_a_16_bit_sibling() {
        assert_eq!(sixteen_bit("unsloth/gemma-3-1b-it-unsloth-bnb-4bit"), "unsloth/gemma-3-1b-it");
        assert_eq!(sixteen_bit("unsloth/gemma-3-1b-it-bnb-4bit"), "unsloth/gemma-3-1b-it");
        assert_eq!(sixteen_bit("google/gemma-3-1b-it"), "google/gemma-3-1b-it");
    }
}
