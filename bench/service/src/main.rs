//! The functions beside a FastAPI service with the same routes (`bench/service/fastapi`): the same machine, Firestore
//! emulator, documents, tokens and load, in turn. `make bench-service` installs and starts what this needs;
//! `docs/PERFORMANCE.md` says what the figures mean.

mod agree;
mod client;
mod contenders;
mod load;
mod memory;
mod result;
mod rounds;
mod seed;
mod server;
mod start;
mod table;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use contenders::{Route, System, World};
use result::Result;

/// Measure the functions beside a FastAPI service.
#[derive(Debug, Parser)]
struct Args {
    /// How often everything is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The Python that has FastAPI
    #[arg(long, default_value = ".venv-bench/bin/python")]
    python: PathBuf,
    /// The folder of the functions' binaries [default: that of this program]
    #[arg(long)]
    binaries: Option<PathBuf>,
    #[command(subcommand)]
    only: Option<Only>,
}

#[derive(Debug, Subcommand)]
enum Only {
    /// Measure only how the functions start
    Starts {
        /// How often each starts
        #[arg(long, default_value_t = 10)]
        times: usize,
    },
    /// Serve a function over a store in memory, as a measured process does
    Memory {
        /// Which
        #[arg(value_enum)]
        route: Route,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(Only::Memory { route }) = args.only {
        return memory::serve(route).await;
    }
    let world = World::prepare(&args.python, args.binaries).await?;
    if let Some(Only::Starts { times }) = args.only {
        let starts = start::measure(&world, &[System::Ours], times).await?;
        return table::print_starts(&world, &starts);
    }
    world.check_python()?;
    agree::check(&world).await?;
    let starts = start::measure(&world, &[System::Ours, System::FastApi], 2 * args.rounds).await?;
    let results = rounds::measure(&world, args.rounds, Duration::from_secs_f64(args.seconds)).await?;
    table::print(&starts, &results);
    Ok(())
}
