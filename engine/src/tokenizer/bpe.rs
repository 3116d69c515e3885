//! `tokenizer.json`: a SentencePiece vocabulary in the form of BPE merges.
//!
//! Format: <https://huggingface.co/docs/tokenizers/api/models>. transformers 5 writes Gemma tokenizers only in
//! this form. llama.cpp's SentencePiece tokenizer merges the adjacent pieces whose union has the best score; BPE merges the
//! pair that is first in the list. Both give the same ids if every split of a piece into two pieces is a merge and the
//! merges are in the order of scores. This is checked here.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use super::TokenType;
use super::sentencepiece::SentencePiece;
use super::tokenizer_files::TokenizerJson;
use crate::error::{Error, Result};
use crate::io::json;
use crate::io::json::OrderedMap;

/// The byte token of a tab.
const TAB: &str = "<0x09>";

/// The maximum length of a piece, to bound the time of the check. Far longer than real pieces.
const MAX_PIECE_BYTES: usize = 512;

/// The texts of added tokens.
type AddedTokens<'a> = HashSet<&'a str>;

/// The parts of the file that define how text becomes ids.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    model: BpeModel,
}

/// The BPE model, with the options that change its result.
#[derive(Deserialize)]
pub(super) struct BpeModel {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: OrderedMap<u32>,
    merges: Vec<MergeRule>,
}

/// Two pieces that are merged; one string with a space before transformers 4.45.
#[derive(Deserialize)]
#[serde(untagged)]
enum MergeRule {
    Pair(String, String),
    Joined(String),
}

impl MergeRule {
    fn parts(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pair(left, right) => Some((left, right)),
            Self::Joined(text) => text.split_once(' '),
        }
    }
}

/// Parses the pieces with their ids. Scores are 0, −1, −2 and so on in the order of merges, as SentencePiece assigns
/// them.
pub(super) fn parse(file: &str, bytes: &[u8], json: &TokenizerJson) -> Result<Vec<(usize, SentencePiece)>> {
    let model = BpeModel::parse(file, bytes)?;
    let unsupported = |what| unsupported(file, what);
    let added: AddedTokens<'_> = json.added_tokens.iter().map(|token| token.content.as_str()).collect();
    let ranks = ranks(&model, &added).map_err(unsupported)?;
    check_splits(&model, &added).map_err(unsupported)?;
    pieces(&model, &added, &ranks).map_err(unsupported)
}

fn unsupported(file: &str, what: String) -> Error {
    Error::unsupported(file, format!("GGUF for a tokenizer {what}"))
        .advise("copy tokenizer.model into the folder, if the base model has one")
}

impl BpeModel {
    /// Parses the model; refuses tokenizers that do not work like Gemma's.
    pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let TokenizerFile { normalizer, pre_tokenizer, model } = json::parse(file, bytes)?;
        match difference_from_gemma(&normalizer, &pre_tokenizer, &model) {
            Some(what) => Err(unsupported(file, what)),
            None => Ok(model),
        }
    }

    /// The merges as strings. A space in a piece becomes `Ġ` (U+0120), as in the converter.
    pub(super) fn merges(&self) -> Vec<String> {
        let text = |merge: &MergeRule| match merge {
            MergeRule::Joined(text) => text.clone(),
            MergeRule::Pair(left, right) => {
                let escape = |part: &str| part.replace(' ', "\u{120}");
                format!("{} {}", escape(left), escape(right))
            }
        };
        self.merges.iter().map(text).collect()
    }

    /// The texts by id. A tab with the id of its byte token becomes the byte token, as in SentencePiece.
    pub(super) fn texts(&self) -> Result<BTreeMap<u32, &str>, String> {
        let vocab = &self.vocab.0;
        let id_of: HashMap<&str, u32> = vocab.iter().map(|(text, id)| (text.as_str(), *id)).collect();
        let byte = id_of.get(TAB).or(id_of.get("\t"));
        let mut texts = BTreeMap::new();
        for (text, id) in vocab {
            let text = if text == "\t" && byte == Some(id) { TAB } else { text };
            if texts.insert(*id, text).is_some_and(|other| other != text) {
                return Err(format!("that gives {text:?} the id of another piece"));
            }
        }
        let lacks = |byte: &String| byte != TAB && !id_of.contains_key(byte.as_str());
        match (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>")).find(lacks) {
            Some(byte) => Err(format!("without a piece for the byte {byte}")),
            None => Ok(texts),
        }
    }
}

