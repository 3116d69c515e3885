//! `gguf`: one file for llama.cpp and Ollama, from base and adapter, from a full fine-tune, or, where the parts cannot
//! be had any more, from the merged model that an earlier export left.

use std::sync::Arc;

use engine::{Folder as _, GgufPlan, Model, Report, Run};
use shared::domain::{ArtifactKind, Destination, HubRepo, Stage, Variant};

use super::{Made, Pushable, Work, proof};
use crate::{
    error::JobError,
    fingerprint::Fingerprint,
    inputs::{self, Input, Tuned},
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
            (manifest, format!("The {} file is written", request.quantization))
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
    let plan = GgufPlan::new(&model, &request.options)?;
    work.reporter.begin(Stage::Export, format!("Writing {file} ({})", request.quantization), 0);
    let run = Run { progress: work.reporter.as_ref(), ..Run::default() };
    shelf.clear()?;
    let written = engine::gguf(&plan, file, &mut shelf.folder.upload(), &run).map_err(JobError::from);
    let sealed = written.and_then(|outcome| {
        let logits = proof::logits(work, &model, |run| {
            let written = shelf.folder.open(file).map_err(JobError::bucket("read", file))?;
            Ok(engine::compare_gguf(&model, &[written], run)?)
        })?;
        let proof = proof::of(&outcome, Some(file), logits);
        shelf.seal(work.export.id, outcome.files.into_iter().map(Into::into), proof)
    });
    if sealed.is_err() {
        let planned = plan.files(file).into_iter().map(|planned| planned.name);
        let names: Vec<String> = planned.chain([Report::beside(file)]).collect();
        shelf.discard(names.iter().map(String::as_str));
    }
    sealed
}

/// Where the weights come from, and what tells whether they are the same as before.
struct Source {
    from: From,
    fingerprint: Fingerprint,
    base: Option<HubRepo>,
}

enum From {
    /// A full model, as it is.
    Whole(Input),
    /// A base model and an adapter. Also where their merge is at hand: a GGUF file keeps the order of the tensors
    /// it was made from, and the same export must give the same bytes.
    Parts(Input, engine::Adapter),
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
    let (adapter, input) = match inputs::tuned(work) {
        Ok(Tuned::Adapter(adapter, input)) => (adapter, input),
        Ok(Tuned::FullModel(input)) => {
            let fingerprint = Fingerprint::of("gguf").folder("model", &input.files);
            let base = named_base(work);
            return Ok(Source { from: From::Whole(input), fingerprint, base });
        }
        Err(error) => return earlier_merge(work, error),
    };
    let (name, base) = match inputs::base(work, &adapter) {
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
    let input = Input::in_bucket(work, url)?;
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
