//! `tokenizer.json`: a SentencePiece vocabulary written down as byte-pair merges.
//!
//! Format: <https://huggingface.co/docs/tokenizers/api/models>. transformers writes a Gemma tokenizer so, and since
//! version 5 nothing else. llama.cpp's SentencePiece tokenizer joins the neighbours whose union has the best score;
//! this one the neighbours whose merge comes first. Both give the same ids when every way to split a piece is a merge
//! and pieces come in the order of their scores, which is checked here.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use super::TokenType;
use super::files::TokenizerJson;
use super::sentencepiece::SentencePiece;
use crate::error::{Error, Result};
use crate::io::json;
use crate::io::json::OrderedMap;

/// The byte that a tab is.
const TAB: &str = "<0x09>";

/// Longer pieces are nobody's, and would take long to check.
const LONGEST: usize = 512;

/// The texts of added tokens.
type AddedTokens<'a> = HashSet<&'a str>;

/// The part of the file that says how text becomes ids.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    model: BpeModel,
}

/// The model, with what would make it another one.
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

/// Two pieces that become one; before transformers 4.45 in one string.
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

/// Reads the pieces, by id. The scores are those that SentencePiece gives a vocabulary in order: 0, −1, −2 and so on.
pub(super) fn read(file: &str, bytes: &[u8], known: &TokenizerJson) -> Result<Vec<(usize, SentencePiece)>> {
    let model = BpeModel::of_gemma(file, bytes)?;
    let refuse = |what| refuse(file, what);
    let added: AddedTokens<'_> = known.added_tokens.iter().map(|token| token.content.as_str()).collect();
    let ranks = ranks(&model, &added).map_err(refuse)?;
    check_splits(&model, &added).map_err(refuse)?;
    pieces(&model, &added, &ranks).map_err(refuse)
}

fn refuse(file: &str, what: String) -> Error {
    Error::unsupported(file, format!("GGUF for a tokenizer {what}"))
        .advise("copy tokenizer.model beside it, if the base model has one")
}

impl BpeModel {
    /// Reads the model of a tokenizer that treats text as Gemma's do.
    pub(super) fn of_gemma(file: &str, bytes: &[u8]) -> Result<Self> {
        let TokenizerFile { normalizer, pre_tokenizer, model } = json::parse(file, bytes)?;
        match foreign(&normalizer, &pre_tokenizer, &model) {
            Some(what) => Err(refuse(file, what)),
            None => Ok(model),
        }
    }

    /// Its merges, each in one string. A space in a part becomes a letter that stands for it.
    pub(super) fn merges(&self) -> Vec<String> {
        let text = |merge: &MergeRule| match merge {
            MergeRule::Joined(text) => text.clone(),
            MergeRule::Pair(left, right) => {
                let whole = |part: &str| part.replace(' ', "\u{120}");
                format!("{} {}", whole(left), whole(right))
            }
        };
        self.merges.iter().map(text).collect()
    }

    /// Texts by id. A tab that has the id of its byte is that byte: SentencePiece has no other.
    pub(super) fn texts(&self) -> Result<BTreeMap<u32, &str>, String> {
        let vocab = &self.vocab.0;
        let id_of: HashMap<&str, u32> = vocab.iter().map(|(text, id)| (text.as_str(), *id)).collect();
        let byte = id_of.get(TAB).or(id_of.get("\t"));
        let mut texts = BTreeMap::new();
        for (text, id) in vocab {
            let text = if text == "\t" && byte == Some(id) { TAB } else { text };
            if texts.insert(*id, text).is_some_and(|other| other != text) {
                return Err(format!("that gives {text:?} an id that another piece has"));
            }
        }
        let lacks = |byte: &String| byte != TAB && !id_of.contains_key(byte.as_str());
        match (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>")).find(lacks) {
            Some(byte) => Err(format!("without a piece for the byte {byte}")),
            None => Ok(texts),
        }
    }
}

/// What is not as in a tokenizer of Gemma.
fn foreign(normalizer: &Value, pre_tokenizer: &Value, model: &BpeModel) -> Option<String> {
    let is = |value: &Value, kind: &str| value.get("type").and_then(Value::as_str) == Some(kind);
    let replaces = is(normalizer, "Replace")
        && normalizer.pointer("/pattern/String").and_then(Value::as_str) == Some(" ")
        && normalizer.get("content").and_then(Value::as_str) == Some("\u{2581}");
    // no space is left to split at
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
        Some("with a prefix or suffix of words".to_owned())
    } else {
        None
    }
}

/// The place of each piece among those that merges make. Pieces that are added tokens are found in the text before
/// merges see it, so that merges of them and to them do not count.
fn ranks(model: &BpeModel, added: &AddedTokens<'_>) -> Result<HashMap<String, usize>, String> {
    let mut ranks: HashMap<String, usize> = HashMap::new();
    let mut last = String::new();
    for merge in &model.merges {
        let (left, right) = merge.parts().ok_or("with a merge that is no pair")?;
        let made = format!("{left}{right}");
        if [left, right, &made].iter().any(|part| added.contains(*part)) {
            continue;
        }
        let next = ranks.len();
        if ranks.insert(made.clone(), next).is_some() {
            if made != last {
                return Err(format!("whose merges to {made:?} do not stand together"));
            }
            ranks.insert(made.clone(), next - 1);
        }
        last = made;
    }
    Ok(ranks)
}

/// SentencePiece joins any neighbours whose union is a piece.
fn check_splits(model: &BpeModel, added: &AddedTokens<'_>) -> Result<(), String> {
    let merges: HashSet<(&str, &str)> = model.merges.iter().filter_map(MergeRule::parts).collect();
    let known: HashSet<&str> = model.vocab.0.iter().map(|(text, _)| text.as_str()).collect();
    let symbol =
        |part: &str| !added.contains(part) && (known.contains(part) || part.chars().nth(1).is_none());
    for text in known.iter().filter(|text| !added.contains(**text)) {
        if text.len() > LONGEST {
            return Err(format!("with a piece of {} bytes", text.len()));
        }
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
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
    scores.extend(order.into_iter().enumerate().map(|(place, (_, id))| (id, -(place as f32))));
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

    /// A tokenizer whose pieces are all bytes, then `pieces` in order.
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
        read("tokenizer.json", &bytes, &json::parse("tokenizer.json", &bytes).unwrap())
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
    fn a_union_that_sentencepiece_would_make_and_merges_do_not_is_refused() {
        let problem = problem(&tokenizer(&PIECES, &[["a", "b"]]));
        assert!(problem.contains("never merges \"ab\" and \"c\", though \"abc\" is a piece"), "{problem}");
    }

    #[test]
    fn merges_that_no_order_of_scores_gives_are_refused() {
        let pieces = ["<end>", "ab", "bc", "abc", "a", "b", "c"];
        let problem = problem(&tokenizer(&pieces, &[["ab", "c"], ["a", "b"], ["a", "bc"], ["b", "c"]]));
        assert!(problem.contains("merges to \"abc\" do not stand together"), "{problem}");
    }

    #[test]
    fn other_tokenizers_are_refused_by_what_they_do() {
        for (at, other, what) in [
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
            *value.pointer_mut(at).unwrap() = other;
            assert!(problem(&value).contains(what), "{}", problem(&value));
        }
    }
}
