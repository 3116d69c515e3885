//! How much of a fine-tune an export keeps, as a report has it.

use serde::Serialize;

use crate::left_out::LeftOut;

/// How much of a fine-tune an export keeps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Survival {
    /// 1 − `kl_export` / `kl_base`; null if `kl_base` is too small to be measured.
    pub survival: Option<f64>,
    /// Why `survival` is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmeasured: Option<String>,
    /// The mean KL divergence of the export from the fine-tuned model, in nats.
    pub kl_export: f64,
    /// The largest of a token.
    pub kl_export_max: f64,
    /// The share of tokens for which export and fine-tuned model have the same most likely successor.
    pub top1: f64,
    /// The mean KL divergence of the base from the fine-tuned model, in nats.
    pub kl_base: f64,
    /// The number of tokens whose prediction is compared.
    pub tokens: usize,
    /// Those for which base and fine-tuned model have different most likely tokens.
    pub changed_tokens: usize,
    /// The share of these for which the export has the fine-tuned model's; null if there are none.
    pub changed_top1: Option<f64>,
    /// The prompts.
    pub prompts: PromptUse,
    /// The probability of the turn's end after the answers; null if no answer ends, and without prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_end: Option<TurnEndProbability>,
    /// The tensors whose stored change is least like the wanted one, the worst first.
    pub worst_tensors: Vec<TensorSurvival>,
    /// What the base in this file's type keeps with the adapter beside it as a GGUF LoRA; null unless the adapter moves weights of
    /// the base off a grid of Q4_0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter_beside: Option<AdapterBeside>,
    /// Answers of all models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<AnswerSample>,
}

/// How much of a fine-tune a base keeps in a file with the adapter beside it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AdapterBeside {
    /// As that of an export.
    pub survival: Option<f64>,
    /// The mean KL divergence from the fine-tuned model, in nats.
    pub kl: f64,
    /// The share of changed tokens that are the fine-tuned model's; null if there are none.
    pub changed_top1: Option<f64>,
}

impl Survival {
    /// What a negative share means, for messages: nothing of the fine-tune is left.
    pub const BELOW_ZERO: &str = "further from the fine-tuned model than the base is";
}

impl From<&Survival> for AdapterBeside {
    fn from(found: &Survival) -> Self {
        Self { survival: found.survival, kl: found.kl_export, changed_top1: found.changed_top1 }
    }
}

/// The prompts that were used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromptUse {
    /// `fixed`, or `file`.
    pub source: &'static str,
    /// How many there are.
    pub available: usize,
    /// How many were used.
    pub used: usize,
    /// For how many of these the fine-tuned model's greedy answer was taken, because the file has none.
    pub answered: usize,
    /// Those that were tried and cannot be used, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
}

/// The probability of the token that ends a turn, after answers of the fine-tuned model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TurnEndProbability {
    /// The number of answers.
    pub answers: usize,
    /// The mean in the fine-tuned model.
    pub fine_tuned: f64,
    /// The mean in the base, if the model has an adapter.
    pub base: Option<f64>,
}

/// The change of a tensor, wanted (base and adapter − base) and stored (export − base).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorSurvival {
    /// The name in the checkpoint.
    pub tensor: String,
    /// The cosine of the angle between both; 0 if no change is stored.
    pub cosine: f64,
    /// The norm of the stored change divided by that of the wanted one.
    pub norm_ratio: f64,
}

/// A prompt, and the greedy answers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnswerSample {
    /// The user's last message.
    pub prompt: String,
    /// The base's answer.
    pub base: String,
    /// The answer of base and adapter.
    pub fine_tuned: String,
    /// The export's answer.
    pub export: String,
}
