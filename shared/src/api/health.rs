//! `GET /health`.

use serde::Serialize;

/// What a service that is up says of itself.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Always `healthy`: what is not does not answer.
    #[cfg_attr(feature = "openapi", schema(pattern = "^healthy$"))]
    status: &'static str,
    /// Which service it is.
    #[cfg_attr(feature = "openapi", schema(pattern = "^export$"))]
    service: &'static str,
}

impl Default for Health {
    fn default() -> Self {
        Self { status: "healthy", service: "export" }
    }
}
