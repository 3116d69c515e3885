//! How the page signs in on the Hugging Face Hub: what a deployment's `hub-sign-in.json` says, from the environment.

use anyhow::Context as _;
use job::HubSettings;
use serde::Serialize;
use shared::config;
use url::Url;

/// The file that the page requests.
pub(super) const PATH: &str = "/hub-sign-in.json";

/// A public OAuth app of the Hub.
#[derive(Debug, Serialize)]
pub(crate) struct HubSignIn {
    client_id: String,
    endpoint: String,
}

impl HubSignIn {
    /// Reads `HF_OAUTH_CLIENT_ID`, and `HF_ENDPOINT` for another Hub; `None` if the page offers no sign-in on the Hub.
    pub(crate) fn from(lookup: &config::Lookup<'_>) -> Option<Self> {
        let client_id = config::optional(lookup, "HF_OAUTH_CLIENT_ID")?;
        let endpoint = config::optional(lookup, "HF_ENDPOINT");
        let endpoint = endpoint.as_deref().unwrap_or(HubSettings::DEFAULT_ENDPOINT);
        Some(Self { client_id, endpoint: endpoint.trim_end_matches('/').to_owned() })
    }

    /// The origin that the page connects to.
    pub(super) fn origin(&self) -> anyhow::Result<String> {
        let url = Url::parse(&self.endpoint).context("HF_ENDPOINT is not a URL")?;
        Ok(url.origin().ascii_serialization())
    }
}
