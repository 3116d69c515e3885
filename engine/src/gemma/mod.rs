//! The model families that can become GGUF files, one file each: what their tensors and parameters are called.

mod gemma1;
mod gemma2;
mod gemma3;
mod gemma3n;
mod gemma4;
mod gemma4_assistant;
mod gemma_embedding;
mod mmproj;
mod rope;
mod tensor_names;

use std::fmt;
use std::sync::Arc;

pub(crate) use gemma_embedding::module_files;
pub(crate) use gemma3::{sliding, switches};
pub(crate) use mmproj::MmprojEncoders;
pub(crate) use tensor_names::MappedTensor;
use tensor_names::TensorNameMap;

use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::{Error, Result};
use crate::gguf::GgufMetadata;

/// A family, by llama.cpp's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Gemma 1 and CodeGemma.
    Gemma,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, and the language model of multimodal Gemma 3.
    Gemma3,
    /// Gemma 3n, and the language model of multimodal Gemma 3n.
    Gemma3n,
    /// Gemma 4, and the language model of multimodal Gemma 4 and Gemma 4 Unified.
    Gemma4,
    /// What drafts tokens for Gemma 4 or Gemma 4 Unified.
    Gemma4Assistant,
    /// EmbeddingGemma.
    GemmaEmbedding,
}

/// A tensor of the file that is in none of the checkpoint's shards.
#[derive(Debug, Clone)]
pub(crate) struct ExtraTensor {
    pub(crate) name: String,
    /// Rows first.
    pub(crate) shape: Vec<u64>,
    pub(crate) values: Arc<[f32]>,
}

impl Architecture {
    /// What `config.json` says the model is.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for any other class.
    pub fn of(config: &ModelConfig) -> Result<Self> {
        match config.class().or_else(|| config.model_type()) {
            Some("GemmaForCausalLM" | "gemma") => Ok(Self::Gemma),
            Some("Gemma2ForCausalLM" | "gemma2") => Ok(Self::Gemma2),
            Some("Gemma3ForCausalLM" | "Gemma3ForConditionalGeneration" | "gemma3_text" | "gemma3") => {
                Ok(Self::Gemma3)
            }
            Some("Gemma3nForCausalLM" | "Gemma3nForConditionalGeneration" | "gemma3n_text" | "gemma3n") => {
                Ok(Self::Gemma3n)
            }
            Some("Gemma4ForCausalLM" | "Gemma4ForConditionalGeneration" | "gemma4_text" | "gemma4") => {
                Ok(Self::Gemma4)
            }
            Some("Gemma4UnifiedForConditionalGeneration" | "gemma4_unified") => Ok(Self::Gemma4),
            Some(
                "Gemma4AssistantForCausalLM"
                | "Gemma4UnifiedAssistantForCausalLM"
                | "gemma4_assistant"
                | "gemma4_unified_assistant",
            ) => Ok(Self::Gemma4Assistant),
            Some("Gemma3TextModel") => Ok(Self::GemmaEmbedding),
            other => {
                let class = other.unwrap_or("a model without architectures and model_type");
                Err(Error::unsupported(config.file(), format!("GGUF for {class}")).advise(
                    "this version exports Gemma 1, 2, 3, 3n and 4 with their assistants and EmbeddingGemma",
                ))
            }
        }
    }

