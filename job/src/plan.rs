//! The one place where an export record becomes an engine plan.

use engine::{Adapter, GgufOptions, GgufPlan, MergePlan, Model, OutputType, title_of};
use shared::domain::{Export, Quantization, TrainingJob};

use crate::{error::JobError, input_folder::InputFolder};

/// A merge of base model and adapter.
pub(crate) struct PlannedMerge {
    pub(crate) model: Model,
    pub(crate) plan: MergePlan,
}

impl PlannedMerge {
    pub(crate) fn new(base: &InputFolder, adapter: &Adapter) -> Result<Self, JobError> {
        let model = Model::with_adapter(&base.checkpoint()?, adapter)?;
        Ok(Self { plan: MergePlan::new(&model)?, model })
    }
}

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
    /// One for each type of the record; a record without any is older than the field.
    pub(crate) fn all(export: &Export, job: &TrainingJob) -> Vec<Self> {
        let types = match export.quantizations.as_slice() {
            [] => &[Quantization::DEFAULT],
            types => types,
        };
        types.iter().map(|quantization| Self::new(*quantization, job)).collect()
    }

    fn new(quantization: Quantization, job: &TrainingJob) -> Self {
        let file_name = gguf_file_name(quantization);
        let mmproj_name = format!("mmproj-{file_name}");
        Self { quantization, model_name: model_name(job), file_name, mmproj_name }
    }

    /// Plans the language model's file, which is the first, and for a multimodal model its mmproj file.
    pub(crate) fn plan(&self, model: &Model) -> Result<Vec<PlannedGguf>, JobError> {
        let options = GgufOptions::new(output_type(self.quantization)?, &self.model_name);
        let mmproj = plan_mmproj(model, &options);
        let options = if mmproj.is_some() { options.with_separate_mmproj() } else { options };
        let language_model = GgufPlan::new(model, &options)?;
        let named = |plan, file_name: &str| PlannedGguf { plan, file_name: file_name.to_owned() };
        let mut files = vec![named(language_model, &self.file_name)];
        files.extend(mmproj.map(|plan| named(plan, &self.mmproj_name)));
        Ok(files)
    }
}

/// `None` for a text-only model, and if the encoders cannot be converted: the language model is usable without them.
fn plan_mmproj(model: &Model, options: &GgufOptions) -> Option<GgufPlan> {
    match GgufPlan::mmproj(model, options) {
        Ok(plan) => Some(plan),
        Err(engine::Error::Unsupported { .. }) => None,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "no mmproj file is written");
            None
        }
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
fn model_name(job: &TrainingJob) -> String {
    let base_model = || job.base_model_id.as_deref().and_then(|id| id.rsplit('/').next());
    let name = job.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    title_of(name.or_else(base_model).unwrap_or(job.id.as_str()))
}

/// The engine's type of the same name.
fn output_type(quantization: Quantization) -> Result<OutputType, JobError> {
    quantization.as_str().parse().map_err(JobError::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quantization_is_an_output_type_of_the_same_name() {
        for quantization in Quantization::ALL {
            assert_eq!(output_type(quantization).unwrap().as_str(), quantization.as_str());
        }
    }

    #[test]
    fn every_output_type_is_a_quantization() {
        for output_type in OutputType::ALL {
            assert!(output_type.as_str().parse::<Quantization>().is_ok(), "{output_type}");
        }
    }
}
