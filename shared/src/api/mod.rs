//! The wire: what requests and answers look like. `docs/API.md` describes it for callers.

mod create;
mod export;
mod job;
mod problem;

pub use create::{Ack, ExportRequest};
pub use export::ExportBody;
pub use job::{JobBody, JobPath, JobWithExportBody};
pub use problem::Problem;
