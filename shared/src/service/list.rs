//! Lists the jobs that a user can export.

use crate::{
    domain::{Result, TrainingJob, UserId},
    ports::TrainingJobs,
};

/// The completed jobs of `caller`, newest first.
///
/// # Errors
/// [`Error::Internal`](crate::domain::Error::Internal) if the store fails.
pub async fn list(jobs: &dyn TrainingJobs, caller: &UserId) -> Result<Vec<TrainingJob>> {
    Ok(jobs.list_completed(caller).await?)
}
