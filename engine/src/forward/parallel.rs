//! Work on several parts at once.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::error::Result;
use crate::progress::RunOptions;

/// The result for each part, in the order of the parts.
pub(crate) fn in_parallel<P: Sync, T: Send>(
    parts: &[P],
    run: &RunOptions<'_>,
    work: impl Fn(&P) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((number, part)) = numbered(parts, next.fetch_add(1, Ordering::Relaxed)) {
            done.push((number, work(part)?));
        }
        Ok(done)
    };
    let mut done = thread::scope(|scope| {
        let workers: Vec<_> = (0..run.threads().min(parts.len())).map(|_| scope.spawn(worker)).collect();
        let mut done = Vec::with_capacity(parts.len());
        for worker in workers {
            done.extend(worker.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(done)
    })?;
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

fn numbered<P>(parts: &[P], number: usize) -> Option<(usize, &P)> {
    Some((number, parts.get(number)?))
}
