//! The fixed prompts, in the model's own tokens.

use std::collections::HashMap;

const TEXTS: [&str; 4] = [
    "The capital of France is Paris, and the capital of Japan is Tokyo. Water boils at 100 degrees.",
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))  # prints 5\n",
    "Es war einmal ein Müller, der hatte drei Söhne, seine Mühle, einen Esel und einen Kater.",
    "Dear team,\nthank you for the quick answer. Could you send me the invoice of last month? Best regards",
];
/// Tokens of each prompt at most.
const MOST: usize = 32;
/// Bytes of a piece that is looked for.
const LONGEST: usize = 24;

/// Each prompt's token ids, with `<bos>` in front: the longest piece that fits, again and again. A tokenizer would cut
/// some words differently, which does not matter, as both models are given the same.
pub(super) fn prompts(tokens: &[String]) -> Vec<Vec<usize>> {
    let ids: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, text)| (text.as_str(), id)).collect();
    TEXTS.iter().map(|text| prompt(&text.replace(' ', "\u{2581}"), &ids)).collect()
}

fn prompt(text: &str, ids: &HashMap<&str, usize>) -> Vec<usize> {
    let mut prompt: Vec<usize> = ids.get("<bos>").copied().into_iter().collect();
    let mut rest = text;
    while let Some(character) = rest.chars().next().filter(|_| prompt.len() < MOST) {
        let mut cuts = (1..=rest.len().min(LONGEST)).rev().filter(|cut| rest.is_char_boundary(*cut));
        let found = cuts.find_map(|cut| Some((cut, *ids.get(&rest[..cut])?)));
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
    fn a_prompt_is_cut_into_the_longest_pieces_and_into_bytes_where_there_is_none() {
        let tokens = ["<bos>", "a", "ab", "\u{2581}", "<0xC3>", "<0xBC>"].map(str::to_owned);
        let ids: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, t)| (t.as_str(), id)).collect();
        assert_eq!(prompt("aba\u{2581}ü?", &ids), [0, 2, 1, 3, 4, 5]);
    }
}
