//! The records of an export and its training job. Writes are retried while the store fails: a claim or an end that is
//! lost would leave the export to its lease.

use std::time::Duration;

use backon::Retryable as _;
use shared::{
    clock,
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
        .sleep(clock::sleep)
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
    (|| exports.find(id))
        .retry(RETRY_DELAYS.into_iter())
        .sleep(clock::sleep)
        .await
        .map_err(|error| store_error(&error))
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
        .sleep(clock::sleep)
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
        .sleep(clock::sleep)
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
    .sleep(clock::sleep)
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
        let (id, cause) = (execution.export, error as &dyn std::error::Error);
        match error {
            // it was cancelled, most likely
            ApplyError::Refused(TransitionError::Ended) => {
                tracing::info!(export.id = %id, "the export has ended already");
            }
            ApplyError::Refused(TransitionError::ClaimedByAnother) => {
                tracing::warn!(export.id = %id, "another process works on the export");
            }
            ApplyError::Refused(_) | ApplyError::NoSuchExport | ApplyError::Port(_) => {
                tracing::error!(export.id = %id, error = cause, "the end was not recorded");
            }
        }
    })
}

/// Whether the export has an end, or another process that records it.
pub(crate) fn is_settled(error: &ApplyError) -> bool {
    matches!(error, ApplyError::Refused(TransitionError::ClaimedByAnother | TransitionError::Ended))
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

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use shared::{
        adapters::documents::{self, EXPORTS},
        clock,
        domain::Claim,
        testing::{MemoryStore, fixtures, http::CapturedLogs},
    };

    use super::*;

    /// What is logged of the end of an export that is in the store as `stored`, and whether nothing is left to do.
    async fn end(stored: Export, claim: &Claim) -> (Vec<String>, bool) {
        let (store, log) = (MemoryStore::default(), CapturedLogs::default());
        store.put(EXPORTS, &stored.id.to_string(), documents::create(&stored));
        let execution = Execution { export: stored.id, claim: claim.clone(), hf_token: None };
        let message = "Exported".to_owned();
        let completed =
            Transition::Complete { claim: claim.clone(), artifacts: Vec::new(), proof: None, message };
        let guard = log.capture();
        let error = finish(&store, &execution, &completed).await.unwrap_err();
        drop(guard);
        let text = |field: &serde_json::Value| field.as_str().unwrap_or_default().to_owned();
        let lines =
            log.lines().into_iter().map(|line| text(&line["severity"]) + " " + &text(&line["message"]));
        (lines.collect(), is_settled(&error))
    }

    #[tokio::test]
    async fn only_an_end_that_is_lost_is_logged_as_an_error() {
        let (ours, others) = (fixtures::claim("run-1"), fixtures::claim("run-2"));
        let claimed = |claim: &Claim, age: i64| {
            let since = clock::now() - SignedDuration::from_secs(age);
            let export = fixtures::new_export(ExportId::random(), fixtures::JOB, since);
            export.apply(&Transition::Claim(claim.clone()), since).unwrap()
        };
        let cancelled = claimed(&ours, 0).apply(&Transition::Cancel, clock::now()).unwrap();
        assert_eq!(end(cancelled, &ours).await, (vec!["INFO the export has ended already".to_owned()], true));
        let taken = claimed(&others, 0);
        assert_eq!(
            end(taken, &ours).await,
            (vec!["WARNING another process works on the export".to_owned()], true)
        );
        let expired = claimed(&ours, 3_600);
        assert_eq!(end(expired, &ours).await, (vec!["ERROR the end was not recorded".to_owned()], false));
    }
}
