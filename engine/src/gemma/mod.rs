//! The model families that can be exported to GGUF, one file each. A family is one value ([`ModelFamily`]): a new
//! table or fact of it is a field there, with its value in each family's file.

mod attention;
mod canonical_name;
mod classifier;
mod config_sizes;
mod expressible;
mod family;
mod fixed_settings;
mod gemma1;
mod gemma2;
mod gemma3;
mod gemma3n;
mod gemma4;
mod gemma4_assistant;
mod gemma4_dspark;
mod gemma_embedding;
mod known_fields;
mod mmproj;
mod rope;
mod sentence_transformers;
mod tensor_names;
mod tensor_shapes;

use std::fmt;

pub(crate) use attention::{AttentionRules, AttentionSizes, first_kv_shared_layer};
pub(crate) use canonical_name::{
    all_names, canonical_name, is_embedding, is_lm_head, is_token_embedding, lm_head_name,
};
pub(crate) use classifier::{classifier_shape, classifier_weight};
pub(crate) use config_sizes::check_sizes;
pub(crate) use family::{ExtraTensor, ModelFamily, ParameterSource, VocabMismatch};
pub(crate) use known_fields::{check_model_type, has_field, unknown_encoder_fields, unknown_fields};
pub(crate) use mmproj::{MmprojEncoders, is_clip_limit_name};
pub(crate) use rope::{check_linear_factor, layer_rope};
pub(crate) use sentence_transformers::{check_modules, module_files};
pub(crate) use tensor_names::MappedTensor;
pub(crate) use tensor_shapes::{ExpectedShape, TensorShapes};

use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};

/// A model family that can be exported to GGUF.
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
    /// The assistants that draft tokens for Gemma 4 and Gemma 4 Unified.
    Gemma4Assistant,
    /// The DSpark drafters for Gemma 4.
    Gemma4Dspark,
    /// EmbeddingGemma.
    GemmaEmbedding,
}

impl Architecture {
    /// Every family.
    const ALL: [Self; 8] = [
        Self::Gemma,
        Self::Gemma2,
        Self::Gemma3,
        Self::Gemma3n,
        Self::Gemma4,
        Self::Gemma4Assistant,
        Self::Gemma4Dspark,
        Self::GemmaEmbedding,
    ];

    /// The family of the class in `config.json`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for any other class.
    pub fn of(config: &ModelConfig) -> Result<Self> {
        let class = config.class().or_else(|| config.model_type());
        class.and_then(Self::of_class).ok_or_else(|| {
            let class = class.unwrap_or("a model without architectures and model_type");
            Error::unsupported(config.file(), format!("GGUF for {class}")).advise(
                "GGUF files are made of Gemma 1, 2, 3, 3n and 4 with their assistants and EmbeddingGemma; of other \
                 Gemma classes, export the merged checkpoint",
            )
        })
    }

    /// The family of the language model in a checkpoint, also of one that has a classifier on it; `None` for other classes.
    pub(crate) fn of_checkpoint(config: &ModelConfig) -> Option<Self> {
        match config.class().and_then(classifier::language_model_class) {
            Some(class) => Self::of_class(&class),
            None => Self::of(config).ok(),
        }
    }

    /// The family with this class or `model_type`.
    fn of_class(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.family().classes.contains(&name))
    }

    /// The family with this value of `general.architecture`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// The value of `general.architecture`, which is also the prefix of the family's metadata keys.
    pub fn as_str(self) -> &'static str {
        self.family().name
    }

    /// The family's facts and tables.
    pub(crate) fn family(self) -> &'static ModelFamily {
        match self {
            Self::Gemma => &gemma1::FAMILY,
            Self::Gemma2 => &gemma2::FAMILY,
            Self::Gemma3 => &gemma3::FAMILY,
            Self::Gemma3n => &gemma3n::FAMILY,
            Self::Gemma4 => &gemma4::FAMILY,
            Self::Gemma4Assistant => &gemma4_assistant::FAMILY,
            Self::Gemma4Dspark => &gemma4_dspark::FAMILY,
            Self::GemmaEmbedding => &gemma_embedding::FAMILY,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_belongs_to_one_family() {
        let mut classes: Vec<&str> =
            Architecture::ALL.iter().flat_map(|known| known.family().classes).copied().collect();
        let count = classes.len();
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(classes.len(), count);
    }
}
