//! What every block of a tensor needs, read once.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;

/// The values in use, by name. Few tensors are in work at once, so few are kept.
#[derive(Debug, Default)]
pub(crate) struct FactorCache(Mutex<Vec<(String, Arc<Vec<f32>>)>>);

impl FactorCache {
    const MOST: usize = 4;

    /// Values made on first use; others wait meanwhile, so `make` must not ask the same `FactorCache` itself.
    pub(crate) fn get(&self, name: &str, make: impl FnOnce() -> Result<Vec<f32>>) -> Result<Arc<Vec<f32>>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, values)) = kept.iter().find(|(known, _)| known == name) {
            return Ok(Arc::clone(values));
        }
        let values = Arc::new(make()?);
        if kept.len() == Self::MOST {
            kept.remove(0);
        }
        kept.push((name.to_owned(), Arc::clone(&values)));
        Ok(values)
    }
}
