//! Token ids of a text, and the text of token ids, as transformers and llama.cpp compute them.
//!
//! Added tokens are matched first, the longest one wins. The text between them is split into characters, and the pair
//! whose merge comes first is merged until none is left. Characters without a token become bytes.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::{TokenType, Tokenizer, TokenizerModel};

const SPACE: &str = "\u{2581}";
/// The bytes of a long text that are encoded at a time.
const PART_SIZE: usize = 64 << 10;
/// In the list of next pieces: the piece is now a part of the one before it.
const MERGED: usize = usize::MAX;

/// A tokenizer as a map from texts to ids.
pub(crate) struct TextEncoder<'a> {
    tokenizer: &'a Tokenizer,
    ids: HashMap<&'a str, u32>,
    /// Tokens that are matched before the text is split, by their first byte, the longest first.
    added: HashMap<u8, Vec<(&'a str, u32)>>,
    /// The order of the merges of two tokens; `None` where the scores of tokens are the order.
    ranks: Option<HashMap<(u32, u32), u32>>,
}

/// How early a pair is merged: smaller is earlier.
#[derive(Debug, Clone, Copy, PartialEq)]
struct MergeOrder(f32);

impl Eq for MergeOrder {}

impl PartialOrd for MergeOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for MergeOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl<'a> TextEncoder<'a> {
    pub(crate) fn new(tokenizer: &'a Tokenizer) -> Self {
        let vocabulary = &tokenizer.vocabulary;
        let mut ids = HashMap::with_capacity(vocabulary.tokens.len());
        let mut added: HashMap<u8, Vec<(&str, u32)>> = HashMap::new();
        for (id, (text, kind)) in (0..).zip(vocabulary.tokens.iter().zip(&vocabulary.types)) {
            match kind {
                TokenType::Control | TokenType::UserDefined => {
                    if let Some(first) = text.bytes().next() {
                        added.entry(first).or_default().push((text, id));
                    }
                }
                TokenType::Normal | TokenType::Unknown | TokenType::Unused | TokenType::Byte => {}
            }
            ids.entry(text.as_str()).or_insert(id);
        }
        added.values_mut().for_each(|tokens| tokens.sort_by_key(|(text, _)| Reverse(text.len())));
        let ranks = match &tokenizer.model {
            TokenizerModel::SentencePiece { .. } => None,
            TokenizerModel::Bpe(merges) => Some(ranks(merges, &ids)),
        };
        Self { tokenizer, ids, added, ranks }
    }

