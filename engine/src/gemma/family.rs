//! A model family as one value: everything in which one generation of Gemma differs from another.

use std::sync::Arc;

use super::attention::AttentionRules;
use super::mmproj::MmprojFamily;
use super::tensor_names::{MappedTensor, RequiredTensors, TensorNameMap};
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::Result;
use crate::gguf::GgufMetadata;

/// The facts and tables of a family; each family's file has one as its `FAMILY`.
#[derive(Debug)]
pub(crate) struct ModelFamily {
    /// llama.cpp's name: the value of `general.architecture` and the prefix of the family's metadata keys.
    pub(crate) name: &'static str,
    /// The entries of `architectures`, and the values of `model_type`, that belong to the family.
    pub(super) classes: &'static [&'static str],
    /// From the checkpoint's tensor names to the GGUF file's.
    pub(super) tensor_names: &'static TensorNameMap,
    pub(crate) config_defaults: ConfigDefaults,
    pub(crate) attention: AttentionRules,
    /// Added to the weights of norms: 1 if the class multiplies by 1 + w, as a GGUF file stores the factor itself.
    pub(super) norm_shift: f32,
    pub(crate) vocab_mismatch: VocabMismatch,
    /// Whether llama.cpp reads an lm_head that is not the embedding.
    pub(crate) has_lm_head: bool,
    /// For a drafter whose file has the tokenizer of the model that it drafts for: the token at the positions to be
    /// drafted.
    pub(crate) target_mask_token: Option<fn(&ModelConfig) -> Result<u32>>,
    /// Writes the family's metadata, in the converter's order.
    pub(super) parameters: fn(&ModelFamily, &ParameterSource<'_>, &mut GgufMetadata) -> Result<()>,
    /// Tensors of the GGUF file that are not in the checkpoint's shards.
    pub(super) extra_tensors: fn(&ModelFamily, &ModelFiles) -> Result<Vec<ExtraTensor>>,
    /// What the configuration says about the tensors of a layer, or of those outside of layers.
    pub(super) own_tensors: fn(&ModelFamily, &ModelConfig, Option<u32>) -> Result<OwnTensors>,
    /// The vision and audio encoders of the family's multimodal classes.
    pub(super) mmproj: &'static [&'static MmprojFamily],
}

/// What a family's metadata is made from.
#[derive(Clone, Copy)]
pub(crate) struct ParameterSource<'a> {
    pub(crate) files: &'a ModelFiles,
    pub(crate) extra_tensors: &'a [ExtraTensor],
    /// The names of all tensors of the file.
    pub(crate) tensors: &'a [&'a str],
    /// `general.file_type`.
    pub(crate) file_type: u32,
}

/// Tensors of a layer by their names in the file without the layer, or of those outside of layers.
#[derive(Debug, Default)]
pub(super) struct OwnTensors {
    /// Those that are required besides [`TensorNameMap::layer_tensors`] and [`TensorNameMap::model_tensors`].
    pub(super) required: Vec<&'static str>,
    /// Those that transformers ignores because of a setting, and llama.cpp does not; each with the setting.
    pub(super) ignored: Vec<(&'static str, &'static str)>,
}

/// A tensor of the GGUF file that is not in the checkpoint's shards.
#[derive(Debug, Clone)]
pub(crate) struct ExtraTensor {
    pub(crate) name: String,
    /// Rows first.
    pub(crate) shape: Vec<u64>,
    pub(crate) values: Arc<[f32]>,
}

/// How a different number of embedding rows and tokens is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VocabMismatch {
    Reject,
    /// Rows past the vocabulary are dropped.
    Truncate,
    /// Tokens past the last row (image and audio tokens) get rows of zeros.
    ZeroPad,
}

/// The values of the transformers class for fields that `config.json` omits or sets to null, under the fields' names.
/// A count of `None` has no default: `config.json` must have the field.
#[derive(Debug)]
pub(crate) struct ConfigDefaults {
    pub(crate) vocab_size: Option<u32>,
    pub(super) vocab_size_per_layer_input: Option<u32>,
    pub(super) num_hidden_layers: Option<u32>,
    pub(super) max_position_embeddings: Option<u32>,
    pub(super) hidden_size: Option<u32>,
    pub(super) intermediate_size: Option<u32>,
    pub(super) num_attention_heads: Option<u32>,
    pub(super) num_key_value_heads: Option<u32>,
    pub(super) head_dim: Option<u32>,
    pub(crate) sliding_window: Option<u32>,
    pub(super) num_kv_shared_layers: Option<u32>,
    pub(super) hidden_size_per_layer_input: Option<u32>,
    pub(crate) rms_norm_eps: f32,
    pub(crate) attn_logit_softcapping: Option<f32>,
    pub(crate) final_logit_softcapping: Option<f32>,
}

