//! `merged`: base model and adapter as one model. First the raw folder, which later exports start from; from it the
//! zip file for download and the repository on the Hub.

use std::sync::Arc;

use engine::{Checkpoint, Folder as _};
use shared::domain::{Artifact, ArtifactKind, Destination, Proof, Stage, Variant};

use super::{ExportResult, ExportWork, ModelFiles, proof};
use crate::{
    archive,
    artifact_folder::ArtifactFolder,
    error::JobError,
    fingerprint::Fingerprint,
    input_folder::InputFolder,
    inputs::{self, BaseModel, FineTune},
    manifest::Manifest,
    plan::PlannedMerge,
};

const ZIP_FILE: &str = "merged.zip";

pub(super) fn export(work: &ExportWork<'_>) -> Result<ExportResult, JobError> {
    let (adapter, input) = match inputs::fine_tune(&work.sources, work.training_job)? {
        FineTune::Adapter(adapter, input) => (adapter, input),
        FineTune::FullModel(input) => {
            return Err(JobError::InvalidInput(format!(
                "{} is a full fine-tuned model, which needs no merge: export it as gguf",
                input.location()
            )));
        }
    };
    let base = inputs::base_model(&work.sources, work.training_job, &adapter)?;
    let raw = raw_folder(work, &input, &base)?;
    let (manifest, message) = match raw.existing()? {
        Some(manifest) => {
            (manifest, "Reused the merged model of an earlier export: its inputs are unchanged".to_owned())
        }
        None => merge(work, &PlannedMerge::new(&base.input, &adapter)?, &raw)?,
    };
    let path = raw.bucket.location().to_owned();
    let raw_artifact = Artifact { kind: ArtifactKind::Merged, path, variant: Variant::Raw };
    let mut result = ExportResult { artifacts: vec![raw_artifact], proof: manifest.proof.clone(), message };
    if work.has_destination(Destination::Gcs) {
        let sha256 = zip(work, &raw, &manifest)?;
        result.proof = result.proof.map(|proof| Proof { sha256, ..proof });
        result.artifacts.push(work.artifact(Variant::File, work.download_folder()?.url_of(ZIP_FILE)?));
    }
    let model = ModelFiles {
        folder: Arc::new(raw.bucket.clone()),
        files: &manifest.files,
        base_model: Some(&base.name),
        description: "Merged from the base model and a LoRA adapter in 32-bit arithmetic, rounded once.",
    };
    work.push(&model, &mut result)?;
    Ok(result)
}

/// `merged_models/{job_id}/` in the bucket of raw models.
fn raw_folder(
    work: &ExportWork<'_>,
    adapter: &InputFolder,
    base: &BaseModel,
) -> Result<ArtifactFolder, JobError> {
    let bucket = work.sources.bucket(&work.context.buckets.raw)?.join("merged_models")?;
    let fingerprint =
        Fingerprint::of("merged").folder("adapter", &adapter.files).folder("base", &base.input.files);
    let bucket = bucket.join(work.training_job.id.as_str())?;
    Ok(ArtifactFolder::new(bucket, "export-manifest.json", fingerprint.finish()))
}

/// Writes and commits the merged model; no file of it stays if that fails.
fn merge(
    work: &ExportWork<'_>,
    merge: &PlannedMerge,
    raw: &ArtifactFolder,
) -> Result<(Manifest, String), JobError> {
    raw.clear()?;
    let result = write_files(work, merge, raw);
    if result.is_err() {
        raw.rollback(merge.file_names().iter().map(String::as_str));
    }
    result
}

fn write_files(
    work: &ExportWork<'_>,
    merge: &PlannedMerge,
    raw: &ArtifactFolder,
) -> Result<(Manifest, String), JobError> {
    work.progress.begin(Stage::Export, "Merging the adapter into the base model", 0);
    let outcome = engine::merge(&merge.plan, &mut raw.bucket.upload(), &work.run_options())?;
    let logits = proof::compare_logits(work, &merge.model, |options| {
        let merged = Checkpoint::open(Arc::new(raw.bucket.clone()))?;
        Ok(engine::compare_merged(&merge.model, &merged, options)?)
    })?;
    let summary = &outcome.report.summary;
    let message = format!(
        "Merged {} LoRA pairs into {} tensors; {} tensors are unchanged",
        summary.pairs, summary.tensors_changed, summary.tensors_unchanged
    );
    let proof = proof::summarize(&outcome, None, logits);
    Ok((raw.commit(work.export.id, outcome.files.into_iter().map(Into::into), proof)?, message))
}

/// Writes the raw folder as a zip file, unless that exists; the zip file's hash.
fn zip(work: &ExportWork<'_>, raw: &ArtifactFolder, manifest: &Manifest) -> Result<Option<String>, JobError> {
    let fingerprint = manifest
        .files
        .iter()
        .fold(Fingerprint::of("merged.zip"), |all, file| all.option(&file.name, &file.sha256));
    let manifest_name = format!("{ZIP_FILE}.manifest.json");
    let target = ArtifactFolder::new(work.download_folder()?, manifest_name, fingerprint.finish());
    if let Some(existing) = target.existing()? {
        return Ok(existing.files.into_iter().next().map(|file| file.sha256));
    }
    let bytes = manifest.files.iter().map(|file| file.size).sum();
    work.progress.begin(Stage::Upload, "Packing the merged model", bytes);
    let names: Vec<String> = manifest.files.iter().map(|file| file.name.clone()).collect();
    target.clear()?;
    let archive = archive::write_zip(&raw.bucket, &names, &target.bucket, ZIP_FILE, work.progress)?;
    let sha256 = archive.sha256.clone();
    target.commit(work.export.id, [archive], None)?;
    Ok(Some(sha256))
}
