//! Timestamps in documents.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::native::NativeTime;

/// A timestamp: RFC 3339 in JSON, a native timestamp in Firestore; both are parsed from either. A time without an offset
/// is UTC. Truncated to microseconds, the precision of Firestore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct StoredTime(NativeTime);

impl StoredTime {
    /// Parses RFC 3339, and ISO 8601 without an offset.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let exact = text.parse::<Timestamp>().ok();
        let in_utc = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp());
        exact.or_else(in_utc).map(Self::from)
    }
}

impl<'de> Deserialize<'de> for StoredTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not a time"))
    }
}

impl From<Timestamp> for StoredTime {
    fn from(time: Timestamp) -> Self {
        Self(NativeTime(Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)))
    }
}

impl From<StoredTime> for Timestamp {
    fn from(time: StoredTime) -> Self {
        time.0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_parsed_with_and_without_an_offset() {
        let noon = Timestamp::from(StoredTime::parse("2026-05-01T12:00:00.25Z").unwrap());
        for same in
            ["2026-05-01T12:00:00.250000+00:00", "2026-05-01T14:00:00.25+02:00", "2026-05-01T12:00:00.250000"]
        {
            assert_eq!(Timestamp::from(StoredTime::parse(same).unwrap()), noon, "{same}");
        }
        for bad in ["", "yesterday", "1700000000", "2026-13-01T00:00:00Z"] {
            assert_eq!(StoredTime::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_are_truncated_to_microseconds() {
        let stored = StoredTime::parse("2026-05-01T12:00:00.123456789Z").unwrap();
        assert_eq!(serde_json::to_value(stored).unwrap(), "2026-05-01T12:00:00.123456Z");
    }
}
