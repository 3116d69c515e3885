//! Invalid tokens, one per row, each with its expected rejection. `None` marks a valid token.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use ring::{
    hmac,
    signature::{RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding},
};
use serde_json::{Value, json};

use crate::{
    auth::{MAX_SKEW, MAX_SUBJECT, MAX_TOKEN, Verifier},
    clock,
    domain::{
        Error,
        Unauthenticated::{
            self, Algorithm as BadAlgorithm, Expired, Malformed, Missing, NotBearer, NotYetValid, Signature,
            Subject, UnknownKey, WrongProject,
        },
    },
    ports::TokenKeys,
    testing::{
        FixedKeys, TokenSigner,
        fixtures::{ADA, PROJECT},
        tokens::{self, EXPIRED_CERTIFICATE, FIRST_PUBLIC, claims, encode},
    },
};

const HEADER: &str = r#"{"alg":"RS256","kid":"first","typ":"JWT"}"#;

fn verifier() -> Verifier {
    Verifier::new(PROJECT, Arc::new(FixedKeys::default()))
}

async fn rejection(verifier: &Verifier, token: &str) -> Option<Unauthenticated> {
    match verifier.verify(token, clock::now()).await {
        Ok(_) => None,
        Err(Error::Unauthenticated(why)) => Some(why),
        Err(other) => panic!("not a rejection: {other:?}"),
    }
}

/// A valid token except for one claim.
fn with_claim(name: &str, value: Value) -> String {
    let mut claims = claims(ADA);
    claims[name] = value;
    TokenSigner::first().with_claims(&claims)
}

fn without_claim(name: &str) -> String {
    let mut claims = claims(ADA);
    claims.as_object_mut().unwrap().remove(name);
    TokenSigner::first().with_claims(&claims)
}

fn with_header(header: &Value) -> String {
    TokenSigner::first().sign(&header.to_string(), &claims(ADA).to_string())
}

fn parts(token: &str) -> [String; 3] {
    token.split('.').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
}

