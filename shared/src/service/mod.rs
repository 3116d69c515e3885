//! The use cases: create, cancel and plan an export, list jobs, get a job and its exports; and the way of a Hub token to the job.
//! They depend on domain and ports, not on HTTP or a cloud SDK.

pub mod cancel;
pub mod create;
pub mod get;
pub mod history;
pub mod hub_token;
pub mod links;
pub mod list;
pub mod plan;

use jiff::{SignedDuration, Timestamp};

use crate::{
    domain::{Error, Export, ExportId, JobId, Result, Status, TrainingJob, UserId},
    ports::{ExportReader, TrainingJobs},
};

/// The job with that id, if it belongs to `caller`.
///
/// # Errors
/// In this order: a store fails, the job does not exist, has another owner.
async fn owned_job(jobs: &dyn TrainingJobs, caller: &UserId, id: &JobId) -> Result<TrainingJob> {
    let job = jobs.find(id).await?.ok_or_else(|| Error::NoSuchJob(id.clone()))?;
    job.check_owner(caller)?;
    Ok(job)
}

/// A lease that expired earlier is not logged again.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// The export as of `now`. If its lease expired recently, the job that worked on it is gone, which is logged.
fn as_of(export: Export, now: Timestamp) -> Export {
    let ran = export.status == Status::Running;
    let export = export.as_of(now);
    if ran && export.finished_at.is_some_and(|end| now.duration_since(end) < RECENT) {
        tracing::warn!(export.id = %export.id, "the lease of an export expired");
    }
    export
}

/// The export with that id, if it is of that job.
async fn export_of_job(exports: &dyn ExportReader, job: &JobId, id: ExportId) -> Result<Option<Export>> {
    Ok(exports.find(id).await?.filter(|export| export.job_id == *job))
}
