//! The report of an export, and the check of a finished one.

mod clip_limits;
mod dropped_modules;
mod heads;
mod messages;
mod missing_factors;
mod outputs;
mod qat;
mod report;
mod resume;
mod sentence_transformers;
mod shapes;
mod support;
mod target_modules;
mod unused_tensors;
mod verify;
