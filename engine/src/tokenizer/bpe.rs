//! `tokenizer.json`: a SentencePiece vocabulary in the form of BPE merges.
//!
//! Format: <https://huggingface.co/docs/tokenizers/api/models>. transformers 5 writes Gemma tokenizers only in
//! this form. `score_order` checks that llama.cpp's SentencePiece tokenizer gives the same ids as the merges do.

use serde::Deserialize;
use serde_json::Value;

use super::TokenType;
use super::bpe_vocab::{BpeVocab, MergeRule};
use super::score_order::{NO_RANK, PieceIndex};
use super::sentencepiece::SentencePiece;
use super::tokenizer_files::AddedToken;
use crate::error::{Error, Result};

/// The byte token of a tab.
const TAB: &str = "<0x09>";

/// The BPE model, with the options that change its result.
#[derive(Debug, Deserialize)]
pub(crate) struct BpeModel<'a> {
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
    #[serde(borrow)]
    vocab: BpeVocab<'a>,
    #[serde(borrow, default)]
    merges: Vec<MergeRule<'a>>,
}

/// Refuses a tokenizer of `tokenizer.json` by what distinguishes it from Gemma's.
pub(super) fn unsupported(file: &str, what: String) -> Error {
    Error::unsupported(file, format!("GGUF for a tokenizer {what}"))
        .advise("copy tokenizer.model into the folder, if the base model has one")
}

