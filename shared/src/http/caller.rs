//! Extractor for the authenticated user.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};

use crate::{api::Problem, auth::Verifier, clock, domain::UserId, telemetry};

/// The authenticated user. It is extracted from the request head, so an unauthenticated request is rejected before its
/// body is read.
#[derive(Debug)]
pub struct Caller(pub UserId);

impl<S> FromRequestParts<S> for Caller
where
    Verifier: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let user = Verifier::from_ref(state).caller(&parts.headers, clock::now()).await?;
        if let Some(tags) = telemetry::current() {
            tags.set_caller(&user);
        }
        Ok(Self(user))
    }
}
