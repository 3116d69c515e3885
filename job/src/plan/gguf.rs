//! `gguf`: the model to convert, from base model and adapter, from a full fine-tune, or, if those no longer exist, from the
//! merged model of an earlier export; and a file for each quantization type.

use engine::{Adapter, GgufOptions, GgufPlan, Model, OutputType, title_of};
use shared::domain::{ArtifactKind, FailureCode, HubRepo, Quantization, TrainingJob, Variant};

use super::{
    RequestedExport,
    imatrix::{self, NamedImatrix},
    prompts::{self, NamedPrompts},
};
use crate::{
    artifact_folder::ArtifactFolder,
    error::JobError,
    fingerprint::Fingerprint,
    input_folder::{InputFile, InputFolder},
    inputs::{self, BaseModel, FineTune},
};

/// A GGUF file that a record asks for.
pub(crate) struct GgufRequest {
    pub(crate) quantization: Quantization,
    /// `general.name` of the metadata, which other tools show.
    pub(crate) model_name: String,
    /// The GGUF file's name in `{job_id}/`.
    pub(crate) file_name: String,
    /// The name of the mmproj file (vision and audio encoders and their projectors), as llama.cpp expects it.
    pub(crate) mmproj_name: String,
}

/// One file of a GGUF export.
pub(crate) struct PlannedGguf {
    pub(crate) plan: GgufPlan,
    pub(crate) file_name: String,
}

impl GgufRequest {
    /// One for each type.
    pub(crate) fn all(requested: &RequestedExport<'_>) -> Vec<Self> {
        let one = |quantization| Self::new(quantization, requested.training_job);
        requested.quantizations().into_iter().map(one).collect()
    }

    fn new(quantization: Quantization, job: &TrainingJob) -> Self {
        let file_name = gguf_file_name(quantization);
        let mmproj_name = format!("mmproj-{file_name}");
        Self { quantization, model_name: model_name(job), file_name, mmproj_name }
    }

    pub(crate) fn output_type(&self) -> Result<OutputType, JobError> {
        output_type(self.quantization)
    }

    /// Plans the language model's file, which is the first, and for a multimodal model its mmproj file.
    pub(crate) fn plan(
        &self,
        model: &Model,
        imatrix: Option<&NamedImatrix>,
    ) -> Result<Vec<PlannedGguf>, JobError> {
        let options = GgufOptions::new(self.output_type()?, &self.model_name);
        let options = match imatrix.filter(|_| self.quantization.uses_imatrix()) {
            Some(imatrix) => options.with_imatrix(imatrix.content.clone()),
            None => options,
        };
        let named = |plan, file_name: &str| PlannedGguf { plan, file_name: file_name.to_owned() };
        let language_model = |options: &GgufOptions| GgufPlan::new(model, options);
        Ok(match plan_mmproj(model, &options)? {
            Mmproj::Planned(mmproj) => {
                let language_model = language_model(&options.with_separate_mmproj())?;
                vec![named(language_model, &self.file_name), named(*mmproj, &self.mmproj_name)]
            }
            Mmproj::NoEncoders => vec![named(language_model(&options)?, &self.file_name)],
            Mmproj::NotConvertible(reason) => {
                vec![named(language_model(&options)?.without_mmproj(&reason), &self.file_name)]
            }
        })
    }
}

enum Mmproj {
    /// The model is text-only.
    NoEncoders,
    Planned(Box<GgufPlan>),
    /// The language model is usable without its encoders.
    NotConvertible(String),
}

fn plan_mmproj(model: &Model, options: &GgufOptions) -> Result<Mmproj, JobError> {
    if !model.has_encoders()? {
        return Ok(Mmproj::NoEncoders);
    }
    match GgufPlan::mmproj(model, options).map_err(JobError::from) {
        Ok(plan) => Ok(Mmproj::Planned(Box::new(plan))),
        Err(error) if matches!(error.code(), FailureCode::InvalidInput | FailureCode::NotFound) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "no mmproj file is written");
            Ok(Mmproj::NotConvertible(error.message()))
        }
        Err(error) => Err(error),
    }
}

fn gguf_file_name(quantization: Quantization) -> String {
    if quantization == Quantization::DEFAULT {
        "model.gguf".to_owned()
    } else {
        format!("model-{quantization}.gguf")
    }
}

/// The training job's name, else the base model's, in the form of a title.
pub(super) fn model_name(job: &TrainingJob) -> String {
    let base_model = || job.base_model_id.as_deref().and_then(|id| id.rsplit('/').next());
    let name = job.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    title_of(name.or_else(base_model).unwrap_or(job.id.as_str()))
}

/// The engine's type of the same name.
fn output_type(quantization: Quantization) -> Result<OutputType, JobError> {
    quantization.as_str().parse().map_err(JobError::Internal)
}

/// Where the file is published.
pub(crate) fn target(
    requested: &RequestedExport<'_>,
    input: &GgufInput,
    request: &GgufRequest,
) -> Result<ArtifactFolder, JobError> {
    let artifact = format!("gguf {}", request.quantization);
    Ok(ArtifactFolder::new(requested.download_folder()?, artifact, input.fingerprint(request)))
}

