//! Endpoint and timeouts of the Hub.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};

/// The commits of others that may come before one's own.
const MOST_RIVALS: usize = 12;

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

    /// Delays before a commit is tried again that another came before: random ones, so that pushes that began at the same time do not
    /// meet again, and many, because each that is lost is another's success.
    pub fn delays_of_rivals(&self) -> impl Iterator<Item = Duration> + use<> {
        let [shortest, _, longest] = self.retry_delays;
        let delays = ExponentialBuilder::new().with_min_delay(shortest).with_max_delay(longest);
        delays.with_max_times(MOST_RIVALS).with_jitter().build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_that_began_at_the_same_time_try_again_at_different_times() {
        let settings = HubSettings::at("http://hub.test");
        let [one, other] = [(); 2].map(|()| settings.delays_of_rivals().collect::<Vec<_>>());
        assert_eq!((one.len(), other.len()), (MOST_RIVALS, MOST_RIVALS));
        assert_ne!(one, other);
        let range = Duration::from_secs(1)..=Duration::from_secs(40);
        assert!(one.iter().all(|delay| range.contains(delay)), "{one:?}");
    }
}
