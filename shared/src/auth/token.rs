//! The parts of a JWT, read strictly: canonical base64url, JSON objects, no name twice.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::domain::Unauthenticated;

/// The longest token looked at, in bytes. Firebase's have about 1,000, and at most 1,000 more of custom claims.
pub const MAX_TOKEN: usize = 8 * 1024;

/// A token taken apart; nothing in it is checked yet.
pub(super) struct Token<'a> {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    /// What is signed.
    pub message: &'a str,
    /// Base64url, known to be canonical.
    pub signature: &'a str,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Unauthenticated> {
        if text.len() > MAX_TOKEN {
            return Err(Unauthenticated::Malformed);
        }
        let parse = || {
            let (message, signature) = text.rsplit_once('.')?;
            let (header, claims) = message.split_once('.')?;
            URL_SAFE_NO_PAD.decode(signature).ok()?;
            Some(Self { header: object(header)?, claims: object(claims)?, message, signature })
        };
        parse().ok_or(Unauthenticated::Malformed)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }
}

/// A segment with a dot in it is not base64url, so four and more segments end here.
fn object(segment: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(segment).ok()?;
    serde_json::from_slice(&bytes).ok().map(|UniqueNames(object)| object)
}

/// A JSON object in which no name stands twice: readers that disagree about which one counts can be played off
/// against each other.
struct UniqueNames(Map<String, Value>);

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = UniqueNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<UniqueNames, A::Error> {
                let mut object = Map::new();
                while let Some((name, value)) = entries.next_entry::<String, Value>()? {
                    if object.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(UniqueNames(object))
            }
        }
        deserializer.deserialize_map(Names)
    }
}
