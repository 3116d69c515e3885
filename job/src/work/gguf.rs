//! `gguf`: one file for llama.cpp and Ollama, from base and adapter, from a full fine-tune, or, where the parts cannot
//! be had any more, from the merged model that an earlier export left.

use std::sync::Arc;

use engine::{ExportReport, Folder as _, GgufPlan, Model, RunOptions};
use shared::domain::{ArtifactKind, Destination, HubRepo, Stage, Variant};

use super::{Made, Pushable, Work, proof};
use crate::{
    error::JobError,
    fingerprint::Fingerprint,
    input_folder::InputFolder,
    inputs::{self, FineTune},
    manifest::{Manifest, Shelf},
    plan::{self, GgufRequest},
};

pub(super) fn export(work: &Work<'_>) -> Result<Made, JobError> {
    let request = plan::gguf(work.export, work.training_job);
    let file = plan::gguf_file(request.quantization);
    let source = source(work)?;
    let fingerprint = source
        .fingerprint
        .clone()
        .option("quantization", request.quantization.as_str())
        .option("name", &request.name)
        .finish();
    let shelf = Shelf::new(work.files()?, format!("{file}.manifest.json"), fingerprint);
    let (manifest, message) = match shelf.existing()? {
        Some(manifest) => (manifest, format!("The {} file had been made before", request.quantization)),
        None => {
            let manifest = write(work, &source, &shelf, &request, &file)?;
            let towers = plan::towers_file(&file);
            let beside = if manifest.files.iter().any(|made| made.name == towers) {
                format!(", with {towers} for images and sounds beside it")
            } else {
                String::new()
            };
            (manifest, format!("The {} file is written{beside}", request.quantization))
        }
    };
    let mut made = Made { artifacts: Vec::new(), proof: manifest.proof.clone(), message };
    if work.goes_to(Destination::Gcs) {
        made.artifacts.push(work.artifact(Variant::File, shelf.folder.url_of(&file)?));
    }
    let how = format!("Converted for llama.cpp as {}.", request.quantization);
    let folder = Arc::new(shelf.folder.clone());
    work.push(
        &Pushable { folder, files: &manifest.files, base: source.base.as_ref(), how: &how },
        &mut made,
    )?;
    Ok(made)
}

fn write(
    work: &Work<'_>,
    source: &Source,
    shelf: &Shelf,
    request: &GgufRequest,
    file: &str,
) -> Result<Manifest, JobError> {
    let model = source.model()?;
    let towers = towers(&model, request);
    let options = request.options.clone();
    let options = if towers.is_some() { options.with_separate_mmproj() } else { options };
    let mut files = vec![(GgufPlan::new(&model, &options)?, file.to_owned())];
    files.extend(towers.map(|plan| (plan, plan::towers_file(file))));
    shelf.clear()?;
    let sealed = write_all(work, &model, shelf, &files);
    if sealed.is_err() {
        let names = |(plan, file): &(GgufPlan, String)| {
            let planned = plan.files(file).into_iter().map(|planned| planned.name);
            planned.chain([ExportReport::beside(file)]).collect::<Vec<_>>()
        };
        let names: Vec<String> = files.iter().flat_map(names).collect();
        shelf.discard(names.iter().map(String::as_str));
    }
    sealed
}

/// The towers of a multimodal model, which llama.cpp takes in a file of their own. Where that cannot be made, the
/// language model alone is still of use.
fn towers(model: &Model, request: &GgufRequest) -> Option<GgufPlan> {
    match GgufPlan::mmproj(model, &request.options) {
        Ok(plan) => Some(plan),
        Err(engine::Error::Unsupported { .. }) => None,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "no file of the model's towers is made");
            None
        }
    }
}

/// Writes the file people ask for, which is the first, and those beside it.
fn write_all(
    work: &Work<'_>,
    model: &Model,
    shelf: &Shelf,
    files: &[(GgufPlan, String)],
) -> Result<Manifest, JobError> {
    let (mut made, mut proof) = (Vec::new(), None);
    for (number, (plan, file)) in files.iter().enumerate() {
        work.reporter.begin(Stage::Export, format!("Writing {file}"), 0);
        let run = RunOptions { progress: work.reporter.as_ref(), ..RunOptions::default() };
        let outcome = engine::gguf(plan, file, &mut shelf.folder.upload(), &run)?;
        if number == 0 {
            let logits = proof::logits(work, model, |run| {
                let written = shelf.folder.open(file).map_err(JobError::bucket("read", file))?;
                Ok(engine::compare_gguf(model, &[written], run)?)
            })?;
            proof = proof::of(&outcome, Some(file), logits);
        }
        made.extend(outcome.files.into_iter().map(Into::into));
    }
    shelf.seal(work.export.id, made, proof)
}

/// Where the weights come from, and what tells whether they are the same as before.
struct Source {
    from: From,
    fingerprint: Fingerprint,
    base: Option<HubRepo>,
}

enum From {
    /// A full model, as it is.
    Whole(InputFolder),
    /// A base model and an adapter. Also where their merge is at hand: a GGUF file keeps the order of the tensors
    /// it was made from, and the same export must give the same bytes.
    Parts(InputFolder, engine::Adapter),
}

impl Source {
    fn model(&self) -> Result<Model, JobError> {
        Ok(match &self.from {
            From::Whole(input) => Model::new(&input.checkpoint()?),
            From::Parts(base, adapter) => Model::with_adapter(&base.checkpoint()?, adapter)?,
        })
    }
}

fn source(work: &Work<'_>) -> Result<Source, JobError> {
    let (adapter, input) = match inputs::fine_tune(&work.sources, work.training_job) {
        Ok(FineTune::Adapter(adapter, input)) => (adapter, input),
        Ok(FineTune::FullModel(input)) => {
            let fingerprint = Fingerprint::of("gguf").folder("model", &input.files);
            let base = named_base(work);
            return Ok(Source { from: From::Whole(input), fingerprint, base });
        }
        Err(error) => return earlier_merge(work, error),
    };
    let (name, base) = match inputs::base_model(&work.sources, work.training_job, &adapter) {
        Ok(found) => found,
        Err(error) => return earlier_merge(work, error),
    };
    let fingerprint = Fingerprint::of("gguf").folder("adapter", &input.files).folder("base", &base.files);
    Ok(Source { from: From::Parts(base, adapter), fingerprint, base: Some(name) })
}

/// The base that the training job's document names, if it is a repository's name.
fn named_base(work: &Work<'_>) -> Option<HubRepo> {
    work.training_job.base_model_id.as_deref()?.parse().ok()
}

/// The merged model that the training job's document names, when its parts cannot be had (any more).
fn earlier_merge(work: &Work<'_>, error: JobError) -> Result<Source, JobError> {
    let Some(url) = work.training_job.artifacts.path(Variant::Raw, ArtifactKind::Merged) else {
        return Err(error);
    };
    let input = work.sources.input_folder(url)?;
    if !input.has("config.json") {
        return Err(error);
    }
    tracing::info!(
        reason = &error as &dyn std::error::Error,
        from = input.location(),
        "using the merged model"
    );
    let fingerprint = Fingerprint::of("gguf").folder("model", &input.files);
    Ok(Source { from: From::Whole(input), fingerprint, base: named_base(work) })
}
