//! Work that must not stop half-way.

use std::panic;

use crate::telemetry;

/// Runs `work` to its end, also when the request that asks for it is dropped because its client went away.
pub async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let running = match telemetry::current() {
        Some(tags) => tokio::spawn(telemetry::in_request(tags, work)),
        None => tokio::spawn(work),
    };
    match running.await {
        Ok(result) => result,
        Err(error) => panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_any_more_still_ends() {
        let done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&done);
        let work = to_the_end(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            flag.store(true, Ordering::Relaxed);
        });
        assert!(tokio::time::timeout(Duration::from_secs(1), work).await.is_err());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(done.load(Ordering::Relaxed));
    }

    #[tokio::test]
    #[should_panic(expected = "broken")]
    async fn a_panic_comes_through() {
        to_the_end(async { panic!("broken") }).await;
    }
}
