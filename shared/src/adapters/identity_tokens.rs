//! Identity tokens of the function's service account, from Google.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{HeaderValue, header};
use gcloud_sdk::{GoogleAuthHeaders, IdTokenAudience};
use tokio::sync::OnceCell;

use super::{list_service::IdentityTokens, tls};
use crate::config;

/// Of one service account, for one audience.
struct GoogleIdentity(OnceCell<GoogleAuthHeaders>);

/// The tokens for the function `list`; `None` outside production, where none is required.
#[must_use]
pub fn for_list(settings: &config::ListServiceConfig) -> Option<Arc<dyn IdentityTokens>> {
    tls::install_provider();
    settings.with_identity.then(|| Arc::new(GoogleIdentity(OnceCell::new())) as _)
}

#[async_trait]
impl IdentityTokens for GoogleIdentity {
    async fn header(
        &self,
        audience: &url::Origin,
    ) -> Result<Option<HeaderValue>, Box<dyn std::error::Error + Send + Sync>> {
        let audience = IdTokenAudience::new(audience.ascii_serialization());
        let tokens = self.0.get_or_try_init(|| GoogleAuthHeaders::id_token_from_adc(&audience)).await?;
        Ok(tokens.headers().await?.get(header::AUTHORIZATION).cloned())
    }
}
