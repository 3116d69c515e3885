//! Keys that were fetched once are used until they expire, and a little longer while no new ones can be had. However
//! many requests wait, one of them fetches.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::DecodingKey;
use tokio::{sync::Mutex, time::Instant};

use super::{Failure, parse::KeySet};
use crate::clock;

/// How long expired keys are good for while no new ones can be had.
const STALE_FOR: Duration = Duration::from_secs(60 * 60);
/// How often an unknown key id may cause a fetch: anybody can make up ids.
const UNKNOWN_EVERY: Duration = Duration::from_secs(60);
/// How soon after a failed fetch another one is tried while there are old keys.
const RETRY_EVERY: Duration = Duration::from_secs(10);
/// The longest that keys count as fresh, whatever the answer says.
const MAX_FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// Where keys come from, and for how long they are good.
pub(super) trait Source: Send + Sync {
    fn fetch(&self) -> impl Future<Output = Result<(KeySet, Duration), Failure>> + Send;
}

pub(super) struct Cache<S> {
    source: S,
    keys: RwLock<Option<Fetched>>,
    /// When the last fetch ended. Its lock is held during a fetch.
    last: Mutex<Option<Attempt>>,
}

#[derive(Clone)]
struct Fetched {
    keys: Arc<KeySet>,
    fresh_until: Instant,
}

#[derive(Clone, Copy)]
struct Attempt {
    ended: Instant,
    succeeded: bool,
}

impl<S: Source> Cache<S> {
    pub(super) fn new(source: S) -> Self {
        Self { source, keys: RwLock::default(), last: Mutex::default() }
    }

    /// The key of that id, fetching if need be.
    pub(super) async fn key(&self, kid: &str) -> Result<Option<Arc<DecodingKey>>, Failure> {
        let asked = Instant::now();
        if let Some(key) = self.fresh(kid) {
            return Ok(Some(key));
        }
        let mut last = self.last.lock().await;
        if let Some(key) = self.fresh(kid) {
            return Ok(Some(key));
        }
        if self.worth_fetching(*last, asked) {
            let fetched = self.source.fetch().await;
            *last = Some(Attempt { ended: Instant::now(), succeeded: fetched.is_ok() });
            match fetched {
                Ok((keys, fresh_for)) => {
                    let keys = Arc::new(keys);
                    self.set(Fetched { keys, fresh_until: Instant::now() + fresh_for.min(MAX_FRESH) });
                }
                Err(failure) if self.usable().is_some() => {
                    let failure: &dyn std::error::Error = &failure;
                    tracing::warn!(error = failure, "using old keys: new ones cannot be had");
                }
                Err(failure) => return Err(failure),
            }
        }
        // What is here now is as good as it gets: just fetched, or not to be fetched again yet.
        let fetched = self.usable().ok_or(Failure::JustFailed)?;
        Ok(fetched.keys.get(kid, clock::now()))
    }

    /// Whether to fetch now. Who waited while another fetched takes what that one got.
    fn worth_fetching(&self, last: Option<Attempt>, asked: Instant) -> bool {
        let Some(last) = last else { return true };
        if last.ended > asked {
            return false;
        }
        let fresh = self.current().is_some_and(|fetched| Instant::now() < fetched.fresh_until);
        match (fresh, last.succeeded) {
            (true, _) => last.ended.elapsed() >= UNKNOWN_EVERY,
            (false, true) => true,
            (false, false) => self.usable().is_none() || last.ended.elapsed() >= RETRY_EVERY,
        }
    }

    fn fresh(&self, kid: &str) -> Option<Arc<DecodingKey>> {
        let fetched = self.current().filter(|fetched| Instant::now() < fetched.fresh_until)?;
        fetched.keys.get(kid, clock::now())
    }

    /// The keys, fresh or not too old.
    fn usable(&self) -> Option<Fetched> {
        self.current().filter(|fetched| Instant::now() < fetched.fresh_until + STALE_FOR)
    }

