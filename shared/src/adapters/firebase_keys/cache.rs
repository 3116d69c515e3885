//! Caches keys until they expire, and for a limited time longer while the source is unavailable. Concurrent requests
//! share one fetch.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use super::{KeysError, parse::KeySet};
use crate::{clock, rsa_key::RsaPublicKey};

/// How long expired keys are used while no new ones can be fetched.
const STALE_FOR: Duration = Duration::from_secs(60 * 60);
/// The minimum interval between fetches for unknown key ids, because clients can send arbitrary ids.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(60);
/// The minimum interval after a failed fetch while there are stale keys.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// The maximum freshness lifetime, regardless of the response.
const MAX_FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// A source of keys. Returns the keys and their freshness lifetime.
pub(super) trait KeySource: Send + Sync {
    fn fetch(&self) -> impl Future<Output = Result<(KeySet, Duration), KeysError>> + Send;
}

pub(super) struct KeyCache<S> {
    source: S,
    keys: RwLock<Option<CachedKeys>>,
    /// The last fetch. Locked during a fetch.
    last: Mutex<Option<FetchAttempt>>,
}

#[derive(Clone)]
struct CachedKeys {
    keys: Arc<KeySet>,
    fresh_until: Instant,
}

#[derive(Clone, Copy)]
struct FetchAttempt {
    ended: Instant,
    succeeded: bool,
}

impl<S: KeySource> KeyCache<S> {
    pub(super) fn new(source: S) -> Self {
        Self { source, keys: RwLock::default(), last: Mutex::default() }
    }

    /// The key with that id. Fetches keys if necessary.
    pub(super) async fn key(&self, kid: &str) -> Result<Option<Arc<RsaPublicKey>>, KeysError> {
        let requested_at = Instant::now();
        if let Some(key) = self.fresh_key(kid) {
            return Ok(Some(key));
        }
        let mut last = self.last.lock().await;
        if let Some(key) = self.fresh_key(kid) {
            return Ok(Some(key));
        }
        if self.should_fetch(*last, requested_at) {
            let fetched = self.fetch().await;
            *last = Some(FetchAttempt { ended: Instant::now(), succeeded: fetched.is_ok() });
            match fetched {
                Ok(()) => {}
                Err(failure) if self.usable_keys().is_some() => {
                    let failure: &dyn std::error::Error = &failure;
                    tracing::warn!(error = failure, "fetching keys failed: using stale keys");
                }
                Err(failure) => return Err(failure),
            }
        }
        // The keys were just fetched, or must not be fetched again yet.
        let fetched = self.usable_keys().ok_or(KeysError::JustFailed)?;
        Ok(fetched.keys.get(kid, clock::now()))
    }

    /// Fetches keys before the first request needs them. If that fails, the request fetches them itself.
    pub(super) async fn prefetch(&self) {
        let mut last = self.last.lock().await;
        if last.is_none() && self.fetch().await.is_ok() {
            *last = Some(FetchAttempt { ended: Instant::now(), succeeded: true });
        }
    }

    async fn fetch(&self) -> Result<(), KeysError> {
        let (keys, fresh_for) = self.source.fetch().await?;
        let keys = Arc::new(keys);
        self.set(CachedKeys { keys, fresh_until: Instant::now() + fresh_for.min(MAX_FRESH) });
        Ok(())
    }

    /// Whether to fetch now. A request that waited for the fetch of another request uses its result.
    fn should_fetch(&self, last: Option<FetchAttempt>, requested_at: Instant) -> bool {
        let Some(last) = last else { return true };
        if last.ended > requested_at {
            return false;
        }
        let fresh = self.current().is_some_and(|fetched| Instant::now() < fetched.fresh_until);
        match (fresh, last.succeeded) {
            (true, _) => last.ended.elapsed() >= UNKNOWN_KEY_INTERVAL,
            (false, true) => true,
            (false, false) => self.usable_keys().is_none() || last.ended.elapsed() >= RETRY_INTERVAL,
        }
    }

    fn fresh_key(&self, kid: &str) -> Option<Arc<RsaPublicKey>> {
        let fetched = self.current().filter(|fetched| Instant::now() < fetched.fresh_until)?;
        fetched.keys.get(kid, clock::now())
    }

    /// The fresh keys, or stale ones within [`STALE_FOR`].
    fn usable_keys(&self) -> Option<CachedKeys> {
        self.current().filter(|fetched| Instant::now() < fetched.fresh_until + STALE_FOR)
    }

    fn current(&self) -> Option<CachedKeys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, cached: CachedKeys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(cached);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use serde_json::json;