    /// The family of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        const ALL: [Architecture; 7] = [
            Architecture::Gemma,
            Architecture::Gemma2,
            Architecture::Gemma3,
            Architecture::Gemma3n,
            Architecture::Gemma4,
            Architecture::Gemma4Assistant,
            Architecture::GemmaEmbedding,
        ];
        ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// The name in `general.architecture`, which also begins the names of the family's own keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gemma => "gemma",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
            Self::Gemma3n => "gemma3n",
            Self::Gemma4 => "gemma4",
            Self::Gemma4Assistant => "gemma4-assistant",
            Self::GemmaEmbedding => "gemma-embedding",
        }
    }

    /// Tensors that come from elsewhere; they are the first in the file.
    pub(crate) fn extra_tensors(self, files: &ModelFiles) -> Result<Vec<ExtraTensor>> {
        match self {
            Self::Gemma | Self::Gemma2 | Self::Gemma3 | Self::Gemma3n => Ok(Vec::new()),
            Self::Gemma4 | Self::Gemma4Assistant => Ok(vec![gemma4::frequencies(files.config())?]),
            Self::GemmaEmbedding => gemma_embedding::dense(files),
        }
    }

    /// Writes the family's parameters, in the converter's order.
    pub(crate) fn parameters(
        self,
        files: &ModelFiles,
        given: &[ExtraTensor],
        file_type: u32,
        out: &mut GgufMetadata,
    ) -> Result<()> {
        let config = files.config();
        match self {
            Self::Gemma => gemma1::parameters(config, file_type, out),
            Self::Gemma2 => gemma2::parameters(config, file_type, out),
            Self::Gemma3 => gemma3::parameters(config, file_type, out),
            Self::Gemma3n => gemma3n::parameters(config, file_type, out),
            Self::Gemma4 => gemma4::parameters(files, file_type, out),
            Self::Gemma4Assistant => gemma4_assistant::parameters(files, file_type, out),
            Self::GemmaEmbedding => gemma_embedding::parameters(files, given, file_type, out),
        }
    }

    fn tensor_names(self) -> &'static TensorNameMap {
        match self {
            Self::Gemma => &gemma1::NAMES,
            Self::Gemma2 => &gemma2::NAMES,
            Self::Gemma3 | Self::GemmaEmbedding => &gemma3::NAMES,
            Self::Gemma3n => &gemma3n::NAMES,
            Self::Gemma4 => &gemma4::NAMES,
            Self::Gemma4Assistant => &gemma4_assistant::NAMES,
        }
    }

    /// What becomes of the checkpoint's tensor of this name.
    pub(crate) fn map_tensor(self, name: &str) -> MappedTensor {
        self.tensor_names().map(name)
    }

    /// The number of tensors in a stack: the AltUp projections of Gemma 3n.
    pub(crate) const STACK_SIZE: usize = gemma3n::STREAMS as usize - 1;

    /// The tensors that a file cannot lack outside of its layers.
    pub(crate) fn needed(self) -> Vec<String> {
        self.tensor_names().needed().0
    }

    /// The tensors that a file cannot lack in this layer.
    pub(crate) fn needed_in_layer(self, config: &ModelConfig, layer: u32) -> Result<Vec<String>> {
        let more = match self {
            Self::Gemma4 => gemma4::needed(config, layer)?,
            Self::Gemma4Assistant => vec![gemma4_assistant::NEEDED],
            Self::Gemma | Self::Gemma2 | Self::Gemma3 | Self::Gemma3n | Self::GemmaEmbedding => Vec::new(),
        };
        let names = self.tensor_names().needed().1.into_iter().chain(more.into_iter().map(str::to_owned));
        Ok(names.map(|name| format!("blk.{layer}.{name}")).collect())
    }

    /// Whether a head apart from the embedding has a place in the file.
    pub(crate) fn has_output(self) -> bool {
        match self {
            Self::Gemma | Self::Gemma2 | Self::Gemma4Assistant => false,
            Self::Gemma3 | Self::Gemma3n | Self::Gemma4 | Self::GemmaEmbedding => true,
        }
    }

    /// What is done where embeddings have other rows than the tokenizer has tokens.
    pub(crate) fn vocab_mismatch(self) -> VocabMismatch {
        match self {
            Self::Gemma | Self::Gemma2 => VocabMismatch::Reject,
            Self::Gemma3 | Self::Gemma4 | Self::Gemma4Assistant | Self::GemmaEmbedding => {
                VocabMismatch::Truncate
            }
            Self::Gemma3n => VocabMismatch::ZeroPad,
        }
    }

    /// What is added to a tensor: the file holds 1 + w for norms that the checkpoint stores as w.
    pub(crate) fn shift(self, name: &str) -> f32 {
        match self {
            Self::Gemma | Self::Gemma2 | Self::Gemma3 | Self::GemmaEmbedding => {
                if name.ends_with("norm.weight") { 1.0 } else { 0.0 }
            }
            Self::Gemma3n | Self::Gemma4 | Self::Gemma4Assistant => 0.0,
        }
    }
}

/// What is done with rows of an embedding that no token has, or tokens that no row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VocabMismatch {
    Reject,
    /// Rows past the vocabulary are left out.
    Truncate,
    /// Tokens past the last row, those of images and sounds, get zeros.
    ZeroPad,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
