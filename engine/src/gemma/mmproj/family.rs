//! The vision and audio encoders of a multimodal class as one value.

use std::collections::HashSet;

use kernels::numerics::TensorTransform;
use kernels::quant::{OutputType, TensorType};

use super::encoder_shapes::EncoderSizes;
use super::fixed_settings::FixedSetting;
use super::tensor_map::{EncoderKind, TensorMap};
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::Result;
use crate::gemma::{ExpectedShape, MappedTensor};
use crate::gguf::GgufMetadata;

/// The facts and tables of a multimodal class; each class's file has one.
#[derive(Debug)]
pub(crate) struct MmprojFamily {
    /// The entries of `architectures`, and the values of `model_type`, that have these encoders.
    pub(in crate::gemma) classes: &'static [&'static str],
    /// Vision encoder and projector.
    pub(super) vision_maps: &'static [&'static TensorMap],
    /// Audio encoder and projector; empty if the class has none.
    pub(super) audio_maps: &'static [&'static TensorMap],
    /// The GGUF name of a tensor, whose name is without `model.`.
    pub(super) map_tensor: fn(&str, &[&'static TensorMap]) -> MappedTensor,
    /// The shape of the tensor of this GGUF name and how its values are stored, or what is wrong with its shape in the
    /// checkpoint.
    pub(super) transform: fn(&ModelConfig, &str, &[u64]) -> Result<TransformedShape, String>,
    /// The sizes of an encoder's layers; `None` if they differ or the class has no such encoder.
    pub(super) layer_sizes: fn(&EncoderConfigs<'_>, EncoderKind) -> Result<Option<EncoderSizes>>,
    /// The shape in the checkpoint of the tensor of this GGUF name, outside of layers; `None` where it is not known.
    pub(super) tensor_shape: fn(&EncoderConfigs<'_>, &str) -> Result<Option<ExpectedShape>>,
    /// The position of the first tensor whose shape does not fit the others', and why: of encoders whose sizes are not in
    /// the configuration.
    pub(super) misfit: fn(&[EncoderTensor<'_>]) -> Option<(usize, String)>,
    /// The tensors that a file requires because it has these, besides those of the maps.
    pub(super) required_by: fn(&HashSet<String>) -> Vec<String>,
    /// A module that the model does not use, whose tensors are not in the file.
    pub(super) unused_module: Option<&'static UnusedModule>,
    /// The type of a matrix whose type does not follow the file's.
    pub(super) fixed_type: fn(&str, OutputType) -> Option<TensorType>,
    pub(super) encoder_layers: fn(&EncoderConfigs<'_>) -> Result<EncoderLayers>,
    /// Settings of `vision_config` and of `audio_config` that llama.cpp has as constants.
    pub(super) fixed_settings: [&'static [FixedSetting]; 2],
    /// Writes the metadata, in the converter's order.
    pub(super) parameters: fn(&ModelFiles, &EncoderConfigs<'_>, &mut GgufMetadata) -> Result<()>,
}

/// A module of an encoder whose output the model does not use.
#[derive(Debug)]
pub(super) struct UnusedModule {
    /// What it is, for people.
    pub(super) name: &'static str,
    /// The start of its tensors' names in the checkpoint.
    pub(super) prefix: &'static str,
    /// The field of `vision_config` without which transformers makes no such module and ignores its tensors; by default it
    /// is true.
    pub(super) setting: &'static str,
    /// The shape of the tensor of this name after the prefix.
    pub(super) tensor_shape: fn(&EncoderConfigs<'_>, &str) -> Result<Option<ExpectedShape>>,
}

/// A tensor's name and shape in the checkpoint, and its name in the GGUF file; empty if it is not in it.
#[derive(Debug)]
pub(super) struct EncoderTensor<'a> {
    pub(super) name: &'a str,
    pub(super) shape: &'a [u64],
    pub(super) in_file: String,
}

/// A shape in the GGUF file, and how the values get there.
pub(crate) type TransformedShape = (Vec<u64>, TensorTransform);

/// The encoders' parts of `config.json`.
#[derive(Clone, Copy)]
pub(super) struct EncoderConfigs<'a> {
    /// `vision_config`.
    pub(super) vision: &'a ModelConfig,
    /// `audio_config`.
    pub(super) audio: Option<&'a ModelConfig>,
    /// `hidden_size` of the language model, where `config.json` has it.
    pub(super) text_hidden: Option<u64>,
}

/// How many numbered layers the encoders have; 0 for one without.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncoderLayers {
    pub(super) vision: u32,
    pub(super) audio: u32,
}

/// The count in `config.json` under this field, else `default`.
pub(super) fn count(config: &ModelConfig, field: &str, default: u32) -> Result<u32> {
    Ok(config.u32(field)?.unwrap_or(default))
}