    use super::*;
    use crate::testing::tokens::FIRST_CERTIFICATE;

    /// Responds after a second with one key, `known`.
    #[derive(Default)]
    struct FakeSource {
        fetches: AtomicUsize,
        unavailable: std::sync::atomic::AtomicBool,
        fresh_for: Duration,
    }

    impl KeySource for FakeSource {
        async fn fetch(&self) -> Result<(KeySet, Duration), KeysError> {
            self.fetches.fetch_add(1, SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.unavailable.load(SeqCst) {
                return Err(KeysError::Status(503));
            }
            let keys = json!({"known": FIRST_CERTIFICATE}).to_string();
            Ok((KeySet::parse(keys.as_bytes()).unwrap(), self.fresh_for))
        }
    }

    fn cache(fresh_for: u64) -> KeyCache<FakeSource> {
        KeyCache::new(FakeSource { fresh_for: Duration::from_secs(fresh_for), ..FakeSource::default() })
    }

    impl KeyCache<FakeSource> {
        async fn has(&self, kid: &str) -> Result<bool, KeysError> {
            self.key(kid).await.map(|key| key.is_some())
        }

        fn fetches(&self) -> usize {
            self.source.fetches.load(SeqCst)
        }

        fn set_unavailable(&self) {
            self.source.unavailable.store(true, SeqCst);
        }
    }

    async fn wait(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_requests_share_one_fetch() {
        let cache = cache(600);
        let all = futures_util::future::join_all((0..64).map(|_| cache.has("known"))).await;
        assert!(all.into_iter().all(|has| has.unwrap()));
        assert_eq!(cache.fetches(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_fetch_fails_all_waiting_requests_and_the_next_request_fetches_again() {
        let cache = cache(600);
        cache.set_unavailable();
        let all = futures_util::future::join_all((0..64).map(|_| cache.has("known"))).await;
        assert!(all.into_iter().all(|has| has.is_err()));
        assert_eq!(cache.fetches(), 1);
        assert!(cache.has("known").await.is_err());
        assert_eq!(cache.fetches(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_the_early_fetch_and_fetches_itself_only_if_that_failed() {
        for (fails, fetches) in [(false, 1), (true, 2)] {
            let cache = cache(600);
            cache.source.unavailable.store(fails, SeqCst);
            let request = async {
                wait(0).await;
                let has = cache.has("known");
                let available = async {
                    tokio::time::sleep(Duration::from_millis(1_500)).await;
                    cache.source.unavailable.store(false, SeqCst);
                };
                tokio::join!(has, available).0
            };
            let ((), has) = tokio::join!(cache.prefetch(), request);
            assert!(has.unwrap());
            assert_eq!(cache.fetches(), fetches, "fails: {fails}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn expired_keys_are_fetched_again() {
        let cache = cache(600);
        for (later, fetches) in [(0, 1), (599, 1), (1, 2), (599, 2), (2, 3)] {
            wait(later).await;
            assert!(cache.has("known").await.unwrap());
            assert_eq!(cache.fetches(), fetches, "{later}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_key_id_causes_at_most_one_fetch_per_minute() {
        let cache = cache(600);
        for (later, fetches) in [(0, 1), (1, 1), (58, 1), (1, 2), (59, 2), (1, 3)] {
            wait(later).await;
            assert!(!cache.has("unknown").await.unwrap());
            assert!(cache.has("known").await.unwrap());
            assert_eq!(cache.fetches(), fetches, "{later}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stale_keys_are_used_for_an_hour_while_the_source_is_unavailable() {
        let cache = cache(600);
        assert!(cache.has("known").await.unwrap());
        cache.set_unavailable();
        wait(600).await;
        assert!(cache.has("known").await.unwrap());
        assert!(cache.has("known").await.unwrap());
        assert_eq!(cache.fetches(), 2, "an unavailable source is not requested every time");
        wait(10).await;
        assert!(cache.has("known").await.unwrap());
        assert_eq!(cache.fetches(), 3);
        wait(3_600).await;
        assert!(cache.has("known").await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn keys_with_zero_lifetime_are_fetched_every_time() {
        let cache = cache(0);
        for fetches in 1..4 {
            assert!(cache.has("known").await.unwrap());
            assert_eq!(cache.fetches(), fetches);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_canceled_fetch_does_not_block_later_requests() {
        let cache = cache(600);
        let canceled = tokio::time::timeout(Duration::from_millis(100), cache.has("known")).await;
        assert!(canceled.is_err());
        assert!(cache.has("known").await.unwrap());
    }
}
