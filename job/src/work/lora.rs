//! `gguf` of the kind `lora`: the adapter alone, as a GGUF file for each type.

use std::sync::Arc;

use engine::LoraPlan;
use shared::domain::{Destination, Stage};

use super::{ExportResult, ExportWork, ModelFiles, PUSHED};
use crate::{
    artifact_folder::NewArtifact,
    bucket::Bucket,
    error::JobError,
    plan::lora::{self, LoraFile, LoraInput},
};

pub(super) fn export(work: &ExportWork<'_>) -> Result<ExportResult, JobError> {
    let input = lora::find_input(&work.requested)?;
    let plans = input.plans()?;
    let mut result = ExportResult { artifacts: Vec::new(), proof: None, message: String::new() };
    let mut is_reused = true;
    for (file, plan) in input.files.iter().zip(&plans) {
        let obtained = work.obtain(&file.target, |folder| write(work, file, plan, folder))?;
        is_reused &= obtained.is_reused;
        let artifact = &obtained.artifact;
        let model = ModelFiles {
            folder: Arc::clone(&artifact.files) as _,
            files: &artifact.manifest.files,
            base_model: Some(&input.base.name),
            base_files: &input.base.input.files,
            description: &format!("A LoRA adapter for llama.cpp (`--lora`), as {}.", file.quantization),
        };
        result.artifacts.extend(work.deliver(file.quantization, artifact, &file.name, &model)?);
    }
    result.message = message(&input, is_reused);
    if work.has_destination(Destination::HfHub) {
        result.message.push_str(PUSHED);
    }
    Ok(result)
}

fn write(
    work: &ExportWork<'_>,
    file: &LoraFile,
    plan: &LoraPlan,
    folder: &Bucket,
) -> Result<NewArtifact, JobError> {
    work.progress.begin(Stage::Export, format!("Writing {}", file.name), plan.size());
    let written = plan.write(&file.name, &mut folder.upload(), &work.adapter_run_options())?;
    Ok(NewArtifact { files: vec![written.into()], proof: None })
}

fn message(input: &LoraInput, is_reused: bool) -> String {
    let names = input.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ");
    match is_reused {
        true => format!("Reused {names} of an earlier export: its inputs are unchanged"),
        false => format!("Wrote the adapter as {names}"),
    }
}