/// The model to convert.
pub(crate) struct GgufInput {
    pub(crate) weights: ModelWeights,
    /// The fingerprint of its files.
    files: Fingerprint,
    pub(crate) base_model: Option<HubRepo>,
    pub(crate) imatrix: Option<NamedImatrix>,
    pub(crate) prompts: Option<NamedPrompts>,
}

pub(crate) enum ModelWeights {
    /// A full model.
    FullModel(InputFolder),
    /// A base model and an adapter. Preferred to a merged model of an earlier export: a GGUF file has the tensor order
    /// of its input, and the same export must give the same bytes.
    BaseAndAdapter(InputFolder, Adapter),
}

impl ModelWeights {
    /// The files of the full model or the base model.
    pub(crate) fn files(&self) -> &[InputFile] {
        match self {
            Self::FullModel(input) | Self::BaseAndAdapter(input, _) => &input.files,
        }
    }
}

impl GgufInput {
    fn full_model(requested: &RequestedExport<'_>, input: InputFolder) -> Self {
        let files = Fingerprint::of("gguf").folder("model", &input.files);
        let base_model = requested.training_job.base_model_id.as_deref().and_then(|name| name.parse().ok());
        Self { weights: ModelWeights::FullModel(input), files, base_model, imatrix: None, prompts: None }
    }

    pub(crate) fn model(&self) -> Result<Model, JobError> {
        Ok(match &self.weights {
            ModelWeights::FullModel(input) => Model::new(&input.checkpoint()?),
            ModelWeights::BaseAndAdapter(base, adapter) => Model::with_adapter(&base.checkpoint()?, adapter)?,
        })
    }

    fn fingerprint(&self, request: &GgufRequest) -> String {
        let files = prompts::fingerprint(self.files.clone(), self.prompts.as_ref());
        let options =
            files.option("quantization", request.quantization.as_str()).option("name", &request.model_name);
        match self.imatrix.as_ref().filter(|_| request.quantization.uses_imatrix()) {
            Some(NamedImatrix { name, content, .. }) => {
                options.option("imatrix", content.sha256()).option("imatrix file", name).finish()
            }
            None => options.finish(),
        }
    }
}

pub(crate) fn find_input(requested: &RequestedExport<'_>) -> Result<GgufInput, JobError> {
    let (imatrix, input) = (imatrix::find(requested)?, find_model(requested)?);
    if matches!(input.weights, ModelWeights::FullModel(_)) {
        prompts::refuse_for_full_model(requested)?;
    }
    let prompts = prompts::find(requested)?;
    Ok(GgufInput { imatrix, prompts, ..input })
}

fn find_model(requested: &RequestedExport<'_>) -> Result<GgufInput, JobError> {
    let (adapter, input) = match inputs::fine_tune(&requested.sources, requested.training_job) {
        Ok(FineTune::Adapter(adapter, input)) => (adapter, input),
        Ok(FineTune::FullModel(input)) => return Ok(GgufInput::full_model(requested, input)),
        Err(error) => return merged_model(requested, error),
    };
    let BaseModel { name, input: base } =
        match inputs::base_model(&requested.sources, requested.training_job, &adapter) {
            Ok(base) => base,
            // of which revision an earlier merge was made is not known
            Err(error) if adapter.config().revision.is_some() || error.is_stopped() => return Err(error),
            Err(error) => return merged_model(requested, error),
        };
    let files = Fingerprint::of("gguf").folder("adapter", &input.files).folder("base", &base.files);
    Ok(GgufInput {
        weights: ModelWeights::BaseAndAdapter(base, adapter),
        files,
        base_model: Some(name),
        imatrix: None,
        prompts: None,
    })
}

/// The merged model of an earlier export, if there is one; else `error`, which base model or adapter gave.
fn merged_model(requested: &RequestedExport<'_>, error: JobError) -> Result<GgufInput, JobError> {
    let Some(url) = requested.training_job.artifacts.path(Variant::Raw, ArtifactKind::Merged) else {
        return Err(error);
    };
    let input = requested.sources.input_folder(url)?;
    if !input.has_model() {
        return Err(error);
    }
    tracing::info!(
        reason = &error as &dyn std::error::Error,
        from = input.location(),
        "using the merged model of an earlier export"
    );
    Ok(GgufInput::full_model(requested, input))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quantization_is_an_output_type_of_the_same_name() {
        for quantization in Quantization::ALL {
            let output_type = output_type(quantization).unwrap();
            assert_eq!(output_type.as_str(), quantization.as_str());
            assert_eq!(quantization.uses_imatrix(), !output_type.is_converter_type(), "{quantization}");
        }
    }

    #[test]
    fn every_output_type_is_a_quantization() {
        for output_type in OutputType::ALL {
            assert!(output_type.as_str().parse::<Quantization>().is_ok(), "{output_type}");
        }
    }
}
