//! The use cases: create an export, list jobs, get a job. They depend on domain and ports, not on HTTP or a cloud SDK.

pub mod create;
pub mod get;
pub mod history;
pub mod list;
