//! The fixed prompts as token ids of the model.

use std::collections::HashMap;

const TEXTS: [&str; 4] = [
    "The capital of France is Paris, and the capital of Japan is Tokyo. Water boils at 100 degrees.",
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))  # prints 5\n",
    "Es war einmal ein Müller, der hatte drei Söhne, seine Mühle, einen Esel und einen Kater.",
    "Dear team,\nthank you for the quick answer. Could you send me the invoice of last month? Best regards",
];
/// The most tokens of a prompt.
const MAX_TOKENS: usize = 32;
/// The most bytes of a token that is looked for.
const MAX_TOKEN_BYTES: usize = 24;

/// Each prompt's token ids, `<bos>` first: always the longest token that matches. The model's tokenizer would split some
/// words differently, which does not matter, as both models get the same ids.
pub(super) fn prompts(tokens: &[String]) -> Vec<Vec<usize>> {
    let ids: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, text)| (text.as_str(), id)).collect();
    TEXTS.iter().map(|text| prompt(&text.replace(' ', "\u{2581}"), &ids)).collect()
}

fn prompt(text: &str, ids: &HashMap<&str, usize>) -> Vec<usize> {
    let mut prompt: Vec<usize> = ids.get("<bos>").copied().into_iter().collect();
    let mut rest = text;
    while let Some(character) = rest.chars().next().filter(|_| prompt.len() < MAX_TOKENS) {
        let mut ends = (1..=rest.len().min(MAX_TOKEN_BYTES)).rev().filter(|end| rest.is_char_boundary(*end));
        let found = ends.find_map(|end| Some((end, *ids.get(&rest[..end])?)));
        let length = match found {
            Some((length, id)) => {
                prompt.push(id);
                length
            }
            None => {
                let bytes = rest.bytes().take(character.len_utf8());
                prompt.extend(bytes.filter_map(|byte| ids.get(format!("<0x{byte:02X}>").as_str())));
                character.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    prompt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_split_into_the_longest_tokens_and_into_bytes_where_none_matches() {
        let tokens = ["<bos>", "a", "ab", "\u{2581}", "<0xC3>", "<0xBC>"].map(str::to_owned);
        let ids: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, t)| (t.as_str(), id)).collect();
        assert_eq!(prompt("aba\u{2581}ü?", &ids), [0, 2, 1, 3, 4, 5]);
    }
}
