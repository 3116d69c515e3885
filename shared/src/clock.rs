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

/// Clocks of tests.
#[cfg(feature = "testing")]
pub mod testing {
    use std::{
        collections::HashMap,
        sync::{Arc, LazyLock, PoisonError, RwLock},
    };

    use async_trait::async_trait;
    use tokio::runtime::{Handle, Id};

    use super::{Duration, Timestamp};

    static REPLACEMENTS: LazyLock<RwLock<HashMap<Id, Arc<dyn Clock>>>> = LazyLock::new(RwLock::default);

    /// What [`now`](super::now) and [`sleep`](super::sleep) do.
    #[async_trait]
    pub trait Clock: Send + Sync {
        /// The current time.
        fn now(&self) -> Timestamp;

        /// Waits for that time.
        async fn sleep(&self, time: Duration);
    }

    /// Replaces the clock of a runtime and its blocking threads, until `None` is set.
    pub fn set(runtime: &Handle, clock: Option<Arc<dyn Clock>>) {
        let mut replacements = REPLACEMENTS.write().unwrap_or_else(PoisonError::into_inner);
        match clock {
            Some(clock) => replacements.insert(runtime.id(), clock),
            None => replacements.remove(&runtime.id()),
        };
    }

    pub(super) fn replacement() -> Option<Arc<dyn Clock>> {
        let runtime = Handle::try_current().ok()?.id();
        REPLACEMENTS.read().unwrap_or_else(PoisonError::into_inner).get(&runtime).cloned()
    }
}
