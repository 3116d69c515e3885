//! Threads fill numbered buffers in parallel; one thread takes them in order. The number of buffers is bounded.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::error::{Error, Result};

struct QueueState<B> {
    next: usize,
    taken: usize,
    done: BTreeMap<usize, Result<B>>,
    free: Vec<B>,
    stop: bool,
}

struct SharedQueue<B> {
    state: Mutex<QueueState<B>>,
    /// A buffer was filled, or a worker panicked.
    made: Condvar,
    /// A buffer was taken, or the run stops.
    room: Condvar,
}

/// Runs `make` for 0..`count` on `threads` threads and `take` on this one, in order. Each thread has its own scratch. At
/// most 2·`threads` buffers exist; they are reused without being cleared. The first error of either side ends the run.
pub(super) fn run<S: Default, B: Default + Send>(
    count: usize,
    threads: usize,
    make: impl Fn(usize, &mut S, &mut B) -> Result<()> + Sync,
    mut take: impl FnMut(usize, &mut B) -> Result<()>,
) -> Result<()> {
    let threads = threads.clamp(1, count.max(1));
    let window = 2 * threads;
    let state = QueueState { next: 0, taken: 0, done: BTreeMap::new(), free: Vec::new(), stop: false };
    let shared = SharedQueue { state: Mutex::new(state), made: Condvar::new(), room: Condvar::new() };
    thread::scope(|scope| {
        let _stop = StopOnDrop(&shared);
        for _ in 0..threads {
            scope.spawn(|| work(&shared, count, window, &make));
        }
        for number in 0..count {
            let mut buffer = shared.wait_for(number)??;
            take(number, &mut buffer)?;
            let mut state = shared.lock();
            state.taken = number + 1;
            state.free.push(buffer);
            drop(state);
            shared.room.notify_all();
        }
        Ok(())
    })
}

fn work<S: Default, B: Default>(
    shared: &SharedQueue<B>,
    count: usize,
    window: usize,
    make: &(impl Fn(usize, &mut S, &mut B) -> Result<()> + Sync),
) {
    // wakes the taking thread when `make` panics
    let mut guard = DropSignal { shared, alive: false };
    let mut scratch = S::default();
    while let Some((number, mut buffer)) = shared.claim(count, window) {
        let made = make(number, &mut scratch, &mut buffer).map(|()| buffer);
        shared.lock().done.insert(number, made);
        shared.made.notify_all();
    }
    guard.alive = true;
}

impl<B: Default> SharedQueue<B> {
    /// The next number and a buffer, once there is room for another.
    fn claim(&self, count: usize, window: usize) -> Option<(usize, B)> {
        let mut state = self.lock();
        while !state.stop && state.next < count && state.next >= state.taken + window {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stop || state.next >= count {
            return None;
        }
        let number = state.next;
        state.next += 1;
        Some((number, state.free.pop().unwrap_or_default()))
    }
}

impl<B> SharedQueue<B> {
    fn lock(&self) -> MutexGuard<'_, QueueState<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, number: usize) -> Result<Result<B>> {
        let mut state = self.lock();
        loop {
            if let Some(made) = state.done.remove(&number) {
                return Ok(made);
            }
            if state.stop {
                return Err(Error::Cancelled);
            }
            state = self.made.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.made.notify_all();
        self.room.notify_all();
    }
}

struct StopOnDrop<'a, B>(&'a SharedQueue<B>);

impl<B> Drop for StopOnDrop<'_, B> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct DropSignal<'a, B> {
    shared: &'a SharedQueue<B>,
    alive: bool,
}

impl<B> Drop for DropSignal<'_, B> {
    fn drop(&mut self) {
        if !self.alive {
            self.shared.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn number(job: usize, (): &mut (), buffer: &mut Vec<u8>) -> Result<()> {
        buffer.clear();
        buffer.push(job as u8);
        Ok(())
    }

    #[test]
    fn buffers_arrive_in_order_whatever_thread_made_them() {
        let mut seen = Vec::new();
        let slow = |job: usize, (): &mut (), buffer: &mut Vec<u8>| {
            thread::sleep(std::time::Duration::from_micros((job as u64 * 7) % 50));
            number(job, &mut (), buffer)
        };
        run(200, 8, slow, |_, bytes| {
            seen.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, (0..200).map(|n| n as u8).collect::<Vec<_>>());
    }

    #[test]
    fn makers_do_not_run_ahead_of_the_taker() {
        let made = AtomicUsize::new(0);
        let count = |job: usize, (): &mut (), buffer: &mut Vec<u8>| {
            made.fetch_add(1, Ordering::SeqCst);
            number(job, &mut (), buffer)
        };
        run(100, 3, count, |job, _| {
            assert!(made.load(Ordering::SeqCst) <= job + 6 + 1);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn the_first_error_of_a_maker_ends_the_run() {
        let fail_at_five = |job, (): &mut (), buffer: &mut Vec<u8>| {
            if job == 5 { Err(Error::invalid("f", "broken")) } else { number(job, &mut (), buffer) }
        };
        let mut taken = 0;
        let error = run(1000, 4, fail_at_five, |_, _| {
            taken += 1;
            Ok(())
        });
        assert!(matches!(error, Err(Error::Invalid { .. })));
        assert_eq!(taken, 5);
    }

    #[test]
    fn an_error_of_the_taker_ends_the_run() {
        let error = run(1000, 4, number, |job, _| if job == 3 { Err(Error::Cancelled) } else { Ok(()) });
        assert!(matches!(error, Err(Error::Cancelled)));
    }

    #[test]
    fn a_panicking_maker_panics_the_caller_and_does_not_hang_it() {
        let caught = std::panic::catch_unwind(|| {
            run(
                10,
                2,
                |job, (): &mut (), buffer: &mut Vec<u8>| {
                    if job == 4 { panic!("maker") } else { number(job, &mut (), buffer) }
                },
                |_, _| Ok(()),
            )
        });
        assert!(caught.is_err());
    }
}
