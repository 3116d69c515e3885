//! `GET /health`: whether the service answers. Every function answers it, for the platform's probes; this one does
//! nothing else.

use axum::Router;
use shared::http::envelope;

/// The function's routes.
pub fn router() -> Router {
    envelope(Router::new())
}
