//! `GET /health`, which every function answers: whether its process does. It needs no sign-in, no settings and no
//! store, so that nothing else that is down makes it look down.

use axum::{Json, Router, routing::get};

use crate::api::Health;

pub(super) fn route() -> Router {
    Router::new().route("/health", get(health))
}

async fn health() -> Json<Health> {
    Json(Health::default())
}
