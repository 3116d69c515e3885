//! Plans an export: what it would make, or why it would fail.

use super::owned_job;
use crate::{
    clock,
    domain::{CreateExport, Error, Export, ExportId, NewExport, Plan, Result, UserId},
    ports::{ExportPlanner, PlanError, TrainingJobs},
};

/// The plan of an export of a job of `caller`. Nothing is stored or started, and the caller's limits are not counted.
///
/// # Errors
/// In this order: the job does not exist, has another owner, is not completed; the export would fail; the Hub is not
/// available; or a port fails.
pub async fn plan(
    jobs: &dyn TrainingJobs,
    planner: &dyn ExportPlanner,
    caller: &UserId,
    request: &CreateExport,
) -> Result<Plan> {
    let job = owned_job(jobs, caller, &request.job_id).await?;
    job.check_completed()?;
    let id = ExportId::random();
    let new = NewExport { id, user: caller, request, request_hash: None, retention_days: None };
    let export = Export::new(&new, clock::now());
    match planner.plan(&export, &job, request.hf_token.as_ref()).await {
        Ok(plan) => Ok(plan),
        Err(PlanError::Refused { failure, field }) => {
            Err(Error::CannotBeExported { message: failure.message, field })
        }
        Err(PlanError::HubUnavailable { message, retry_after }) => {
            Err(Error::HubUnavailable { message, retry_after })
        }
        Err(PlanError::Port(error)) => Err(error.into()),
    }
}
