//! One execution, from the claim to the exit code.

use std::{process::ExitCode, sync::Arc, time::Duration};

use secrecy::SecretString;
use shared::{
    clock,
    domain::{Claim, Export, ExportId, GgufKind, Status, TrainingJob, Transition, TransitionError},
    ports::ApplyError,
    service::hub_token,
};
use tokio::runtime::Handle;

use crate::{
    context::{Context, Execution},
    error::JobError,
    plan::RequestedExport,
    progress::{self, ProgressTracker},
    read_cache::ReadCache,
    records,
    sources::InputSources,
    work::{ExportResult, ExportWork},
};

/// Most exports take minutes; the largest models and slow downloads take more than an hour.
const LONG: Duration = Duration::from_secs(2 * 3600);

/// Runs the export of `execution` and records how it ended. `stop` resolves when the platform stops the job; the
/// record then stays as it is, for a retry of this execution to claim within its lease.
///
/// The exit code is 0 when the export's end is recorded, completed or failed, and when another execution works on it.
/// It is 1 when a retry has to go on: after a stop, and when the end was not recorded.
pub async fn run(context: Context, execution: Execution, stop: impl Future<Output = ()>) -> ExitCode {
    let claim = execution.claim.clone();
    let id = execution.export;
    let export = match records::claim(context.exports.as_ref(), &execution).await {
        Ok(export) => export,
        Err(error) => return not_claimed(&context, &execution, error).await,
    };
    log_claim(&export, &claim);
    let (context, execution) = (Arc::new(context), Arc::new(execution));
    let progress = Arc::new(ProgressTracker::new());
    let recording = tokio::spawn(progress::record(
        Arc::clone(&progress),
        Arc::clone(&context.exports),
        id,
        claim.clone(),
        context.progress_interval,
    ));
    let warning = tokio::spawn(warn_when_long(id));
    let result = work(&context, &execution, &export, &progress, stop).await;
    warning.abort();
    recording.abort();
    // an aborted task has ended when its handle resolves, so no progress can follow the end
    recording.await.ok();
    let result = match result {
        Ok((training_job, result)) => {
            record_artifacts(&context, &execution, (&training_job, export.gguf_kind), &result)
                .await
                .map(|()| result)
        }
        Err(error) => Err(error),
    };
    let end = match result {
        Ok(ExportResult { artifacts, proof, message }) => {
            Transition::Complete { claim, artifacts, proof: proof.map(Box::new), message }
        }
        Err(error) if error.is_stopped() => return stopped(&context, id).await,
        Err(error) => {
            log_failure(id, &error);
            Transition::Fail { claim: Some(claim), failure: error.failure() }
        }
    };
    finish(&context, &execution, &end).await
}

/// How long the export waited for its first execution is a service level objective.
fn log_claim(export: &Export, claim: &Claim) {
    let kind = export.kind.as_str();
    let waited = clock::now().duration_since(export.started_at).as_secs_f64();
    tracing::info!(
        export.id = %export.id, job.id = %export.job_id, kind, attempt = claim.attempt,
        seconds_since_request = waited, "export claimed"
    );
}

/// Logs one line if the export still runs after [`LONG`]; an alert counts it.
async fn warn_when_long(id: ExportId) {
    tokio::time::sleep(LONG).await;
    tracing::warn!(export.id = %id, hours = LONG.as_secs() / 3600, "export runs long");
}

/// The exit code after a stop. An export that has ended, because it was cancelled, is not run again.
async fn stopped(context: &Context, id: ExportId) -> ExitCode {
    match context.exports.find(id).await {
        Ok(Some(export)) if export.status != Status::Running => {
            tracing::info!(export.id = %id, status = ?export.status, "stopped: the export has ended");
            ExitCode::SUCCESS
        }
        Ok(_) | Err(_) => {
            tracing::warn!(export.id = %id, "stopped before the end: a retry may claim the export within its lease");
            ExitCode::FAILURE
        }
    }
}

/// A failure that the caller has to resolve is no error of the service.
fn log_failure(id: ExportId, error: &JobError) {
    let code = error.code();
    let error = error as &dyn std::error::Error;
    if code.is_for_the_caller() {
        tracing::warn!(export.id = %id, failure.code = code.as_str(), error, "export failed");
    } else {
        tracing::error!(export.id = %id, failure.code = code.as_str(), error, "export failed");
    }
}

