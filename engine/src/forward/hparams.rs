//! What a forward pass needs besides the weights.

use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};
use crate::gemma::{
    Architecture, AttentionRules, AttentionSizes, ModelFamily, ParameterSource, first_kv_shared_layer,
    has_field, layer_rope,
};
use crate::gguf::{GgufFile, GgufMetadata, MetadataKeys, MetadataValue};
use crate::merge::Model;

/// A model's hyperparameters, as llama.cpp reads them from a file's metadata.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ModelHparams {
    pub(super) layers: Vec<LayerHparams>,
    pub(super) attention_heads: usize,
    pub(super) rms_norm_eps: f32,
    /// The factor of queries.
    pub(super) query_scale: f32,
    pub(super) attn_logit_softcapping: Option<f32>,
    pub(super) final_logit_softcapping: Option<f32>,
    /// Whether a token attends only to itself and the tokens before it.
    pub(super) is_causal: bool,
    /// Whether values are normalized, as keys are.
    pub(super) normalizes_values: bool,
    /// How many experts process a token.
    pub(super) top_k_experts: usize,
    /// `None` if there is one stream of hidden states.
    pub(super) altup: Option<AltupHparams>,
}

/// The streams of AltUp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AltupHparams {
    pub(super) num_inputs: usize,
    /// The stream that goes through the layers.
    pub(super) active_idx: usize,
}

/// What differs from layer to layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LayerHparams {
    pub(super) key_value_heads: usize,
    pub(super) head_dim: usize,
    /// How many tokens it attends to; `None` for global attention.
    pub(super) sliding_window: Option<usize>,
    pub(super) rope_theta: f32,
    /// Positions are divided by it.
    pub(super) rope_scale: f32,
    /// Whether it uses the keys and values of the last layer of its kind, sliding or global, that computes them.
    pub(super) shares_kv: bool,
    /// The number of standard deviations above the mean below which activations become 0; `None` keeps all.
    pub(super) activation_sparsity_scale: Option<f32>,
}

/// For each layer whether it uses a sliding window.
const SLIDING_PATTERN: &str = "attention.sliding_window_pattern";

/// The base frequency of Gemma 1 and 2, whose files have no key for it.
const ROPE_THETA: f32 = 10_000.0;

impl ModelHparams {
    /// A checkpoint's hyperparameters.
    pub(super) fn of_model(family: &ModelFamily, model: &Model) -> Result<Self> {
        let config = model.base().config();
        model.check_layers()?;
        reject_unsupported(config)?;
        let mut metadata = GgufMetadata::new(family.name);
        let source = ParameterSource { files: model.files(), extra_tensors: &[], tensors: &[], file_type: 0 };
        family.write_parameters(&source, &mut metadata)?;
        let hparams = Self::of_keys(&family.attention, &MetadataKeys(&|key| metadata.arch_value(key)));
        let mut hparams = hparams.map_err(|problem| Error::invalid(config.file(), problem))?;
        hparams.read_settings(family, config)?;
        if family.attention.reads_query_scalar {
            let scalar = config.f32("query_pre_attn_scalar")?;
            hparams.query_scale = scalar.map_or(hparams.query_scale, |scalar| scalar.sqrt().recip());
            hparams.is_causal = config.bool("use_bidirectional_attention")? != Some(true);
        }
        Ok(hparams)
    }

    /// Takes the settings that change predictions and not shapes from the configuration itself: a key that the converter
    /// writes wrongly, or not at all, then shows, and so do layer types other than those that llama.cpp has built in.
    fn read_settings(&mut self, family: &ModelFamily, config: &ModelConfig) -> Result<()> {
        let defaults = &family.config_defaults;
        let cap =
            |field: &str, default: Option<f32>| match config.is_null(field) || !has_field(config, field)? {
                true => Ok(None),
                false => Ok::<_, Error>(config.f32(field)?.or(default).filter(|cap| *cap != 0.0)),
            };
        self.attn_logit_softcapping = cap("attn_logit_softcapping", defaults.attn_logit_softcapping)?;
        self.final_logit_softcapping = cap("final_logit_softcapping", defaults.final_logit_softcapping)?;
        self.rms_norm_eps = config.f32("rms_norm_eps")?.unwrap_or(defaults.rms_norm_eps);
        let layers = u32::try_from(self.layers.len()).unwrap_or(u32::MAX);
        let sliding = family.attention.sliding_layers(config, layers)?;
        let window = config.u32("sliding_window")?.or(defaults.sliding_window).map(|window| window as usize);
        for (layer, is_sliding) in self.layers.iter_mut().zip(sliding) {
            let stored = layer.sliding_window.is_some();
            let is_sliding = if family.attention.stores_layer_types { stored } else { is_sliding };
            let rope = layer_rope(&family.attention, config, is_sliding)?;
            (layer.rope_theta, layer.rope_scale) = (rope.theta, rope.scale);
            layer.sliding_window = window.filter(|_| is_sliding);
        }
        Ok(())
    }