    fn current(&self) -> Option<Fetched> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, fetched: Fetched) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(fetched);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use serde_json::json;

    use super::*;
    use crate::testing::mint::FIRST_CERTIFICATE;

    /// Answers after a second, with one key, `known`.
    #[derive(Default)]
    struct Fake {
        fetches: AtomicUsize,
        down: std::sync::atomic::AtomicBool,
        fresh_for: Duration,
    }

    impl Source for Fake {
        async fn fetch(&self) -> Result<(KeySet, Duration), Failure> {
            self.fetches.fetch_add(1, SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.down.load(SeqCst) {
                return Err(Failure::Status(503));
            }
            let keys = json!({"known": FIRST_CERTIFICATE}).to_string();
            Ok((KeySet::parse(keys.as_bytes()).unwrap(), self.fresh_for))
        }
    }

    fn cache(fresh_for: u64) -> Cache<Fake> {
        Cache::new(Fake { fresh_for: Duration::from_secs(fresh_for), ..Fake::default() })
    }

    impl Cache<Fake> {
        async fn has(&self, kid: &str) -> Result<bool, Failure> {
            self.key(kid).await.map(|key| key.is_some())
        }

        fn fetches(&self) -> usize {
            self.source.fetches.load(SeqCst)
        }

        fn go_down(&self) {
            self.source.down.store(true, SeqCst);
        }
    }

    async fn wait(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_wait_one_fetches() {
        let cache = cache(600);
        let all = futures_util::future::join_all((0..64).map(|_| cache.has("known"))).await;
        assert!(all.into_iter().all(|has| has.unwrap()));
        assert_eq!(cache.fetches(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_wait_one_fails_for_all_and_the_next_tries_again() {
        let cache = cache(600);
        cache.go_down();
        let all = futures_util::future::join_all((0..64).map(|_| cache.has("known"))).await;
        assert!(all.into_iter().all(|has| has.is_err()));
        assert_eq!(cache.fetches(), 1);
        assert!(cache.has("known").await.is_err());
        assert_eq!(cache.fetches(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_fetched_again_when_they_expire() {
        let cache = cache(600);
        for (later, fetches) in [(0, 1), (599, 1), (1, 2), (599, 2), (2, 3)] {
            wait(later).await;
            assert!(cache.has("known").await.unwrap());
            assert_eq!(cache.fetches(), fetches, "{later}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_id_causes_a_fetch_once_a_minute() {
        let cache = cache(600);
        for (later, fetches) in [(0, 1), (1, 1), (58, 1), (1, 2), (59, 2), (1, 3)] {
            wait(later).await;
            assert!(!cache.has("made-up").await.unwrap());
            assert!(cache.has("known").await.unwrap());
            assert_eq!(cache.fetches(), fetches, "{later}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn old_keys_serve_for_an_hour_while_there_are_no_new_ones() {
        let cache = cache(600);
        assert!(cache.has("known").await.unwrap());
        cache.go_down();
        wait(600).await;
        assert!(cache.has("known").await.unwrap());
        assert!(cache.has("known").await.unwrap());
        assert_eq!(cache.fetches(), 2, "a source that is down is not asked for every request");
        wait(10).await;
        assert!(cache.has("known").await.unwrap());
        assert_eq!(cache.fetches(), 3);
        wait(3_600).await;
        assert!(cache.has("known").await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_are_not_to_be_kept_are_fetched_each_time() {
        let cache = cache(0);
        for fetches in 1..4 {
            assert!(cache.has("known").await.unwrap());
            assert_eq!(cache.fetches(), fetches);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_hangs_up_during_a_fetch_does_not_keep_others_from_theirs() {
        let cache = cache(600);
        let hasty = tokio::time::timeout(Duration::from_millis(100), cache.has("known")).await;
        assert!(hasty.is_err());
        assert!(cache.has("known").await.unwrap());
    }
}
