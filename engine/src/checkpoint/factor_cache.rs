//! A cache of values that every chunk of a tensor needs, such as LoRA factors and bitsandbytes scales.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;

/// The values used last, by name. Few tensors are processed at once, so the cache is small.
#[derive(Debug, Default)]
pub(crate) struct FactorCache(Mutex<Vec<(String, Arc<Vec<f32>>)>>);

impl FactorCache {
    const CAPACITY: usize = 4;

    /// The values of `name`, computed by `compute` if they are not cached. The cache is locked meanwhile: `compute` must
    /// not use it.
    pub(crate) fn get(
        &self,
        name: &str,
        compute: impl FnOnce() -> Result<Vec<f32>>,
    ) -> Result<Arc<Vec<f32>>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, values)) = entries.iter().find(|(known, _)| known == name) {
            return Ok(Arc::clone(values));
        }
        let values = Arc::new(compute()?);
        if entries.len() == Self::CAPACITY {
            entries.remove(0);
        }
        entries.push((name.to_owned(), Arc::clone(&values)));
        Ok(values)
    }
}
