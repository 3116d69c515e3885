//! What a forward pass has to know besides the weights.

use super::gguf_metadata::MetadataKeys;
use crate::checkpoint::ModelConfig;
use crate::error::{Error, Result};
use crate::gemma as arch;
use crate::gemma::Architecture;
use crate::gguf::{GgufFile, GgufMetadata, MetadataValue};
use crate::merge::Model;

/// A model's parameters, as llama.cpp reads them off a file's keys.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HyperParameters {
    pub(super) layers: Vec<LayerHparams>,
    pub(super) heads: usize,
    pub(super) epsilon: f32,
    /// Queries are multiplied by it.
    pub(super) scale: f32,
    /// Attention scores are softly kept below it.
    pub(super) attention_cap: Option<f32>,
    /// Logits are softly kept below it.
    pub(super) final_cap: Option<f32>,
    /// Whether tokens see only what is before them.
    pub(super) causal: bool,
    /// Whether values are normed, as keys are.
    pub(super) norms_values: bool,
    /// How many experts a token is given to.
    pub(super) experts: usize,
    /// The number of streams, and the one that goes through the layers, where there are several.
    pub(super) streams: Option<(usize, usize)>,
}

/// What differs from layer to layer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LayerHparams {
    pub(super) key_value_heads: usize,
    pub(super) head_dim: usize,
    /// How far it looks back; `None` is all the way.
    pub(super) window: Option<usize>,
    pub(super) theta: f32,
    /// Positions are divided by it.
    pub(super) stretch: f32,
    /// Whether its keys and values are those of the last layer of its kind that has its own.
    pub(super) borrows: bool,
    /// How many standard deviations above the mean an activation must be to stay, if not all do.
    pub(super) cutoff: Option<f32>,
}

/// The key for which layers look back only so far.
const PATTERN: &str = "attention.sliding_window_pattern";

/// The one frequency of Gemma 1 and 2, whose files have no key for it.
const THETA: f32 = 10_000.0;

impl HyperParameters {
    /// A checkpoint's parameters.
    pub(super) fn of_model(architecture: Architecture, model: &Model) -> Result<Self> {
        let config = model.base().config();
        model.check_layers()?;
        refuse_unknown(config)?;
        let mut keys = GgufMetadata::new(architecture.as_str());
        architecture.parameters(model.files(), &[], 0, &mut keys)?;
        // which layers slide, where a file leaves that to its reader
        if let (Some(layers), None) = (keys.own_u32("block_count"), keys.own_value(PATTERN)) {
            let slides = arch::sliding(config, period(architecture), layers)?;
            keys.own(PATTERN, arch::switches(&slides));
        }
        let hyper = Self::of_keys(architecture, &MetadataKeys(&|key| keys.own_value(key)));
        let mut hyper = hyper.map_err(|problem| Error::invalid(config.file(), problem))?;
        // what the class reads, and a file has no key for
        if matches!(architecture, Architecture::Gemma2 | Architecture::Gemma3 | Architecture::GemmaEmbedding)
        {
            let scalar = config.f32("query_pre_attn_scalar")?;
            hyper.scale = scalar.map_or(hyper.scale, |scalar| scalar.sqrt().recip());
            hyper.causal = config.bool("use_bidirectional_attention") != Some(true);
        }
        Ok(hyper)
    }

    /// The parameters of a file with so many tensors in all its parts.
    pub(super) fn of_file(location: &str, file: &GgufFile, tensors: usize) -> Result<Self> {
        let name = match file.value("general.architecture") {
            Some(MetadataValue::String(name)) => name.as_str(),
            Some(_) | None => "",
        };
        let invalid = |problem: String| Error::invalid(location, problem);
        let architecture = Architecture::named(name);
        let architecture = architecture.ok_or_else(|| invalid(format!("is of the family {name:?}")))?;
        let own = |key: &str| file.value(&format!("{name}.{key}"));
        let keys = MetadataKeys(&own);
        if keys.count("block_count").is_some_and(|layers| layers > tensors) {
            return Err(invalid(format!("has more layers than tensors, which are {tensors}")));
        }
        Self::of_keys(architecture, &keys).map_err(invalid)
    }

