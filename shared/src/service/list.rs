//! Lists the jobs that a user can export.

use crate::{
    domain::{InvalidRequest, JobId, PageRequest, Result, TrainingJob, UserId},
    ports::TrainingJobs,
};

/// A page of jobs.
#[derive(Debug)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<TrainingJob>,
    /// The page that follows, if there is one.
    pub next: Option<PageRequest<JobId>>,
}

/// The completed jobs of `caller`, newest first; all of them if no page is asked for.
///
/// # Errors
/// In this order: a store fails, or the last job of the page before is none of them.
pub async fn list(
    jobs: &dyn TrainingJobs,
    caller: &UserId,
    page: Option<PageRequest<JobId>>,
) -> Result<JobPage> {
    let mut jobs = jobs.list_completed(caller).await?;
    let Some(PageRequest { size, after }) = page else { return Ok(JobPage { jobs, next: None }) };
    if let Some(after) = after {
        let Some(index) = jobs.iter().position(|job| job.id == after) else {
            return Err(InvalidRequest::new("page_token", "is not a token of this list").into());
        };
        jobs.drain(..=index);
    }
    let has_more = jobs.len() > size.get();
    jobs.truncate(size.get());
    let last = jobs.last().filter(|_| has_more);
    let next = last.map(|last| PageRequest { size, after: Some(last.id.clone()) });
    Ok(JobPage { jobs, next })
}