    /// The hyperparameters of a file that has so many tensors in all its parts.
    pub(super) fn of_file(location: &str, file: &GgufFile, tensors: usize) -> Result<Self> {
        let name = match file.value("general.architecture") {
            Some(MetadataValue::String(name)) => name.as_str(),
            Some(_) | None => "",
        };
        let invalid = |problem: String| Error::invalid(location, problem);
        let architecture = Architecture::named(name)
            .ok_or_else(|| invalid(format!("has general.architecture {name:?}, which is not supported")))?;
        let own = |key: &str| file.value(&format!("{name}.{key}"));
        let keys = MetadataKeys(&own);
        if let Some(layers) = keys.count("block_count").filter(|layers| *layers > tensors) {
            return Err(invalid(format!("has block_count {layers}, but only {tensors} tensors")));
        }
        Self::of_keys(&architecture.family().attention, &keys).map_err(invalid)
    }

    fn of_keys(attention: &AttentionRules, keys: &MetadataKeys<'_>) -> Result<Self, String> {
        if !attention.has_own_kv {
            return Err("is an assistant, which has no logits without the model it drafts for".to_owned());
        }
        let sizes = AttentionSizes {
            layers: keys.require("block_count")?,
            attention_heads: keys.require("attention.head_count")?,
            hidden_size: keys.require("embedding_length")?,
            head_dim: keys.require("attention.key_length")?,
        };
        let layers = layers(attention, keys, sizes.layers)?;
        let is_valid = |layer: &LayerHparams| {
            layer.head_dim > 0
                && layer.key_value_heads > 0
                && sizes.attention_heads.is_multiple_of(layer.key_value_heads)
        };
        if let Some(invalid) = layers.iter().position(|layer| !is_valid(layer)) {
            let LayerHparams { key_value_heads, head_dim, .. } = layers[invalid];
            return Err(format!(
                "has {} attention heads of size {head_dim} for {key_value_heads} key-value heads in layer {invalid}",
                sizes.attention_heads
            ));
        }
        let altup = keys.count("altup.num_inputs").zip(keys.count("altup.active_idx"));
        Ok(Self {
            layers,
            attention_heads: sizes.attention_heads,
            rms_norm_eps: keys
                .number("attention.layer_norm_rms_epsilon")
                .ok_or("has no attention.layer_norm_rms_epsilon")?,
            query_scale: attention.query_scale.value(sizes),
            attn_logit_softcapping: keys.number("attn_logit_softcapping"),
            final_logit_softcapping: keys.number("final_logit_softcapping"),
            is_causal: attention.is_causal,
            normalizes_values: attention.normalizes_values,
            top_k_experts: keys.count("expert_used_count").unwrap_or(0),
            altup: altup.map(|(num_inputs, active_idx)| AltupHparams { num_inputs, active_idx }),
        })
    }
}

fn layers(
    attention: &AttentionRules,
    keys: &MetadataKeys<'_>,
    count: usize,
) -> Result<Vec<LayerHparams>, String> {
    let window = keys.count("attention.sliding_window");
    let is_sliding = |layer: usize| {
        let listed = keys.flag_at(SLIDING_PATTERN, layer);
        window.is_some() && listed.unwrap_or_else(|| attention.is_sliding(layer))
    };
    let first_shared = first_kv_shared_layer(count, keys.count("attention.shared_kv_layers").unwrap_or(0));
    let number = |key: &str, default| keys.number(key).unwrap_or(default);
    let layer = |layer: usize| {
        let sliding = is_sliding(layer);
        let head_dim = keys.count("attention.key_length_swa").filter(|_| sliding);
        Ok(LayerHparams {
            key_value_heads: keys
                .count_at("attention.head_count_kv", layer)
                .ok_or_else(|| format!("has no attention.head_count_kv for layer {layer}"))?,
            head_dim: head_dim.map_or_else(|| keys.require("attention.key_length"), Ok)?,
            sliding_window: window.filter(|_| sliding),
            rope_theta: number(if sliding { "rope.freq_base_swa" } else { "rope.freq_base" }, ROPE_THETA),
            rope_scale: if sliding { 1.0 } else { number("rope.scaling.factor", 1.0) },
            shares_kv: layer >= first_shared,
            activation_sparsity_scale: keys
                .number_at("activation_sparsity_scale", layer)
                .filter(|scale| scale.is_finite()),
        })
    };
    (0..count).map(layer).collect()
}

/// Rejects values that transformers' classes support and llama.cpp does not.
fn reject_unsupported(config: &ModelConfig) -> Result<()> {
    let activation = config.field("hidden_activation").str()?;
    let attention = config.field("use_bidirectional_attention").value();
    let unsupported = [
        activation.filter(|kind| *kind != "gelu_pytorch_tanh").map(|_| "another hidden_activation"),
        attention.filter(|kind| **kind == "all").map(|_| "bidirectional attention"),
        config.bool("altup_correct_scale")?.filter(|scales| !scales).map(|_| "altup_correct_scale false"),
    ];
    match unsupported.into_iter().flatten().next() {
        Some(feature) => {
            Err(Error::unsupported(config.file(), format!("comparing the logits of a Gemma with {feature}")))
        }
        None => Ok(()),
    }
}
