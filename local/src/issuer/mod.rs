//! The token issuer, in place of Firebase Authentication. Its tokens have the claims of Firebase ID tokens and its keys
//! are published as Google publishes its own, so the code that verifies tokens is that of production.

mod key;

use std::{path::Path, sync::Arc};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::domain::UserId;

use key::SigningKey;

/// The lifetime of a token, as Firebase's.
const LIFETIME_SECONDS: i64 = 3_600;

/// Issues tokens for one project.
pub(crate) struct TokenIssuer {
    key: SigningKey,
    project: String,
}

impl TokenIssuer {
    /// The issuer with the key in that folder, which is created if it does not exist.
    pub(crate) fn load_or_create(keys: &Path, project: &str) -> anyhow::Result<Self> {
        let key = SigningKey::load_or_create(&keys.join("tokens.pkcs8"))?;
        Ok(Self { key, project: project.to_owned() })
    }

    /// A new token for that user.
    pub(crate) fn token(&self, user: &UserId) -> anyhow::Result<String> {
        self.token_at(user, Timestamp::now().as_second())
    }

    fn token_at(&self, user: &UserId, now: i64) -> anyhow::Result<String> {
        self.key.sign(&json!({
            "iss": format!("https://securetoken.google.com/{}", self.project),
            "aud": self.project,
            "sub": user,
            "user_id": user,
            "auth_time": now,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "firebase": { "identities": {}, "sign_in_provider": "custom" },
        }))
    }

    /// The public keys.
    pub(crate) fn public_keys(&self) -> Value {
        self.key.public_keys()
    }
}

/// `GET /keys` and `POST /token?user=ada`.
pub(crate) fn router(issuer: Arc<TokenIssuer>) -> Router {
    Router::new().route("/keys", get(keys)).route("/token", post(token)).with_state(issuer)
}

async fn keys(State(issuer): State<Arc<TokenIssuer>>) -> Response {
    ([(header::CACHE_CONTROL, "public, max-age=3600")], Json(issuer.public_keys())).into_response()
}

#[derive(Deserialize)]
struct TokenQuery {
    user: String,
}

async fn token(
    State(issuer): State<Arc<TokenIssuer>>,
    Query(TokenQuery { user }): Query<TokenQuery>,
) -> Response {
    let issued = match user.parse::<UserId>() {
        Ok(user) => issuer.token(&user),
        Err(why) => {
            return (StatusCode::BAD_REQUEST, Json(json!({ "detail": format!("user: {why}") })))
                .into_response();
        }
    };
    match issued {
        Ok(token) => {
            let body = Json(json!({ "token": token, "expires_in": LIFETIME_SECONDS }));
            ([(header::CACHE_CONTROL, "no-store")], body).into_response()
        }
        Err(error) => {
            tracing::error!("{error:#}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests;
