//! What a forward pass has to know besides the weights.

use crate::arch::Architecture;
use crate::gguf::{GgufFile, Metadata, Value};
use crate::model::Model;
use crate::{Error, Result};

/// A model's parameters, as llama.cpp reads them off a file's keys.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hyper {
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) key_value_heads: usize,
    pub(super) head_dim: usize,
    pub(super) epsilon: f32,
    /// Queries are multiplied by it.
    pub(super) scale: f32,
    /// Attention scores are softly kept below it.
    pub(super) attention_cap: Option<f32>,
    /// Logits are softly kept below it.
    pub(super) final_cap: Option<f32>,
    /// How far local layers look back, if there are any.
    pub(super) window: Option<usize>,
    /// Every one of so many layers looks back all the way.
    pub(super) period: usize,
    pub(super) theta: f32,
    pub(super) local_theta: f32,
    /// Positions of global layers are divided by it.
    pub(super) stretch: f32,
}

/// The families with a forward pass.
const KNOWN: [Architecture; 3] = [Architecture::Gemma, Architecture::Gemma2, Architecture::Gemma3];

/// The one frequency of Gemma 1 and 2, whose files have no key for it.
const THETA: f32 = 10_000.0;

impl Hyper {
    /// Whether there is a forward pass for this family.
    pub(super) fn knows(architecture: Architecture) -> bool {
        KNOWN.contains(&architecture)
    }

    /// A checkpoint's parameters.
    pub(super) fn of_model(architecture: Architecture, model: &Model) -> Result<Self> {
        let config = model.base().config();
        let mut keys = Metadata::new(architecture.as_str());
        architecture.parameters(model, &[], 0, &mut keys)?;
        let hyper = Self::of_keys(architecture, |key| keys.own_value(key));
        let hyper = hyper.ok_or_else(|| Error::invalid(config.file(), "lacks a parameter"))?;
        let scale = config.f32("query_pre_attn_scalar")?.filter(|_| architecture != Architecture::Gemma);
        Ok(Self { scale: scale.map_or(hyper.scale, |scalar| scalar.sqrt().recip()), ..hyper })
    }

    /// A file's parameters.
    pub(super) fn of_file(location: &str, file: &GgufFile) -> Result<Self> {
        let name = match file.value("general.architecture") {
            Some(Value::String(name)) => name.as_str(),
            Some(_) | None => "",
        };
        let architecture = KNOWN.into_iter().find(|known| known.as_str() == name);
        let hyper = architecture.and_then(|a| Self::of_keys(a, |key| file.value(&format!("{name}.{key}"))));
        hyper.ok_or_else(|| Error::invalid(location, "lacks the parameters of a Gemma"))
    }

    fn of_keys<'a>(architecture: Architecture, get: impl Fn(&str) -> Option<&'a Value>) -> Option<Self> {
        let count = |key: &str| get(key).and_then(Value::as_u32).map(|n| n as usize);
        let number = |key: &str| match get(key) {
            Some(Value::F32(n)) => Some(*n),
            Some(_) | None => None,
        };
        let (layers, heads) = (count("block_count")?, count("attention.head_count")?);
        let (hidden, head_dim) = (count("embedding_length")?, count("attention.key_length")?);
        // the largest of a family divides its width by its heads instead
        let (period, largest) = match architecture {
            Architecture::Gemma2 => (2, 46),
            Architecture::Gemma3 => (6, 62),
            Architecture::Gemma
            | Architecture::Gemma3n
            | Architecture::Gemma4
            | Architecture::GemmaEmbedding => (1, usize::MAX),
        };
        let divisor = if layers == largest { hidden / heads.max(1) } else { head_dim };
        Some(Self {
            layers,
            heads,
            key_value_heads: count("attention.head_count_kv")?,
            head_dim,
            epsilon: number("attention.layer_norm_rms_epsilon")?,
            scale: (divisor as f32).sqrt().recip(),
            attention_cap: number("attn_logit_softcapping"),
            final_cap: number("final_logit_softcapping"),
            window: count("attention.sliding_window"),
            period,
            theta: number("rope.freq_base").unwrap_or(THETA),
            local_theta: number("rope.freq_base_swa").unwrap_or(THETA),
            stretch: number("rope.scaling.factor").unwrap_or(1.0),
        })
    }

    /// How far this layer looks back; `None` is all the way.
    pub(super) fn window_of(&self, layer: usize) -> Option<usize> {
        self.window.filter(|_| !(layer + 1).is_multiple_of(self.period))
    }
}
