//! The fixed prompts as token ids of the model.

use crate::tokenizer::{TextEncoder, Tokenizer};

const TEXTS: [&str; 4] = [
    "The capital of France is Paris, and the capital of Japan is Tokyo. Water boils at 100 degrees.",
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))  # prints 5\n",
    "Es war einmal ein Müller, der hatte drei Söhne, seine Mühle, einen Esel und einen Kater.",
    "Dear team,\nthank you for the quick answer. Could you send me the invoice of last month? Best regards",
];
/// The most tokens of a prompt.
const MAX_TOKENS: usize = 32;

/// Each prompt's token ids, `<bos>` first.
pub(crate) fn fixed_prompts(tokenizer: &Tokenizer) -> Vec<Vec<usize>> {
    let encoder = TextEncoder::new(tokenizer);
    let prompt = |text: &&str| {
        let ids = tokenizer.special_id("bos").into_iter().chain(encoder.encode(text));
        ids.take(MAX_TOKENS).map(|id| id as usize).collect()
    };
    TEXTS.iter().map(prompt).collect()
}
