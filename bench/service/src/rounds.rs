//! Loads in turn: every route at every number of connections, one system after the other, the first one changing.

use std::time::Duration;

use crate::{
    contenders::{Route, System, World},
    load::Load,
    result::Result,
    server::Server,
};

/// Connections that send at the same time.
pub(crate) const CONNECTIONS: [usize; 3] = [1, 8, 64];

/// What a load of a system measured, and its resident memory afterwards, in MiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) system: System,
    pub(crate) route: Route,
    pub(crate) connections: usize,
    pub(crate) load: Load,
    pub(crate) memory: f64,
}

/// Measures that often, with loads of that length.
pub(crate) async fn measure(world: &World, rounds: usize, time: Duration) -> Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for round in 0..rounds {
        for route in Route::LOADED {
            let mut systems = [System::Ours, System::FastApi, System::Memory];
            let first = round % systems.len();
            systems.rotate_left(first);
            let servers = systems.map(|system| world.start(system, route).map(|server| (system, server)));
            let servers = servers.into_iter().collect::<Result<Vec<(System, Server)>>>()?;
            for (_, server) in &servers {
                server.first_answer(&world.ask(route)).await?;
            }
            for connections in CONNECTIONS {
                for (system, server) in &servers {
                    let load = Load::run(server, &world.ask(route), connections, time).await?;
                    let memory = server.memory()?;
                    measured.push(Measured { system: *system, route, connections, load, memory });
                }
            }
            eprintln!("round {} of {rounds}: {route}", round + 1);
        }
    }
    Ok(measured)
}
