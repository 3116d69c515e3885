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

/// The file beside it with the towers of a multimodal model, as llama.cpp looks for it.
pub(crate) fn towers_file(gguf: &str) -> String {
    format!("mmproj-{gguf}")
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
        Quantization::BF16 => OutputType::BF16,
        Quantization::Q8_0 => OutputType::Q8_0,
        Quantization::Q6_K => OutputType::Q6_K,
        Quantization::Q5_K_M => OutputType::Q5_K_M,
        Quantization::Q5_K_S => OutputType::Q5_K_S,
        Quantization::Q5_1 => OutputType::Q5_1,
        Quantization::Q5_0 => OutputType::Q5_0,
        Quantization::Q4_K_M => OutputType::Q4_K_M,
        Quantization::Q4_K_S => OutputType::Q4_K_S,
        Quantization::IQ4_NL => OutputType::IQ4_NL,
        Quantization::IQ4_XS => OutputType::IQ4_XS,
        Quantization::Q4_1 => OutputType::Q4_1,
        Quantization::Q4_0 => OutputType::Q4_0,
        Quantization::Q3_K_L => OutputType::Q3_K_L,
        Quantization::Q3_K_M => OutputType::Q3_K_M,
        Quantization::Q3_K_S => OutputType::Q3_K_S,
        Quantization::Q2_K => OutputType::Q2_K,
    }
}
