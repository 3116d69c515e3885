//! Verifies the ID token of a request.

use std::sync::Arc;

use axum::http::{HeaderMap, header::AUTHORIZATION};
use jiff::Timestamp;

use super::{AppCheck, claims, token::ParsedToken};
use crate::{
    domain::{Result, Unauthenticated, UserId},
    ports::TokenKeys,
};

/// The longest key id that is looked up; Google's have 40 characters.
const MAX_KEY_ID: usize = 128;

/// Verifies ID tokens of one Firebase project.
#[derive(Clone)]
pub struct Verifier {
    project: String,
    signatures: SignaturePolicy,
    app_check: Option<AppCheck>,
}

#[derive(Clone)]
enum SignaturePolicy {
    Required(Arc<dyn TokenKeys>),
    /// The Auth emulator does not sign. `config` rejects it in production.
    Absent,
}

impl Verifier {
    /// Accepts tokens that are signed with one of the issuer's keys.
    #[must_use]
    pub fn new(project: impl Into<String>, keys: Arc<dyn TokenKeys>) -> Self {
        Self { project: project.into(), signatures: SignaturePolicy::Required(keys), app_check: None }
    }

    /// Accepts only the unsigned tokens of the Auth emulator.
    #[must_use]
    pub fn for_emulator(project: impl Into<String>) -> Self {
        Self { project: project.into(), signatures: SignaturePolicy::Absent, app_check: None }
    }

    /// Requires App Check tokens as well.
    #[must_use]
    pub fn with_app_check(self, app_check: AppCheck) -> Self {
        Self { app_check: Some(app_check), ..self }
    }

    /// The user of the request's `Authorization: Bearer` header, which must occur exactly once. Where App Check is
    /// required, the app is verified first.
    ///
    /// # Errors
    /// [`Error::UnverifiedApp`](crate::domain::Error::UnverifiedApp),
    /// [`Error::Unauthenticated`](crate::domain::Error::Unauthenticated), or an internal error if the keys of an
    /// issuer cannot be fetched.
    pub async fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<UserId> {
        if let Some(app_check) = &self.app_check {
            app_check.check(headers, now).await?;
        }
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let header = all.next().ok_or(Unauthenticated::Missing)?;
        if all.next().is_some() {
            return Err(Unauthenticated::NotBearer.into());
        }
        let text = header.to_str().map_err(|_| Unauthenticated::NotBearer)?;
        let (scheme, token) = text.split_once(' ').ok_or(Unauthenticated::NotBearer)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Unauthenticated::NotBearer.into());
        }
        self.verify(token, now).await
    }

    /// The user that a token identifies.
    ///
    /// # Errors
    /// The same as [`Verifier::caller`].
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<UserId> {
        let token = ParsedToken::parse(token)?;
        match &self.signatures {
            SignaturePolicy::Required(keys) => verify_signature(&token, &**keys).await?,
            SignaturePolicy::Absent => verify_unsigned(&token)?,
        }
        Ok(claims::verified_user(&token.claims, &self.project, now)?)
    }
}

/// Verifies with the issuer's key of the token's `kid`. Keys embedded in the token are ignored.
pub(super) async fn verify_signature(token: &ParsedToken<'_>, keys: &dyn TokenKeys) -> Result<()> {
    if token.header("alg") != Some("RS256") {
        return Err(Unauthenticated::Algorithm.into());
    }
    let kid = token.header("kid").ok_or(Unauthenticated::UnknownKey)?;
    if kid.is_empty() || kid.len() > MAX_KEY_ID {
        return Err(Unauthenticated::UnknownKey.into());
    }
    let key = keys.key(kid).await?.ok_or(Unauthenticated::UnknownKey)?;
    let is_valid = key.verifies(token.message.as_bytes(), &token.signature);
    if is_valid { Ok(()) } else { Err(Unauthenticated::Signature.into()) }
}

fn verify_unsigned(token: &ParsedToken<'_>) -> Result<(), Unauthenticated> {
    if token.header("alg") != Some("none") {
        return Err(Unauthenticated::Algorithm);
    }
    if token.signature.is_empty() { Ok(()) } else { Err(Unauthenticated::Signature) }
}
