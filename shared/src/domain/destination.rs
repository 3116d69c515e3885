//! Where an export goes.

use serde::{Deserialize, Serialize};

use super::InvalidRequest;

/// A destination of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// Google Cloud Storage.
    Gcs,
    /// The Hugging Face Hub.
    HfHub,
}

/// One or both destinations, without duplicates, in the order of [`Destination`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(min_items = 1, description = "One or both; duplicates are removed.")
)]
#[serde(transparent)]
pub struct Destinations(Vec<Destination>);

/// Google Cloud Storage, the default of a request.
impl Default for Destinations {
    fn default() -> Self {
        Self(vec![Destination::Gcs])
    }
}

impl Destinations {
    /// Removes duplicates; `None` if `all` is empty.
    #[must_use]
    pub fn new(mut all: Vec<Destination>) -> Option<Self> {
        all.sort_unstable();
        all.dedup();
        (!all.is_empty()).then_some(Self(all))
    }

    /// Whether `destination` is one of them.
    #[must_use]
    pub fn contains(&self, destination: Destination) -> bool {
        self.0.contains(&destination)
    }

    /// The destinations, without duplicates.
    #[must_use]
    pub fn as_slice(&self) -> &[Destination] {
        &self.0
    }

    /// The destinations of those names; the default without any.
    pub(super) fn parse(names: Option<Vec<String>>) -> Result<Self, InvalidRequest> {
        let Some(names) = names else { return Ok(Self::default()) };
        let all = names
            .iter()
            .map(|name| match name.as_str() {
                "gcs" => Ok(Destination::Gcs),
                "hf_hub" => Ok(Destination::HfHub),
                _ => Err(InvalidRequest::new("destination", "must contain only gcs and hf_hub")),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Self::new(all)
            .ok_or_else(|| InvalidRequest::new("destination", "must not be empty: gcs, hf_hub or both"))
    }
}
