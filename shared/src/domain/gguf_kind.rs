//! What a GGUF file has.

use serde::{Deserialize, Serialize};

/// What a GGUF file has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum GgufKind {
    /// The fine-tuned model.
    #[default]
    Model,
    /// The LoRA adapter alone, which llama.cpp applies to a base model (`--lora`).
    Lora,
}
