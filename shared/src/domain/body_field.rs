//! A field of a JSON body, of which the type has not been checked.

use serde::{Deserialize, de::IgnoredAny};

use super::InvalidRequest;

/// A field of the body: a value, null, a value of the wrong type, or nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub(super) enum BodyField<T> {
    Value(T),
    Null(()),
    WrongType(IgnoredAny),
    #[default]
    #[serde(skip)]
    Omitted,
}

impl<T> BodyField<T> {
    /// The value. Null counts as omitted.
    pub(super) fn into_value(self, field: &'static str, expected: &str) -> Result<Option<T>, InvalidRequest> {
        match self {
            Self::Value(value) => Ok(Some(value)),
            Self::Null(()) | Self::Omitted => Ok(None),
            Self::WrongType(_) => Err(InvalidRequest::new(field, format!("must be {expected}"))),
        }
    }

    /// The value of a field that may be omitted and not null.
    pub(super) fn into_non_null(
        self,
        field: &'static str,
        expected: &str,
    ) -> Result<Option<T>, InvalidRequest> {
        match self {
            Self::Null(()) => {
                Err(InvalidRequest::new(field, format!("must be {expected}; omit it for the default")))
            }
            other @ (Self::Value(_) | Self::WrongType(_) | Self::Omitted) => {
                other.into_value(field, expected)
            }
        }
    }
}
