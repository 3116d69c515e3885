//! The wire: what requests and answers look like. `docs/API.md` describes it for people,
//! `docs/openapi.json` for programs.

mod create;
mod export;
mod health;
mod job;
#[cfg(feature = "openapi")]
pub mod openapi;
mod problem;
mod problem_kind;

pub use create::{Ack, ExportRequest};
pub use export::ExportBody;
pub use health::Health;
pub use job::{JobBody, JobPath, JobWithExportBody};
pub use problem::Problem;
pub use problem_kind::ProblemKind;
