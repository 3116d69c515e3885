//! The HTTP layer that all functions share: extractors, the middleware around every route, and body limits.

pub mod body;
mod caller;
mod cancel_request;
mod envelope;
mod export_path;
mod export_request;
mod health;
mod idempotency_key;
mod job_path;
mod linger;
mod page_query;
mod size_limits;
mod uncancelled;

pub use caller::Caller;
pub use cancel_request::CancelRequest;
pub use envelope::envelope;
pub use export_path::ExportPath;
pub use export_request::ExportRequest;
pub use idempotency_key::RequestKey;
pub use job_path::JobPath;
pub(crate) use linger::linger;
pub use page_query::PageQuery;
pub use size_limits::limit_sizes;
pub(crate) use size_limits::{HYPER_MAX_FIELDS, HYPER_MAX_HEADER};
pub use uncancelled::uncancelled;
