//! `tokenizer_config.json`: the added tokens, which may be thousands, apart from the other fields.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

/// The file's content.
#[derive(Debug, Default)]
pub(crate) struct TokenizerConfig {
    /// `added_tokens_decoder` in the order of the file; `None` without the field.
    pub(crate) added_tokens: Option<Vec<(u32, ConfigToken)>>,
    /// All other fields.
    pub(crate) fields: Map<String, Value>,
}

/// An entry of `added_tokens_decoder`.
#[derive(Debug, Deserialize)]
pub(crate) struct ConfigToken {
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) special: bool,
}

impl<'de> Deserialize<'de> for TokenizerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ConfigVisitor)
    }
}

struct ConfigVisitor;

impl<'de> Visitor<'de> for ConfigVisitor {
    type Value = TokenizerConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TokenizerConfig, A::Error> {
        let mut config = TokenizerConfig::default();
        while let Some(key) = map.next_key::<String>()? {
            if key == "added_tokens_decoder" {
                config.added_tokens =
                    map.next_value::<Option<AddedTokensDecoder>>()?.map(|decoder| decoder.0);
            } else {
                config.fields.insert(key, map.next_value()?);
            }
        }
        Ok(config)
    }
}

/// Ids and tokens.
struct AddedTokensDecoder(Vec<(u32, ConfigToken)>);

impl<'de> Deserialize<'de> for AddedTokensDecoder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DecoderVisitor)
    }
}

struct DecoderVisitor;

impl<'de> Visitor<'de> for DecoderVisitor {
    type Value = AddedTokensDecoder;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of ids and tokens (added_tokens_decoder)")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AddedTokensDecoder, A::Error> {
        let mut tokens = Vec::new();
        while let Some(id) = map.next_key::<String>()? {
            let invalid =
                || A::Error::custom(format_args!("added_tokens_decoder has an invalid entry {id:?}"));
            let number = id.parse().map_err(|_| invalid())?;
            tokens.push((number, map.next_value().map_err(|_| invalid())?));
        }
        Ok(AddedTokensDecoder(tokens))
    }
}