/// What distinguishes the tokenizer from Gemma's.
fn difference_from_gemma(normalizer: &Value, pre_tokenizer: &Value, model: &BpeModel) -> Option<String> {
    let is = |value: &Value, kind: &str| value.get("type").and_then(Value::as_str) == Some(kind);
    let replaces = is(normalizer, "Replace")
        && normalizer.pointer("/pattern/String").and_then(Value::as_str) == Some(" ")
        && normalizer.get("content").and_then(Value::as_str) == Some("\u{2581}");
    // without effect: the normalizer has replaced all spaces
    let splits = is(pre_tokenizer, "Split")
        && pre_tokenizer.pointer("/pattern/String").and_then(Value::as_str) == Some(" ");
    let other = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if model.kind != "BPE" {
        Some(format!("of type {:?}", model.kind))
    } else if !model.byte_fallback {
        Some("without byte_fallback".to_owned())
    } else if !replaces {
        Some(format!("with the normalizer {normalizer}"))
    } else if !(splits || pre_tokenizer.is_null()) {
        Some(format!("with the pre_tokenizer {pre_tokenizer}"))
    } else if model.dropout.is_some_and(|p| p > 0.0) || model.ignore_merges {
        Some("with dropout or ignore_merges".to_owned())
    } else if other(&model.continuing_subword_prefix) || other(&model.end_of_word_suffix) {
        Some("with continuing_subword_prefix or end_of_word_suffix".to_owned())
    } else {
        None
    }
}

/// The rank of each merged piece. Merges from or to added tokens are ignored: added tokens are matched before the text is
/// merged.
fn ranks(model: &BpeModel, added: &AddedTokens<'_>) -> Result<HashMap<String, usize>, String> {
    let mut ranks: HashMap<String, usize> = HashMap::new();
    let mut last = String::new();
    for merge in &model.merges {
        let (left, right) = merge.parts().ok_or("with a merge that is not a pair")?;
        let merged = format!("{left}{right}");
        if [left, right, &merged].iter().any(|part| added.contains(*part)) {
            continue;
        }
        let next = ranks.len();
        if ranks.insert(merged.clone(), next).is_some() {
            if merged != last {
                return Err(format!("whose merges to {merged:?} are not consecutive"));
            }
            ranks.insert(merged.clone(), next - 1);
        }
        last = merged;
    }
    Ok(ranks)
}

/// Checks that every split of a piece into two pieces is a merge: SentencePiece merges any two pieces whose union is a
/// piece.
fn check_splits(model: &BpeModel, added: &AddedTokens<'_>) -> Result<(), String> {
    let merges: HashSet<(&str, &str)> = model.merges.iter().filter_map(MergeRule::parts).collect();
    let known: HashSet<&str> = model.vocab.0.iter().map(|(text, _)| text.as_str()).collect();
    let symbol =
        |part: &str| !added.contains(part) && (known.contains(part) || part.chars().nth(1).is_none());
    for text in known.iter().filter(|text| !added.contains(**text)) {
        if text.len() > MAX_PIECE_BYTES {
            return Err(format!("with a piece of {} bytes", text.len()));
        }
        for (index, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(index);
            if symbol(left) && symbol(right) && !merges.contains(&(left, right)) {
                return Err(format!("that never merges {left:?} and {right:?}, though {text:?} is a piece"));
            }
        }
    }
    Ok(())
}

fn pieces(
    model: &BpeModel,
    added: &AddedTokens<'_>,
    ranks: &HashMap<String, usize>,
) -> Result<Vec<(usize, SentencePiece)>, String> {
    let texts = model.texts()?;
    let mut order: Vec<(usize, u32)> = Vec::with_capacity(texts.len());
    for (id, text) in &texts {
        if !added.contains(text) && !is_byte(text) {
            order.push((ranks.get(*text).copied().unwrap_or(usize::MAX), *id));
        }
    }
    order.sort_unstable();
    let mut scores: HashMap<u32, f32> = HashMap::with_capacity(order.len());
    scores.extend(order.into_iter().enumerate().map(|(rank, (_, id))| (id, -(rank as f32))));
    let piece = |(id, text): (u32, &str)| {
        let kind = match text {
            text if is_byte(text) => TokenType::Byte,
            text if model.unk_token.as_deref() == Some(text) => TokenType::Unknown,
            _ => TokenType::Normal,
        };
        (
            id as usize,
            SentencePiece { text: text.to_owned(), score: scores.get(&id).copied().unwrap_or(0.0), kind },
        )
    };
    Ok(texts.into_iter().map(piece).collect())
}

