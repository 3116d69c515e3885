//! `gguf` of the kind `lora`: the adapter alone, as a GGUF file for each type.

use engine::LoraPlan;
use shared::domain::{Destination, Stage};

use super::{ExportResult, ExportWork, PUSHED, PublishedGguf};
use crate::{
    artifact_folder::NewArtifact,
    bucket::Bucket,
    error::JobError,
    plan::lora::{self, LoraFile, LoraInput},
    progress::StageParts,
};

pub(super) fn export(work: &ExportWork<'_>) -> Result<ExportResult, JobError> {
    let input = lora::find_input(&work.requested)?;
    let plans = input.plans()?;
    let mut parts = StageParts::new(Stage::Export, plans.iter().map(LoraPlan::size).sum());
    let obtain = |(file, plan): (&LoraFile, &LoraPlan)| {
        let part = parts.next(plan.size());
        work.obtain(&file.target, |folder| {
            work.progress.begin_part(part, format!("Writing {}", file.name));
            write(work, file, plan, folder)
        })
    };
    let made = input.files.iter().zip(&plans).map(obtain).collect::<Result<Vec<_>, JobError>>()?;
    let ggufs = input.files.iter().zip(&made).map(|(file, made)| PublishedGguf {
        quantization: Some(file.quantization),
        published: &made.artifact,
        name: &file.name,
    });
    let ggufs: Vec<_> = ggufs.collect();
    let types: Vec<_> = input.files.iter().map(|file| file.quantization.as_str()).collect();
    let description = format!("A LoRA adapter for llama.cpp (`--lora`), as {}.", types.join(", "));
    let (base, base_files) = (&input.base.name, &input.base.input.files);
    let artifacts = work.deliver(&ggufs, Some(base), base_files, &description)?;
    let mut message = message(&input, made.iter().all(|made| made.is_reused));
    if work.has_destination(Destination::HfHub) {
        message.push_str(PUSHED);
    }
    Ok(ExportResult { artifacts, proof: None, message })
}

fn write(
    work: &ExportWork<'_>,
    file: &LoraFile,
    plan: &LoraPlan,
    folder: &Bucket,
) -> Result<NewArtifact, JobError> {
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
