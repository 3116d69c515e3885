//! The job over folders and a store in memory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calibration;
mod earlier_merge;
mod exports;
mod gcs;
mod hub;
mod hub_causes;
mod hub_client;
mod hub_faults;
mod hub_inputs;
mod hub_patience;
mod hub_transformers;
mod imatrix;
mod lifecycle;
mod lora;
mod max_bytes;
mod plans;
mod prompts;
mod qat;
mod support;
