//! The shapes that a configuration gives the tensors of a language model. transformers and llama.cpp load no model whose
//! tensors have other shapes.

use std::fmt;

use super::family::{ModelFamily, ParameterSource};
use super::tensor_names::MappedTensor;
use crate::checkpoint::{ModelConfig, ModelFiles};
use crate::error::Result;
use crate::gguf::{GgufMetadata, MetadataKeys, MetadataValue};

/// A shape, rows first; `None` for a size that the configuration does not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpectedShape(pub(super) Vec<Option<u64>>);

impl ExpectedShape {
    /// A shape with all its sizes.
    pub(super) fn exact(sizes: impl IntoIterator<Item = u64>) -> Self {
        Self(sizes.into_iter().map(Some).collect())
    }

    pub(crate) fn matches(&self, shape: &[u64]) -> bool {
        let fits = |(expected, size): (&Option<u64>, &u64)| expected.is_none_or(|expected| expected == *size);
        self.0.len() == shape.len() && self.0.iter().zip(shape).all(fits)
    }
}

impl fmt::Display for ExpectedShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self
            .0
            .iter()
            .map(|size| size.map_or_else(|| "any".to_owned(), |size| size.to_string()))
            .collect();
        write!(f, "[{}]", sizes.join(", "))
    }
}

/// The sizes that shapes are made of.
#[derive(Debug)]
pub(crate) struct TensorShapes {
    hidden: u64,
    /// The hidden size of the model that an assistant drafts for.
    backbone_hidden: Option<u64>,
    /// The size of a layer's input embedding; 0 without.
    per_layer_input: u64,
    /// The rows of the embedding of layers' inputs.
    per_layer_vocab: Option<u64>,
    experts: Option<u64>,
    expert_intermediate: Option<u64>,
    /// The width of the outputs of the target's layers that a DSpark drafter reads.
    target_outputs: Option<u64>,
    vocab: Option<u64>,
    markov_rank: Option<u64>,
    laurel_rank: Option<u64>,
    altup_inputs: Option<u64>,
    layers: Vec<LayerSizes>,
}

#[derive(Debug)]
struct LayerSizes {
    intermediate: Option<u64>,
    head_dim: Option<u64>,
    /// Elements of all queries, and of all keys or values, of a token.
    queries: Option<u64>,
    keys: Option<u64>,
}

impl TensorShapes {
    /// The sizes in a model's configuration.
    ///
    /// # Errors
    /// When the configuration lacks a field, or has one that the family's files cannot express.
    pub(crate) fn of(family: &ModelFamily, files: &ModelFiles) -> Result<Self> {
        let mut metadata = GgufMetadata::new(family.name);
        family.write_parameters(
            &ParameterSource { files, extra_tensors: &[], tensors: &[], file_type: 0 },
            &mut metadata,
        )?;
        Self::of_metadata(family, &metadata, files.config())
    }

    /// The sizes in the family's metadata, which were made from this configuration.
    ///
    /// # Errors
    /// When a field of the configuration has the wrong type.
    pub(crate) fn of_metadata(
        family: &ModelFamily,
        metadata: &GgufMetadata,
        config: &ModelConfig,
    ) -> Result<Self> {
        let per_layer_vocab = config.u32("vocab_size_per_layer_input")?;
        let per_layer_vocab = per_layer_vocab.or(family.config_defaults.vocab_size_per_layer_input);
        let value = |key: &str| metadata.arch_value(key);
        let keys = MetadataKeys(&value);
        let size = |key: &str| keys.count(key).map(|size| size as u64);
        let hidden = size("embedding_length").unwrap_or(0);
        let target_layers = match metadata.arch_value("target_layers") {
            Some(MetadataValue::I32s(layers)) => Some(layers.len() as u64),
            Some(_) | None => None,
        };
        Ok(Self {
            hidden,
            target_outputs: target_layers.map(|layers| layers * hidden),
            vocab: config.u32("vocab_size")?.map(u64::from),
            markov_rank: config.u32("markov_rank")?.map(u64::from),
            backbone_hidden: size("embedding_length_out"),
            per_layer_vocab: per_layer_vocab.map(u64::from),
            per_layer_input: size("embedding_length_per_layer_input").unwrap_or(0),
            experts: size("expert_count"),
            expert_intermediate: size("expert_feed_forward_length"),
            laurel_rank: config.u32("laurel_rank")?.map(u64::from),
            altup_inputs: size("altup.num_inputs"),
            layers: (0..keys.count("block_count").unwrap_or(0))
                .map(|layer| LayerSizes::of(&keys, layer))
                .collect(),
        })
    }

    pub(crate) fn hidden_size(&self) -> u64 {
        self.hidden
    }

