//! How long an export of a 1B-shaped Gemma 3 takes, and how much memory, beside `cp` of the same bytes and,
//! where they are installed, beside PEFT, llama.cpp's converter and `llama-quantize`.
//!
//! The model is made once, with pseudo-random weights, under the target directory. Everything is then run in turn,
//! several times, each run in a process of its own whose time and memory the kernel reports; medians are printed.

mod generate;
mod measure;
mod peers;
mod table;
mod work;

use std::error::Error;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use measure::Usage;
use peers::Peers;
use work::Work;

/// Measure exports of a 1B-shaped Gemma 3.
#[derive(Debug, Parser)]
struct Args {
    /// How often each is run
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Where models are made; needs about 8 GB
    #[arg(long, default_value = "target/bench")]
    scratch: PathBuf,
    /// Layers of the model (26 make it 1B)
    #[arg(long, default_value_t = 26)]
    layers: u32,
    #[command(subcommand)]
    only: Option<Only>,
}

#[derive(Debug, Subcommand)]
enum Only {
    /// Make the model and stop
    Generate,
    /// Run one export in this process, as a measured run does
    Run {
        /// Which
        #[arg(value_enum)]
        work: Work,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let scratch = std::path::absolute(&args.scratch)?;
    match args.only {
        Some(Only::Generate) => generate::model(&scratch, args.layers),
        Some(Only::Run { work }) => work.run(&scratch),
        None => {
            generate::model(&scratch, args.layers)?;
            compare(&scratch, args.runs)
        }
    }
}

fn compare(scratch: &std::path::Path, runs: usize) -> Result<(), Box<dyn Error>> {
    let mut results: Vec<(Work, Vec<Usage>)> = works().into_iter().map(|w| (w, Vec::new())).collect();
    for run in 1..=runs {
        for (work, usages) in &mut results {
            work.clean(scratch)?;
            work.prepare(scratch)?;
            let usage = measure::child(&work.command(scratch)?)?;
            eprintln!("run {run} of {runs}: {work}: {usage}");
            usages.push(usage);
        }
    }
    table::print(&results);
    Ok(())
}

/// Ours, and theirs where they are installed.
fn works() -> Vec<Work> {
    let mut works = Work::OURS.to_vec();
    match Peers::find() {
        Ok(_) => works.extend(Work::THEIRS),
        Err(missing) => eprintln!("without PEFT and llama.cpp to compare with: {missing}"),
    }
    works
}
