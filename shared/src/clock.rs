//! The current time.

use jiff::Timestamp;

/// The current time, truncated to microseconds: the precision of Firestore, so a stored time equals the time read back.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap_or_default()
}
