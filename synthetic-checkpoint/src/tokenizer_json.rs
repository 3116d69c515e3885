//! A `tokenizer.json` (<https://huggingface.co/docs/tokenizers/api/models>) in the form of Gemma's: BPE merges with byte
//! fallback, in which every split of a piece into two pieces is a merge.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

/// The longest piece, in characters.
const MAX_CHARS: usize = 12;
/// Tokens that are reserved, such as `<unused7>`.
const RESERVED: u64 = 6000;
/// The pieces that others begin with: few, as in real vocabularies.
const FREQUENT: usize = 100;
/// The single characters that longer pieces are made of.
const CHARACTERS: &str =
    "\u{2581}abcdefghijklmnopqrstuvwxyz0123456789.,;-_()éüößñçабвгдежзиклмнопрст日本語中文的是\"\\";

/// A `tokenizer.json` of `vocab_size` tokens: special and reserved tokens, bytes, characters, and pieces that are made of
/// two others. With 262,144 tokens it has the size of Gemma 3's, 33 MB.
///
/// # Errors
/// If it cannot be serialized.
pub fn tokenizer_json(vocab_size: u64) -> serde_json::Result<Vec<u8>> {
    let reserved = (0..RESERVED).map(|number| format!("<unused{number}>"));
    let special: Vec<String> =
        ["<pad>", "<eos>", "<bos>", "<unk>"].map(str::to_owned).into_iter().chain(reserved).collect();
    let bytes = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"));
    let before: Vec<String> = special.iter().cloned().chain(bytes).collect();
    let pieces = pieces(vocab_size as usize - before.len());
    let added: Vec<Value> = special.iter().enumerate().map(|(id, text)| added_token(id, text)).collect();
    let merges = merges(&pieces);
    let texts = before.into_iter().chain(pieces);
    // in the order of ids, which a map of serde_json does not keep
    let vocab: Vec<String> =
        texts.enumerate().map(|(id, text)| format!("{}: {id}", Value::from(text))).collect();
    let head = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
    });
    let mut model = Map::new();
    model.insert("merges".to_owned(), merges.into());
    let (head, merges) = (serde_json::to_string_pretty(&head)?, serde_json::to_string_pretty(&model)?);
    let open = |text: &str| text.trim_end().trim_end_matches('}').trim_end().to_owned();
    let options = r#""type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "ignore_merges": false"#;
    let vocab = vocab.join(",\n      ");
    let merges = open(&merges).split_off(1);
    Ok(format!(
        "{},\n  \"model\": {{{options}, \"vocab\": {{\n      {vocab}\n    }},{merges}\n  }}\n}}\n",
        open(&head)
    )
    .into_bytes())
}

fn added_token(id: usize, text: &str) -> Value {
    json!({
        "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": id < 4,
    })
}

/// Single characters, then pieces that are made of two pieces before them.
fn pieces(count: usize) -> Vec<String> {
    let mut pieces = Pieces::of_characters();
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    while pieces.texts.len() < count {
        let before = pieces.texts[random(FREQUENT.min(pieces.texts.len()))].clone();
        let piece = random(pieces.texts.len());
        // a piece of three parts then has two splits
        let first = pieces.first_part(piece).to_owned();
        pieces.add(&before, &first);
        let text = pieces.texts[piece].clone();
        pieces.add(&before, &text);
    }
    pieces.texts.truncate(count);
    pieces.texts
}

/// Pieces in order, each with the length of the first of the two pieces that it is made of.
struct Pieces {
    texts: Vec<String>,
    first_parts: Vec<usize>,
    known: HashSet<String>,
}

impl Pieces {
    fn of_characters() -> Self {
        let texts: Vec<String> = CHARACTERS.chars().map(String::from).collect();
        let first_parts = texts.iter().map(String::len).collect();
        Self { known: texts.iter().cloned().collect(), texts, first_parts }
    }

    fn first_part(&self, piece: usize) -> &str {
        &self.texts[piece][..self.first_parts[piece]]
    }

    /// Adds the union of two pieces, unless it is known or too long.
    fn add(&mut self, left: &str, right: &str) {
        let text = format!("{left}{right}");
        if text.chars().count() <= MAX_CHARS && self.known.insert(text.clone()) {
            self.texts.push(text);
            self.first_parts.push(left.len());
        }
    }
}

/// All splits of each piece into two pieces, in the order of the pieces.
fn merges(pieces: &[String]) -> Vec<Value> {
    let known: HashSet<&str> = pieces.iter().map(String::as_str).collect();
    let splits = |text: &'_ String| {
        let splits = text.char_indices().skip(1).map(|(at, _)| text.split_at(at));
        let both = splits.filter(|(left, right)| known.contains(left) && known.contains(right));
        both.map(|(left, right)| json!([left, right])).collect::<Vec<_>>()
    };
    pieces.iter().flat_map(splits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_json_with_as_many_pieces_as_asked_for() {
        let file: Value = serde_json::from_slice(&tokenizer_json(8000).unwrap()).unwrap();
        assert_eq!(file["model"]["vocab"].as_object().unwrap().len(), 8000);
        assert_eq!(file["model"]["vocab"]["<eos>"], 1);
        let merges = file["model"]["merges"].as_array().unwrap();
        assert!(merges.len() > 1700 && merges[0].as_array().unwrap().len() == 2, "{}", merges.len());
    }
}
