//! The one place where an export record becomes an engine plan.

use engine::{GgufOptions, OutputType, title_of};
use shared::domain::{Export, Quantization, TrainingJob};

/// What the record asks of the engine for a GGUF file.
pub(crate) struct GgufRequest {
    pub(crate) quantization: Quantization,
    pub(crate) options: GgufOptions,
    /// `general.name`, the name people see in their tools.
    pub(crate) name: String,
}

/// Reads a GGUF export's record.
pub(crate) fn gguf(export: &Export, job: &TrainingJob) -> GgufRequest {
    let quantization = export.quantization.unwrap_or(Quantization::DEFAULT);
    let name = model_name(job);
    GgufRequest { quantization, options: GgufOptions::new(output_type(quantization), &name), name }
}

/// The file's name in `{job_id}/`.
pub(crate) fn gguf_file(quantization: Quantization) -> String {
    if quantization == Quantization::DEFAULT {
        "model.gguf".to_owned()
    } else {
        format!("model-{quantization}.gguf")
    }
}

/// What the owner called the job, else the base model's name, in the form of a title.
fn model_name(job: &TrainingJob) -> String {
    let base = || job.base_model_id.as_deref().and_then(|id| id.rsplit('/').next());
    let named = job.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    title_of(named.or_else(base).unwrap_or(job.id.as_str()))
}

fn output_type(quantization: Quantization) -> OutputType {
    match quantization {
        Quantization::F32 => OutputType::F32,
        Quantization::F16 => OutputType::F16,
        Quantization::Bf16 => OutputType::Bf16,
        Quantization::Q8_0 => OutputType::Q8_0,
    }
}
