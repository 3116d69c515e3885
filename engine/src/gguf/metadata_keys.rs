//! A family's metadata keys, read from a file or made from a configuration.

use super::MetadataValue;

/// Values by their keys without the architecture in front.
pub(crate) struct MetadataKeys<'a>(pub(crate) &'a dyn Fn(&str) -> Option<&'a MetadataValue>);

impl MetadataKeys<'_> {
    pub(crate) fn count(&self, key: &str) -> Option<usize> {
        (self.0)(key)?.as_u32().map(|count| count as usize)
    }

    /// A count without which there is no forward pass.
    pub(crate) fn require(&self, key: &str) -> Result<usize, String> {
        self.count(key).ok_or_else(|| format!("has no {key}"))
    }

    pub(crate) fn number(&self, key: &str) -> Option<f32> {
        match (self.0)(key) {
            Some(MetadataValue::F32(number)) => Some(*number),
            Some(_) | None => None,
        }
    }

    /// A layer's count, or the one that all layers have.
    pub(crate) fn count_at(&self, key: &str, layer: usize) -> Option<usize> {
        match (self.0)(key) {
            Some(MetadataValue::I32s(list)) => usize::try_from(*list.get(layer)?).ok(),
            Some(_) | None => self.count(key),
        }
    }

    pub(crate) fn number_at(&self, key: &str, layer: usize) -> Option<f32> {
        match (self.0)(key) {
            Some(MetadataValue::F32s(list)) => list.get(layer).copied(),
            Some(_) | None => None,
        }
    }

    pub(crate) fn flag_at(&self, key: &str, layer: usize) -> Option<bool> {
        match (self.0)(key) {
            Some(MetadataValue::List(_, list)) => match list.get(layer) {
                Some(MetadataValue::Bool(flag)) => Some(*flag),
                Some(_) | None => None,
            },
            Some(_) | None => None,
        }
    }
}
