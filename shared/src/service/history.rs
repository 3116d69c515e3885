//! Gets the earlier exports of a job.

use jiff::Timestamp;

use super::{as_of, export_of_job, owned_job};
use crate::{
    domain::{
        Error, Export, ExportId, HistoryCursor, HistoryPage, InvalidRequest, JobId, PageRequest, Result,
        UserId,
    },
    ports::{ExportReader, TrainingJobs},
};

/// The ports that [`page`] and [`find`] use.
#[derive(Clone, Copy)]
pub struct HistoryPorts<'a> {
    /// The training jobs.
    pub jobs: &'a dyn TrainingJobs,
    /// Their exports.
    pub exports: &'a dyn ExportReader,
}

/// A page of the exports of the caller's job, newest first, as of `now`.
///
/// # Errors
/// In this order: the job does not exist, has another owner, the page before is of another job; or a store fails.
pub async fn page(
    ports: HistoryPorts<'_>,
    caller: &UserId,
    job: &JobId,
    request: PageRequest<ExportId>,
    now: Timestamp,
) -> Result<HistoryPage> {
    owned_job(ports.jobs, caller, job).await?;
    let after = match request.after {
        Some(id) => match export_of_job(ports.exports, job, id).await? {
            Some(export) => Some(HistoryCursor::from(&export)),
            None => return Err(InvalidRequest::new("page_token", "is not a token of this history").into()),
        },
        None => None,
    };
    let mut page = ports.exports.history(job, after, request.size).await?;
    page.exports = page.exports.into_iter().map(|export| as_of(export, now)).collect();
    Ok(page)
}

/// An export of the caller's job, as of `now`.
///
/// # Errors
/// In this order: the job does not exist, has another owner, the export does not exist or is of another job; or a store
/// fails.
pub async fn find(
    ports: HistoryPorts<'_>,
    caller: &UserId,
    job: &JobId,
    id: ExportId,
    now: Timestamp,
) -> Result<Export> {
    owned_job(ports.jobs, caller, job).await?;
    let found = export_of_job(ports.exports, job, id).await?.ok_or(Error::NoSuchExport(id))?;
    Ok(as_of(found, now))
}
