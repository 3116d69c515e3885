//! A load: connections that send one request after the other, each when it has the answer to the last.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::{
    client::{Ask, Connection},
    result::Result,
    server::Server,
};

/// Requests of each connection before the clock starts.
const WARM_UP: usize = 5;

/// What a load measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    /// CPU time of the server per request, in milliseconds.
    pub(crate) cpu: f64,
    /// Milliseconds from sending to the whole answer, as half of the requests had them, …
    pub(crate) p50: f64,
    /// … and all but a hundredth.
    pub(crate) p99: f64,
}

impl Load {
    pub(crate) async fn run(server: &Server, ask: &Ask, connections: usize, time: Duration) -> Result<Self> {
        let mut open = try_join_all((0..connections).map(|_| Connection::open(server.address))).await?;
        try_join_all(open.iter_mut().map(|connection| warm_up(connection, ask))).await?;
        let (cpu, started) = (server.cpu()?, Instant::now());
        let times =
            try_join_all(open.iter_mut().map(|connection| repeat(connection, ask, started + time))).await?;
        let (cpu, wall) = (server.cpu()? - cpu, started.elapsed());
        let mut times = times.concat();
        times.sort_unstable();
        let count = times.len() as f64;
        let at = |share: f64| {
            times.get((count * share) as usize).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        Ok(Self {
            per_second: count / wall.as_secs_f64(),
            cpu: cpu * 1e3 / count,
            p50: at(0.5),
            p99: at(0.99),
        })
    }
}

async fn warm_up(connection: &mut Connection, ask: &Ask) -> Result<()> {
    for _ in 0..WARM_UP {
        connection.send(ask).await?;
    }
    Ok(())
}

async fn repeat(connection: &mut Connection, ask: &Ask, until: Instant) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while Instant::now() < until {
        let sent = Instant::now();
        connection.send(ask).await?;
        times.push(sent.elapsed());
    }
    Ok(times)
}
