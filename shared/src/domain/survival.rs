//! How much of a fine-tune an export keeps.

use serde::{Deserialize, Serialize};

/// The longest text of prompts and answers, in characters.
const MAX_CHARS: usize = 300;

/// How much of the fine-tune's effect on predictions an export keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Survival))]
pub struct SurvivalShare {
    /// 1 − `kl_export` / `kl_base`; null if the fine-tune changes these predictions too little to be measured.
    pub survival: Option<f64>,
    /// Mean Kullback-Leibler divergence of the export from base model and adapter, in nats.
    pub kl_export: f64,
    /// Mean Kullback-Leibler divergence of the base model from base model and adapter, in nats.
    pub kl_base: f64,
    /// Share of the tokens that the fine-tune changes whose most likely prediction is kept; null if there are none.
    pub changed_top1: Option<f64>,
    /// The prompts that it was measured with.
    #[serde(default)]
    pub prompts: PromptUse,
    /// What the base in the file's type keeps with the adapter beside it as a GGUF LoRA; null unless the adapter moves weights of the
    /// base off a grid of `q4_0`, and if measuring it would take too long.
    #[serde(default)]
    pub adapter_beside: Option<AdapterBeside>,
    /// The tensors whose stored change is least like the wanted one, the worst first; at most ten. Empty in records that are older than
    /// the field.
    #[serde(default)]
    pub worst_tensors: Vec<TensorSurvival>,
    /// The answers of all models to the first prompts; empty for the fixed texts, and if they would take too long.
    #[serde(default)]
    pub samples: Vec<AnswerSample>,
}

/// How much of the change of a tensor is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TensorSurvival {
    /// The name in the checkpoint.
    pub tensor: String,
    /// The cosine of the angle between the wanted and the stored change; 0 if no change is stored.
    pub cosine: f64,
    /// The norm of the stored change divided by that of the wanted one.
    pub norm_ratio: f64,
}

/// How much of the fine-tune's effect a base keeps in a file with the adapter beside it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdapterBeside {
    /// 1 − `kl` / `kl_base`; null if the fine-tune changes these predictions too little to be measured.
    pub survival: Option<f64>,
    /// Mean Kullback-Leibler divergence from base model and adapter, in nats.
    pub kl: f64,
    /// Share of the tokens that the fine-tune changes whose most likely prediction is kept; null if there are none.
    pub changed_top1: Option<f64>,
}

/// The prompts that survival was measured with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SurvivalPrompts))]
pub struct PromptUse {
    /// Where they are from.
    pub source: PromptSource,
    /// How many there are.
    pub available: u32,
    /// How many were used.
    pub used: u32,
    /// Those that were tried and cannot be used; null if there are none, and in records that are older than the field.
    #[serde(default)]
    pub left_out: Option<LeftOutPrompts>,
}

/// Prompts that the chat template does not render, or that are too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeftOutPrompts {
    /// How many.
    pub count: u32,
    /// Where the first one is, and why it was left out; cut after 300 characters.
    pub first: String,
}

impl LeftOutPrompts {
    /// The reason, cut to the length that a record holds.
    #[must_use]
    pub fn shortened(count: u32, first: &str) -> Self {
        Self { count, first: shortened(first) }
    }
}

/// The four fixed texts, which records have that are older than the field.
impl Default for PromptUse {
    fn default() -> Self {
        Self { source: PromptSource::Fixed, available: 4, used: 4, left_out: None }
    }
}

/// Where prompts are from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum PromptSource {
    /// A few fixed texts.
    Fixed,
    /// The file of the request.
    File,
}

/// A prompt, and the greedy answers to it. Each text is cut after 300 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnswerSample {
    /// The user's last message.
    pub prompt: String,
    /// The answer of the base model.
    pub base: String,
    /// The answer of base model and adapter.
    pub fine_tuned: String,
    /// The answer of the export.
    pub export: String,
}

impl AnswerSample {
    /// The most samples of a record.
    pub const MOST: usize = 3;

    /// The texts, cut to the length that a record holds.
    #[must_use]
    pub fn shortened(prompt: &str, base: &str, fine_tuned: &str, export: &str) -> Self {
        let [prompt, base, fine_tuned, export] = [prompt, base, fine_tuned, export].map(shortened);
        Self { prompt, base, fine_tuned, export }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let (fits, long) = ("ü".repeat(300), "東".repeat(301));
        let sample = AnswerSample::shortened(&fits, &long, "", "no");
        assert_eq!((sample.prompt, sample.base), (fits, "東".repeat(300) + "…"));
        assert_eq!((sample.fine_tuned.as_str(), sample.export.as_str()), ("", "no"));
        assert_eq!(LeftOutPrompts::shortened(2, &long).first, "東".repeat(300) + "…");
    }

    #[test]
    fn a_record_without_prompts_was_measured_with_the_fixed_texts_in_the_file_alone() {
        let older = r#"{"survival": 0.5, "kl_export": 0.1, "kl_base": 0.2, "changed_top1": null}"#;
        let survival: SurvivalShare = serde_json::from_str(older).unwrap();
        assert_eq!((survival.prompts, survival.samples), (PromptUse::default(), Vec::new()));
        assert_eq!((survival.adapter_beside, survival.worst_tensors), (None, Vec::new()));
    }

    #[test]
    fn a_record_without_left_out_prompts_is_read() {
        let older = r#"{"source": "file", "available": 9, "used": 4}"#;
        assert_eq!(serde_json::from_str::<PromptUse>(older).unwrap().left_out, None);
    }
}