    /// The ids of a text. Nothing is added in front of it.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        let (mut ids, mut start, mut at) = (Vec::new(), 0, 0);
        while let Some(first) = text.as_bytes().get(at) {
            let tokens = self.added.get(first).map_or(&[][..], Vec::as_slice);
            match tokens.iter().find(|(token, _)| text.as_bytes()[at..].starts_with(token.as_bytes())) {
                Some((token, id)) => {
                    self.encode_plain(&text[start..at], &mut ids);
                    ids.push(*id);
                    at += token.len();
                    start = at;
                }
                None => at += 1,
            }
        }
        self.encode_plain(&text[start..], &mut ids);
        ids
    }

    /// The first `most` ids of a text, which may be much longer.
    pub(crate) fn encode_first(&self, text: &str, most: usize) -> Vec<u32> {
        let mut ids = Vec::new();
        for part in self.parts(text, PART_SIZE) {
            if ids.len() >= most {
                break;
            }
            ids.extend(self.encode(part));
        }
        ids.truncate(most);
        ids
    }

    /// Parts whose ids, one part after the other, are those of the text: no token has the two characters at which it is cut.
    /// Each has `size` bytes at least, but for the last.
    fn parts<'t>(&self, text: &'t str, size: usize) -> impl Iterator<Item = &'t str> + use<'t> {
        let space = |character: char| if character == ' ' { '\u{2581}' } else { character };
        let tokens = self.tokenizer.vocabulary.tokens.iter();
        let pairs = |token: &'a String| token.chars().map(space).zip(token.chars().map(space).skip(1));
        let joined: HashSet<(char, char)> = tokens.flat_map(pairs).collect();
        let mut rest = text;
        std::iter::from_fn(move || {
            let mut before = None;
            let is_cut = |(at, character): &(usize, char)| {
                let pair = (before.replace(space(*character)), space(*character));
                *at >= size && pair.0.is_some_and(|first| !joined.contains(&(first, pair.1)))
            };
            let cut = rest.char_indices().find(is_cut).map_or(rest.len(), |(at, _)| at);
            let part;
            (part, rest) = rest.split_at(cut);
            (!part.is_empty()).then_some(part)
        })
    }

    /// The id of a token.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The text of tokens; those that control a model have none.
    pub(crate) fn decode(&self, ids: impl IntoIterator<Item = u32>) -> String {
        let vocabulary = &self.tokenizer.vocabulary;
        let mut bytes = Vec::new();
        for id in ids {
            let Some(text) = vocabulary.tokens.get(id as usize) else { continue };
            match vocabulary.types[id as usize] {
                TokenType::Control => {}
                TokenType::Byte => {
                    let hex = text.strip_prefix("<0x").and_then(|text| text.strip_suffix('>'));
                    bytes.extend(hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()));
                }
                TokenType::Normal | TokenType::Unknown | TokenType::UserDefined | TokenType::Unused => {
                    bytes.extend(text.replace(SPACE, " ").bytes());
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Adds the ids of a text without added tokens.
    fn encode_plain(&self, text: &str, ids: &mut Vec<u32>) {
        let text = text.replace(' ', SPACE);
        for piece in self.merged(&text) {
            match self.ids.get(piece) {
                Some(id) => ids.push(*id),
                None => ids.extend(piece.bytes().filter_map(|byte| self.id(&format!("<0x{byte:02X}>")))),
            }
        }
    }

    /// The pieces that are left when no pair can be merged.
    fn merged<'t>(&self, text: &'t str) -> Vec<&'t str> {
        // piece i begins at starts[i] and ends at starts[next[i]]
        let mut starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let count = starts.len();
        starts.push(text.len());
        let (mut next, mut before): (Vec<usize>, Vec<usize>) =
            (0..=count).map(|piece| (piece + 1, piece.saturating_sub(1))).unzip();
        let mut pending = BinaryHeap::new();
        let queue = |left: usize, next: &[usize], pending: &mut BinaryHeap<_>| {
            let middle = next[left];
            let Some(end) = next.get(middle).copied().filter(|end| *end <= count) else { return };
            let order = self.order(&text[starts[left]..starts[middle]], &text[starts[middle]..starts[end]]);
            pending.extend(order.map(|order| Reverse((order, left, middle, end))));
        };
        (0..count).for_each(|left| queue(left, &next, &mut pending));
        while let Some(Reverse((_, left, middle, end))) = pending.pop() {
            // unless one of the two was merged since
            if next[left] == middle && next[middle] == end {
                next[left] = end;
                next[middle] = MERGED;
                before[end] = left;
                queue(left, &next, &mut pending);
                if left > 0 {
                    queue(before[left], &next, &mut pending);
                }
            }
        }
        let piece = |at: &usize| Some(next[*at]).filter(|next| *next < count);
        let first = (count > 0).then_some(0);
        std::iter::successors(first, piece).map(|at| &text[starts[at]..starts[next[at]]]).collect()
    }

    /// How early two pieces are merged; `None` if they are not.
    fn order(&self, left: &str, right: &str) -> Option<MergeOrder> {
        match &self.ranks {
            Some(ranks) => {
                let pair = (self.id(left)?, self.id(right)?);
                ranks.get(&pair).map(|rank| MergeOrder(*rank as f32))
            }
            None => {
                let id = self.id(&format!("{left}{right}"))? as usize;
                let vocabulary = &self.tokenizer.vocabulary;
                (vocabulary.types[id] == TokenType::Normal).then(|| MergeOrder(-vocabulary.scores[id]))
            }
        }
    }
}

