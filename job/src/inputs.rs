//! The inputs of an export: the training job's adapter or full fine-tune, and the adapter's base model.

use std::sync::Arc;

use engine::{Adapter, is_companion};
use shared::domain::{HubRepo, InvalidId, TrainingJob};

use crate::{error::JobError, input_folder::InputFolder, sources::InputSources};

/// Most files or folders that a message names.
const MAX_NAMES: usize = 5;

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
        return Err(no_files(sources, job, url)?);
    }
    if input.has("adapter_config.json") {
        // the trainer's checkpoints are in folders below the adapter, too
        input.files.retain(|file| !file.name.contains('/') || is_companion(&file.name));
        Ok(FineTune::Adapter(Adapter::open(Arc::clone(&input.folder))?, input))
    } else if input.has("config.json") {
        Ok(FineTune::FullModel(input))
    } else {
        Err(no_adapter(&input, job))
    }
}

/// Why there are no files at `url`: it can name a file and not a folder.
fn no_files(sources: &InputSources<'_>, job: &TrainingJob, url: &str) -> Result<JobError, JobError> {
    let (folder, name) = url.trim_end_matches('/').rsplit_once('/').unwrap_or_default();
    if !name.contains('.') || !sources.input_folder(folder)?.has(name) {
        return Ok(JobError::NotFound(format!(
            "there are no files at {url}, the adapter of training job {}: train it again",
            job.id
        )));
    }
    let advice = match is_archive(name) {
        true => "unpack it in the bucket, and set adapter_path to the folder of its files".to_owned(),
        false => format!("set adapter_path to its folder, {folder}"),
    };
    Ok(JobError::InvalidInput(format!(
        "adapter_path of training job {} names the file {url}: {advice}",
        job.id
    )))
}

/// What a folder has that is neither an adapter nor a model, and where an adapter is.
fn no_adapter(input: &InputFolder, job: &TrainingJob) -> JobError {
    let url = input.location();
    let names = || input.files.iter().map(|file| file.name.as_str());
    let mut below: Vec<_> = names().filter_map(|name| name.strip_suffix("/adapter_config.json")).collect();
    below.sort_by_key(|folder| (step(folder), *folder));
    let advice = match (below.last(), names().find(|name| is_archive(name))) {
        (Some(last), _) => {
            let first: Vec<_> = below.iter().rev().take(MAX_NAMES).copied().collect();
            format!(
                "there are adapters in {}: set adapter_path to one of them, such as {url}/{last}",
                first.join(", ")
            )
        }
        (None, Some(archive)) => {
            format!(
                "it has the archive {archive}: unpack it in the bucket, and set adapter_path to the folder of its files"
            )
        }
        (None, None) => {
            let found: Vec<_> = names().take(MAX_NAMES).collect();
            format!("it has {}: save the adapter with PEFT's save_pretrained", found.join(", "))
        }
    };
    JobError::InvalidInput(format!(
        "{url}, the adapter of training job {}, has no adapter_config.json; {advice}",
        job.id
    ))
}

fn is_archive(name: &str) -> bool {
    [".zip", ".tar", ".tar.gz", ".tgz"].iter().any(|end| name.ends_with(end))
}

/// The step of a trainer's checkpoint, `checkpoint-500`.
fn step(folder: &str) -> Option<u64> {
    folder.rsplit_once('-')?.1.parse().ok()
}

/// Opens the base model of `adapter`. For a bitsandbytes 4-bit copy that is its 16-bit sibling, whose weights the copy
/// was quantized from; if there is none, the copy itself, which the engine dequantizes.
pub(crate) fn base_model(
    sources: &InputSources<'_>,
    job: &TrainingJob,
    adapter: &Adapter,
) -> Result<BaseModel, JobError> {
    let declared = DeclaredBaseModel::of(job, adapter)?;
    if let Some(revision) = adapter.config().revision.as_deref() {
        // a revision is one of the repository that is named, not of a sibling
        let name = declared.parse(declared.name)?;
        return Ok(BaseModel { input: sources.base_model(&name, Some(revision))?, name });
    }
    let sibling = declared.sibling()?;
    let error = match sources.base_model(&sibling, None) {
        Err(error) if error.is_repo_not_found() => error,
        result => return Ok(BaseModel { name: sibling, input: result? }),
    };
    let copy = declared.parse(declared.name)?;
    if copy == sibling {
        return Err(error);
    }
    tracing::warn!(base = %copy, missing = %sibling, "no 16-bit base model: using the 4-bit copy");
    match sources.base_model(&copy, None) {
        Err(other) if other.is_repo_not_found() => Err(error),
        result => Ok(BaseModel { name: copy, input: result? }),
    }
}

/// The name of the base model on the Hub, for those who use the adapter; `None` if nothing names one. For a bitsandbytes
/// 4-bit copy that is its 16-bit sibling, if it exists.
pub(crate) fn base_model_name(
    sources: &InputSources<'_>,
    job: &TrainingJob,
    adapter: &Adapter,
) -> Result<Option<HubRepo>, JobError> {
    let Ok(declared) = DeclaredBaseModel::of(job, adapter) else { return Ok(None) };
    let (copy, sibling) = (declared.parse(declared.name)?, declared.sibling()?);
    Ok(Some(if copy == sibling || sources.has_base_model(&sibling) { sibling } else { copy }))
}

/// The base model that the training job names, else the one in `adapter_config.json`.
struct DeclaredBaseModel<'a> {
    job: &'a TrainingJob,
    name: &'a str,
    is_adapters: bool,
}

impl<'a> DeclaredBaseModel<'a> {
    fn of(job: &'a TrainingJob, adapter: &'a Adapter) -> Result<Self, JobError> {
        let is_adapters = job.base_model_id.is_none();
        let name = job.base_model_id.as_deref().or(adapter.config().base_model.as_deref());
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
            JobError::InvalidInput(format!(
                "neither training job {} (base_model_id) nor its adapter (base_model_name_or_path) names a base model: \
                 set one of them",
                job.id
            ))
        })?;
        Ok(Self { job, name, is_adapters })
    }

    /// The 16-bit sibling of a bitsandbytes 4-bit copy; the model itself if it is not one.
    fn sibling(&self) -> Result<HubRepo, JobError> {
        self.parse(sixteen_bit(self.name))
    }

    fn parse(&self, name: &str) -> Result<HubRepo, JobError> {
        let job = &self.job.id;
        name.parse().map_err(|why: InvalidId| {
            JobError::InvalidInput(match self.is_adapters {
                true => format!(
                    "base_model_name_or_path {name:?} in adapter_config.json is not a model on the Hugging Face Hub: set \
                     base_model_id of training job {job} to the name that the base model has there (owner/name)"
                ),
                false => format!("base_model_id {name:?} of training job {job}: {why}"),
            })
        })
    }
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
