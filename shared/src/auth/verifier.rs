//! Who sent a request.

use std::sync::Arc;

use axum::http::{HeaderMap, header::AUTHORIZATION};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, crypto};

use super::{claims, token::Token};
use crate::{
    domain::{Result, Unauthenticated, UserId},
    ports::TokenKeys,
};

/// The longest key id asked for; Google's have 40 characters.
const MAX_KEY_ID: usize = 128;

/// Checks the ID tokens of one Firebase project.
#[derive(Clone)]
pub struct Verifier {
    project: String,
    signatures: Signatures,
}

#[derive(Clone)]
enum Signatures {
    Required(Arc<dyn TokenKeys>),
    /// The Auth emulator signs nothing. Never in production: `config` refuses to start there.
    Absent,
}

impl Verifier {
    /// Takes tokens signed with one of the issuer's keys.
    #[must_use]
    pub fn new(project: impl Into<String>, keys: Arc<dyn TokenKeys>) -> Self {
        Self { project: project.into(), signatures: Signatures::Required(keys) }
    }

    /// Takes the Auth emulator's unsigned tokens, and no others.
    #[must_use]
    pub fn for_emulator(project: impl Into<String>) -> Self {
        Self { project: project.into(), signatures: Signatures::Absent }
    }

    /// The user that the request's one `Authorization: Bearer` header names.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`](crate::domain::Error::Unauthenticated), or an internal error when the issuer's
    /// keys cannot be had.
    pub async fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Result<UserId> {
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

    /// The user that a token names.
    ///
    /// # Errors
    /// As [`Verifier::caller`].
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<UserId> {
        let token = Token::parse(token)?;
        if token.header.contains_key("crit") {
            return Err(Unauthenticated::Malformed.into());
        }
        match &self.signatures {
            Signatures::Required(keys) => signed(&token, &**keys).await?,
            Signatures::Absent => unsigned(&token)?,
        }
        Ok(claims::user(&token.claims, &self.project, now)?)
    }
}

/// The key is the issuer's key of that id and never one that the token brings along.
async fn signed(token: &Token<'_>, keys: &dyn TokenKeys) -> Result<()> {
    if token.header("alg") != Some("RS256") {
        return Err(Unauthenticated::Algorithm.into());
    }
    let kid = token.header("kid").ok_or(Unauthenticated::UnknownKey)?;
    if kid.is_empty() || kid.len() > MAX_KEY_ID {
        return Err(Unauthenticated::UnknownKey.into());
    }
    let key = keys.key(kid).await?.ok_or(Unauthenticated::UnknownKey)?;
    match crypto::verify(token.signature, token.message.as_bytes(), &key, Algorithm::RS256) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Unauthenticated::Signature.into()),
    }
}

fn unsigned(token: &Token<'_>) -> Result<(), Unauthenticated> {
    if token.header("alg") != Some("none") {
        return Err(Unauthenticated::Algorithm);
    }
    if token.signature.is_empty() { Ok(()) } else { Err(Unauthenticated::Signature) }
}
