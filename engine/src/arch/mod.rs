//! The model families that can become GGUF files, one file each: what their tensors and parameters are called.

mod gemma1;
mod gemma2;
mod gemma3;
mod names;

use std::fmt;

pub(crate) use names::Place;

use crate::checkpoint::Config;
use crate::gguf::Metadata;
use crate::{Error, Result};

/// A family, by llama.cpp's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Gemma 1 and CodeGemma.
    Gemma,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, and the language model of multimodal Gemma 3.
    Gemma3,
}

impl Architecture {
    /// What `config.json` says the model is.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for any other class.
    pub fn of(config: &Config) -> Result<Self> {
        match config.class().or_else(|| config.model_type()) {
            Some("GemmaForCausalLM" | "gemma") => Ok(Self::Gemma),
            Some("Gemma2ForCausalLM" | "gemma2") => Ok(Self::Gemma2),
            Some("Gemma3ForCausalLM" | "Gemma3ForConditionalGeneration" | "gemma3_text" | "gemma3") => {
                Ok(Self::Gemma3)
            }
            other => {
                let class = other.unwrap_or("a model without architectures and model_type");
                Err(Error::unsupported(config.file(), format!("GGUF for {class}"))
                    .advise("this version exports Gemma 1, 2 and 3"))
            }
        }
    }

    /// The name in `general.architecture`, which also begins the names of the family's own keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gemma => "gemma",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
        }
    }

    /// Writes the family's parameters, in the converter's order.
    pub(crate) fn parameters(self, config: &Config, file_type: u32, out: &mut Metadata) -> Result<()> {
        match self {
            Self::Gemma => gemma1::parameters(config, file_type, out),
            Self::Gemma2 => gemma2::parameters(config, file_type, out),
            Self::Gemma3 => gemma3::parameters(config, file_type, out),
        }
    }

    /// What becomes of the checkpoint's tensor of this name.
    pub(crate) fn place(self, name: &str) -> Place {
        match self {
            Self::Gemma => names::place(name, &gemma1::LAYER),
            Self::Gemma2 => names::place(name, &gemma2::LAYER),
            Self::Gemma3 => names::place(name, &gemma3::LAYER),
        }
    }

    /// The tensors that every layer has, by their GGUF names within it.
    pub(crate) fn layer_tensors(self) -> impl Iterator<Item = &'static str> {
        let table: &'static [(&str, &str)] = match self {
            Self::Gemma => &gemma1::LAYER,
            Self::Gemma2 => &gemma2::LAYER,
            Self::Gemma3 => &gemma3::LAYER,
        };
        table.iter().map(|(_, gguf)| *gguf)
    }

    /// Whether a head apart from the embedding has a place in the file.
    pub(crate) fn has_output(self) -> bool {
        match self {
            Self::Gemma | Self::Gemma2 => false,
            Self::Gemma3 => true,
        }
    }

    /// Whether rows of the embedding past the vocabulary are left out.
    pub(crate) fn trims_embedding(self) -> bool {
        match self {
            Self::Gemma | Self::Gemma2 => false,
            Self::Gemma3 => true,
        }
    }

    /// What is added to a tensor: the file holds 1 + w for norms that the checkpoint stores as w.
    pub(crate) fn shift(self, name: &str) -> f32 {
        match self {
            Self::Gemma | Self::Gemma2 | Self::Gemma3 if name.ends_with("norm.weight") => 1.0,
            Self::Gemma | Self::Gemma2 | Self::Gemma3 => 0.0,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
