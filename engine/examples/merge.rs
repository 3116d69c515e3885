//! Merges a LoRA adapter into its base: `cargo run --release --example merge -- BASE ADAPTER OUT`.

use std::error::Error;
use std::sync::Arc;

use engine::{Adapter, Checkpoint, LocalFolder, LocalOutput, MergePlan, Model, RunOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let [base, adapter, out] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: merge BASE ADAPTER OUT")?;
    let base = Checkpoint::open(Arc::new(LocalFolder::open(base)?))?;
    let adapter = Adapter::open(Arc::new(LocalFolder::open(adapter)?))?;
    let plan = MergePlan::new(&Model::with_adapter(&base, &adapter)?)?;
    let outcome = engine::merge(&plan, &mut LocalOutput::create(out)?, &RunOptions::default())?;
    let summary = outcome.report.summary;
    println!("{} of {} tensors changed", summary.tensors_changed, outcome.report.tensors.len());
    Ok(())
}
