//! Domain model: ids, training jobs, exports, requests and errors. No I/O and no framework.

mod artifact;
mod body_field;
mod destination;
mod error;
mod export;
mod failure;
mod file_url;
mod finding;
mod gguf_kind;
mod history;
mod idempotency;
mod ids;
mod invalid_request;
mod limits;
mod max_bytes;
mod page;
mod plan;
mod proof;
mod quantization;
mod request;
mod survival;
mod training_job;

pub use artifact::{Artifact, ArtifactFile, ArtifactKind, Artifacts, Variant};
pub use destination::{Destination, Destinations};
pub use error::{Error, Result, Unauthenticated};
pub use export::{
    CLAIM_LEASE, Claim, Export, LAUNCH_LEASE, NewExport, Progress, Stage, Status, Transition, TransitionError,
};
pub use failure::{Failure, FailureCode};
pub use file_url::MAX_FILE_URL;
pub use finding::{Finding, FindingSeverity};
pub use gguf_kind::GgufKind;
pub use history::{HistoryCursor, HistoryPage};
pub use idempotency::{IdempotencyKey, InvalidIdempotencyKey, KEY_LIFETIME, request_hash};
pub use ids::{ExecutionName, ExportId, HubRepo, InvalidId, JobId, ProcessId, UserId};
pub use invalid_request::InvalidRequest;
pub use limits::{CallerLimits, CallerQuotas, DAILY_WINDOW, Quota};
pub use max_bytes::MAX_BYTES_LIMIT;
pub use page::{InvalidPageSize, PageRequest, PageSize};
pub use plan::{
    AdapterSummary, BaseAccess, BaseSource, BaseSummary, Estimate, ExpectedFile, Plan, PlanWarning,
    RepositorySummary, TypeCount,
};
pub use proof::{LogitDivergence, Proof};
pub use quantization::{Quantization, UnknownQuantization};
pub use request::{CreateExport, RawCreateExport};
pub use survival::{
    AdapterBeside, AnswerSample, LeftOutPrompts, PromptSource, PromptUse, SurvivalShare, TensorSurvival,
};
pub use training_job::TrainingJob;
