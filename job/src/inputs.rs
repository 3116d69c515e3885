//! What an export starts from: the adapter (or full fine-tune) of the training job, and its base model.

use std::sync::Arc;

use engine::{Adapter, Checkpoint, Folder};
use shared::domain::{HubRepo, TrainingJob};

use crate::{error::JobError, work::Work};

/// A file as it was when an export looked at it.
#[derive(Debug, Clone)]
pub(crate) struct InputFile {
    pub(crate) name: String,
    pub(crate) size: u64,
    /// Changes when the content does: an entity tag or a hash.
    pub(crate) version: String,
}

/// A folder of inputs, and its files when it was looked at.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) files: Vec<InputFile>,
}

/// What the training job left.
pub(crate) enum Tuned {
    /// A LoRA adapter.
    Adapter(Adapter, Input),
    /// A full fine-tuned model, which needs no base.
    FullModel(Input),
}

impl Input {
    /// A folder of a bucket; one that does not exist has no files.
    pub(crate) fn in_bucket(work: &Work<'_>, url: &str) -> Result<Self, JobError> {
        let bucket = work.bucket(url)?;
        let files = bucket.files().map_err(JobError::bucket("list", url))?;
        Ok(Self { folder: Arc::new(bucket), files })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }

    pub(crate) fn location(&self) -> &str {
        self.folder.location()
    }

    pub(crate) fn checkpoint(&self) -> Result<Checkpoint, JobError> {
        Ok(Checkpoint::open(Arc::clone(&self.folder))?)
    }
}

/// Finds and checks what the training job left.
pub(crate) fn tuned(work: &Work<'_>) -> Result<Tuned, JobError> {
    let job = work.training_job;
    let Some(url) = &job.adapter_path else {
        return Err(JobError::Inputs(format!(
            "training job {} names no adapter (neither adapter_path nor artifacts.raw.adapter): train it again",
            job.id
        )));
    };
    let input = Input::in_bucket(work, url)?;
    if input.files.is_empty() {
        return Err(JobError::Inputs(format!("there are no files at {url}, where the adapter should be")));
    }
    if input.has("adapter_config.json") {
        Ok(Tuned::Adapter(Adapter::open(Arc::clone(&input.folder))?, input))
    } else if input.has("config.json") {
        Ok(Tuned::FullModel(input))
    } else {
        Err(JobError::Inputs(format!("adapter at {url} has no adapter_config.json")))
    }
}

/// Finds the base model of `adapter`, and says which it is. Of a bitsandbytes 4-bit copy that is the 16-bit sibling,
/// because training began from what it says; when there is none, the copy itself, which the engine reads as floats.
pub(crate) fn base(work: &Work<'_>, adapter: &Adapter) -> Result<(HubRepo, Input), JobError> {
    let name = base_name(work.training_job, adapter)?;
    let error = match find(work, &name) {
        Err(error) if error.is_absent() => error,
        found => return Ok((name, found?)),
    };
    let copy = named_base(work.training_job, adapter)?;
    if copy == name {
        return Err(error);
    }
    tracing::warn!(base = %copy, missing = %name, "no 16-bit base model: using the 4-bit one");
    match find(work, &copy) {
        Err(other) if other.is_absent() => Err(error),
        found => Ok((copy, found?)),
    }
}

/// Looks in the bucket or folder of base models, else on the Hub.
fn find(work: &Work<'_>, name: &HubRepo) -> Result<Input, JobError> {
    if let Some(models) = &work.context.base_models {
        let input = Input::in_bucket(work, &format!("{models}/{name}"))?;
        if !input.files.is_empty() {
            return Ok(input);
        }
        tracing::info!(base = %name, looked_in = input.location(), "base model not in the bucket: asking the Hub");
    }
    work.hub()?.model(name)
}

/// The base model's name on the Hub; for a bitsandbytes 4-bit copy its 16-bit sibling.
pub(crate) fn base_name(job: &TrainingJob, adapter: &Adapter) -> Result<HubRepo, JobError> {
    parse(job, sixteen_bit(base_model(job, adapter)?))
}

/// The base model as it is named.
fn named_base(job: &TrainingJob, adapter: &Adapter) -> Result<HubRepo, JobError> {
    parse(job, base_model(job, adapter)?)
}

/// The one of the training job, else the one that the adapter was trained on.
fn base_model<'a>(job: &'a TrainingJob, adapter: &'a Adapter) -> Result<&'a str, JobError> {
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
