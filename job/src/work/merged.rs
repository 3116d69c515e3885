//! `merged`: base model and adapter as one model. First the raw folder, which later exports start from; from it the
//! zip file for download and the repository on the Hub. The files of a full fine-tune are checked and stay as they are.

use std::sync::Arc;

use engine::{Discard, ExportReport, ExportedModel, Folder};
use shared::domain::{Artifact, ArtifactKind, Destination, Proof, Stage, Variant};

use super::{ExportResult, ExportWork, proof, survival_text};
use crate::{
    archive,
    artifact_folder::{NewArtifact, PublishedArtifact},
    bucket::Bucket,
    chunks,
    error::JobError,
    hub::ModelFiles,
    input_folder::InputFolder,
    manifest::ManifestFile,
    plan::{
        comparison::ComparedExport,
        merged::{self, MergeInput, MergedInput, PlannedMerge, ZIP_FILE},
        prompts::{self, NamedPrompts},
    },
};

pub(super) fn export(work: &ExportWork<'_>) -> Result<ExportResult, JobError> {
    let MergeInput { base, adapter, prompts, target } = match merged::find_input(&work.requested)? {
        MergedInput::BaseAndAdapter(input) => *input,
        MergedInput::FullModel(input) => return full_model(work, &input),
    };
    let (raw, message) = match target.published()? {
        Some(raw) => (raw, None),
        None => {
            let merge = PlannedMerge::new(&base.input, &adapter)?;
            prompts::check(prompts.as_ref(), &merge.model)?;
            let mut message = None;
            let obtained = work.obtain(&target, |folder| {
                let (new, text) = write(work, &merge, prompts.as_ref(), folder)?;
                message = Some(text);
                Ok(new)
            })?;
            (obtained.artifact, message.filter(|_| !obtained.is_reused))
        }
    };
    let message = message.unwrap_or_else(|| {
        "Reused the merged model of an earlier export: its inputs are unchanged".to_owned()
    });
    let path = raw.bucket.location().to_owned();
    let raw_artifact = Artifact::new(ArtifactKind::Merged, Variant::Raw, path);
    let proof = raw.manifest.proof.clone();
    let mut result = ExportResult { artifacts: vec![raw_artifact], proof, message };
    if work.has_destination(Destination::Gcs) {
        let (report, files) = match raw.manifest.files.split_last() {
            Some((report, files)) if report.name == ExportReport::FILE => (Some(report), files),
            _ => (None, raw.manifest.files.as_slice()),
        };
        let zip = zip(work, &*raw.files, files, report)?;
        let sha256 = zip.manifest.files.first().map(|file| file.sha256.clone());
        result.proof = result.proof.map(|proof| Proof { sha256, ..proof });
        result.artifacts.push(work.download(&zip, ZIP_FILE)?);
    }
    let made = "Merged from the base model and a LoRA adapter in 32-bit arithmetic, rounded once.";
    let survival = raw.manifest.proof.iter().map(|proof| ("the model", proof));
    let description = made.to_owned() + &survival_text::survival_section(&survival.collect::<Vec<_>>());
    let model = ModelFiles {
        folder: Arc::clone(&raw.files) as _,
        files: &raw.manifest.files,
        base_model: Some(&base.name),
        base_files: &base.input.files,
        description: &description,
    };
    work.push_to(&model, &mut result)?;
    for artifact in &mut result.artifacts {
        artifact.proof.clone_from(&result.proof);
    }
    Ok(result)
}

/// Writes the merged model, and what the record says about it.
fn write(
    work: &ExportWork<'_>,
    merge: &PlannedMerge,
    prompts: Option<&NamedPrompts>,
    folder: &Bucket,
) -> Result<(NewArtifact, String), JobError> {
    work.progress.begin(Stage::Export, "Merging the adapter into the base model", 0);
    let mut outcome = engine::merge(&merge.plan, &mut folder.upload(), &work.run_options(&merge.model))?;
    let compared = ComparedExport { model: &merge.model, prompts, base_on_grid: None };
    let compared = proof::compare_predictions(work, compared, (&mut outcome, folder), || {
        let files = folder.snapshot().map_err(JobError::bucket("list", folder.location()))?;
        let merged = InputFolder::of_bucket(files).cached(work.requested.sources.cache());
        Ok(ExportedModel::Merged(merged.checkpoint()?))
    })?;
    let summary = &outcome.report.summary;
    let message = format!(
        "Merged {} LoRA pairs into {} tensors; {} tensors are unchanged",
        summary.pairs, summary.tensors_changed, summary.tensors_unchanged
    );
    let proof = proof::summarize(&outcome, None, compared);
    Ok((NewArtifact { files: outcome.files.into_iter().map(Into::into).collect(), proof }, message))
}

/// The model's own files, each weight of them checked.
fn full_model(work: &ExportWork<'_>, input: &InputFolder) -> Result<ExportResult, JobError> {
    let PlannedMerge { model, plan } = PlannedMerge::own_files(input)?;
    work.progress.begin(Stage::Export, "Checking the full fine-tuned model", 0);
    let outcome = engine::merge(&plan, &mut Discard, &work.run_options(&model))?;
    let mut files: Vec<ManifestFile> = outcome.files.into_iter().map(Into::into).collect();
    // the report of a pass that wrote nothing
    files.pop();
    let message = format!("Checked the full fine-tuned model and its {} files", files.len());
    let mut result = ExportResult { artifacts: Vec::new(), proof: None, message };
    if work.has_destination(Destination::Gcs) {
        let zip = zip(work, &*input.folder, &files, None)?;
        result.artifacts.push(work.download(&zip, ZIP_FILE)?);
    }
    let base_model = work.requested.training_job.base_model_id.as_deref().and_then(|name| name.parse().ok());
    let model = ModelFiles {
        folder: Arc::clone(&input.folder),
        files: &files,
        base_model: base_model.as_ref(),
        base_files: &[],
        description: "A full fine-tune: the files are those of its training.",
    };
    work.push_to(&model, &mut result)?;
    Ok(result)
}

/// A model's files as a zip file, and the report beside it.
fn zip(
    work: &ExportWork<'_>,
    folder: &dyn Folder,
    files: &[ManifestFile],
    report: Option<&ManifestFile>,
) -> Result<PublishedArtifact, JobError> {
    let target = merged::zip_target(&work.requested, files, report)?;
    let obtained = work.obtain(&target, |to| {
        let files: Vec<_> = files.iter().map(|file| (file.name.as_str(), file.size)).collect();
        let bytes = files.iter().map(|(_, size)| size).sum();
        work.progress.begin(Stage::Upload, "Packing the merged model", bytes);
        let archive = archive::write_zip(folder, &files, to, ZIP_FILE, work.progress)?;
        let mut written = vec![archive];
        if let Some(report) = report {
            let location = format!("{}/{}", folder.location(), report.name);
            let source = folder.open(&report.name).map_err(JobError::bucket("read", &location))?;
            chunks::copy(&*source, to, &report.name, work.progress)?;
            written.push(report.clone());
        }
        Ok(NewArtifact { files: written, proof: None })
    })?;
    Ok(obtained.artifact)
}
