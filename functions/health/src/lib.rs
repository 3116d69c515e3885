//! `GET /health`: reports that the service is running. All functions serve it for health probes; this one serves nothing
//! else.

use axum::Router;
use shared::http::envelope;

/// The routes of the function.
pub fn router() -> Router {
    envelope(Router::new())
}
