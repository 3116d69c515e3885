//! Work on several parts at once.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::Result;
use crate::progress::RunOptions;

/// The result for each part, in the order of the parts.
pub(crate) fn in_parallel<P, T: Send>(
    parts: impl ExactSizeIterator<Item = P> + Send,
    run: &RunOptions<'_>,
    work: impl Fn(P) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let threads = run.threads().min(parts.len());
    if threads <= 1 {
        return parts.map(work).collect();
    }
    let parts = Mutex::new(parts.enumerate());
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || {
        let mut done = Vec::new();
        while let Some((number, part)) = next() {
            done.push((number, work(part)?));
        }
        Ok(done)
    };
    let mut done = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut done = Vec::new();
        for worker in workers {
            done.extend(worker.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(done)
    })?;
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
