//! Endpoint and timeouts of the Hub.

use std::time::{Duration, Instant};

/// Endpoint and timeouts of the Hugging Face Hub.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// `HF_ENDPOINT`, without a trailing slash.
    pub endpoint: String,
    /// Longest time for one response.
    pub deadline: Duration,
    /// Longest time that an upload may make no progress.
    pub stall: Duration,
    /// Delays before the retries of a request that failed, unless the Hub says how long to wait.
    pub retry_delays: [Duration; 3],
    /// Longest time that a request is retried, with all its waits, without [`ends_at`](Self::ends_at).
    pub patience: Duration,
    /// When no request is retried any more.
    pub ends_at: Option<Instant>,
}

impl HubSettings {
    /// The public Hub.
    pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

    /// The Hub at `endpoint`, with the timeouts of production.
    #[must_use]
    pub fn at(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            deadline: Duration::from_secs(60),
            stall: Duration::from_secs(120),
            retry_delays: [1, 5, 20].map(Duration::from_secs),
            // several of the Hub's quotas, which are for 300 s each
            patience: Duration::from_secs(30 * 60),
            ends_at: None,
        }
    }
}