impl BpeModel<'_> {
    /// Refuses tokenizers that do not work like Gemma's.
    pub(super) fn check(&self, file: &str, normalizer: &Value, pre_tokenizer: &Value) -> Result<()> {
        match self.difference_from_gemma(normalizer, pre_tokenizer) {
            Some(what) => Err(unsupported(file, what)),
            None => Ok(()),
        }
    }

    /// What distinguishes the tokenizer from Gemma's.
    pub(super) fn difference_from_gemma(&self, normalizer: &Value, pre_tokenizer: &Value) -> Option<String> {
        let is = |value: &Value, kind: &str| value.get("type").and_then(Value::as_str) == Some(kind);
        let replaces = is(normalizer, "Replace")
            && normalizer.pointer("/pattern/String").and_then(Value::as_str) == Some(" ")
            && normalizer.get("content").and_then(Value::as_str) == Some("\u{2581}");
        // without effect: the normalizer has replaced all spaces
        let splits = is(pre_tokenizer, "Split")
            && pre_tokenizer.pointer("/pattern/String").and_then(Value::as_str) == Some(" ");
        let other = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if self.kind != "BPE" {
            Some(format!("of type {:?}", self.kind))
        } else if !self.byte_fallback {
            Some("without byte_fallback".to_owned())
        } else if !replaces {
            Some(format!("with the normalizer {normalizer}"))
        } else if !(splits || pre_tokenizer.is_null()) {
            Some(format!("with the pre_tokenizer {pre_tokenizer}"))
        } else if self.dropout.is_some_and(|p| p > 0.0) || self.ignore_merges {
            Some("with dropout or ignore_merges".to_owned())
        } else if other(&self.continuing_subword_prefix) || other(&self.end_of_word_suffix) {
            Some("with continuing_subword_prefix or end_of_word_suffix".to_owned())
        } else {
            None
        }
    }

    /// The merges as strings. A space in a piece becomes `Ġ` (U+0120), as in the converter.
    pub(super) fn merges(&self) -> Vec<String> {
        let text = |merge: &MergeRule<'_>| match merge {
            MergeRule::Joined(text) => text.clone().into_owned(),
            MergeRule::Pair(left, right) => {
                let escape = |part: &str| part.replace(' ', "\u{120}");
                format!("{} {}", escape(left), escape(right))
            }
        };
        self.merges.iter().map(text).collect()
    }

    /// The ids and texts, sorted by id. A tab with the id of its byte token becomes the byte token, as in SentencePiece.
    pub(super) fn texts(&self) -> Result<Vec<(u32, &str)>, String> {
        let index = PieceIndex::new(&self.vocab, std::iter::empty())?;
        let texts = self.numbered_texts(&index)?;
        Ok(texts.into_iter().map(|(id, _, text)| (id, text)).collect())
    }

    /// Id, number in the file and text of each piece, sorted by id.
    fn numbered_texts(&self, index: &PieceIndex<'_>) -> Result<Vec<(u32, usize, &str)>, String> {
        let byte = index.id(TAB).or(index.id("\t"));
        let mut texts: Vec<(u32, usize, &str)> = Vec::with_capacity(self.vocab.0.len());
        for (number, (text, id)) in self.vocab.0.iter().enumerate() {
            texts.push((*id, number, if text == "\t" && byte == Some(*id) { TAB } else { text }));
        }
        // the file is usually sorted already
        texts.sort_by_key(|(id, ..)| *id);
        texts.dedup_by(|(id, _, text), (before, _, other)| id == before && text == other);
        if let Some([.., (_, _, text)]) = texts.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("that gives {text:?} the id of another piece"));
        }
        let lacks = |byte: &String| byte != TAB && index.id(byte).is_none();
        match (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>")).find(lacks) {
            Some(byte) => Err(format!("without a piece for the byte {byte}")),
            None => Ok(texts),
        }
    }

    /// The texts of the pieces that merges make, in the order of merges.
    pub(super) fn merged_texts<'t>(
        &'t self,
        added: impl Iterator<Item = &'t str>,
    ) -> Result<Vec<&'t str>, String> {
        let index = PieceIndex::new(&self.vocab, added)?;
        let ranks = index.ranks(&self.merges)?;
        let texts = self.vocab.0.iter().zip(ranks).filter(|(_, rank)| *rank != NO_RANK);
        let mut ranked: Vec<(u32, &str)> = texts.map(|((text, _), rank)| (rank, &**text)).collect();
        ranked.sort_unstable();
        Ok(ranked.into_iter().map(|(_, text)| text).collect())
    }

    /// The pieces with their ids, sorted by id. Scores are 0, −1, −2 and so on in the order of merges, as SentencePiece
    /// assigns them.
    pub(super) fn pieces(&self, added: &[AddedToken]) -> Result<Vec<(usize, SentencePiece)>, String> {
        let index = PieceIndex::new(&self.vocab, added.iter().map(|token| token.content.as_str()))?;
        let ranks = index.ranks(&self.merges)?;
        let texts = self.numbered_texts(&index)?;
        let scored = texts
            .iter()
            .enumerate()
            .filter(|(_, (_, number, text))| !index.is_added(*number) && !is_byte(text));
        let mut order: Vec<(u32, usize)> = scored.map(|(at, (_, number, _))| (ranks[*number], at)).collect();
        order.sort_unstable();
        let mut scores = vec![0.0; texts.len()];
        for (rank, (_, at)) in order.into_iter().enumerate() {
            scores[at] = -(rank as f32);
        }
        let piece = |((id, _, text), score): ((u32, usize, &str), f32)| {
            let kind = match text {
                text if is_byte(text) => TokenType::Byte,
                text if self.unk_token.as_deref() == Some(text) => TokenType::Unknown,
                _ => TokenType::Normal,
            };
            (id as usize, SentencePiece { text: text.to_owned(), score, kind, is_user_defined: false })
        };
        Ok(texts.into_iter().zip(scores).map(piece).collect())
    }
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
    use crate::checkpoint::SmallFile;
    use crate::tokenizer::tokenizer_files::TokenizerJson;

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
        let file = SmallFile { location: "tokenizer.json".to_owned(), bytes };
        TokenizerJson::parse(&file, true)?.pieces()
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
            ("/model", json!({"type": "Unigram", "vocab": [["a", -1.5]]}), "\"Unigram\""),
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
