//! The records of an export and its training job. Writes are retried while the store fails: a claim or an end that is
//! lost would leave the export to its lease.

use std::time::Duration;

use backon::Retryable as _;
use shared::{
    domain::{Artifact, Export, ExportId, Progress, Stage, Status, TrainingJob, Transition, TransitionError},
    ports::{ApplyError, Exports, PortError},
};

use crate::{
    context::{Context, Execution},
    error::JobError,
};

/// Delays before the retries of a write.
const RETRY_DELAYS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];

/// Claims the export for `execution`. A retry is safe: the store identifies this process by its claim.
pub(crate) async fn claim(exports: &dyn Exports, execution: &Execution) -> Result<Export, ApplyError> {
    let transition = Transition::Claim(execution.claim.clone());
    (|| exports.apply(execution.export, &transition))
        .retry(RETRY_DELAYS.into_iter())
        .when(is_store_failure)
        .notify(|error, _| {
            tracing::warn!(error = error as &dyn std::error::Error, "the claim failed: retrying");
        })
        .await
}

/// The training job of `export`.
pub(crate) async fn find_training_job(context: &Context, export: &Export) -> Result<TrainingJob, JobError> {
    match context.training_jobs.find(&export.job_id).await {
        Ok(Some(job)) => Ok(job),
        Ok(None) => Err(JobError::NotFound(format!(
            "training job {} no longer exists: restore it or train again",
            export.job_id
        ))),
        Err(error) => Err(store_error(&error)),
    }
}

/// The export with that id.
pub(crate) async fn find_export(exports: &dyn Exports, id: ExportId) -> Result<Option<Export>, JobError> {
    (|| exports.find(id)).retry(RETRY_DELAYS.into_iter()).await.map_err(|error| store_error(&error))
}

/// Begins the stage in which an export can no longer be cancelled. Fails if this execution does not hold it any more.
pub(crate) async fn begin_finish(exports: &dyn Exports, execution: &Execution) -> Result<(), JobError> {
    let transition = Transition::Progress {
        claim: execution.claim.clone(),
        progress: Progress { stage: Stage::Finish, bytes_done: 0, bytes_total: 0 },
        message: "Recording the artifacts".to_owned(),
    };
    let begun = (|| exports.apply(execution.export, &transition))
        .retry(RETRY_DELAYS.into_iter())
        .when(is_store_failure)
        .await;
    match begun {
        Ok(_) => Ok(()),
        Err(ApplyError::Refused(_) | ApplyError::NoSuchExport) => Err(JobError::Stopped),
        Err(ApplyError::Port(error)) => Err(store_error(&error)),
    }
}

/// Adds `artifact` to the training job's record.
pub(crate) async fn add_artifact(
    context: &Context,
    job: &TrainingJob,
    artifact: &Artifact,
) -> Result<(), JobError> {
    (|| context.training_jobs.set_artifact(&job.id, artifact))
        .retry(RETRY_DELAYS.into_iter())
        .await
        .map_err(|error| store_error(&error))
}

/// Records the end of the export, a [`Transition::Complete`] or [`Transition::Fail`].
pub(crate) async fn finish(
    exports: &dyn Exports,
    execution: &Execution,
    end: &Transition,
) -> Result<(), ApplyError> {
    (async || {
        let result = exports.apply(execution.export, end).await;
        match result {
            // the response to an earlier try may have been lost
            Err(error @ ApplyError::Refused(TransitionError::Ended)) => {
                recorded(exports, execution, end).await.ok_or(error)
            }
            result => result,
        }
    })
    .retry(RETRY_DELAYS.into_iter())
    .when(is_store_failure)
    .notify(|error, _| {
        let error = error as &dyn std::error::Error;
        tracing::warn!(export.id = %execution.export, error, "recording the end failed: retrying");
    })
    .await
    .map(|export| {
        let code = export.failure.as_ref().map(|failure| failure.code.as_str());
        tracing::info!(export.id = %export.id, status = ?export.status, failure.code = code, "export ended");
    })
    .inspect_err(|error| {
        let error = error as &dyn std::error::Error;
        tracing::error!(export.id = %execution.export, error, "the end was not recorded");
    })
}

/// The export, if its record has this end from this process.
async fn recorded(exports: &dyn Exports, execution: &Execution, end: &Transition) -> Option<Export> {
    let export = exports.find(execution.export).await.ok()??;
    let is_completed = matches!(end, Transition::Complete { .. });
    let same = (export.status == Status::Completed) == is_completed;
    (same && export.claim.as_ref() == Some(&execution.claim)).then_some(export)
}

fn is_store_failure(error: &ApplyError) -> bool {
    matches!(error, ApplyError::Port(_))
}

fn store_error(error: &PortError) -> JobError {
    tracing::error!(error = error as &dyn std::error::Error, "the store of records failed");
    JobError::Internal(
        "the records of the service could not be read or written: start the export again".to_owned(),
    )
}
