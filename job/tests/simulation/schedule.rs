//! The order of all that happens in a simulation: one wait ends at a time, which one and how is drawn at random.
//!
//! Processes are requests to functions, and executions of the job. Each waits in calls of its ports and in sleeps. While all
//! of them wait, nothing else happens, so a seed always draws the same run. Time passes only when a sleep ends.

use std::{
    cell::Cell,
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    thread::{self, ThreadId},
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use shared::clock::testing::Clock;
use tokio::sync::{Notify, oneshot};

/// Longest time that a call takes; then its answer is lost.
const DEADLINE: SignedDuration = SignedDuration::from_secs(10);
/// Most that a process's clock is off.
pub(crate) const MAX_DRIFT: SignedDuration = SignedDuration::from_secs(3);

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Succeeds,
    /// The request is lost: nothing happens.
    RequestIsLost,
    /// It happens, but the answer is lost.
    AnswerIsLost,
    /// It happens twice, because the client repeated it after a lost answer.
    HappensTwice,
    /// The process died before it.
    Died,
}

/// Of 1,000 calls, how many fail; of 1,000 steps, in how many a process dies, or one that runs long stalls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    pub(crate) faults: u32,
    pub(crate) deaths: u32,
    pub(crate) stalls: u32,
}

pub(crate) type ProcessNumber = usize;

thread_local! {
    static CURRENT: Cell<Option<ProcessNumber>> = const { Cell::new(None) };
    static DRIFT: Cell<SignedDuration> = const { Cell::new(SignedDuration::ZERO) };
}

#[derive(Debug)]
struct Process {
    drift: SignedDuration,
    /// Until then it does nothing, as on a machine that is paused.
    stalled_until: Timestamp,
    /// An execution, not a request.
    runs_long: bool,
    is_dead: bool,
    has_ended: bool,
}

#[derive(Debug)]
enum End {
    /// A call, begun at that time.
    Call(Timestamp),
    Sleep(Timestamp),
}

struct Waiting {
    process: Option<ProcessNumber>,
    /// Beside the main flow of its process.
    is_background: bool,
    what: &'static str,
    end: End,
    wake: oneshot::Sender<Fate>,
}

struct State {
    random: fastrand::Rng,
    rates: Rates,
    now: Timestamp,
    waiting: Vec<Waiting>,
    processes: Vec<Process>,
    trace: Vec<String>,
    broken_rules: Vec<String>,
}

impl State {
    fn is_alive(&self, process: ProcessNumber) -> bool {
        let Process { is_dead, has_ended, .. } = self.processes[process];
        !is_dead && !has_ended
    }

    /// When a wait can end; `None` if it can now.
    fn earliest(&self, at: usize) -> Option<Timestamp> {
        let wait = &self.waiting[at];
        let stalled_until = wait.process.map(|process| self.processes[process].stalled_until);
        let sleeps_until = match wait.end {
            End::Sleep(until) => Some(until),
            End::Call(_) => stalled_until.filter(|until| *until > self.now),
        };
        sleeps_until.max(stalled_until.filter(|until| *until > self.now))
    }

    /// When the client of a call gives up.
    fn deadline(&self, at: usize) -> Option<Timestamp> {
        let wait = &self.waiting[at];
        let End::Call(begun) = wait.end else { return None };
        let stalled_until = wait.process.map(|process| self.processes[process].stalled_until);
        Some(stalled_until.map_or(begun, |until| until.max(begun)) + DEADLINE)
    }
}

/// The schedule and the clock of a simulation.
pub(crate) struct Schedule {
    state: Mutex<State>,
    /// Told of each wait that begins and each process that ends: all that can let the processes be settled.
    changed: Notify,
    runtime_thread: ThreadId,
}

