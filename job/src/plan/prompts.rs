//! The prompts that survival of the fine-tune is measured with.

use engine::{Model, PromptSet, SurvivalCost};
use sha2::{Digest as _, Sha256};

use super::{RequestedExport, named_file::FileField};
use crate::{error::JobError, fingerprint::Fingerprint};

/// Of a training set, a part says as much.
const FIELD: FileField = FileField {
    name: "prompts_uri",
    max_bytes: 8 << 20,
    advice: "give a part of it, because 16 prompts are used at the most",
};

/// The prompts of a request.
pub(crate) struct NamedPrompts {
    pub(crate) set: PromptSet,
    sha256: String,
}

/// The prompts that the record asks for, if it does.
pub(crate) fn find(requested: &RequestedExport<'_>) -> Result<Option<NamedPrompts>, JobError> {
    let Some(url) = requested.export.prompts_uri.as_deref() else { return Ok(None) };
    let file = FIELD.find(requested, url)?;
    let bytes = file.read()?;
    let set = PromptSet::parse(&file.name, &bytes).map_err(of_prompts)?;
    Ok(Some(NamedPrompts { set, sha256: hex::encode(Sha256::digest(&bytes)) }))
}

/// Refuses prompts for a model without an adapter.
pub(crate) fn refuse_for_full_model(requested: &RequestedExport<'_>) -> Result<(), JobError> {
    match requested.export.prompts_uri {
        Some(_) => Err(JobError::InvalidInput(
            "prompts_uri is for a base model and an adapter, whose predictions are compared, and this is a full model: omit it"
                .to_owned(),
        )
        .of_field(FIELD.name)),
        None => Ok(()),
    }
}

/// Fails if survival of the model cannot be measured with the prompts of the request.
pub(crate) fn check(prompts: Option<&NamedPrompts>, model: &Model) -> Result<(), JobError> {
    if let Some(prompts) = prompts {
        survival_cost(model, &prompts.set)?;
    }
    Ok(())
}

/// What measuring survival with prompts of the request takes, or why it cannot be measured with them.
pub(super) fn survival_cost(model: &Model, prompts: &PromptSet) -> Result<SurvivalCost, JobError> {
    engine::survival_cost(model, prompts).map_err(of_prompts)
}

fn of_prompts(error: engine::Error) -> JobError {
    JobError::from(error).of_field(FIELD.name)
}

/// Adds the prompts to the fingerprint of an artifact, whose report has what is measured with them.
pub(crate) fn fingerprint(artifact: Fingerprint, prompts: Option<&NamedPrompts>) -> Fingerprint {
    match prompts {
        Some(prompts) => artifact.option("prompts", &prompts.sha256),
        None => artifact,
    }
}
