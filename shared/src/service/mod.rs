//! The use cases: create an export, list jobs, get a job; and the way of a Hub token to the job. They depend on domain and ports, not on HTTP or a cloud SDK.

pub mod create;
pub mod get;
pub mod history;
pub mod hub_token;
pub mod list;

use crate::{
    domain::{Error, JobId, Result, TrainingJob, UserId},
    ports::TrainingJobs,
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
