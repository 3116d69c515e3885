//! `adapter`: the adapter's files, in one zip file or as a repository on the Hub.

use std::sync::Arc;

use engine::PlannedFile;
use shared::domain::{Destination, Stage};

use super::{ExportResult, ExportWork};
use crate::{
    archive,
    artifact_folder::NewArtifact,
    chunks,
    error::JobError,
    findings,
    hub::ModelFiles,
    input_folder::InputFolder,
    manifest::ManifestFile,
    plan::adapter::{self, AdapterInput, PublishedAdapter, ZIP_FILE},
    progress::StageParts,
};

pub(super) fn export(work: &ExportWork<'_>) -> Result<ExportResult, JobError> {
    let AdapterInput { adapter, packed, published } = adapter::find_input(&work.requested)?;
    let checked = adapter.weight_file_bytes();
    let hashed = published.as_ref().map_or(0, PublishedAdapter::size);
    let mut parts = StageParts::new(Stage::Export, checked + hashed);
    work.progress.begin_part(parts.next(checked), "Checking the adapter");
    let finding = engine::check_adapter_values(&adapter, &work.adapter_run_options())?;
    let message = "Exported the adapter".to_owned();
    let mut result = ExportResult { artifacts: Vec::new(), proof: None, message };
    let published = published.map(|published| {
        work.progress.begin_part(parts.next(hashed), "Hashing the adapter");
        Ok::<_, JobError>((hash_files(work, &published)?, published))
    });
    let published = published.transpose()?;
    if work.has_destination(Destination::Gcs) {
        zip(work, &packed, &mut result)?;
    }
    if let Some((files, PublishedAdapter { plan, base })) = published {
        let model = ModelFiles {
            folder: Arc::clone(plan.folder()),
            files: &files,
            base_model: base.as_ref().map(|base| &base.name),
            base_files: base.as_ref().map_or(&[], |base| &base.files),
            description: &plan.description(),
        };
        work.push_to(&model, &mut result)?;
    }
    if let Some(finding) = finding {
        result.message.push_str(&format!(". {}", findings::sentence(&finding)));
    }
    Ok(result)
}

fn zip(work: &ExportWork<'_>, input: &InputFolder, result: &mut ExportResult) -> Result<(), JobError> {
    let target = adapter::zip_target(&work.requested, input)?;
    let obtained = work.obtain(&target, |folder| {
        work.progress.begin(Stage::Upload, "Packing the adapter", input.size());
        let files: Vec<_> = input.files.iter().map(|file| (file.name.as_str(), file.size)).collect();
        let archive = archive::write_zip(input.folder.as_ref(), &files, folder, ZIP_FILE, work.progress)?;
        Ok(NewArtifact { files: vec![archive], proof: None })
    })?;
    if obtained.is_reused {
        result.message = "Reused the adapter of an earlier export: its inputs are unchanged".to_owned();
    }
    result.artifacts.push(work.download(&obtained.artifact, ZIP_FILE)?);
    Ok(())
}

/// The files with their hashes, for which all of them are read.
fn hash_files(work: &ExportWork<'_>, published: &PublishedAdapter) -> Result<Vec<ManifestFile>, JobError> {
    let folder = published.plan.folder();
    let hash = |file: &PlannedFile| {
        let location = format!("{}/{}", folder.location(), file.name);
        let source = folder.open(&file.name).map_err(JobError::bucket("read", &location))?;
        let sha256 = chunks::sha256(&*source, work.progress)?;
        Ok(ManifestFile { name: file.name.clone(), size: file.size, sha256 })
    };
    published.plan.files().iter().map(hash).collect()
}
