//! Keeps passes over the same weights close to each other, so that what one has read is still in memory for the others.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ndarray::Array2;

use super::weights::WeightSource;
use crate::error::Result;

/// How many reads a pass may be ahead of another one.
const MAX_LEAD: u64 = 2;

/// The progress of several passes.
pub(super) struct Lockstep {
    /// The reads of each pass; `None` when it is over.
    reads: Mutex<Vec<Option<u64>>>,
    changed: Condvar,
}

impl Lockstep {
    pub(super) fn new(passes: usize) -> Self {
        Self { reads: Mutex::new(vec![Some(0); passes]), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<u64>>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no pass is too far behind. The one that is furthest behind never waits.
    fn before_read(&self, pass: usize) {
        let mut reads = self.lock();
        let own = reads[pass].map_or(0, |own| own + 1);
        reads[pass] = Some(own);
        self.changed.notify_all();
        let is_ahead =
            |reads: &mut Vec<Option<u64>>| reads.iter().flatten().any(|other| own > other + MAX_LEAD);
        drop(self.changed.wait_while(reads, is_ahead));
    }
}

/// A pass's weights, read in step with those of the others.
pub(super) struct LockstepWeights<'a> {
    weights: &'a dyn WeightSource,
    lockstep: &'a Lockstep,
    pass: usize,
}

impl<'a> LockstepWeights<'a> {
    pub(super) fn new(weights: &'a dyn WeightSource, lockstep: &'a Lockstep, pass: usize) -> Self {
        Self { weights, lockstep, pass }
    }
}

impl WeightSource for LockstepWeights<'_> {
    fn shape(&self, name: &str) -> Option<(usize, usize)> {
        self.weights.shape(name)
    }

    fn rows(&self, name: &str, first: usize, count: usize) -> Result<Array2<f32>> {
        self.lockstep.before_read(self.pass);
        self.weights.rows(name, first, count)
    }

    fn location(&self) -> &str {
        self.weights.location()
    }
}

impl Drop for LockstepWeights<'_> {
    fn drop(&mut self) {
        self.lockstep.lock()[self.pass] = None;
        self.lockstep.changed.notify_all();
    }
}
