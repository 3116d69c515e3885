//! The table of bad tokens, row by row. Every row is refused for its own reason, except those marked good.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, crypto};
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
        FixedKeys, Mint,
        fixtures::{ADA, PROJECT},
        mint::{self, EXPIRED_CERTIFICATE, FIRST_PUBLIC, claims, encode},
    },
};

const HEADER: &str = r#"{"alg":"RS256","kid":"first","typ":"JWT"}"#;

fn verifier() -> Verifier {
    Verifier::new(PROJECT, Arc::new(FixedKeys::default()))
}

async fn refusal(verifier: &Verifier, token: &str) -> Option<Unauthenticated> {
    match verifier.verify(token, clock::now()).await {
        Ok(_) => None,
        Err(Error::Unauthenticated(why)) => Some(why),
        Err(other) => panic!("not a refusal: {other:?}"),
    }
}

/// A good token, but for one claim.
fn claiming(name: &str, value: Value) -> String {
    let mut claims = claims(ADA);
    claims[name] = value;
    Mint::first().with_claims(&claims)
}

fn without(name: &str) -> String {
    let mut claims = claims(ADA);
    claims.as_object_mut().unwrap().remove(name);
    Mint::first().with_claims(&claims)
}

fn headed(header: &Value) -> String {
    Mint::first().sign(&header.to_string(), &claims(ADA).to_string())
}

fn parts(token: &str) -> [String; 3] {
    token.split('.').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
}