/// The position of each pair in the list of merges.
fn ranks(merges: &[String], ids: &HashMap<&str, u32>) -> HashMap<(u32, u32), u32> {
    let id = |part: &str| ids.get(part.replace('\u{120}', " ").as_str()).copied();
    let pair = |merge: &String| {
        let (left, right) = merge.split_once(' ')?;
        Some((id(left)?, id(right)?))
    };
    (0..).zip(merges).filter_map(|(rank, merge)| Some((pair(merge)?, rank))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::special_tokens::SpecialTokens;
    use super::super::{TokenVocabulary, Tokenizer};
    use super::*;

    fn tokenizer(pieces: &[(&str, f32, TokenType)], model: TokenizerModel) -> Tokenizer {
        let vocabulary = TokenVocabulary {
            tokens: pieces.iter().map(|(text, ..)| (*text).to_owned()).collect(),
            scores: pieces.iter().map(|(_, score, _)| *score).collect(),
            types: pieces.iter().map(|(.., kind)| *kind).collect(),
        };
        Tokenizer {
            vocabulary,
            special: SpecialTokens::default(),
            model,
            rowless: Vec::new(),
            renamed: Vec::new(),
            class: None,
        }
    }

    #[test]
    fn the_ids_of_the_parts_are_those_of_the_text() {
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let text = "the  capital of  a town\n\nis by the sea.<start_of_turn> Müller 🌊\t\tonce upon  a time "
            .repeat(9);
        for base in ["gemma1-micro", "gemma3-micro", "families/gemma4-dense"] {
            let folder = crate::io::LocalFolder::open(fixtures.join(base).join("base")).unwrap();
            let model = crate::merge::Model::new(
                &crate::checkpoint::Checkpoint::open(std::sync::Arc::new(folder)).unwrap(),
            );
            let tokenizer = crate::forward::tokenizer(&model).unwrap();
            let encoder = TextEncoder::new(&tokenizer);
            let whole = encoder.encode(&text);
            for size in [1, 7, 100] {
                let parts: Vec<&str> = encoder.parts(&text, size).collect();
                assert!(parts.len() > 2 && parts.concat() == text, "{base} {size}: {parts:?}");
                let ids: Vec<u32> = parts.iter().flat_map(|part| encoder.encode(part)).collect();
                assert_eq!(ids, whole, "{base} {size}");
            }
            assert_eq!(encoder.encode_first(&text, 11), whole[..11]);
        }
    }

    const PIECES: [(&str, f32, TokenType); 10] = [
        ("<bos>", 0.0, TokenType::Control),
        ("a", -9.0, TokenType::Normal),
        ("b", -9.0, TokenType::Normal),
        ("ab", -2.0, TokenType::Normal),
        ("ba", -1.0, TokenType::Normal),
        ("\u{2581}", -9.0, TokenType::Normal),
        ("<0xC3>", 0.0, TokenType::Byte),
        ("<0xBC>", 0.0, TokenType::Byte),
        ("aba", -3.0, TokenType::Normal),
        ("aa!", 0.0, TokenType::UserDefined),
    ];

    #[test]
    fn the_pair_with_the_best_score_is_merged_first() {
        let tokenizer = tokenizer(&PIECES, TokenizerModel::SentencePiece { gemma1: false });
        let encoder = TextEncoder::new(&tokenizer);
        for (text, ids) in [
            ("", vec![]),
            ("aba", vec![8]),
            ("abab", vec![8, 2]),
            ("<bos>a b", vec![0, 1, 5, 2]),
            ("aaa!\u{fc}", vec![1, 9, 6, 7]),
        ] {
            assert_eq!(encoder.encode(text), ids, "{text}");
        }
        assert_eq!(encoder.decode([0, 1, 5, 6, 7, 99]), "a \u{fc}");
    }

    #[test]
    fn merges_in_a_list_are_applied_in_its_order() {
        let merges = ["a b", "b a", "ab a"].map(str::to_owned).to_vec();
        let tokenizer = tokenizer(&PIECES, TokenizerModel::Bpe(merges));
        assert_eq!(TextEncoder::new(&tokenizer).encode("ababb"), [3, 3, 2]);
    }
}
