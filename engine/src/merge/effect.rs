//! The effect of an adapter on a tensor.

use serde::{Deserialize, Serialize};

/// The problem of an adapter all of whose changes are zero.
pub(crate) const NO_EFFECT: &str =
    "changes nothing: every product of its factors is zero, as before training";

/// The effect of an adapter on a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum MergeEffect {
    /// The adapter does not change the tensor.
    Untouched,
    /// The change is zero: a product of zero, or the base's own values.
    Zero,
    /// The change is not zero, but too small to change the stored values.
    Lost,
    /// Stored values changed.
    Changed,
}
