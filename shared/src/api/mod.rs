//! The wire format of requests and responses. `docs/API.md` describes it in prose, `docs/openapi.json` as OpenAPI.

mod create;
mod export;
mod health;
mod history;
mod job;
pub mod links;
#[cfg(feature = "openapi")]
pub mod openapi;
mod problem;
mod problem_kind;
pub mod rate_limit;

pub use create::{ExportStarted, REPLAYED};
pub use export::ExportBody;
pub use health::HealthBody;
pub use history::HistoryBody;
pub use job::{JobBody, JobWithExportBody};
pub use problem::Problem;
pub use problem_kind::ProblemKind;
