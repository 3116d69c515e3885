//! What an export starts from: the adapter (or full fine-tune) of the training job, and its base model.

use std::sync::Arc;

use engine::Adapter;
use shared::domain::{HubRepo, TrainingJob};

use crate::{error::JobError, input_folder::InputFolder, sources::InputSources};

/// What the training job left.
pub(crate) enum FineTune {
    /// A LoRA adapter.
    Adapter(Adapter, InputFolder),
    /// A full fine-tuned model, which needs no base.
    FullModel(InputFolder),
}

/// Finds and checks what the training job left.
pub(crate) fn fine_tune(sources: &InputSources<'_>, job: &TrainingJob) -> Result<FineTune, JobError> {
    let Some(url) = &job.adapter_path else {
        return Err(JobError::Inputs(format!(
            "training job {} names no adapter (neither adapter_path nor artifacts.raw.adapter): train it again",
            job.id
        )));
    };
    let input = sources.input_folder(url)?;
    if input.files.is_empty() {
        return Err(JobError::Inputs(format!("there are no files at {url}, where the adapter should be")));
    }
    if input.has("adapter_config.json") {
        Ok(FineTune::Adapter(Adapter::open(Arc::clone(&input.folder))?, input))
    } else if input.has("config.json") {
        Ok(FineTune::FullModel(input))
    } else {
        Err(JobError::Inputs(format!("adapter at {url} has no adapter_config.json")))
    }
}

/// Finds the base model of `adapter`, and says which it is. Of a bitsandbytes 4-bit copy that is the 16-bit sibling,
/// because training began from what it says; when there is none, the copy itself, which the engine reads as floats.
pub(crate) fn base_model(
    sources: &InputSources<'_>,
    job: &TrainingJob,
    adapter: &Adapter,
) -> Result<(HubRepo, InputFolder), JobError> {
    let name = base_name(job, adapter)?;
    let error = match sources.base_model(&name) {
        Err(error) if error.is_absent() => error,
        found => return Ok((name, found?)),
    };
    let copy = declared_name(job, adapter)?;
    if copy == name {
        return Err(error);
    }
    tracing::warn!(base = %copy, missing = %name, "no 16-bit base model: using the 4-bit one");
    match sources.base_model(&copy) {
        Err(other) if other.is_absent() => Err(error),
        found => Ok((copy, found?)),
    }
}

/// The base model's name on the Hub; for a bitsandbytes 4-bit copy its 16-bit sibling.
pub(crate) fn base_name(job: &TrainingJob, adapter: &Adapter) -> Result<HubRepo, JobError> {
    parse(job, sixteen_bit(declared(job, adapter)?))
}

/// The base model as it is named.
fn declared_name(job: &TrainingJob, adapter: &Adapter) -> Result<HubRepo, JobError> {
    parse(job, declared(job, adapter)?)
}

/// The one of the training job, else the one that the adapter was trained on.
fn declared<'a>(job: &'a TrainingJob, adapter: &'a Adapter) -> Result<&'a str, JobError> {
    let named = job.base_model_id.as_deref().or(adapter.config().base_model.as_deref());
    named.ok_or_else(|| {
        JobError::Inputs(format!(
            "neither training job {} nor its adapter names a base model (base_model_id)",
            job.id
        ))
    })
}

fn parse(job: &TrainingJob, name: &str) -> Result<HubRepo, JobError> {
    name.parse()
        .map_err(|why| JobError::Inputs(format!("base_model_id {name:?} of training job {}: {why}", job.id)))
}

fn sixteen_bit(name: &str) -> &str {
    let name = name.strip_suffix("-bnb-4bit").unwrap_or(name);
    name.strip_suffix("-unsloth").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_4_bit_base_is_read_as_its_16_bit_sibling() {
        assert_eq!(sixteen_bit("unsloth/gemma-3-1b-it-unsloth-bnb-4bit"), "unsloth/gemma-3-1b-it");
        assert_eq!(sixteen_bit("unsloth/gemma-3-1b-it-bnb-4bit"), "unsloth/gemma-3-1b-it");
        assert_eq!(sixteen_bit("google/gemma-3-1b-it"), "google/gemma-3-1b-it");
    }
}
