//! Parses key sets in both of Google's formats.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Map, Value};
use simple_asn1::{ASN1Block, from_der, oid};

use crate::rsa_key::RsaPublicKey;

/// RS256 keys by id.
#[derive(Default)]
pub(super) struct KeySet(HashMap<String, VerificationKey>);

struct VerificationKey {
    key: Arc<RsaPublicKey>,
    /// Expiry of the certificate; `None` for a JWK.
    expires: Option<Timestamp>,
}

impl KeySet {
    /// Parses `{"keys": [JWK…]}` or `{kid: PEM…}`. Unusable keys are logged and skipped.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let object: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let keys = match object.get("keys") {
            Some(Value::Array(jwks)) => {
                jwks.iter().filter_map(|jwk| log_unusable(kid(jwk)?, from_jwk(jwk))).collect()
            }
            Some(_) => return None,
            None => object.iter().filter_map(|(kid, pem)| log_unusable(kid, from_certificate(pem))).collect(),
        };
        Some(Self(keys))
    }

    /// The key with that id, unless its certificate has expired.
    pub(super) fn get(&self, kid: &str, now: Timestamp) -> Option<Arc<RsaPublicKey>> {
        let key = self.0.get(kid)?;
        key.expires.is_none_or(|expires| now < expires).then(|| Arc::clone(&key.key))
    }
}

fn log_unusable(kid: &str, key: Option<VerificationKey>) -> Option<(String, VerificationKey)> {
    if key.is_none() {
        tracing::warn!(kid, "skipped an unusable key");
    }
    Some((kid.to_owned(), key?))
}

fn kid(jwk: &Value) -> Option<&str> {
    jwk["kid"].as_str()
}

fn from_jwk(jwk: &Value) -> Option<VerificationKey> {
    let is_or_unset = |name: &str, expected: &str| jwk[name].is_null() || jwk[name] == expected;
    if jwk["kty"] != "RSA" || !is_or_unset("alg", "RS256") || !is_or_unset("use", "sig") {
        return None;
    }
    let number = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str()?).ok();
    let key = RsaPublicKey::new(number("n")?, number("e")?);
    Some(VerificationKey { key: Arc::new(key), expires: None })
}

fn from_certificate(pem: &Value) -> Option<VerificationKey> {
    let der = pem::parse(pem.as_str()?).ok()?;
    let blocks = from_der(der.contents()).ok()?;
    let [certificate] = &blocks[..] else { return None };
    // RFC 5280, section 4.1
    let fields = sequence(sequence(certificate)?.first()?)?;
    let key = fields.iter().find_map(public_key)?;
    let expires = Timestamp::from_second(fields.iter().find_map(not_after)?).ok()?;
    Some(VerificationKey { key: Arc::new(key), expires: Some(expires) })
}

/// The key in a `SubjectPublicKeyInfo` with an `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn public_key(field: &ASN1Block) -> Option<RsaPublicKey> {
    let [algorithm, ASN1Block::BitString(_, _, key)] = sequence(field)? else { return None };
    let ASN1Block::ObjectIdentifier(_, algorithm) = sequence(algorithm)?.first()? else { return None };
    if algorithm != oid!(1, 2, 840, 113_549, 1, 1, 1) {
        return None;
    }
    let blocks = from_der(key).ok()?;
    let [ASN1Block::Integer(_, modulus), ASN1Block::Integer(_, exponent)] = sequence(blocks.first()?)? else {
        return None;
    };
    Some(RsaPublicKey::new(modulus.to_bytes_be().1, exponent.to_bytes_be().1))
}

/// `notAfter` in a `Validity`, in seconds since 1970.
fn not_after(field: &ASN1Block) -> Option<i64> {
    if let [_, end] = sequence(field)? { seconds(end) } else { None }
}

fn sequence(block: &ASN1Block) -> Option<&[ASN1Block]> {
    if let ASN1Block::Sequence(_, blocks) = block { Some(blocks) } else { None }
}

fn seconds(block: &ASN1Block) -> Option<i64> {
    if let ASN1Block::UTCTime(_, time) | ASN1Block::GeneralizedTime(_, time) = block {
        Some(time.assume_utc().unix_timestamp())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        clock,
        testing::{
            TokenSigner,
            tokens::{EXPIRED_CERTIFICATE, FIRST_CERTIFICATE, FIRST_PUBLIC, SECOND_PUBLIC},
        },
    };

    fn parsed(keys: &Value) -> KeySet {
        KeySet::parse(keys.to_string().as_bytes()).unwrap()
    }

    /// Whether the key verifies tokens of the first signer.
    fn is_the_first(key: Option<Arc<RsaPublicKey>>) -> bool {
        let token = TokenSigner::first().token("ada");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        key.is_some_and(|key| key.verifies(message.as_bytes(), &signature))
    }

    fn jwk(kid: &str) -> Value {
        // SubjectPublicKeyInfo → BIT STRING → RSAPublicKey → modulus and exponent.
        let der = pem::parse(FIRST_PUBLIC).unwrap();
        let blocks = from_der(der.contents()).unwrap();
        let ASN1Block::BitString(_, _, bits) = &sequence(&blocks[0]).unwrap()[1] else { panic!("a key") };
        let key = from_der(bits).unwrap();
        let number = |index: usize| {
            let ASN1Block::Integer(_, number) = &sequence(&key[0]).unwrap()[index] else {
                panic!("a number")
            };
            let bytes = number.to_signed_bytes_be();
            let start = bytes.iter().position(|byte| *byte != 0).unwrap();
            URL_SAFE_NO_PAD.encode(&bytes[start..])
        };
        json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": number(0), "e": number(1)})
    }

    #[test]
    fn both_formats_yield_the_same_key() {
        let now = clock::now();
        assert!(is_the_first(parsed(&json!({"keys": [jwk("a")]})).get("a", now)));
        assert!(is_the_first(parsed(&json!({"a": FIRST_CERTIFICATE})).get("a", now)));
    }

    #[test]
    fn expired_certificates_are_ignored() {
        let keys = parsed(&json!({"a": EXPIRED_CERTIFICATE}));
        assert!(keys.get("a", clock::now()).is_none());
        assert!(keys.get("a", "2020-01-16T23:59:59Z".parse().unwrap()).is_some());
        assert!(keys.get("a", "2020-01-17T00:00:00Z".parse().unwrap()).is_none());
    }

    #[test]
    fn unusable_keys_are_skipped() {
        let mut other = jwk("b");
        other["alg"] = json!("RS512");
        let keys = parsed(&json!({"keys": [other, {"kty": "EC", "kid": "c"}, {"kid": "d"}, 7, jwk("a")]}));
        assert!(is_the_first(keys.get("a", clock::now())));
        assert_eq!(keys.0.len(), 1);
        // A public key without a certificate has no expiry, so it is not accepted.
        let keys = parsed(&json!({"b": "nonsense", "c": SECOND_PUBLIC, "d": null, "a": FIRST_CERTIFICATE}));
        assert!(is_the_first(keys.get("a", clock::now())));
        assert_eq!(keys.0.len(), 1);
    }

    #[test]
    fn other_formats_are_rejected() {
        for bad in ["", "[]", "null", "<html>", r#"{"keys":{}}"#, r#"{"keys":"x"}"#] {
            assert!(KeySet::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
