//! The jobs a caller can export.

use crate::{
    domain::{Result, TrainingJob, UserId},
    ports::TrainingJobs,
};

/// The caller's completed jobs, newest first.
///
/// # Errors
/// [`Error::Internal`](crate::domain::Error::Internal) when the store does not work.
pub async fn list(jobs: &dyn TrainingJobs, caller: &UserId) -> Result<Vec<TrainingJob>> {
    Ok(jobs.completed_of(caller).await?)
}
