//! The merged model of an earlier export, which a GGUF file is made of where the adapter or its base model is gone.

use engine::{Adapter, ExportReport, Finding, Severity, is_adapter_file, is_tokenizer_file};
use serde::Deserialize;
use shared::domain::{ArtifactKind, Variant};

use super::{RequestedExport, merged};
use crate::{artifact_folder::manifest_of, error::JobError, findings, input_folder::InputFolder, inputs};

/// The largest report that is read, in bytes.
const MAX_REPORT: u64 = 256 << 20;

/// Why the merged model of an earlier export is converted.
pub(crate) struct EarlierMerge {
    pub(crate) finding: Finding,
    pub(crate) cause: JobError,
}

impl EarlierMerge {
    /// In place of an adapter that does not exist.
    fn without_adapter(cause: JobError) -> Self {
        let message =
            "the training job has no adapter any more: the merged model of an earlier export is converted";
        let remedy = "check that it is of the fine-tune that you want; if not, train again, and export again";
        Self::new(cause, message, remedy)
    }

    /// In place of a base model that cannot be read.
    fn without_base(cause: JobError) -> Self {
        let message = "the base model cannot be read: the merged model of an earlier export, which was made with the same \
                       adapter, is converted";
        let remedy =
            "correct why the base model cannot be read, and export again, to convert base model and adapter";
        Self::new(cause, message, remedy)
    }

    fn new(cause: JobError, message: &str, remedy: &'static str) -> Self {
        let (code, severity, message) = ("merged_model_used", Severity::Warning, message.to_owned());
        Self { finding: Finding { code, severity, message, remedy }, cause }
    }

    /// For the message of an export, with the cause.
    pub(crate) fn sentence(&self) -> String {
        format!("{}. The cause: {}", findings::sentence(&self.finding), self.cause.message())
    }

    /// The cause as the error of an export with prompts, which needs base model and adapter.
    pub(crate) fn refuse_prompts(self) -> JobError {
        let advice = "prompts_uri needs base model and adapter; without it, the merged model of an earlier export is converted";
        self.cause.with_advice(advice).of_field("prompts_uri")
    }
}

/// The merged model of an earlier export in place of an adapter that does not exist; else `cause`.
pub(super) fn without_adapter(
    requested: &RequestedExport<'_>,
    cause: JobError,
) -> Result<(InputFolder, EarlierMerge), JobError> {
    match find(requested)? {
        Some(merged) => Ok((merged, EarlierMerge::without_adapter(cause))),
        None => Err(cause),
    }
}

/// The merged model of an earlier export in place of a base model that cannot be read, if it was made of a base of that name and
/// with the files of `adapter`; else `cause`.
pub(super) fn without_base(
    requested: &RequestedExport<'_>,
    (adapter, files): (&Adapter, &InputFolder),
    cause: JobError,
) -> Result<(InputFolder, EarlierMerge), JobError> {
    match find(requested)? {
        Some(merged)
            if is_of_named_base(requested, &merged, adapter)? && is_made_with(requested, &merged, files)? =>
        {
            Ok((merged, EarlierMerge::without_base(cause)))
        }
        _ => Err(cause),
    }
}

fn find(requested: &RequestedExport<'_>) -> Result<Option<InputFolder>, JobError> {
    let Some(url) = requested.training_job.artifacts.path(Variant::Raw, ArtifactKind::Merged) else {
        return Ok(None);
    };
    Ok(Some(requested.sources.input_folder(url)?).filter(InputFolder::has_model))
}

/// Whether the manifest of `merged` has the base model that training job and adapter name now.
fn is_of_named_base(
    requested: &RequestedExport<'_>,
    merged: &InputFolder,
    adapter: &Adapter,
) -> Result<bool, JobError> {
    let job_folder = merged::raw_folder(requested)?;
    let folder = merged.location().strip_prefix(job_folder.location()).and_then(|url| url.strip_prefix('/'));
    let Some(folder) = folder else { return Ok(false) };
    let base = manifest_of(&job_folder, folder)?.and_then(|manifest| manifest.base_model);
    Ok(base.is_some_and(|base| inputs::names_base(requested.training_job, adapter, &base)))
}

/// The part of a merged model's report that identifies the adapter.
#[derive(Deserialize)]
struct MergeReport {
    inputs: MergeInputs,
}

#[derive(Deserialize)]
struct MergeInputs {
    #[serde(default)]
    adapter: Vec<ReportedFile>,
}

#[derive(Deserialize)]
struct ReportedFile {
    name: String,
    bytes: u64,
    sha256: Option<String>,
}

/// Whether the report of `merged` has the files of `adapter`, and no others.
fn is_made_with(
    requested: &RequestedExport<'_>,
    merged: &InputFolder,
    adapter: &InputFolder,
) -> Result<bool, JobError> {
    let Some(report) = read_report(merged)? else { return Ok(false) };
    let listed = report.inputs.adapter;
    let is_listed = |name: &str| listed.iter().any(|file| file.name == name);
    let has_all = adapter.names().filter(|name| is_merged(name)).all(is_listed);
    let has_size = |file: &ReportedFile| {
        adapter.files.iter().any(|found| found.name == file.name && found.size == file.bytes)
    };
    if listed.is_empty() || !has_all || !listed.iter().all(has_size) {
        return Ok(false);
    }
    for ReportedFile { name, sha256, .. } in &listed {
        let location = format!("{}/{name}", adapter.location());
        let source = adapter.folder.open(name).map_err(JobError::bucket("read", &location))?;
        if Some(requested.sources.sha256(&*source)?) != *sha256 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a merge reads a file of this name in an adapter's folder. Pickles are not read beside safetensors.
fn is_merged(name: &str) -> bool {
    let is_weights = is_adapter_file(name) && !name.ends_with(".bin");
    is_weights || is_tokenizer_file(name)
}

/// `None` if there is none, or it is not valid.
fn read_report(merged: &InputFolder) -> Result<Option<MergeReport>, JobError> {
    if !merged.has(ExportReport::FILE) {
        return Ok(None);
    }
    let location = format!("{}/{}", merged.location(), ExportReport::FILE);
    let source = merged.folder.open(ExportReport::FILE).map_err(JobError::bucket("read", &location))?;
    if source.size() > MAX_REPORT {
        return Ok(None);
    }
    let mut bytes = vec![0; source.size() as usize];
    source.read_at(0, &mut bytes).map_err(JobError::bucket("read", &location))?;
    Ok(serde_json::from_slice(&bytes).ok())
}
