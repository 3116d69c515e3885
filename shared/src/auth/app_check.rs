//! Verifies App Check tokens: the request comes from a registered app of the project.
//!
//! Rules: <https://firebase.google.com/docs/app-check/custom-resource-backend>.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{claims::check_times, token::ParsedToken, verifier::verify_signature};
use crate::{
    domain::{Error, Result, Unauthenticated},
    ports::TokenKeys,
};

/// The header with the token.
pub const APP_CHECK_HEADER: HeaderName = HeaderName::from_static("x-firebase-appcheck");

/// Verifies App Check tokens of one project.
#[derive(Clone)]
pub struct AppCheck {
    project_number: u64,
    keys: Arc<dyn TokenKeys>,
}

impl AppCheck {
    /// Accepts tokens for that project that are signed with one of App Check's keys.
    #[must_use]
    pub fn new(project_number: u64, keys: Arc<dyn TokenKeys>) -> Self {
        Self { project_number, keys }
    }

    /// Checks the request's [`APP_CHECK_HEADER`], which must occur exactly once.
    ///
    /// # Errors
    /// [`Error::UnverifiedApp`], or an internal error if the keys cannot be fetched.
    pub(super) async fn check(&self, headers: &HeaderMap, now: Timestamp) -> Result<()> {
        let result = self.verify(headers, now).await;
        if let Err(Error::Unauthenticated(why)) = result { Err(Error::UnverifiedApp(why)) } else { result }
    }

    async fn verify(&self, headers: &HeaderMap, now: Timestamp) -> Result<()> {
        let mut all = headers.get_all(APP_CHECK_HEADER).iter();
        let header = all.next().ok_or(Unauthenticated::Missing)?;
        if all.next().is_some() {
            return Err(Unauthenticated::Malformed.into());
        }
        let token = ParsedToken::parse(header.to_str().map_err(|_| Unauthenticated::Malformed)?)?;
        if token.header("typ") != Some("JWT") {
            return Err(Unauthenticated::Malformed.into());
        }
        verify_signature(&token, &*self.keys).await?;
        Ok(self.check_claims(&token.claims, now)?)
    }

    fn check_claims(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), Unauthenticated> {
        let Self { project_number, .. } = self;
        let issuer = format!("https://firebaseappcheck.googleapis.com/{project_number}");
        let audience = Value::from(format!("projects/{project_number}"));
        let is_audience =
            claims.get("aud").and_then(Value::as_array).is_some_and(|all| all.contains(&audience));
        if !is_audience || claims.get("iss").and_then(Value::as_str) != Some(issuer.as_str()) {
            return Err(Unauthenticated::WrongProject);
        }
        check_times(claims, &["iat"], now.as_second())?;
        // the app's id
        let subject = claims.get("sub").and_then(Value::as_str);
        if subject.is_some_and(|app| !app.is_empty()) { Ok(()) } else { Err(Unauthenticated::Subject) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        auth::{MAX_SKEW, Verifier},
        clock,
        testing::{
            FixedKeys, TokenSigner,
            fixtures::{ADA, PROJECT},
        },
    };

    const NUMBER: u64 = 123_456_789_012;

    fn claims() -> Value {
        let now = clock::now().as_second();
        json!({
            "iss": format!("https://firebaseappcheck.googleapis.com/{NUMBER}"), "sub": "1:123456789012:web:abc",
            "aud": [format!("projects/{NUMBER}"), format!("projects/{PROJECT}")], "iat": now - 60, "exp": now + 3_540,
        })
    }

    fn with(name: &str, value: Value) -> String {
        let mut claims = claims();
        claims[name] = value;
        TokenSigner::first().with_claims(&claims)
    }

    fn with_header(header: &Value) -> String {
        TokenSigner::first().sign(&header.to_string(), &claims().to_string())
    }

    /// The outcome of a request with a valid ID token and these App Check tokens.
    async fn rejection(tokens: &[String]) -> Option<Unauthenticated> {
        let keys = Arc::new(FixedKeys::default());
        let verifier =
            Verifier::new(PROJECT, Arc::clone(&keys) as _).with_app_check(AppCheck::new(NUMBER, keys));
        let mut headers = HeaderMap::new();
        let id_token = format!("Bearer {}", TokenSigner::first().token(ADA));
        headers.insert("authorization", id_token.parse().unwrap());
        for token in tokens {
            headers.append(APP_CHECK_HEADER, token.parse().unwrap());
        }
        match verifier.caller(&headers, clock::now()).await {
            Ok(_) => None,
            Err(Error::UnverifiedApp(why)) => Some(why),
            Err(other) => panic!("not a rejection of the app: {other:?}"),
        }
    }

    #[tokio::test]
    async fn only_valid_tokens_of_the_project_are_accepted() {
        use Unauthenticated::{
            Algorithm, Expired, Malformed, NotYetValid, Signature, Subject, UnknownKey, WrongProject,
        };
        let now = clock::now().as_second();
        let good = TokenSigner::first().with_claims(&claims());
        let header =
            |alg: &str, kid: &str, typ: &str| with_header(&json!({"alg": alg, "kid": kid, "typ": typ}));
        let other_key =
            TokenSigner::second().sign(r#"{"alg":"RS256","kid":"first","typ":"JWT"}"#, &claims().to_string());
        for (name, token, expected) in [
            ("valid", good.clone(), None),
            ("empty", String::new(), Some(Malformed)),
            ("an ID token", TokenSigner::first().token(ADA), Some(WrongProject)),
            ("unsigned", header("none", "first", "JWT"), Some(Algorithm)),
            ("HS256", header("HS256", "first", "JWT"), Some(Algorithm)),
            ("unknown kid", header("RS256", "third", "JWT"), Some(UnknownKey)),
            ("another type", header("RS256", "first", "at+jwt"), Some(Malformed)),
            ("no type", with_header(&json!({"alg": "RS256", "kid": "first"})), Some(Malformed)),
            (
                "critical extensions",
                with_header(&json!({"alg": "RS256", "kid": "first", "typ": "JWT", "crit": []})),
                Some(Malformed),
            ),
            ("another key", other_key, Some(Signature)),
            ("aud a string", with("aud", json!(format!("projects/{NUMBER}"))), Some(WrongProject)),
            ("aud another project", with("aud", json!(["projects/1"])), Some(WrongProject)),
            ("aud without projects/", with("aud", json!([NUMBER.to_string()])), Some(WrongProject)),
            ("aud null", with("aud", json!(null)), Some(WrongProject)),
            (
                "iss another project",
                with("iss", json!("https://firebaseappcheck.googleapis.com/1")),
                Some(WrongProject),
            ),
            ("iss null", with("iss", json!(null)), Some(WrongProject)),
            ("expired", with("exp", json!(now - MAX_SKEW - 1)), Some(Expired)),
            ("within the skew", with("exp", json!(now - MAX_SKEW + 10)), None),
            ("exp a string", with("exp", json!("never")), Some(Malformed)),
            ("issued later", with("iat", json!(now + MAX_SKEW + 60)), Some(NotYetValid)),
            ("iat null", with("iat", json!(null)), Some(Malformed)),
            ("sub empty", with("sub", json!("")), Some(Subject)),
            ("sub an integer", with("sub", json!(1)), Some(Subject)),
        ] {
            assert_eq!(rejection(&[token]).await, expected, "{name}");
        }
        assert_eq!(rejection(&[]).await, Some(Unauthenticated::Missing));
        assert_eq!(rejection(&[good.clone(), good]).await, Some(Malformed), "two headers");
    }
}
