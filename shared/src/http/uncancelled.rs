//! Work that continues after its request is canceled.

use std::panic;

use crate::telemetry;

/// Runs `work` to completion, even if the caller's future is dropped because the client disconnected. Log lines keep
/// the request's tags; a panic in `work` propagates to the caller.
pub async fn uncancelled<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
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
    async fn work_completes_after_its_future_is_dropped() {
        let done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&done);
        let work = uncancelled(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            flag.store(true, Ordering::Relaxed);
        });
        assert!(tokio::time::timeout(Duration::from_secs(1), work).await.is_err());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(done.load(Ordering::Relaxed));
    }

    #[tokio::test]
    #[should_panic(expected = "broken")]
    async fn a_panic_propagates() {
        uncancelled(async { panic!("broken") }).await;
    }
}
