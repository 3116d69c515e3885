//! `gguf` of the kind `lora`: the adapter alone, as a GGUF file for each type.

use engine::{Adapter, GgufPlan, LoraPlan, Model, TensorType, is_adapter_file};
use shared::domain::Quantization;

use super::{RequestedExport, gguf::model_name};
use crate::{
    artifact_folder::ArtifactFolder,
    error::JobError,
    fingerprint::Fingerprint,
    inputs::{self, BaseModel, FineTune},
};

/// The adapter, the base model whose tensors it changes, and the files that the record asks for.
pub(crate) struct LoraInput {
    pub(crate) base: BaseModel,
    pub(crate) adapter: Adapter,
    /// The size of the adapter's files in bytes.
    pub(crate) adapter_size: u64,
    pub(crate) files: Vec<LoraFile>,
    model_name: String,
}

/// A file, and where it is published.
pub(crate) struct LoraFile {
    pub(crate) quantization: Quantization,
    pub(crate) name: String,
    pub(crate) target: ArtifactFolder,
}

impl LoraInput {
    /// Plans every file.
    pub(crate) fn plans(&self) -> Result<Vec<LoraPlan>, JobError> {
        let model = Model::with_adapter(&self.base.input.checkpoint()?, &self.adapter)?;
        let plan = |file: &LoraFile| {
            let planned = LoraPlan::new(&model, factor_type(file.quantization)?, &self.model_name);
            planned.map_err(|error| {
                // what a file of base and adapter together can hold
                let is_of_kind =
                    matches!(error, engine::Error::Unsupported { .. }) && GgufPlan::supports(&model);
                let error = JobError::from(error);
                if is_of_kind { error.of_field("gguf_kind") } else { error }
            })
        };
        self.files.iter().map(plan).collect()
    }
}

pub(crate) fn find_input(requested: &RequestedExport<'_>) -> Result<LoraInput, JobError> {
    let (adapter, input) = match inputs::fine_tune(&requested.sources, requested.training_job)? {
        FineTune::Adapter(adapter, input) => (adapter, input),
        FineTune::FullModel(_) => {
            return Err(JobError::InvalidInput(format!(
                "training job {} has made a full fine-tuned model, which has no adapter: export a GGUF of the model",
                requested.training_job.id
            ))
            .of_field("gguf_kind"));
        }
    };
    let base = inputs::base_model(&requested.sources, requested.training_job, &adapter)?;
    let model_name = model_name(requested.training_job);
    let inputs = Fingerprint::of("gguf lora")
        .folder("adapter", &input.model_files())
        .folder("base", &base.input.model_files());
    let file = |quantization: Quantization| {
        let fingerprint = inputs.clone().option("quantization", quantization.as_str());
        let fingerprint = fingerprint.option("name", &model_name).finish();
        let artifact = format!("gguf lora {quantization}");
        let target = ArtifactFolder::new(requested.download_folder()?, artifact, fingerprint);
        Ok(LoraFile { quantization, name: format!("lora-{quantization}.gguf"), target })
    };
    let files = requested.quantizations().into_iter().map(file).collect::<Result<_, JobError>>()?;
    let of_adapter = input.files.iter().filter(|file| is_adapter_file(&file.name));
    let adapter_size = of_adapter.map(|file| file.size).sum();
    Ok(LoraInput { base, adapter, adapter_size, files, model_name })
}

/// The engine's type of the same name.
fn factor_type(quantization: Quantization) -> Result<TensorType, JobError> {
    let known =
        LoraPlan::TYPES.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(quantization.as_str()));
    known.ok_or_else(|| {
        let problem = format!("an adapter cannot be written as {quantization}");
        JobError::InvalidInput(problem).of_field("quantizations")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_of_requests_are_those_of_the_engine() {
        let known = Quantization::OF_LORA.map(|quantization| factor_type(quantization).unwrap());
        assert_eq!(known, LoraPlan::TYPES);
        assert!(factor_type(Quantization::Q4_0).is_err());
    }
}
