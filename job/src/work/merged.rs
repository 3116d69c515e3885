//! `merged`: base and adapter as one model. The raw folder first, which later exports start from, then from it the
//! zip file that people download and the repository on the Hub.

use std::sync::Arc;

use engine::{Adapter, Checkpoint, ExportReport, Folder, MergePlan, Model, RunOptions};
use shared::domain::{Artifact, ArtifactKind, Destination, Proof, Stage, Variant};

use super::{Made, Pushable, Work, proof};
use crate::{
    archive,
    error::JobError,
    fingerprint::Fingerprint,
    input_folder::InputFolder,
    inputs::{self, FineTune},
    manifest::{Manifest, Shelf},
};

const FILE: &str = "merged.zip";

pub(super) fn export(work: &Work<'_>) -> Result<Made, JobError> {
    let (adapter, input) = match inputs::fine_tune(&work.sources, work.training_job)? {
        FineTune::Adapter(adapter, input) => (adapter, input),
        FineTune::FullModel(input) => {
            return Err(JobError::Inputs(format!(
                "{} holds a full fine-tuned model, so there is nothing to merge: it is the model already; export it \
                 as gguf",
                input.location()
            )));
        }
    };
    let (base_name, base) = inputs::base_model(&work.sources, work.training_job, &adapter)?;
    let raw = raw_shelf(work, &input, &base)?;
    let (manifest, message) = match raw.existing()? {
        Some(manifest) => (manifest, "The merged model had been made before".to_owned()),
        None => merge(work, &adapter, &base, &raw)?,
    };
    let path = raw.folder.location().to_owned();
    let raw_artifact = Artifact { kind: ArtifactKind::Merged, path, variant: Variant::Raw };
    let mut made = Made { artifacts: vec![raw_artifact], proof: manifest.proof.clone(), message };
    if work.goes_to(Destination::Gcs) {
        let packed = zip(work, &raw, &manifest)?;
        made.proof = made.proof.map(|proof| Proof { sha256: packed, ..proof });
        made.artifacts.push(work.artifact(Variant::File, work.files()?.url_of(FILE)?));
    }
    let pushable = Pushable {
        folder: Arc::new(raw.folder.clone()),
        files: &manifest.files,
        base: Some(&base_name),
        how: "Merged from the base model and a LoRA adapter in 32-bit arithmetic, rounded once.",
    };
    work.push(&pushable, &mut made)?;
    Ok(made)
}

/// `merged_models/{job_id}/` in the bucket of raw models, for these inputs.
fn raw_shelf(work: &Work<'_>, adapter: &InputFolder, base: &InputFolder) -> Result<Shelf, JobError> {
    let folder = work.sources.bucket(&work.context.buckets.raw)?.join("merged_models")?;
    let fingerprint = Fingerprint::of("merged").folder("adapter", &adapter.files).folder("base", &base.files);
    let folder = folder.join(work.training_job.id.as_str())?;
    Ok(Shelf::new(folder, "export-manifest.json", fingerprint.finish()))
}

fn merge(
    work: &Work<'_>,
    adapter: &Adapter,
    base: &InputFolder,
    raw: &Shelf,
) -> Result<(Manifest, String), JobError> {
    let model = Model::with_adapter(&base.checkpoint()?, adapter)?;
    let plan = MergePlan::new(&model)?;
    let planned = plan.files().into_iter().map(|file| file.name);
    let names: Vec<String> = planned.chain([ExportReport::FILE.to_owned()]).collect();
    raw.clear()?;
    work.reporter.begin(Stage::Export, "Merging the adapter into the base model", 0);
    let run = RunOptions { progress: work.reporter.as_ref(), ..RunOptions::default() };
    let merged = engine::merge(&plan, &mut raw.folder.upload(), &run).map_err(JobError::from);
    let sealed = merged.and_then(|outcome| {
        let logits = proof::logits(work, &model, |run| {
            Ok(engine::compare_merged(&model, &Checkpoint::open(Arc::new(raw.folder.clone()))?, run)?)
        })?;
        let summary = outcome.report.summary;
        let message = format!(
            "Merged {} LoRA pairs into {} tensors; {} are the base's own",
            summary.pairs, summary.tensors_changed, summary.tensors_unchanged
        );
        let proof = proof::of(&outcome, None, logits);
        Ok((raw.seal(work.export.id, outcome.files.into_iter().map(Into::into), proof)?, message))
    });
    if sealed.is_err() {
        raw.discard(names.iter().map(String::as_str));
    }
    sealed
}

/// Packs the raw folder, unless that has been done; the zip file's hash.
fn zip(work: &Work<'_>, raw: &Shelf, manifest: &Manifest) -> Result<Option<String>, JobError> {
    let contents = manifest
        .files
        .iter()
        .fold(Fingerprint::of("merged.zip"), |all, file| all.option(&file.name, &file.sha256));
    let shelf = Shelf::new(work.files()?, format!("{FILE}.manifest.json"), contents.finish());
    if let Some(packed) = shelf.existing()? {
        return Ok(packed.files.into_iter().next().map(|file| file.sha256));
    }
    let bytes = manifest.files.iter().map(|file| file.size).sum();
    work.reporter.begin(Stage::Upload, "Packing the merged model", bytes);
    let names: Vec<String> = manifest.files.iter().map(|file| file.name.clone()).collect();
    shelf.clear()?;
    let packed = archive::pack(&raw.folder, &names, &shelf.folder, FILE, work.reporter)?;
    let sha256 = packed.sha256.clone();
    shelf.seal(work.export.id, [packed], None)?;
    Ok(Some(sha256))
}
