//! The response of `GET /health`.

use serde::Serialize;

/// The health of the service.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Health))]
pub struct HealthBody {
    /// Always `healthy`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^healthy$"))]
    status: &'static str,
    /// The name of the service, always `export`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^export$"))]
    service: &'static str,
}

impl Default for HealthBody {
    fn default() -> Self {
        Self { status: "healthy", service: "export" }
    }
}
