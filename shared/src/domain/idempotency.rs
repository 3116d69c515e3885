//! Keys with which a client may repeat a request.

use std::str::FromStr;

use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};

use super::{CreateExport, ExportId, GgufKind, UserId};

/// How long a key stands for the request that it came with first.
pub const KEY_LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// The value of the header `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The header.
    pub const HEADER: &'static str = "Idempotency-Key";

    /// The longest key, in characters.
    pub const MAX_CHARS: usize = 255;

    /// The id of the export that this key of a user stands for. `use_` is the number of times that the key expired before.
    /// One record with an id can exist, so one request with a key creates it, however many arrive at once.
    #[must_use]
    pub fn export_id(&self, user: &UserId, use_: u32) -> ExportId {
        let mut hash = Sha256::new();
        for part in [user.as_str().as_bytes(), self.0.as_bytes(), &use_.to_be_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        ExportId::from_hash(hash.finalize().into())
    }
}

/// The text cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {} visible ASCII characters", IdempotencyKey::MAX_CHARS)]
pub struct InvalidIdempotencyKey;

impl FromStr for IdempotencyKey {
    type Err = InvalidIdempotencyKey;

    fn from_str(text: &str) -> Result<Self, InvalidIdempotencyKey> {
        let is_valid =
            (1..=Self::MAX_CHARS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        is_valid.then(|| Self(text.to_owned())).ok_or(InvalidIdempotencyKey)
    }
}

/// A hash of what a request asks for, without the token.
#[must_use]
pub fn request_hash(request: &CreateExport) -> String {
    let CreateExport {
        job_id,
        kind,
        destinations,
        hf_token: _,
        hf_repo,
        hf_private,
        quantizations,
        gguf_kind,
        imatrix,
        prompts_uri,
        max_bytes,
        calibration_uri,
    } = request;
    // one type as requests had it before there could be several
    let quantization = match quantizations.as_slice() {
        [] => serde_json::Value::Null,
        [one] => serde_json::json!(one),
        several => serde_json::json!(several),
    };
    let mut asked = vec![
        serde_json::json!(job_id),
        serde_json::json!(kind),
        serde_json::json!(destinations),
        serde_json::json!(hf_repo),
        serde_json::json!(hf_private),
        quantization,
    ];
    // requests without these fields have the hash that they had before they existed
    if *gguf_kind != GgufKind::default() {
        asked.push(serde_json::json!({ "gguf_kind": gguf_kind }));
    }
    for (name, url) in
        [("imatrix", imatrix), ("prompts_uri", prompts_uri), ("calibration_uri", calibration_uri)]
    {
        if let Some(url) = url {
            asked.push(serde_json::json!({ name: url }));
        }
    }
    if let Some(max_bytes) = max_bytes {
        asked.push(serde_json::json!({ "max_bytes": max_bytes }));
    }
    let asked = serde_json::Value::from(asked);
    hex::encode(Sha256::digest(asked.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fixtures;

    #[test]
    fn a_key_has_visible_ascii_characters() {
        for good in ["a", "7b1c-!~", &"x".repeat(255)] {
            assert!(good.parse::<IdempotencyKey>().is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "ü", "a\n", &"x".repeat(256)] {
            assert_eq!(bad.parse::<IdempotencyKey>(), Err(InvalidIdempotencyKey), "{bad:?}");
        }
    }

    #[test]
    fn ids_differ_by_user_key_and_use() {
        let key = |text: &str| text.parse::<IdempotencyKey>().unwrap();
        let (ada, bob) = (fixtures::user(fixtures::ADA), fixtures::user(fixtures::BOB));
        let id = key("k").export_id(&ada, 0);
        assert_eq!(id, key("k").export_id(&ada, 0));
        for other in [key("k").export_id(&bob, 0), key("l").export_id(&ada, 0), key("k").export_id(&ada, 1)] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn the_hash_depends_on_the_request_and_not_on_the_token() {
        let request = fixtures::request("job-1");
        let with_token = CreateExport { hf_token: Some("hf_secret".into()), ..fixtures::request("job-1") };
        assert_eq!(request_hash(&request), request_hash(&with_token));
        let public = CreateExport { hf_private: false, ..fixtures::request("job-1") };
        assert_ne!(request_hash(&request), request_hash(&public));
        let lora = CreateExport { gguf_kind: GgufKind::Lora, ..fixtures::request("job-1") };
        assert_ne!(request_hash(&request), request_hash(&lora));
        assert_ne!(request_hash(&request), request_hash(&fixtures::request("job-2")));
        let file = Some("gs://b/a.txt".to_owned());
        let prompts = CreateExport { prompts_uri: file.clone(), ..fixtures::request("job-1") };
        let calibration = CreateExport { calibration_uri: file.clone(), ..fixtures::request("job-1") };
        let imatrix = CreateExport { imatrix: file, ..fixtures::request("job-1") };
        let size = |max_bytes| CreateExport {
            quantizations: Vec::new(),
            max_bytes: Some(max_bytes),
            ..fixtures::request("job-1")
        };
        let requests = [request, prompts, imatrix, calibration, size(1_000), size(1_001)];
        let hashes: std::collections::BTreeSet<_> = requests.iter().map(request_hash).collect();
        assert_eq!(hashes.len(), requests.len());
    }
}
