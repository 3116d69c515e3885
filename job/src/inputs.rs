//! The inputs of an export: the training job's adapter or full fine-tune, and the adapter's base model.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use engine::{Adapter, is_companion, sixteen_bit_name};
use shared::domain::{FailureCode, HubRepo, InvalidId, TrainingJob};

use crate::{
    error::JobError,
    input_folder::{ADAPTER_CONFIG, InputFile, InputFolder, MAX_NAMES},
    sources::InputSources,
};

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

/// Why there is no fine-tune: the training job names none, or no file of it is left.
pub(crate) struct NoFineTune(pub(crate) JobError);

/// Opens the training job's adapter or full fine-tune.
pub(crate) fn fine_tune(sources: &InputSources<'_>, job: &TrainingJob) -> Result<FineTune, JobError> {
    find_fine_tune(sources, job)?.map_err(|NoFineTune(error)| error)
}

/// The same, where one that does not exist is told from one that is not valid or cannot be read.
pub(crate) fn find_fine_tune(
    sources: &InputSources<'_>,
    job: &TrainingJob,
) -> Result<Result<FineTune, NoFineTune>, JobError> {
    let Some(url) = &job.adapter_path else {
        return Ok(Err(NoFineTune(JobError::InvalidInput(format!(
            "training job {} names no adapter (neither adapter_path nor artifacts.raw.adapter): train it again",
            job.id
        )))));
    };
    let input = sources.input_folder(url)?;
    if input.files.is_empty() {
        return no_files(sources, job, url).map(|error| Err(NoFineTune(error)));
    }
    open_fine_tune(input, job).map(Ok)
}

fn open_fine_tune(mut input: InputFolder, job: &TrainingJob) -> Result<FineTune, JobError> {
    if input.has_adapter_in("") {
        // the trainer's checkpoints are in folders below the adapter, too
        input.files.retain(|file| !file.name.contains('/') || is_companion(&file.name));
        Ok(FineTune::Adapter(Adapter::open(Arc::clone(&input.folder))?, input))
    } else if input.has_model() && !input.has(ADAPTER_CONFIG) {
        Ok(FineTune::FullModel(input))
    } else {
        match Adapter::open(Arc::clone(&input.folder)) {
            // such as one of another library, whose weights have other names
            Err(error @ engine::Error::Unsupported { .. }) => Err(error.into()),
            _ => Err(no_fine_tune(&input, job)),
        }
    }
}

/// That there are no files at `url`; fails if it names a file and not a folder.
fn no_files(sources: &InputSources<'_>, job: &TrainingJob, url: &str) -> Result<JobError, JobError> {
    let (folder, name) = url.trim_end_matches('/').rsplit_once('/').unwrap_or_default();
    if !name.contains('.') || !sources.input_folder(folder)?.has(name) {
        return Ok(JobError::NotFound(format!(
            "there are no files in {url}, the adapter folder of training job {}: train it again",
            job.id
        )));
    }
    let advice = match is_archive(name) {
        true => "unpack it in the bucket, and set adapter_path to the folder of its files".to_owned(),
        false => format!("set adapter_path to its folder, {folder}"),
    };
    Err(JobError::InvalidInput(format!(
        "adapter_path of training job {} names the file {url}: {advice}",
        job.id
    )))
}

/// What a folder has that is neither an adapter nor a model, and where one is.
fn no_fine_tune(input: &InputFolder, job: &TrainingJob) -> JobError {
    let url = input.location();
    let below = |has: fn(&InputFolder, &str) -> bool| {
        let folders: BTreeSet<_> = input.names().filter_map(|name| Some(name.rsplit_once('/')?.0)).collect();
        let mut found: Vec<_> =
            folders.into_iter().filter(|folder| has(input, &format!("{folder}/"))).collect();
        found.sort_by_key(|folder| Reverse((step(folder), *folder)));
        found
    };
    let point_to = |what: &str, folders: &[&str]| {
        let named = folders.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
        let first = folders.first().copied().unwrap_or_default();
        format!("there are {what} in {named}: set adapter_path to one of them, such as {first}")
    };
    let (adapters, models) = (below(InputFolder::has_adapter_in), below(InputFolder::has_model_in));
    let archive = input.names().find(|name| is_archive(name));
    let advice = if !adapters.is_empty() {
        point_to("adapters", &adapters)
    } else if !models.is_empty() {
        point_to("full models", &models)
    } else if let Some(archive) = archive {
        format!(
            "it has the archive {archive}: unpack it in the bucket, and set adapter_path to the folder of its files"
        )
    } else if input.has_model() {
        "it has a full model beside it: remove adapter_config.json to export that model, or save the adapter with PEFT's \
         save_pretrained"
            .to_owned()
    } else {
        let found: Vec<_> = input.names().take(MAX_NAMES).collect();
        let save = match input.has("config.json") && !input.has(ADAPTER_CONFIG) {
            true => "the model with save_pretrained, as safetensors",
            false => "the adapter with PEFT's save_pretrained",
        };
        format!("it has {}: save {save}", found.join(", "))
    };
    let lack = match input.has(ADAPTER_CONFIG) {
        true => "adapter_config.json without weights of an adapter (adapter_model.safetensors)",
        false => "no adapter_config.json",
    };
    JobError::InvalidInput(format!("{url}, the adapter of training job {}, has {lack}; {advice}", job.id))
}

