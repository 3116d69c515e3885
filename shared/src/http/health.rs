//! `GET /health`, which every function serves. It reports that the process responds, and checks nothing else: it needs
//! no token, no settings and no store, so an outage of those does not make the process look unhealthy.

use axum::{Json, Router, routing::get};

use crate::api::HealthBody;

pub(super) fn route() -> Router {
    Router::new().route("/health", get(health))
}

async fn health() -> Json<HealthBody> {
    Json(HealthBody::default())
}
