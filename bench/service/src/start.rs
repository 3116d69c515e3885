//! Cold starts: from the start of a process to its first answer, and its memory then.

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
    pub(crate) time: Duration,
    /// Resident memory after the first answer, in MiB.
    pub(crate) memory: f64,
}

/// Starts everybody that often, in turn.
pub(crate) async fn measure(world: &World, times: usize) -> Result<Vec<Start>> {
    let mut starts = Vec::new();
    for _ in 0..times {
        for route in [Route::Health, Route::List, Route::Get, Route::Create] {
            for system in [System::Ours, System::FastApi] {
                let server = world.start(system, route)?;
                let time = server.first_answer(&world.ask(route)).await?;
                starts.push(Start { system, route, time, memory: server.memory()? });
            }
        }
    }
    Ok(starts)
}
