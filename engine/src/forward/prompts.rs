//! The fixed prompts as token ids of the model.

use super::passages::Passage;
use crate::error::Result;
use crate::gemma::Architecture;
use crate::merge::Model;
use crate::tokenizer::{TextEncoder, Tokenizer};

const TEXTS: [&str; 4] = [
    "The capital of France is Paris, and the capital of Japan is Tokyo. Water boils at 100 degrees.",
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))  # prints 5\n",
    "Es war einmal ein Müller, der hatte drei Söhne, seine Mühle, einen Esel und einen Kater.",
    "Dear team,\nthank you for the quick answer. Could you send me the invoice of last month? Best regards",
];
/// The most tokens of a prompt.
const MAX_TOKENS: usize = 32;

/// The tokenizer of a model, with the adapter's files.
pub(crate) fn tokenizer(model: &Model) -> Result<Tokenizer> {
    Tokenizer::open(model.files(), Architecture::of(model.base().config())?, model.embedding_rows())
}

/// The prompts as passages that are compared as a whole, `<bos>` first.
pub(crate) fn fixed_prompts(tokenizer: &Tokenizer) -> Vec<Passage> {
    let encoder = TextEncoder::new(tokenizer);
    let prompt = |text: &&str| {
        let ids = tokenizer.special_id("bos").into_iter().chain(encoder.encode(text));
        let tokens: Vec<_> = ids.take(MAX_TOKENS).map(|id| id as usize).collect();
        Passage { compared: 0..tokens.len(), tokens, reference_states: None }
    };
    TEXTS.iter().map(prompt).collect()
}