impl ConfigDefaults {
    /// The fields for which a class has no value.
    pub(super) const REQUIRED: Self = Self {
        vocab_size: None,
        vocab_size_per_layer_input: None,
        num_hidden_layers: None,
        max_position_embeddings: None,
        hidden_size: None,
        intermediate_size: None,
        num_attention_heads: None,
        num_key_value_heads: None,
        head_dim: Some(256),
        sliding_window: None,
        num_kv_shared_layers: None,
        hidden_size_per_layer_input: None,
        rms_norm_eps: 1e-6,
        attn_logit_softcapping: None,
        final_logit_softcapping: None,
    };
}

impl ModelFamily {
    /// The GGUF name of the checkpoint's tensor of this name.
    pub(crate) fn map_tensor(&self, name: &str) -> MappedTensor {
        self.tensor_names.map(name)
    }

    /// The constant that is added to every value of the checkpoint's tensor of this name.
    pub(crate) fn tensor_shift(&self, name: &str) -> f32 {
        if name.ends_with("norm.weight") { self.norm_shift } else { 0.0 }
    }

    /// Tensors of the GGUF file that are not in the checkpoint's shards; they come first in the file.
    pub(crate) fn extra_tensors(&self, files: &ModelFiles) -> Result<Vec<ExtraTensor>> {
        (self.extra_tensors)(self, files)
    }

    /// Writes the family's metadata, in the converter's order.
    pub(crate) fn write_parameters(
        &self,
        source: &ParameterSource<'_>,
        out: &mut GgufMetadata,
    ) -> Result<()> {
        (self.parameters)(self, source, out)
    }

    /// The tensors that the file of a model with `layers` layers requires.
    pub(crate) fn required_tensors(&self, config: &ModelConfig, layers: u32) -> Result<Vec<String>> {
        let RequiredTensors { model, layer: always } = self.tensor_names.required();
        let mut required = model;
        required.extend((self.own_tensors)(self, config, None)?.required.into_iter().map(str::to_owned));
        for layer in 0..layers {
            let more = (self.own_tensors)(self, config, Some(layer))?.required;
            let names = always.iter().map(String::as_str).chain(more);
            required.extend(names.map(|name| format!("blk.{layer}.{name}")));
        }
        Ok(required)
    }

    /// Whether a tensor of a GGUF file is one of the keys and values that a layer takes from another layer, so that
    /// transformers neither loads nor saves it.
    pub(crate) fn is_shared_kv(&self, config: &ModelConfig, name: &str, layers: u32) -> Result<bool> {
        let shared = config.u32("num_kv_shared_layers")?.or(self.config_defaults.num_kv_shared_layers);
        let Some((layer, name)) = name.strip_prefix("blk.").and_then(|name| name.split_once('.')) else {
            return Ok(false);
        };
        let first = layers.saturating_sub(shared.unwrap_or(0));
        let is_kv = ["attn_k.weight", "attn_v.weight", "attn_k_norm.weight"].contains(&name);
        Ok(is_kv && layer.parse().is_ok_and(|layer: u32| layer >= first))
    }

    /// The checkpoint's name of a tensor, as errors show it.
    pub(crate) fn checkpoint_name(&self, name: &str) -> String {
        self.tensor_names.checkpoint_name(name)
    }

    /// The setting because of which transformers ignores the tensor of this GGUF name, although llama.cpp does not.
    pub(crate) fn ignoring_setting(
        &self,
        config: &ModelConfig,
        layer: u32,
        tensor: &str,
    ) -> Result<Option<&'static str>> {
        let ignored = (self.own_tensors)(self, config, Some(layer))?.ignored;
        let is_tensor = |name: &str| tensor.strip_suffix(name).is_some_and(|layer| layer.ends_with('.'));
        Ok(ignored.into_iter().find(|(name, _)| is_tensor(name)).map(|(_, setting)| setting))
    }
}

/// The count in `config.json` under this field, else `default`.
pub(super) fn config_count(config: &ModelConfig, field: &str, default: Option<u32>) -> Result<u32> {
    match config.u32(field)?.or(default) {
        Some(count) => Ok(count),
        None => config.required_u32(field),
    }
}

/// For families whose tensors all come from the checkpoint.
pub(super) fn no_extra_tensors(_: &ModelFamily, _: &ModelFiles) -> Result<Vec<ExtraTensor>> {
    Ok(Vec::new())
}

/// For families whose models all have the same tensors.
pub(super) fn no_own_tensors(_: &ModelFamily, _: &ModelConfig, _: Option<u32>) -> Result<OwnTensors> {
    Ok(OwnTensors::default())
}