async fn assert_rows(rows: Vec<(&str, String, Option<Unauthenticated>)>) {
    let verifier = verifier();
    for (name, token, expected) in rows {
        assert_eq!(rejection(&verifier, &token).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_valid_token_identifies_its_user() {
    let user = verifier().verify(&TokenSigner::first().token(ADA), clock::now()).await.unwrap();
    assert_eq!(user.as_str(), ADA);
    assert_eq!(rejection(&verifier(), &TokenSigner::second().token(ADA)).await, None);
}

#[tokio::test]
async fn malformed_tokens_are_rejected() {
    let good = TokenSigner::first().token(ADA);
    let [header, payload, signature] = parts(&good);
    let signed = |header: &str, payload: &str| TokenSigner::first().sign(header, payload);
    let claims = claims(ADA).to_string();
    let twice = |name: &str, text: &str| text.replacen('{', &format!(r#"{{"{name}":"x","#), 1);
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(3_000), "]".repeat(3_000));
    // The last character of a base64 group has unused bits; setting one of them changes no byte.
    let next = |c: char| char::from(u8::try_from(c).unwrap() + 1);
    let trailing = |text: &str| format!("{}{}", &text[..text.len() - 1], next(text.chars().last().unwrap()));
    let rest = signature.len() % 4;
    assert!(rest == 2 || rest == 3, "a 256-byte RS256 signature ends in an incomplete group");
    let slashed = signed(HEADER, &claims.replacen('{', r#"{"x":"???>>>","#, 1));
    let standard_alphabet = slashed.replace('-', "+").replace('_', "/");
    assert_ne!(slashed, standard_alphabet);
    let invalid_utf8 = {
        let message = format!("{header}.{}", encode(b"{\"sub\":\"\xff\"}"));
        format!("{message}.{signature}")
    };
    assert_rows(vec![
        ("empty", String::new(), Some(Malformed)),
        ("one segment", header.clone(), Some(Malformed)),
        ("two segments", format!("{header}.{payload}"), Some(Malformed)),
        ("four segments", format!("{good}.x"), Some(Malformed)),
        ("five segments", format!("{good}.x.y"), Some(Malformed)),
        ("padded header", format!("{header}=.{payload}.{signature}"), Some(Malformed)),
        ("padded payload", format!("{header}.{payload}==.{signature}"), Some(Malformed)),
        ("padded signature", format!("{good}=="), Some(Malformed)),
        ("standard alphabet", standard_alphabet, Some(Malformed)),
        ("url alphabet is valid", slashed, None),
        ("trailing bits", trailing(&good), Some(Malformed)),
        ("header not an object", signed("[]", &claims), Some(Malformed)),
        ("header a string", signed("\"RS256\"", &claims), Some(Malformed)),
        ("header not JSON", signed("{alg:RS256}", &claims), Some(Malformed)),
        ("payload an array", signed(HEADER, &format!("[{claims}]")), Some(Malformed)),
        ("payload null", signed(HEADER, "null"), Some(Malformed)),
        ("text after the payload", signed(HEADER, &format!("{claims}x")), Some(Malformed)),
        ("duplicate aud", signed(HEADER, &twice("aud", &claims)), Some(Malformed)),
        ("duplicate alg", signed(&twice("alg", HEADER), &claims), Some(Malformed)),
        ("64 KiB", with_claim("x", json!("x".repeat(64 * 1024))), Some(Malformed)),
        ("just too long", with_claim("x", json!("x".repeat(MAX_TOKEN))), Some(Malformed)),
        ("nested deeply", signed(HEADER, &deep), Some(Malformed)),
        ("nested 10,000 deep", signed(HEADER, &"[".repeat(10_000)), Some(Malformed)),
        ("invalid UTF-8", invalid_utf8, Some(Malformed)),
        ("leading space", format!(" {good}"), Some(Malformed)),
        ("trailing space", format!("{good} "), Some(Malformed)),
        ("line break", good.replacen('.', ".\n", 1), Some(Malformed)),
    ])
    .await;
}

#[tokio::test]
async fn algorithms_other_than_rs256_are_rejected() {
    let claims = claims(ADA).to_string();
    let named = |alg: Value| with_header(&json!({"alg": alg, "kid": "first"}));
    let unsigned = |alg: &str| {
        let header = json!({"alg": alg, "kid": "first"}).to_string();
        format!("{}.{}.", encode(header.as_bytes()), encode(claims.as_bytes()))
    };
    let signed_as = |algorithm: &'static dyn RsaEncoding, name: &str| {
        TokenSigner::first().sign_with(algorithm, &json!({"alg": name, "kid": "first"}).to_string(), &claims)
    };
    let hmac = {
        let header = encode(br#"{"alg":"HS256","kid":"first"}"#);
        let message = format!("{header}.{}", encode(claims.as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, FIRST_PUBLIC.as_bytes());
        let signature = hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", encode(signature.as_ref()))
    };
    assert_rows(vec![
        ("none", unsigned("none"), Some(BadAlgorithm)),
        ("None", unsigned("None"), Some(BadAlgorithm)),
        ("NONE", unsigned("NONE"), Some(BadAlgorithm)),
        ("HS256 keyed with the public PEM", hmac, Some(BadAlgorithm)),
        ("RS384", signed_as(&RSA_PKCS1_SHA384, "RS384"), Some(BadAlgorithm)),
        ("RS512", signed_as(&RSA_PKCS1_SHA512, "RS512"), Some(BadAlgorithm)),
        ("PS256", signed_as(&RSA_PSS_SHA256, "PS256"), Some(BadAlgorithm)),
        ("RS384 declared as RS256", signed_as(&RSA_PKCS1_SHA384, "RS256"), Some(Signature)),
        ("PS256 declared as RS256", signed_as(&RSA_PSS_SHA256, "RS256"), Some(Signature)),
        ("ES256", named(json!("ES256")), Some(BadAlgorithm)),
        ("rs256", named(json!("rs256")), Some(BadAlgorithm)),
        ("missing", with_header(&json!({"kid": "first"})), Some(BadAlgorithm)),
        ("an integer", named(json!(256)), Some(BadAlgorithm)),
        ("an array", named(json!(["RS256"])), Some(BadAlgorithm)),
    ])
    .await;
}

#[tokio::test]
async fn unknown_keys_and_embedded_keys_are_rejected() {
    let kid = |kid: Value| with_header(&json!({"alg": "RS256", "kid": kid}));
    // Signed with a key embedded in the token, with a key id of the issuer.
    let embedded = |name: &str, value: Value| {
        let mut header = json!({"alg": "RS256", "kid": "first"});
        header[name] = value;
        TokenSigner::second().sign(&header.to_string(), &claims(ADA).to_string())
    };
    let jwk = json!({"kty": "RSA", "alg": "RS256", "kid": "first", "n": "AQAB", "e": "AQAB"});
    assert_rows(vec![
        ("no kid", with_header(&json!({"alg": "RS256"})), Some(UnknownKey)),
        ("unknown kid", kid(json!("third")), Some(UnknownKey)),
        ("empty kid", kid(json!("")), Some(UnknownKey)),
        ("kid an integer", kid(json!(1)), Some(UnknownKey)),
        ("kid a path", kid(json!("../x")), Some(UnknownKey)),
        ("kid of 10 KiB", kid(json!("k".repeat(10 * 1024))), Some(Malformed)),
        ("kid of 1 KiB", kid(json!("k".repeat(1024))), Some(UnknownKey)),
        ("crit", with_header(&json!({"alg": "RS256", "kid": "first", "crit": ["exp"]})), Some(Malformed)),
        ("empty crit", with_header(&json!({"alg": "RS256", "kid": "first", "crit": []})), Some(Malformed)),
        ("embedded jwk", embedded("jwk", jwk), Some(Signature)),
        ("embedded jku", embedded("jku", json!("https://evil.example/keys")), Some(Signature)),
        ("embedded x5u", embedded("x5u", json!("https://evil.example/cert")), Some(Signature)),
        ("embedded x5c", embedded("x5c", json!([EXPIRED_CERTIFICATE])), Some(Signature)),
    ])
    .await;
}

#[tokio::test]
async fn invalid_signatures_are_rejected() {
    let [header, payload, signature] = parts(&TokenSigner::first().token(ADA));
    let bobs = parts(&TokenSigner::first().token("bob-uid"))[1].clone();
    let flipped = {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let mut bytes = URL_SAFE_NO_PAD.decode(&signature).unwrap();
        bytes[100] ^= 1;
        encode(&bytes)
    };
    let other = TokenSigner::second().sign(HEADER, &claims(ADA).to_string());
    assert_rows(vec![
        ("empty", format!("{header}.{payload}."), Some(Signature)),
        ("truncated", format!("{header}.{payload}.{}", &signature[..signature.len() - 6]), Some(Signature)),
        ("one bit flipped", format!("{header}.{payload}.{flipped}"), Some(Signature)),
        ("payload swapped", format!("{header}.{bobs}.{signature}"), Some(Signature)),
        ("another kid's key", other, Some(Signature)),
    ])
    .await;
}

#[tokio::test]
async fn other_audiences_and_issuers_are_rejected() {
    let issuer = format!("https://securetoken.google.com/{PROJECT}");
    assert_rows(vec![
        ("aud missing", without_claim("aud"), Some(WrongProject)),
        ("aud another project", with_claim("aud", json!("other")), Some(WrongProject)),
        ("aud an array that contains the project", with_claim("aud", json!([PROJECT])), Some(WrongProject)),
        ("aud a prefix of the project", with_claim("aud", json!(&PROJECT[..4])), Some(WrongProject)),
        (
            "aud with the project as prefix",
            with_claim("aud", json!(format!("{PROJECT}-2"))),
            Some(WrongProject),
        ),
        ("aud in upper case", with_claim("aud", json!(PROJECT.to_uppercase())), Some(WrongProject)),
        ("iss missing", without_claim("iss"), Some(WrongProject)),
        ("iss an array", with_claim("iss", json!([issuer])), Some(WrongProject)),
        ("iss with a slash", with_claim("iss", json!(format!("{issuer}/"))), Some(WrongProject)),
        ("iss http", with_claim("iss", json!(issuer.replace("https", "http"))), Some(WrongProject)),
        (
            "iss of session cookies",
            with_claim("iss", json!(format!("https://session.firebase.google.com/{PROJECT}"))),
            Some(WrongProject),
        ),
        ("iss accounts", with_claim("iss", json!("https://accounts.google.com")), Some(WrongProject)),
        (
            "iss another project",
            with_claim("iss", json!("https://securetoken.google.com/other")),
            Some(WrongProject),
        ),
    ])
    .await;
}

#[tokio::test]
async fn time_claims_are_checked_with_clock_skew() {
    let now = clock::now();
    let seconds = now.as_second();
    let verifier = verifier();
    let rows = [
        ("exp missing", without_claim("exp"), Some(Malformed)),
        ("exp a string", with_claim("exp", json!((seconds + 600).to_string())), Some(Malformed)),
        ("exp a float", with_claim("exp", json!(1e12)), Some(Malformed)),
        ("exp null", with_claim("exp", Value::Null), Some(Malformed)),
        ("exp beyond an i64", with_claim("exp", json!(u64::MAX)), Some(Malformed)),
        ("exp skew and a second ago", with_claim("exp", json!(seconds - MAX_SKEW - 1)), Some(Expired)),
        ("exp skew ago", with_claim("exp", json!(seconds - MAX_SKEW)), Some(Expired)),
        ("exp a second less than skew ago", with_claim("exp", json!(seconds - MAX_SKEW + 1)), None),
        ("exp i64::MIN", with_claim("exp", json!(i64::MIN)), Some(Expired)),
        ("iat missing", without_claim("iat"), Some(Malformed)),
        ("iat a string", with_claim("iat", json!("0")), Some(Malformed)),
        ("iat within the skew", with_claim("iat", json!(seconds + MAX_SKEW)), None),
        ("iat in the future", with_claim("iat", json!(seconds + MAX_SKEW + 1)), Some(NotYetValid)),
        ("iat an hour ahead", with_claim("iat", json!(seconds + 3_600)), Some(NotYetValid)),
        ("auth_time missing", without_claim("auth_time"), Some(Malformed)),
        (
            "auth_time in the future",
            with_claim("auth_time", json!(seconds + MAX_SKEW + 1)),
            Some(NotYetValid),
        ),
        ("auth_time i64::MAX", with_claim("auth_time", json!(i64::MAX)), Some(NotYetValid)),
    ];
    for (name, token, expected) in rows {
        let rejection = match verifier.verify(&token, now).await {
            Ok(_) => None,
            Err(Error::Unauthenticated(why)) => Some(why),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(rejection, expected, "{name}");
    }
}

#[tokio::test]
async fn invalid_subjects_are_rejected() {
    assert_rows(vec![
        ("missing", without_claim("sub"), Some(Subject)),
        ("empty", with_claim("sub", json!("")), Some(Subject)),
        ("one too long", with_claim("sub", json!("u".repeat(MAX_SUBJECT + 1))), Some(Subject)),
        ("the longest", with_claim("sub", json!("u".repeat(MAX_SUBJECT))), None),
        ("an integer", with_claim("sub", json!(7)), Some(Subject)),
        ("an array", with_claim("sub", json!([ADA])), Some(Subject)),
    ])
    .await;
}

#[tokio::test]
async fn the_authorization_header_must_be_one_bearer_token() {
    let token = TokenSigner::first().token(ADA);
    let basic = format!("Basic {token}");
    let bearer = format!("Bearer {token}");
    let rows: [(&str, &[&str], Option<Unauthenticated>); 10] = [
        ("no header", &[], Some(Missing)),
        ("Basic", &[&basic], Some(NotBearer)),
        ("two headers", &[&bearer, &bearer], Some(NotBearer)),
        ("two schemes", &[&bearer, &basic], Some(NotBearer)),
        ("no scheme", &[&token], Some(NotBearer)),
        ("no token", &["Bearer"], Some(NotBearer)),
        ("empty token", &["Bearer "], Some(Malformed)),
        ("two tokens", &[&format!("{bearer}, {bearer}")], Some(Malformed)),
        ("two spaces", &[&format!("Bearer  {token}")], Some(Malformed)),
        ("any case of the scheme", &[&format!("bEARER {token}")], None),
    ];
    for (name, values, expected) in rows {
        let headers: HeaderMap =
            values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_str(value).unwrap())).collect();
        let rejection = match verifier().caller(&headers, clock::now()).await {
            Ok(_) => None,
            Err(Error::Unauthenticated(why)) => Some(why),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(rejection, expected, "{name}");
    }
}

#[tokio::test]
async fn emulator_tokens_are_valid_only_for_the_emulator_verifier() {
    let emulator = Verifier::for_emulator(PROJECT);
    let unsigned = tokens::unsigned(&claims(ADA));
    assert_eq!(emulator.verify(&unsigned, clock::now()).await.unwrap().as_str(), ADA);
    assert_eq!(rejection(&verifier(), &unsigned).await, Some(BadAlgorithm));
    assert_eq!(rejection(&emulator, &TokenSigner::first().token(ADA)).await, Some(BadAlgorithm));
    assert_eq!(rejection(&emulator, &format!("{unsigned}AAAA")).await, Some(Signature));
    for (name, value, expected) in [
        ("aud", json!("other"), WrongProject),
        ("iss", json!("https://accounts.google.com"), WrongProject),
        ("sub", json!(""), Subject),
        ("exp", json!(0), Expired),
        ("iat", json!(i64::MAX), NotYetValid),
    ] {
        let mut claims = claims(ADA);
        claims[name] = value;
        assert_eq!(rejection(&emulator, &tokens::unsigned(&claims)).await, Some(expected), "{name}");
    }
}

/// Unavailable keys are an error of the service, not of the caller.
#[tokio::test]
async fn an_unavailable_key_source_is_an_internal_error() {
    struct UnavailableKeys;
    #[async_trait::async_trait]
    impl TokenKeys for UnavailableKeys {
        async fn key(
            &self,
            _: &str,
        ) -> Result<Option<Arc<crate::rsa_key::RsaPublicKey>>, crate::ports::PortError> {
            Err(crate::ports::PortError::Unavailable { what: "keys", source: "down".into() })
        }
    }
    let result = Verifier::new(PROJECT, Arc::new(UnavailableKeys))
        .verify(&TokenSigner::first().token(ADA), clock::now())
        .await;
    assert!(matches!(result, Err(Error::Internal(_))), "{result:?}");
}
