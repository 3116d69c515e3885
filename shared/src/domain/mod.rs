//! What the service speaks of: ids, training jobs, exports, requests and errors. No I/O, no framework.

mod artifact;
mod error;
mod export;
mod ids;
mod proof;
mod quantization;
mod request;
mod training_job;

pub use artifact::{Artifact, ArtifactKind, Artifacts, Variant};
pub use error::{Error, Result, Unauthenticated};
pub use export::{
    CLAIM_LEASE, Claim, Export, LAUNCH_LEASE, NewExport, Progress, Refused, Stage, Status, Transition,
};
pub use ids::{ExecutionName, ExportId, HubRepo, InvalidId, JobId, ProcessId, UserId};
pub use proof::{Logits, Proof};
pub use quantization::{Quantization, UnknownQuantization};
pub use request::{CreateExport, Destination, Destinations, InvalidRequest, RawCreateExport};
pub use training_job::TrainingJob;