async fn not_claimed(context: &Context, execution: &Execution, error: ApplyError) -> ExitCode {
    tracing::warn!(export.id = %execution.export, error = &error as &dyn std::error::Error, "export not claimed");
    match error {
        ApplyError::Refused(TransitionError::LeaseExpired) => {
            finish(context, execution, &Transition::Fail { claim: None, failure: Export::lease_expired() })
                .await
        }
        error if records::is_settled(&error) => ExitCode::SUCCESS,
        ApplyError::Refused(_) | ApplyError::NoSuchExport | ApplyError::Port(_) => ExitCode::FAILURE,
    }
}

/// Runs the blocking work on a thread of its own.
async fn work(
    context: &Arc<Context>,
    execution: &Arc<Execution>,
    export: &Export,
    progress: &Arc<ProgressTracker>,
    stop: impl Future<Output = ()>,
) -> Result<(TrainingJob, ExportResult), JobError> {
    let training_job = records::find_training_job(context, export).await?;
    let hf_token = hub_token(context, execution).await?;
    let blocking = {
        let (context, execution) = (Arc::clone(context), Arc::clone(execution));
        let (export, progress) = (export.clone(), Arc::clone(progress));
        let (runtime, training_job) = (Handle::current(), training_job.clone());
        tokio::task::spawn_blocking(move || {
            let sources = InputSources::new(
                &context.locations,
                hf_token.as_ref(),
                &progress,
                &runtime,
                ReadCache::new(context.machine.cache()),
            );
            let work = ExportWork {
                context: &context,
                execution: &execution,
                runtime: &runtime,
                requested: RequestedExport {
                    sources,
                    buckets: &context.locations.buckets,
                    export: &export,
                    training_job: &training_job,
                },
                progress: &progress,
            };
            work.run()
        })
    };
    tokio::pin!(blocking);
    let joined = tokio::select! {
        joined = &mut blocking => joined,
        () = stop => {
            progress.stop();
            blocking.await
        }
    };
    let result = joined.map_err(|panic| {
        tracing::error!(error = &panic as &dyn std::error::Error, "the work panicked");
        JobError::Internal(
            "the export job failed unexpectedly: this is a fault of the service, not of the model".to_owned(),
        )
    })??;
    Ok((training_job, result))
}

/// Sets the artifacts in the training job's record, unless the export has been cancelled.
async fn record_artifacts(
    context: &Context,
    execution: &Execution,
    (training_job, gguf_kind): (&TrainingJob, GgufKind),
    result: &ExportResult,
) -> Result<(), JobError> {
    records::begin_finish(context.exports.as_ref(), execution).await?;
    // what the job's document has as a GGUF is a model
    if result.artifacts.is_empty() || gguf_kind == GgufKind::Lora {
        return Ok(());
    }
    // of several of one variant and type, the first stays
    for artifact in result.artifacts.iter().rev() {
        records::add_artifact(context, training_job, artifact).await?;
    }
    Ok(())
}

/// The caller's token for the Hub.
async fn hub_token(context: &Context, execution: &Execution) -> Result<Option<SecretString>, JobError> {
    let Some(token) = &execution.hf_token else { return Ok(None) };
    match hub_token::open(context.token_key.as_deref(), execution.export, token).await {
        Ok(token) => Ok(Some(token)),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the Hub token was not opened");
            Err(JobError::Internal(
                "the service could not read the Hub token of this export: start the export again".to_owned(),
            ))
        }
    }
}

/// Records the end; the exit code for it.
async fn finish(context: &Context, execution: &Execution, end: &Transition) -> ExitCode {
    match records::finish(context.exports.as_ref(), execution, end).await {
        Err(error) if !records::is_settled(&error) => ExitCode::FAILURE,
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use shared::testing::http::CapturedLogs;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_long_export_is_logged_as_long() {
        let log = CapturedLogs::default();
        let _guard = log.capture();
        for (hours, lines) in [(1, 0), (3, 1)] {
            let work = tokio::time::sleep(Duration::from_secs(hours * 3600));
            tokio::select! {
                () = async { warn_when_long(ExportId::random()).await; std::future::pending().await } => {}
                () = work => {}
            }
            assert_eq!(log.text().matches("export runs long").count(), lines, "{hours} h");
        }
    }
}