    /// The shape of a tensor in the checkpoint, by its place in the GGUF file; `None` where it is not known.
    pub(crate) fn expected(&self, tensor: &MappedTensor) -> Option<ExpectedShape> {
        match tensor {
            MappedTensor::Tensor(name, Some(layer)) => {
                let name = name.strip_prefix("blk.")?.split_once('.')?.1;
                self.in_layer(name, self.layers.get(*layer as usize)?)
            }
            MappedTensor::Tensor(name, None) => self.in_model(name),
            MappedTensor::StackPart { .. } => Some(ExpectedShape::exact([self.hidden, self.hidden])),
            MappedTensor::LmHead => Some(ExpectedShape(vec![None, Some(self.hidden)])),
            MappedTensor::Skipped | MappedTensor::Unknown => None,
        }
    }

    fn in_model(&self, name: &str) -> Option<ExpectedShape> {
        let inputs = self.layers.len() as u64 * self.per_layer_input;
        let sizes = match name {
            "token_embd.weight" => vec![None, Some(self.hidden)],
            "output_norm.weight" | "enc.output_norm.weight" => vec![Some(self.hidden)],
            "per_layer_token_embd.weight" => vec![self.per_layer_vocab, Some(inputs)],
            "per_layer_model_proj.weight" => vec![Some(inputs), Some(self.hidden)],
            "per_layer_proj_norm.weight" => vec![Some(self.per_layer_input)],
            "fc.weight" => vec![Some(self.hidden), self.target_outputs],
            "markov_w1.weight" | "markov_w2.weight" => vec![self.vocab, self.markov_rank],
            "conf_proj.weight" => vec![Some(1), Some(self.hidden + self.markov_rank.unwrap_or(0))],
            "conf_proj.bias" => vec![Some(1)],
            "nextn.pre_projection.weight" => vec![Some(self.hidden), Some(2 * self.backbone_hidden?)],
            "nextn.post_projection.weight" => vec![self.backbone_hidden, Some(self.hidden)],
            _ => return None,
        };
        Some(ExpectedShape(sizes))
    }

    /// The shape of a layer's tensor, by its name without `blk.N.`.
    fn in_layer(&self, name: &str, layer: &LayerSizes) -> Option<ExpectedShape> {
        let (hidden, experts) = (Some(self.hidden), self.experts);
        let (module, suffix) = name.rsplit_once('.')?;
        let sizes = match (module, suffix) {
            ("attn_q", "weight") => vec![layer.queries, hidden],
            ("attn_k" | "attn_v", "weight") => vec![layer.keys, hidden],
            ("attn_output", "weight") => vec![hidden, layer.queries],
            ("attn_q", "bias") => vec![layer.queries],
            ("attn_k" | "attn_v", "bias") => vec![layer.keys],
            ("ffn_gate" | "ffn_up", "weight") => vec![layer.intermediate, hidden],
            ("ffn_down", "weight") => vec![hidden, layer.intermediate],
            ("attn_q_norm" | "attn_k_norm", "weight") => vec![layer.head_dim],
            ("inp_gate", "weight") => vec![Some(self.per_layer_input), hidden],
            ("proj", "weight") => vec![hidden, Some(self.per_layer_input)],
            ("ffn_gate_inp", "weight") => vec![experts, hidden],
            ("attn_output", "bias") | ("ffn_gate_inp", "scale") | ("altup_correct_scale", "weight") => {
                vec![hidden]
            }
            ("ffn_down_exps", "scale") => vec![experts],
            ("ffn_gate_up_exps", "weight") => {
                vec![experts, self.expert_intermediate.map(|size| 2 * size), hidden]
            }
            ("ffn_down_exps", "weight") => vec![experts, hidden, self.expert_intermediate],
            ("laurel_l", "weight") => vec![self.laurel_rank, hidden],
            ("laurel_r", "weight") => vec![hidden, self.laurel_rank],
            ("altup_router", "weight") => vec![self.altup_inputs, hidden],
            ("altup_correct_coef", "weight") => vec![self.altup_inputs; 2],
            ("altup_predict_coef", "weight") => {
                vec![self.altup_inputs.map(|inputs| inputs * inputs), self.altup_inputs]
            }
            ("layer_output_scale", "weight") => vec![Some(1)],
            (norm, "weight") if norm.contains("norm") => vec![hidden],
            _ => return None,
        };
        Some(ExpectedShape(sizes))
    }
}

impl LayerSizes {
    fn of(keys: &MetadataKeys<'_>, layer: usize) -> Self {
        let is_sliding = keys.flag_at("attention.sliding_window_pattern", layer) == Some(true);
        let own = keys.count("attention.key_length_swa").filter(|_| is_sliding);
        let head_dim = own.or_else(|| keys.count("attention.key_length"));
        let elements = |key: &str| Some((head_dim? * keys.count_at(key, layer)?) as u64);
        Self {
            intermediate: keys.count_at("feed_forward_length", layer).map(|size| size as u64),
            head_dim: head_dim.map(|size| size as u64),
            queries: elements("attention.head_count"),
            keys: elements("attention.head_count_kv"),
        }
    }
}
