//! Delays between the attempts of a change that others are faster than.

use std::time::Duration;

use tokio::time::sleep;

/// The longest delay; the delay doubles each time.
const MAX: Duration = Duration::from_millis(800);

/// The delay before the next attempt.
pub(super) struct RetryDelay(Duration);

impl Default for RetryDelay {
    fn default() -> Self {
        Self(Duration::from_millis(50))
    }
}

impl RetryDelay {
    /// Waits, with a random factor between 0.5 and 1.5, so that concurrent attempts do not collide again.
    pub(super) async fn wait(&mut self) {
        let random = uuid::Uuid::new_v4().as_u128() as u8;
        sleep(self.0.mul_f64(0.5 + f64::from(random) / 255.0)).await;
        self.0 = MAX.min(self.0 * 2);
    }
}