async fn assert_rows(rows: Vec<(&str, String, Option<Unauthenticated>)>) {
    let verifier = verifier();
    for (name, token, expected) in rows {
        assert_eq!(refusal(&verifier, &token).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_good_token_names_its_user() {
    let user = verifier().verify(&Mint::first().token(ADA), clock::now()).await.unwrap();
    assert_eq!(user.as_str(), ADA);
    assert_eq!(refusal(&verifier(), &Mint::second().token(ADA)).await, None);
}

#[tokio::test]
async fn structure() {
    let good = Mint::first().token(ADA);
    let [header, payload, signature] = parts(&good);
    let signed = |header: &str, payload: &str| Mint::first().sign(header, payload);
    let claims = claims(ADA).to_string();
    let twice = |name: &str, text: &str| text.replacen('{', &format!(r#"{{"{name}":"x","#), 1);
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(3_000), "]".repeat(3_000));
    // The last of a group's characters carries unused bits; setting one of them changes no byte.
    let next = |c: char| char::from(u8::try_from(c).unwrap() + 1);
    let trailing = |text: &str| format!("{}{}", &text[..text.len() - 1], next(text.chars().last().unwrap()));
    let rest = signature.len() % 4;
    assert!(rest == 2 || rest == 3, "an RS256 signature of 256 bytes ends in an incomplete group");
    let slashed = signed(HEADER, &claims.replacen('{', r#"{"x":"???>>>","#, 1));
    let ordinary_alphabet = slashed.replace('-', "+").replace('_', "/");
    assert_ne!(slashed, ordinary_alphabet);
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
        ("ordinary alphabet", ordinary_alphabet, Some(Malformed)),
        ("url alphabet is good", slashed, None),
        ("trailing bits", trailing(&good), Some(Malformed)),
        ("header not an object", signed("[]", &claims), Some(Malformed)),
        ("header a string", signed("\"RS256\"", &claims), Some(Malformed)),
        ("header not JSON", signed("{alg:RS256}", &claims), Some(Malformed)),
        ("payload an array", signed(HEADER, &format!("[{claims}]")), Some(Malformed)),
        ("payload null", signed(HEADER, "null"), Some(Malformed)),
        ("text behind the payload", signed(HEADER, &format!("{claims}x")), Some(Malformed)),
        ("duplicate aud", signed(HEADER, &twice("aud", &claims)), Some(Malformed)),
        ("duplicate alg", signed(&twice("alg", HEADER), &claims), Some(Malformed)),
        ("64 KiB", claiming("x", json!("x".repeat(64 * 1024))), Some(Malformed)),
        ("just too long", claiming("x", json!("x".repeat(MAX_TOKEN))), Some(Malformed)),
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
async fn algorithms() {
    let claims = claims(ADA).to_string();
    let named = |alg: Value| headed(&json!({"alg": alg, "kid": "first"}));
    let unsigned = |alg: &str| {
        let header = json!({"alg": alg, "kid": "first"}).to_string();
        format!("{}.{}.", encode(header.as_bytes()), encode(claims.as_bytes()))
    };
    let truly = |algorithm, name: &str| {
        Mint::first().sign_with(algorithm, &json!({"alg": name, "kid": "first"}).to_string(), &claims)
    };
    let hmac = {
        let header = encode(br#"{"alg":"HS256","kid":"first"}"#);
        let message = format!("{header}.{}", encode(claims.as_bytes()));
        let key = jsonwebtoken::EncodingKey::from_secret(FIRST_PUBLIC.as_bytes());
        let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    assert_rows(vec![
        ("none", unsigned("none"), Some(BadAlgorithm)),
        ("None", unsigned("None"), Some(BadAlgorithm)),
        ("NONE", unsigned("NONE"), Some(BadAlgorithm)),
        ("HS256 keyed with the public PEM", hmac, Some(BadAlgorithm)),
        ("RS384", truly(Algorithm::RS384, "RS384"), Some(BadAlgorithm)),
        ("RS512", truly(Algorithm::RS512, "RS512"), Some(BadAlgorithm)),
        ("PS256", truly(Algorithm::PS256, "PS256"), Some(BadAlgorithm)),
        ("RS384 called RS256", truly(Algorithm::RS384, "RS256"), Some(Signature)),
        ("PS256 called RS256", truly(Algorithm::PS256, "RS256"), Some(Signature)),
        ("ES256", named(json!("ES256")), Some(BadAlgorithm)),
        ("rs256", named(json!("rs256")), Some(BadAlgorithm)),
        ("missing", headed(&json!({"kid": "first"})), Some(BadAlgorithm)),
        ("an integer", named(json!(256)), Some(BadAlgorithm)),
        ("an array", named(json!(["RS256"])), Some(BadAlgorithm)),
    ])
    .await;
}

#[tokio::test]
async fn headers() {
    let kid = |kid: Value| headed(&json!({"alg": "RS256", "kid": kid}));
    // Signed with a key that the token brings along, under a key id of the issuer's.
    let embedded = |name: &str, value: Value| {
        let mut header = json!({"alg": "RS256", "kid": "first"});
        header[name] = value;
        Mint::second().sign(&header.to_string(), &claims(ADA).to_string())
    };
    let jwk = json!({"kty": "RSA", "alg": "RS256", "kid": "first", "n": "AQAB", "e": "AQAB"});
    assert_rows(vec![
        ("no kid", headed(&json!({"alg": "RS256"})), Some(UnknownKey)),
        ("unknown kid", kid(json!("third")), Some(UnknownKey)),
        ("empty kid", kid(json!("")), Some(UnknownKey)),
        ("kid an integer", kid(json!(1)), Some(UnknownKey)),
        ("kid a path", kid(json!("../x")), Some(UnknownKey)),
        ("kid of 10 KiB", kid(json!("k".repeat(10 * 1024))), Some(Malformed)),
        ("kid of 1 KiB", kid(json!("k".repeat(1024))), Some(UnknownKey)),
        ("crit", headed(&json!({"alg": "RS256", "kid": "first", "crit": ["exp"]})), Some(Malformed)),
        ("empty crit", headed(&json!({"alg": "RS256", "kid": "first", "crit": []})), Some(Malformed)),
        ("embedded jwk", embedded("jwk", jwk), Some(Signature)),
        ("embedded jku", embedded("jku", json!("https://evil.example/keys")), Some(Signature)),
        ("embedded x5u", embedded("x5u", json!("https://evil.example/cert")), Some(Signature)),
        ("embedded x5c", embedded("x5c", json!([EXPIRED_CERTIFICATE])), Some(Signature)),
    ])
    .await;
}

#[tokio::test]
async fn signatures() {
    let [header, payload, signature] = parts(&Mint::first().token(ADA));
    let bobs = parts(&Mint::first().token("bob-uid"))[1].clone();
    let flipped = {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let mut bytes = URL_SAFE_NO_PAD.decode(&signature).unwrap();
        bytes[100] ^= 1;
        encode(&bytes)
    };
    let other = Mint::second().sign(HEADER, &claims(ADA).to_string());
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
async fn audiences_and_issuers() {
    let issuer = format!("https://securetoken.google.com/{PROJECT}");
    assert_rows(vec![
        ("aud missing", without("aud"), Some(WrongProject)),
        ("aud another project", claiming("aud", json!("other")), Some(WrongProject)),
        ("aud an array that holds ours", claiming("aud", json!([PROJECT])), Some(WrongProject)),
        ("aud a prefix of ours", claiming("aud", json!(&PROJECT[..4])), Some(WrongProject)),
        ("aud ours and more", claiming("aud", json!(format!("{PROJECT}-2"))), Some(WrongProject)),
        ("aud in capitals", claiming("aud", json!(PROJECT.to_uppercase())), Some(WrongProject)),
        ("iss missing", without("iss"), Some(WrongProject)),
        ("iss an array", claiming("iss", json!([issuer])), Some(WrongProject)),
        ("iss with a slash", claiming("iss", json!(format!("{issuer}/"))), Some(WrongProject)),
        ("iss http", claiming("iss", json!(issuer.replace("https", "http"))), Some(WrongProject)),
        (
            "iss of session cookies",
            claiming("iss", json!(format!("https://session.firebase.google.com/{PROJECT}"))),
            Some(WrongProject),
        ),
        ("iss accounts", claiming("iss", json!("https://accounts.google.com")), Some(WrongProject)),
        (
            "iss another project",
            claiming("iss", json!("https://securetoken.google.com/other")),
            Some(WrongProject),
        ),
    ])
    .await;
}

#[tokio::test]
async fn times() {
    let now = clock::now();
    let seconds = now.as_second();
    let verifier = verifier();
    let rows = [
        ("exp missing", without("exp"), Some(Malformed)),
        ("exp a string", claiming("exp", json!((seconds + 600).to_string())), Some(Malformed)),
        ("exp a float", claiming("exp", json!(1e12)), Some(Malformed)),
        ("exp null", claiming("exp", Value::Null), Some(Malformed)),
        ("exp beyond an i64", claiming("exp", json!(u64::MAX)), Some(Malformed)),
        ("exp skew and a second ago", claiming("exp", json!(seconds - MAX_SKEW - 1)), Some(Expired)),
        ("exp skew ago", claiming("exp", json!(seconds - MAX_SKEW)), Some(Expired)),
        ("exp a second less than skew ago", claiming("exp", json!(seconds - MAX_SKEW + 1)), None),
        ("exp at the beginning of time", claiming("exp", json!(i64::MIN)), Some(Expired)),
        ("iat missing", without("iat"), Some(Malformed)),
        ("iat a string", claiming("iat", json!("0")), Some(Malformed)),
        ("iat within the skew", claiming("iat", json!(seconds + MAX_SKEW)), None),
        ("iat in the future", claiming("iat", json!(seconds + MAX_SKEW + 1)), Some(NotYetValid)),
        ("iat an hour ahead", claiming("iat", json!(seconds + 3_600)), Some(NotYetValid)),
        ("auth_time missing", without("auth_time"), Some(Malformed)),
        ("auth_time in the future", claiming("auth_time", json!(seconds + MAX_SKEW + 1)), Some(NotYetValid)),
        ("auth_time at the end of time", claiming("auth_time", json!(i64::MAX)), Some(NotYetValid)),
    ];
    for (name, token, expected) in rows {
        let refusal = match verifier.verify(&token, now).await {
            Ok(_) => None,
            Err(Error::Unauthenticated(why)) => Some(why),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(refusal, expected, "{name}");
    }
}

#[tokio::test]
async fn subjects() {
    assert_rows(vec![
        ("missing", without("sub"), Some(Subject)),
        ("empty", claiming("sub", json!("")), Some(Subject)),
        ("one too long", claiming("sub", json!("u".repeat(MAX_SUBJECT + 1))), Some(Subject)),
        ("the longest", claiming("sub", json!("u".repeat(MAX_SUBJECT))), None),
        ("an integer", claiming("sub", json!(7)), Some(Subject)),
        ("an array", claiming("sub", json!([ADA])), Some(Subject)),
    ])
    .await;
}

#[tokio::test]
async fn transport() {
    let token = Mint::first().token(ADA);
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
        let refusal = match verifier().caller(&headers, clock::now()).await {
            Ok(_) => None,
            Err(Error::Unauthenticated(why)) => Some(why),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(refusal, expected, "{name}");
    }
}

#[tokio::test]
async fn the_emulators_tokens_are_good_for_its_verifier_only() {
    let emulator = Verifier::for_emulator(PROJECT);
    let unsigned = mint::unsigned(&claims(ADA));
    assert_eq!(emulator.verify(&unsigned, clock::now()).await.unwrap().as_str(), ADA);
    assert_eq!(refusal(&verifier(), &unsigned).await, Some(BadAlgorithm));
    assert_eq!(refusal(&emulator, &Mint::first().token(ADA)).await, Some(BadAlgorithm));
    assert_eq!(refusal(&emulator, &format!("{unsigned}AAAA")).await, Some(Signature));
    for (name, value, expected) in [
        ("aud", json!("other"), WrongProject),
        ("iss", json!("https://accounts.google.com"), WrongProject),
        ("sub", json!(""), Subject),
        ("exp", json!(0), Expired),
        ("iat", json!(i64::MAX), NotYetValid),
    ] {
        let mut claims = claims(ADA);
        claims[name] = value;
        assert_eq!(refusal(&emulator, &mint::unsigned(&claims)).await, Some(expected), "{name}");
    }
}

/// Keys that cannot be had are our fault, not the caller's.
#[tokio::test]
async fn a_key_source_that_is_down_is_an_internal_error() {
    struct Down;
    #[async_trait::async_trait]
    impl TokenKeys for Down {
        async fn key(
            &self,
            _: &str,
        ) -> Result<Option<Arc<jsonwebtoken::DecodingKey>>, crate::ports::PortError> {
            Err(crate::ports::PortError::Unavailable { what: "keys", source: "down".into() })
        }
    }
    let result = Verifier::new(PROJECT, Arc::new(Down)).verify(&Mint::first().token(ADA), clock::now()).await;
    assert!(matches!(result, Err(Error::Internal(_))), "{result:?}");
}