    fn of_keys(architecture: Architecture, keys: &MetadataKeys<'_>) -> Result<Self, String> {
        if architecture == Architecture::Gemma4Assistant {
            return Err("is an assistant, which predicts nothing without the model beside it".to_owned());
        }
        let (count, heads) = (keys.need("block_count")?, keys.need("attention.head_count")?);
        let (hidden, head_dim) = (keys.need("embedding_length")?, keys.need("attention.key_length")?);
        // the largest of a family divides its width by its heads instead
        let largest = match architecture {
            Architecture::Gemma2 => 46,
            Architecture::Gemma3 => 62,
            Architecture::Gemma
            | Architecture::Gemma3n
            | Architecture::Gemma4
            | Architecture::Gemma4Assistant
            | Architecture::GemmaEmbedding => usize::MAX,
        };
        let divisor = if count == largest { hidden / heads.max(1) } else { head_dim };
        let scaled = !matches!(architecture, Architecture::Gemma3n | Architecture::Gemma4);
        let layers = layers(architecture, keys, count)?;
        let fits = |layer: &LayerHparams| {
            layer.head_dim > 0 && layer.key_value_heads > 0 && heads.is_multiple_of(layer.key_value_heads)
        };
        if let Some(unfit) = layers.iter().position(|layer| !fits(layer)) {
            return Err(format!("has heads in layer {unfit} that do not go together"));
        }
        Ok(Self {
            layers,
            heads,
            epsilon: keys.number("attention.layer_norm_rms_epsilon").ok_or("lacks the norms' epsilon")?,
            scale: if scaled { (divisor as f32).sqrt().recip() } else { 1.0 },
            attention_cap: keys.number("attn_logit_softcapping"),
            final_cap: keys.number("final_logit_softcapping"),
            causal: architecture != Architecture::GemmaEmbedding,
            norms_values: !scaled,
            experts: keys.count("expert_used_count").unwrap_or(0),
            streams: keys.count("altup.num_inputs").zip(keys.count("altup.active_idx")),
        })
    }
}

/// Every so manieth layer looks back all the way.
fn period(architecture: Architecture) -> u32 {
    match architecture {
        Architecture::Gemma => 1,
        Architecture::Gemma2 => 2,
        Architecture::Gemma3n => 5,
        Architecture::Gemma3
        | Architecture::Gemma4
        | Architecture::Gemma4Assistant
        | Architecture::GemmaEmbedding => 6,
    }
}

fn layers(
    architecture: Architecture,
    keys: &MetadataKeys<'_>,
    count: usize,
) -> Result<Vec<LayerHparams>, String> {
    let period = period(architecture) as usize;
    let window = keys.count("attention.sliding_window");
    let listed = |layer| keys.switch_at(PATTERN, layer);
    let slides = |layer: usize| {
        window.is_some() && listed(layer).unwrap_or_else(|| !(layer + 1).is_multiple_of(period))
    };
    let own = count.saturating_sub(keys.count("attention.shared_kv_layers").unwrap_or(0));
    let number = |key: &str, default| keys.number(key).unwrap_or(default);
    let layer = |layer: usize| {
        let local = slides(layer);
        let head_dim = keys.count("attention.key_length_swa").filter(|_| local);
        Ok(LayerHparams {
            key_value_heads: keys
                .count_at("attention.head_count_kv", layer)
                .ok_or_else(|| format!("lacks the number of layer {layer}'s key heads"))?,
            head_dim: head_dim.map_or_else(|| keys.need("attention.key_length"), Ok)?,
            window: window.filter(|_| local),
            theta: number(if local { "rope.freq_base_swa" } else { "rope.freq_base" }, THETA),
            stretch: if local { 1.0 } else { number("rope.scaling.factor", 1.0) },
            borrows: layer >= own,
            cutoff: keys.number_at("activation_sparsity_scale", layer).filter(|cutoff| cutoff.is_finite()),
        })
    };
    (0..count).map(layer).collect()
}

/// Refuses what classes can be told to do and no file can.
fn refuse_unknown(config: &ModelConfig) -> Result<()> {
    let text = |key: &str| config.get(key).and_then(serde_json::Value::as_str);
    let unknown = [
        text("hidden_activation")
            .filter(|kind| *kind != "gelu_pytorch_tanh")
            .map(|_| "another hidden_activation"),
        text("use_bidirectional_attention").filter(|kind| *kind == "all").map(|_| "bidirectional attention"),
        config.bool("altup_correct_scale").filter(|scales| !scales).map(|_| "altup_correct_scale false"),
    ];
    match unknown.into_iter().flatten().next() {
        Some(feature) => Err(Error::unsupported(
            config.file(),
            format!("comparing the predictions of a Gemma with {feature}"),
        )),
        None => Ok(()),
    }
}
