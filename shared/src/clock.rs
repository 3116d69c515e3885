//! The current time, and waiting. Tests can replace both.

use std::time::Duration;

use jiff::Timestamp;

/// The current time, truncated to microseconds: the precision of Firestore, so a stored time equals the time read back.
#[must_use]
pub fn now() -> Timestamp {
    #[cfg(feature = "testing")]
    if let Some(clock) = testing::replacement() {
        return clock.now();
    }
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap_or_default()
}

/// Waits for that time.
pub async fn sleep(time: Duration) {
    #[cfg(feature = "testing")]
    if let Some(clock) = testing::replacement() {
        return clock.sleep(time).await;
    }
    tokio::time::sleep(time).await;
}

/// A clock of tests.
#[cfg(feature = "testing")]
pub mod testing {
    use std::sync::{Arc, PoisonError, RwLock};

    use async_trait::async_trait;

    use super::{Duration, Timestamp};

    static REPLACEMENT: RwLock<Option<Arc<dyn Clock>>> = RwLock::new(None);

    /// What [`now`](super::now) and [`sleep`](super::sleep) do.
    #[async_trait]
    pub trait Clock: Send + Sync {
        /// The current time.
        fn now(&self) -> Timestamp;

        /// Waits for that time.
        async fn sleep(&self, time: Duration);
    }

    /// Replaces the clock of this process, until `None` is set.
    pub fn set(clock: Option<Arc<dyn Clock>>) {
        *REPLACEMENT.write().unwrap_or_else(PoisonError::into_inner) = clock;
    }

    pub(super) fn replacement() -> Option<Arc<dyn Clock>> {
        REPLACEMENT.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
