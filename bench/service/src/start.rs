//! Cold starts: from the start of a process until it answers, to its first answer of a request, and its memory then.

use std::time::Duration;

use crate::{
    contenders::{Route, System, World},
    result::Result,
};

/// What a start took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) system: System,
    pub(crate) route: Route,
    /// Until `GET /health`, which every function serves, is answered.
    pub(crate) ready: Duration,
    /// Until the route's request is answered: in another process.
    pub(crate) time: Duration,
    /// Resident memory after the first answer, in MiB.
    pub(crate) memory: f64,
}

/// Starts each system that often, in turn.
pub(crate) async fn measure(world: &World, systems: &[System], times: usize) -> Result<Vec<Start>> {
    let mut starts = Vec::new();
    for _ in 0..times {
        for route in Route::ALL {
            for &system in systems.iter().filter(|system| world.has(**system, route)) {
                let ready = world.start(system, route)?.first_answer(&world.ask(Route::Health)).await?;
                let server = world.start(system, route)?;
                let time = server.first_answer(&world.ask(route)).await?;
                starts.push(Start { system, route, ready, time, memory: server.memory()? });
            }
        }
    }
    Ok(starts)
}