impl Schedule {
    pub(crate) fn new(seed: u64, rates: Rates, now: Timestamp) -> Arc<Self> {
        let state = State {
            random: fastrand::Rng::with_seed(seed),
            rates,
            now,
            waiting: Vec::new(),
            processes: Vec::new(),
            trace: Vec::new(),
            broken_rules: Vec::new(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Notify::new(),
            runtime_thread: thread::current().id(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A random number below `limit`.
    pub(crate) fn below(&self, limit: usize) -> usize {
        self.state().random.usize(..limit)
    }

    pub(crate) fn pause(&self, seconds: u64) -> Duration {
        Duration::from_millis(self.state().random.u64(..=seconds * 1000))
    }

    pub(crate) fn chance(&self, of_1000: u32) -> bool {
        self.state().random.u32(..1000) < of_1000
    }

    /// What happened, a line a step.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.state().trace.clone()
    }

    /// Notes that a process did what it must not do.
    pub(crate) fn break_rule(&self, rule: String) {
        self.state().broken_rules.push(rule);
    }

    pub(crate) fn broken_rules(&self) -> Vec<String> {
        self.state().broken_rules.clone()
    }

    /// Begins a process.
    pub(crate) fn begin(&self, runs_long: bool) -> ProcessNumber {
        let mut state = self.state();
        let limit = MAX_DRIFT.as_millis() as i64;
        let drift = SignedDuration::from_millis(state.random.i64(-limit..=limit));
        state.processes.push(Process {
            drift,
            stalled_until: Timestamp::MIN,
            runs_long,
            is_dead: false,
            has_ended: false,
        });
        state.processes.len() - 1
    }

    /// Runs the main flow of a process to its end. `None` if it died.
    pub(crate) async fn run<T>(&self, process: ProcessNumber, flow: impl Future<Output = T>) -> Option<T> {
        let drift = self.state().processes[process].drift;
        let result = Flow { process, drift, flow: Box::pin(flow) }.await;
        let mut state = self.state();
        state.processes[process].has_ended = true;
        self.changed.notify_one();
        (!state.processes[process].is_dead).then_some(result)
    }

    /// Kills a process that is waiting in a call.
    fn kill(&self, state: &mut State, process: ProcessNumber) {
        state.processes[process].is_dead = true;
        state.trace.push(format!("{process} dies"));
        let (of_it, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.waiting).into_iter().partition(|wait| wait.process == Some(process));
        state.waiting = others;
        for wait in of_it {
            if !wait.is_background {
                // what it was waiting for may have happened
                let fate = if state.random.bool() { Fate::Died } else { Fate::AnswerIsLost };
                wait.wake.send(fate).ok();
            }
        }
    }

    /// Waits until a call of `process` ends.
    pub(crate) async fn call(&self, process: ProcessNumber, what: &'static str, is_background: bool) -> Fate {
        if !is_background && thread::current().id() != self.runtime_thread {
            CURRENT.set(Some(process));
        }
        let wait = {
            let mut state = self.state();
            if state.processes[process].is_dead {
                None
            } else {
                let (wake, woken) = oneshot::channel();
                let end = End::Call(state.now);
                state.waiting.push(Waiting { process: Some(process), is_background, what, end, wake });
                self.changed.notify_one();
                Some(woken)
            }
        };
        match wait {
            Some(woken) => match woken.await {
                Ok(fate) => fate,
                Err(_) => std::future::pending().await,
            },
            None if is_background => std::future::pending().await,
            None => Fate::Died,
        }
    }

    pub(crate) fn is_dead(&self, process: ProcessNumber) -> bool {
        self.state().processes[process].is_dead
    }

    /// The drift of a process, while its call has its effect.
    pub(crate) fn with_clock_of(&self, process: ProcessNumber) -> DriftingClock {
        DriftingClock(DRIFT.replace(self.state().processes[process].drift))
    }

    /// Does the next thing: a process dies or stalls, time passes, or a wait ends. `None` if nothing waits.
    fn step(&self) -> Option<&'static str> {
        let mut state = self.state();
        let state = &mut *state;
        if state.waiting.is_empty() {
            return None;
        }
        let alive: Vec<_> = (0..state.processes.len()).filter(|process| state.is_alive(*process)).collect();
        if !alive.is_empty() && state.random.u32(..1000) < state.rates.deaths {
            let process = alive[state.random.usize(..alive.len())];
            self.kill(state, process);
            return Some("death");
        }
        let mut long = alive;
        long.retain(|process| state.processes[*process].runs_long);
        if !long.is_empty() && state.random.u32(..1000) < state.rates.stalls {
            let process = long[state.random.usize(..long.len())];
            let time = SignedDuration::from_secs(state.random.i64(1..900));
            state.processes[process].stalled_until = state.now + time;
            state.trace.push(format!("{process} stalls for {time:#}"));
            return Some("stall");
        }
        let ready: Vec<_> = (0..state.waiting.len()).filter(|at| state.earliest(*at).is_none()).collect();
        let next = (0..state.waiting.len()).filter_map(|at| Some((state.earliest(at)?, at))).min();
        let passes_time = next.is_some() && (ready.is_empty() || state.random.u32(..10) == 0);
        let (at, fate) = match next {
            Some((until, at)) if passes_time => {
                // the deadline of a call that comes first
                if let Some(late) =
                    ready.iter().copied().find(|at| state.deadline(*at).is_some_and(|end| end < until))
                {
                    (late, if state.random.bool() { Fate::AnswerIsLost } else { Fate::RequestIsLost })
                } else {
                    state.now = state.now.max(until);
                    if matches!(state.waiting[at].end, End::Call(_)) {
                        return Some("its process goes on");
                    }
                    (at, Fate::Succeeds)
                }
            }
            _ => {
                let at = ready[state.random.usize(..ready.len())];
                let fate = if state.random.u32(..1000) < state.rates.faults {
                    [Fate::RequestIsLost, Fate::AnswerIsLost, Fate::HappensTwice][state.random.usize(..3)]
                } else {
                    Fate::Succeeds
                };
                if state.random.u32(..10) == 0 {
                    state.now +=
                        SignedDuration::from_millis(state.random.i64(0..DEADLINE.as_millis() as i64));
                }
                (at, fate)
            }
        };
        let wait = state.waiting.remove(at);
        let process = wait.process.map_or_else(|| "-".to_owned(), |number| number.to_string());
        state.trace.push(format!("{process} {} {fate:?}", wait.what));
        wait.wake.send(fate).ok();
        Some(wait.what)
    }

    /// Whether the main flow of every process waits.
    fn is_settled(&self) -> bool {
        let mut state = self.state();
        // the wait of a flow that was dropped
        state.waiting.retain(|wait| !wait.wake.is_closed());
        let main_flows = state.waiting.iter().filter(|wait| !wait.is_background);
        let waits: BTreeSet<_> = main_flows.filter_map(|wait| wait.process).collect();
        (0..state.processes.len())
            .all(|process| state.processes[process].has_ended || waits.contains(&process))
    }

    /// Lets everything happen until nothing waits; calls `check` after each step, with what happened in it.
    pub(crate) async fn play(&self, mut check: impl FnMut(&str)) {
        self.settle().await;
        while let Some(what) = self.step() {
            self.settle().await;
            check(what);
        }
    }

    /// Waits until the main flow of every process waits, and nothing is left to do on this thread.
    async fn settle(&self) {
        loop {
            yield_often().await;
            if self.is_settled() {
                break;
            }
            // another thread works
            self.changed.notified().await;
        }
        yield_often().await;
    }
}

/// Lets the other tasks of this thread run. The runtime goes on here when it has no more tasks, or after 61 of them; some
/// tasks yield, too.
async fn yield_often() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl Clock for Schedule {
    fn now(&self) -> Timestamp {
        self.state().now + DRIFT.get()
    }

    async fn sleep(&self, time: Duration) {
        let woken = {
            let mut state = self.state();
            let process = CURRENT.get();
            if process.is_some_and(|process| state.processes[process].is_dead) {
                return;
            }
            let end = End::Sleep(state.now + time);
            let (wake, woken) = oneshot::channel();
            let is_background = process.is_none();
            state.waiting.push(Waiting { process, is_background, what: "sleep", end, wake });
            self.changed.notify_one();
            woken
        };
        woken.await.ok();
    }
}

/// While it lives, this thread's clock drifts.
pub(crate) struct DriftingClock(SignedDuration);

impl Drop for DriftingClock {
    fn drop(&mut self) {
        DRIFT.set(self.0);
    }
}

/// The main flow of a process: its sleeps are known as its own, and its clock drifts.
struct Flow<F> {
    process: ProcessNumber,
    drift: SignedDuration,
    flow: Pin<Box<F>>,
}

impl<F: Future> Future for Flow<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let before = CURRENT.replace(Some(self.process));
        let clock = DriftingClock(DRIFT.replace(self.drift));
        let polled = self.flow.as_mut().poll(context);
        drop(clock);
        CURRENT.set(before);
        polled
    }
}
