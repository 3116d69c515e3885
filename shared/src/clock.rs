//! What time it is.

use jiff::Timestamp;

/// Now, to the microsecond: no store keeps more, and what was written must equal what is read.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap_or_default()
}
