//! Simulations of the service: requests and executions of the job over a store, buckets, a platform and a clock that fail as
//! real ones do. Calls are lost before or after their effect, repeated, and delayed; processes die in any of them; clocks
//! differ by seconds. The job and the use cases are the real ones.
//!
//! A seed repeats a run exactly. `SIMULATION_SEED` runs one seed, `SIMULATION_RUNS` sets the number of seeds.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod buckets;
mod clients;
mod rules;
mod schedule;
mod store;
mod world;

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use shared::clock::testing;

use crate::{
    clients::{Client, Outcome},
    rules::{Contents, Rules},
    schedule::{Rates, Schedule},
    world::World,
};

const RUNS: u64 = 100;
const CLIENTS: usize = 6;
/// Nothing fails, a little, much; or executions stall so long that others take their exports for lost.
const RATES: [Rates; 5] = [
    Rates { faults: 0, deaths: 0, stalls: 0 },
    Rates { faults: 10, deaths: 1, stalls: 1 },
    Rates { faults: 40, deaths: 4, stalls: 4 },
    Rates { faults: 150, deaths: 10, stalls: 4 },
    Rates { faults: 10, deaths: 2, stalls: 40 },
];

/// Plays one simulation; what happened in it.
fn simulate(seed: u64, contents: &Mutex<Contents>) -> (Vec<Outcome>, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rates = RATES[(seed % RATES.len() as u64) as usize];
    let schedule = Schedule::new(seed, rates, Timestamp::now());
    testing::set(runtime.handle(), Some(schedule.clone()));
    let played = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let jobs = ["job-1".to_owned(), "job-2".to_owned()];
            let world = World::new(schedule.clone(), &jobs).await;
            let clients: Vec<_> =
                (0..CLIENTS).map(|number| tokio::spawn(Client::new(&world, &jobs, number).run())).collect();
            let mut rules = Rules::new(&world);
            schedule.play(|what| rules.check(what)).await;
            rules.check_end(&mut contents.lock().unwrap_or_else(PoisonError::into_inner));
            let mut outcomes = Vec::new();
            for client in clients {
                outcomes.push(client.await.unwrap());
            }
            outcomes
        })
    }));
    testing::set(runtime.handle(), None);
    runtime.shutdown_timeout(Duration::from_secs(1));
    let trace = schedule.trace();
    match played {
        Ok(outcomes) => (outcomes, trace),
        Err(panic) => {
            let tail = trace.len().saturating_sub(60);
            eprintln!("{}\nSIMULATION_SEED={seed}", trace[tail..].join("\n"));
            resume_unwind(panic)
        }
    }
}

#[test]
fn whatever_fails_no_export_is_wrong_or_lost() {
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().unwrap());
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_RUNS").unwrap_or(RUNS),
    };
    let (seeds, contents, seen) = (Mutex::new(seeds), Mutex::default(), Mutex::new(Seen::default()));
    let next = || seeds.lock().unwrap_or_else(PoisonError::into_inner).next();
    let simulate_all = || {
        while let Some(seed) = next() {
            let (outcomes, trace) = simulate(seed, &contents);
            seen.lock().unwrap_or_else(PoisonError::into_inner).add(outcomes, &trace);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(simulate_all);
        }
    });
    let Seen { steps, ends } = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{steps} steps, {ends:?}");
}

/// What was seen in all simulations.
#[derive(Default)]
struct Seen {
    steps: usize,
    ends: BTreeMap<String, usize>,
}

impl Seen {
    fn add(&mut self, outcomes: Vec<Outcome>, trace: &[String]) {
        self.steps += trace.len();
        for outcome in outcomes {
            let end = match outcome {
                Outcome::NotStarted => "not started".to_owned(),
                Outcome::Ended(export) => match export.failure {
                    Some(failure) => format!("{:?}", failure.code),
                    None => format!("{:?}", export.status),
                },
            };
            *self.ends.entry(end).or_default() += 1;
        }
    }
}

#[test]
fn a_seed_repeats_a_run() {
    for seed in [1, 2, 3] {
        let [(_, first), (_, second)] = [(); 2].map(|()| simulate(seed, &Mutex::default()));
        let differs = first.iter().zip(&second).position(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}: {:?}", differs.map(|at| (&first[at], &second[at])));
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}
