//! The export job. One execution works on one export: it claims the record, reads the inputs, lets the engine write
//! the model, uploads it, and records the end.
//!
//! ```text
//!  EXPORT_ID                                                                        module
//!      │
//!    claim ──────── refused: exit (0 if another execution owns the export)          records, run
//!      │            from here on: progress and lease every few seconds              progress
//!      ▼
//!    fetch          training job's record  ─► adapter or full fine-tune             records, inputs
//!      │            base model: bucket, else Hugging Face Hub                       sources, hub
//!      ▼
//!    plan           record + inputs ─► MergePlan or GgufPlan of the engine          plan
//!      │            published with this fingerprint? reuse the files               fingerprint, artifact_folder
//!      │            made by another export? wait for it                            maker
//!      ▼
//!    write          the engine reads inputs by ranges and writes to the bucket      work, bucket
//!      │            compare logits (VERIFY_LOGITS), then publish the manifest       work/proof, manifest
//!      ▼
//!    upload         one zip file (adapter, merged); one commit on the Hub           archive, hub
//!      │
//!      ▼
//!    finish         training job: artifacts; export: completed or failed            records, run
//! ```
//!
//! An error at any step rolls back the uncommitted files and records its message; a stop by the platform leaves the
//! record as it is, for a retry of the execution.
//!
//! Modules use only modules further down:
//!
//! ```text
//!  run · planner
//!  work · records · config
//!  plan · archive · maker
//!  inputs · artifact_folder
//!  sources
//!  hub
//!  fingerprint · manifest · chunks · bucket · estimate
//!  upload
//!  input_folder · progress · context
//!  machine · read_cache · error
//! ```
//!
//! `run` is asynchronous. `work` and all that it calls block, on a thread of their own.

#![cfg_attr(not(feature = "hub"), allow(dead_code, reason = "the client of the Hub uses it"))]

mod archive;
mod artifact_folder;
mod bucket;
mod chunks;
pub mod config;
mod context;
mod error;
mod estimate;
mod findings;
mod fingerprint;
mod hub;
mod hub_cause;
mod input_folder;
mod inputs;
mod joined_folder;
mod machine;
mod maker;
mod manifest;
mod plan;
mod planner;
mod progress;
mod read_cache;
mod records;
mod run;
mod sources;
mod upload;
mod work;

pub use context::{Buckets, Context, Execution, Locations, PROGRESS_INTERVAL};
pub use hub_client::HubSettings;
pub use machine::JobMachine;
pub use planner::Planner;
pub use run::run;
