//! The use cases: create and cancel an export, list jobs, get a job and its exports. They depend on domain and ports, not on HTTP or a cloud SDK.

pub mod cancel;
pub mod create;
pub mod get;
pub mod history;
pub mod list;

use crate::{
    domain::{Error, Export, ExportId, JobId, Result, TrainingJob, UserId},
    ports::{Exports, TrainingJobs},
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

/// The export with that id, if it is of that job.
async fn export_of_job(exports: &dyn Exports, job: &JobId, id: ExportId) -> Result<Option<Export>> {
    Ok(exports.find(id).await?.filter(|export| export.job_id == *job))
}