/// `<0x00>` to `<0xFF>`
pub(super) fn is_byte(text: &str) -> bool {
    let digits = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A tokenizer with all byte tokens, then `pieces` in order.
    fn tokenizer(pieces: &[&str], merges: &[[&str; 2]]) -> Value {
        let bytes = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"));
        let texts = bytes.chain(pieces.iter().map(|piece| (*piece).to_owned()));
        let vocab: serde_json::Map<String, Value> =
            texts.enumerate().map(|(id, text)| (text, id.into())).collect();
        json!({
            "added_tokens": [{"id": 256, "content": "<end>", "special": true}],
            "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
            "model": {"type": "BPE", "byte_fallback": true, "vocab": vocab, "merges": merges},
        })
    }

    fn read_value(value: &Value) -> Result<Vec<(usize, SentencePiece)>> {
        let bytes = serde_json::to_vec(value).unwrap();
        parse("tokenizer.json", &bytes, &json::parse("tokenizer.json", &bytes).unwrap())
    }

    fn problem(value: &Value) -> String {
        read_value(value).err().unwrap().to_string()
    }

    const PIECES: [&str; 6] = ["<end>", "ab", "abc", "a", "b", "c"];

    #[test]
    fn scores_follow_the_merges() {
        let pieces = read_value(&tokenizer(&PIECES, &[["a", "b"], ["ab", "c"]])).unwrap();
        let scores: Vec<(&str, f32)> =
            pieces[256..].iter().map(|(_, piece)| (piece.text.as_str(), piece.score)).collect();
        let expected = [("<end>", 0.0), ("ab", 0.0), ("abc", -1.0), ("a", -2.0), ("b", -3.0), ("c", -4.0)];
        assert_eq!(scores, expected);
        assert_eq!((pieces[65].1.text.as_str(), pieces[65].1.kind), ("<0x41>", TokenType::Byte));
    }

    #[test]
    fn merges_in_one_string_are_read_too() {
        let mut value = tokenizer(&PIECES, &[]);
        value["model"]["merges"] = json!(["a b", "ab c"]);
        assert_eq!(read_value(&value).unwrap()[258].1.score, -1.0);
    }

    #[test]
    fn a_tab_with_the_id_of_its_byte_is_that_byte() {
        let mut value = tokenizer(&PIECES, &[["a", "b"], ["ab", "c"]]);
        value["model"]["vocab"].as_object_mut().unwrap().remove("<0x09>");
        value["model"]["vocab"]["\t"] = 9.into();
        assert_eq!(read_value(&value).unwrap()[9].1.text, "<0x09>");
    }

    #[test]
    fn a_union_of_pieces_without_a_merge_is_refused() {
        let problem = problem(&tokenizer(&PIECES, &[["a", "b"]]));
        assert!(problem.contains("never merges \"ab\" and \"c\", though \"abc\" is a piece"), "{problem}");
    }

    #[test]
    fn merges_that_match_no_order_of_scores_are_refused() {
        let pieces = ["<end>", "ab", "bc", "abc", "a", "b", "c"];
        let problem = problem(&tokenizer(&pieces, &[["ab", "c"], ["a", "b"], ["a", "bc"], ["b", "c"]]));
        assert!(problem.contains("merges to \"abc\" are not consecutive"), "{problem}");
    }

    #[test]
    fn tokenizers_unlike_gemmas_are_refused() {
        for (pointer, other, what) in [
            ("/normalizer", json!({"type": "NFC"}), "the normalizer"),
            ("/pre_tokenizer", json!({"type": "Metaspace"}), "the pre_tokenizer"),
            ("/model/type", json!("Unigram"), "\"Unigram\""),
            ("/model/byte_fallback", json!(false), "without byte_fallback"),
            ("/model/ignore_merges", json!(true), "ignore_merges"),
            ("/model/end_of_word_suffix", json!("</w>"), "suffix"),
        ] {
            let mut value = tokenizer(&PIECES, &[["a", "b"], ["ab", "c"]]);
            value["pre_tokenizer"] = Value::Null;
            value["model"]["ignore_merges"] = false.into();
            value["model"]["end_of_word_suffix"] = Value::Null;
            *value.pointer_mut(pointer).unwrap() = other;
            assert!(problem(&value).contains(what), "{}", problem(&value));
        }
    }
}
