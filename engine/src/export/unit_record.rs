//! What a later run needs of a unit whose bytes are written.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::schedule::ReadUnit;
use super::stats::TensorStats;
use crate::io::DraftSync;
use crate::report::ErrorTotal;

/// A finished unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct UnitRecord {
    /// Its number.
    pub(super) unit: usize,
    /// The bytes of all files up to here, headers included.
    pub(super) done: u64,
    /// The checksum of the bytes of each part, padding included.
    pub(super) checksums: Vec<String>,
    /// The errors of each part.
    pub(super) errors: Vec<ErrorTotal>,
    /// The measurements of its tensor, if it is one.
    pub(super) tensor: Option<TensorStats>,
}

impl UnitRecord {
    /// Whether it may be about this unit.
    pub(super) fn is_of(&self, unit: &ReadUnit) -> bool {
        let parts = unit.parts.len();
        (self.checksums.len(), self.errors.len()) == (parts, parts)
            && self.tensor.is_some() == unit.tensor.is_some()
    }
}

/// A finished unit, and where its bytes end in drafts.
pub(super) struct WrittenUnit {
    pub(super) record: UnitRecord,
    pub(super) ends: Vec<(Arc<DraftSync>, u64)>,
}
