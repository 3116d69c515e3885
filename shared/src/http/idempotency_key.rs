//! Extractor for the header `Idempotency-Key`.

use std::fmt::Display;

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    api::Problem,
    domain::{IdempotencyKey, InvalidIdempotencyKey},
};

/// The key, if the request has one. Rejects an invalid key, and several, with 400.
#[derive(Debug)]
pub struct RequestKey(pub Option<IdempotencyKey>);

impl<S: Send + Sync> FromRequestParts<S> for RequestKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut sent = parts.headers.get_all(IdempotencyKey::HEADER).iter();
        match (sent.next(), sent.next()) {
            (None, _) => Ok(Self(None)),
            (Some(key), None) => {
                let key =
                    key.to_str().map_err(|_| InvalidIdempotencyKey).and_then(str::parse).map_err(invalid)?;
                Ok(Self(Some(key)))
            }
            (Some(_), Some(_)) => Err(invalid("the header is sent several times: send it once")),
        }
    }
}

fn invalid(why: impl Display) -> Problem {
    Problem::invalid(IdempotencyKey::HEADER, format!("{}: {why}", IdempotencyKey::HEADER))
}
