//! The vocabulary and the merges of `tokenizer.json`, borrowed from the file's bytes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Pieces and ids in the order of the file. Empty for a vocabulary of another kind of model, which is a list.
#[derive(Debug, Default)]
pub(crate) struct BpeVocab<'a>(pub(super) Vec<(Cow<'a, str>, u32)>);

/// A text, borrowed unless it has escapes.
#[derive(Deserialize)]
struct JsonText<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for BpeVocab<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VocabVisitor)
    }
}

struct VocabVisitor;

impl<'de> Visitor<'de> for VocabVisitor {
    type Value = BpeVocab<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of pieces and ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BpeVocab<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(JsonText(text)) = map.next_key()? {
            entries.push((text, map.next_value()?));
        }
        Ok(BpeVocab(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<BpeVocab<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(BpeVocab::default())
    }
}

/// Two pieces that are merged, in either form: a pair, or before transformers 4.45 one string with a space.
#[derive(Debug)]
pub(crate) enum MergeRule<'a> {
    Pair(Cow<'a, str>, Cow<'a, str>),
    Joined(Cow<'a, str>),
}

impl MergeRule<'_> {
    pub(super) fn parts(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pair(left, right) => Some((left, right)),
            Self::Joined(text) => text.split_once(' '),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for MergeRule<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MergeVisitor)
    }
}

struct MergeVisitor;

impl<'de> Visitor<'de> for MergeVisitor {
    type Value = MergeRule<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a merge: two pieces")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<MergeRule<'de>, E> {
        Ok(MergeRule::Joined(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<MergeRule<'de>, E> {
        Ok(MergeRule::Joined(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<MergeRule<'de>, A::Error> {
        let (left, right) = (pair.next_element()?, pair.next_element()?);
        let (Some(JsonText(left)), Some(JsonText(right)), None) =
            (left, right, pair.next_element::<IgnoredAny>()?)
        else {
            return Err(A::Error::custom("a merge is not two pieces"));
        };
        Ok(MergeRule::Pair(left, right))
    }
}
