//! The export job: one run, one export. Claim it, find its inputs, let the engine work, upload, finish.

mod archive;
mod blocks;
mod bucket;
pub mod config;
mod context;
mod error;
mod fingerprint;
mod hub;
mod input_folder;
mod inputs;
mod manifest;
mod plan;
mod reporter;
mod run;
mod sources;
mod work;

pub use context::{Buckets, Context, Execution, HubSettings, PROGRESS_INTERVAL};
pub use run::run;
