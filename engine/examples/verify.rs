//! Recomputes a merged checkpoint and compares it with its files: `cargo run --release --example verify -- BASE ADAPTER
//! MERGED`.

use std::error::Error;
use std::sync::Arc;

use engine::{Adapter, Checkpoint, LocalFolder, MergePlan, Model, RunOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let [base, adapter, merged] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: verify BASE ADAPTER MERGED")?;
    let base = Checkpoint::open(Arc::new(LocalFolder::open(base)?))?;
    let adapter = Adapter::open(Arc::new(LocalFolder::open(adapter)?))?;
    let plan = MergePlan::new(&Model::with_adapter(&base, &adapter)?)?;
    let verification = engine::verify_merge(&plan, &LocalFolder::open(merged)?, &RunOptions::default())?;
    for difference in &verification.differences {
        println!("{}: {}", difference.file, difference.problem);
    }
    match verification.differences.len() {
        0 => println!("{} files are as expected", verification.files),
        count => return Err(format!("{count} differences").into()),
    }
    Ok(())
}