/// Whether a file has the name of an archive, or of a compressed file.
fn is_archive(name: &str) -> bool {
    const ENDS: [&str; 11] = ["zip", "tar", "gz", "tgz", "bz2", "tbz2", "xz", "txz", "zst", "7z", "rar"];
    let end = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    end.is_some_and(|end| ENDS.contains(&end.as_str()))
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
    open_base_model(sources, &declared, adapter).map_err(|error| declared.explained(error))
}

fn open_base_model(
    sources: &InputSources<'_>,
    declared: &DeclaredBaseModel<'_>,
    adapter: &Adapter,
) -> Result<BaseModel, JobError> {
    if let Some(revision) = adapter.config().revision.as_deref() {
        // a revision is one of the repository that is named, not of a sibling
        let name = declared.parse(declared.name)?;
        return Ok(BaseModel { input: sources.base_model(&name, Some(revision))?, name });
    }
    let sibling = declared.sibling()?;
    let error = match sources.base_model(&sibling, None) {
        Err(error) if error.is_no_base_model() => error,
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

/// Whether `name` is the base model that the training job or its adapter names, or the 16-bit sibling of a 4-bit copy that they
/// name.
pub(crate) fn names_base(job: &TrainingJob, adapter: &Adapter, name: &str) -> bool {
    let Ok(declared) = DeclaredBaseModel::of(job, adapter) else { return false };
    let names = [declared.parse(declared.name), declared.sibling()];
    names.into_iter().flatten().any(|named| named.as_str() == name)
}

/// The base model that a pushed adapter names.
pub(crate) struct PublishedBase {
    pub(crate) name: HubRepo,
    /// Its files; none if they could not be listed.
    pub(crate) files: Vec<InputFile>,
}

/// The base model for those who use the adapter; `None` if nothing names one. For a bitsandbytes 4-bit copy that is its 16-bit
/// sibling, if it exists.
pub(crate) fn published_base(
    sources: &InputSources<'_>,
    job: &TrainingJob,
    adapter: &Adapter,
) -> Result<Option<PublishedBase>, JobError> {
    let Ok(declared) = DeclaredBaseModel::of(job, adapter) else { return Ok(None) };
    let (copy, sibling) = (declared.parse(declared.name)?, declared.sibling()?);
    let names = if copy == sibling { vec![copy.clone()] } else { vec![sibling, copy.clone()] };
    let mut last_error = None;
    for name in names {
        match sources.base_model(&name, None) {
            Ok(input) => return Ok(Some(PublishedBase { name, files: input.files })),
            Err(error) if error.code() == FailureCode::AccessDenied => {
                return Ok(Some(PublishedBase { name, files: Vec::new() }));
            }
            Err(error) if error.is_stopped() => return Err(error),
            Err(error) => {
                tracing::info!(base = %name, error = &error as &dyn std::error::Error, "the base model was not opened");
                last_error = Some(error);
            }
        }
    }
    match last_error {
        Some(error) if declared.is_adapters && error.is_no_base_model() => Err(declared.explained(error)),
        _ => Ok(Some(PublishedBase { name: copy, files: Vec::new() })),
    }
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
        self.parse(sixteen_bit_name(self.name))
    }

    /// The error, with where a name comes from that is of no model.
    fn explained(&self, error: JobError) -> JobError {
        if !self.is_adapters || !error.is_no_base_model() {
            return error;
        }
        error.with_detail(&format!(
            "{:?} is base_model_name_or_path in adapter_config.json, which can be a path of the trainer's machine: set \
             base_model_id of training job {} to the name that the base model has on the Hugging Face Hub (owner/name)",
            self.name, self.job.id
        ))
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
