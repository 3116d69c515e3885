//! What Firestore's serializer has types of its own for: null and time. In other formats they are what serde makes of them.

#[cfg(feature = "google")]
pub(super) use firestore::{FirestoreTimestamp as NativeTime, serialize_as_null};

#[cfg(not(feature = "google"))]
pub(super) use plain::{NativeTime, serialize_as_null};

#[cfg(not(feature = "google"))]
mod plain {
    use jiff::Timestamp;
    use serde::Serialize;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
    pub(crate) struct NativeTime(pub(crate) Timestamp);

    pub(crate) mod serialize_as_null {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        pub(crate) fn serialize<S: Serializer, T: Serialize>(
            value: &Option<T>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            value.serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
        where
            D: Deserializer<'de>,
            T: Deserialize<'de>,
        {
            Option::deserialize(deserializer)
        }
    }
}
