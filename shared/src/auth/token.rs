//! Strict JWT parser: canonical base64url, JSON objects without duplicate names.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::domain::Unauthenticated;

/// The longest accepted token, in bytes. Firebase ID tokens have about 1,000, plus at most 1,000 of custom claims.
pub const MAX_TOKEN: usize = 8 * 1024;

/// A parsed JWT. Signature and claims are not verified.
pub(super) struct ParsedToken<'a> {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    /// The signed text: header and payload.
    pub message: &'a str,
    pub signature: Vec<u8>,
}

impl<'a> ParsedToken<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Unauthenticated> {
        if text.len() > MAX_TOKEN {
            return Err(Unauthenticated::Malformed);
        }
        let parse = || {
            let (message, signature) = text.rsplit_once('.')?;
            let (header, claims) = message.split_once('.')?;
            let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
            Some(Self { header: decode_object(header)?, claims: decode_object(claims)?, message, signature })
        };
        // no critical extension is known here (RFC 7515, section 4.1.11)
        parse().filter(|token| !token.header.contains_key("crit")).ok_or(Unauthenticated::Malformed)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }
}

/// Decodes a segment. A dot is not base64url, so a token of four or more segments is rejected here.
fn decode_object(segment: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(segment).ok()?;
    serde_json::from_slice(&bytes).ok().map(|UniqueNames(object)| object)
}

/// A JSON object without duplicate names. Parsers disagree about which duplicate wins, which an attacker can exploit.
struct UniqueNames(Map<String, Value>);

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UniqueNamesVisitor;
        impl<'de> Visitor<'de> for UniqueNamesVisitor {
            type Value = UniqueNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<UniqueNames, A::Error> {
                let mut object = Map::new();
                while let Some((name, value)) = entries.next_entry::<String, Value>()? {
                    if object.insert(name, value).is_some() {
                        return Err(A::Error::custom("duplicate name"));
                    }
                }
                Ok(UniqueNames(object))
            }
        }
        deserializer.deserialize_map(UniqueNamesVisitor)
    }
}
