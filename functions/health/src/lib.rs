//! `GET /health`: whether the service answers. It needs no sign-in, no settings and no store, so that nothing else
//! that is down makes it look down.

use axum::{Json, Router, routing::get};
use shared::{api::Health, http::envelope};

/// The function's routes.
pub fn router() -> Router {
    envelope(Router::new().route("/health", get(health)))
}

async fn health() -> Json<Health> {
    Json(Health::default())
}
