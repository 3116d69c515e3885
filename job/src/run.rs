//! One execution, from the claim to the exit code.

use std::{process::ExitCode, sync::Arc, time::Duration};

use shared::{
    domain::{Artifact, Export, Status, TrainingJob, Transition, TransitionError},
    ports::{ApplyError, Exports, PortError},
};
use tokio::runtime::Handle;

use crate::{
    context::{Context, Execution},
    error::JobError,
    reporter::{self, Reporter},
    sources::InputSources,
    work::{Made, Work},
};

/// Waits between tries to claim, and to record an end: losing it would leave the export to its lease.
const TRIES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];

/// Runs the export of `execution` and records how it ended. `stop` resolves when the platform wants the job to end;
/// the record then stays as it is, for a retry of this execution to claim within its lease.
///
/// The exit code is 0 when the export is completed or another execution works on it, else 1.
pub async fn run(context: Context, execution: Execution, stop: impl Future<Output = ()>) -> ExitCode {
    let claim = execution.claim.clone();
    let id = execution.export;
    let export = match claim_export(context.exports.as_ref(), &execution).await {
        Ok(export) => export,
        Err(error) => return not_claimed(&context, &execution, error).await,
    };
    tracing::info!(export.id = %id, job.id = %export.job_id, kind = export.kind.as_str(), "export claimed");
    let (context, execution) = (Arc::new(context), Arc::new(execution));
    let reporter = Arc::new(Reporter::new());
    let recording = tokio::spawn(reporter::keep_recording(
        Arc::clone(&reporter),
        Arc::clone(&context.exports),
        id,
        claim.clone(),
        context.progress_interval,
    ));
    let result = work(&context, &execution, &export, &reporter, stop).await;
    recording.abort();
    // an aborted task is gone when its handle resolves, so no progress can follow the end
    recording.await.ok();
    let end = match result {
        Ok(Made { artifacts, proof, message }) => Transition::Complete { claim, artifacts, proof, message },
        Err(error) if error.is_stop() => {
            tracing::warn!(export.id = %id, "stopped before the end: a retry may claim the export while its lease lasts");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            tracing::error!(export.id = %id, error = &error as &dyn std::error::Error, "export failed");
            Transition::Fail { claim: Some(claim), message: error.message() }
        }
    };
    finish(context.exports.as_ref(), &execution, &end).await
}

/// Claims the export, again when the store does not answer: it may have taken the claim, and knows this process.
async fn claim_export(exports: &dyn Exports, execution: &Execution) -> Result<Export, ApplyError> {
    let mut waits = TRIES.iter();
    loop {
        match exports.apply(execution.export, &Transition::Claim(execution.claim.clone())).await {
            Err(error @ ApplyError::Port(_)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "no answer to the claim");
                let Some(wait) = waits.next() else { return Err(error) };
                tokio::time::sleep(*wait).await;
            }
            answer @ (Ok(_) | Err(ApplyError::Refused(_) | ApplyError::NoSuchExport)) => return answer,
        }
    }
}

async fn not_claimed(context: &Context, execution: &Execution, error: ApplyError) -> ExitCode {
    tracing::warn!(export.id = %execution.export, error = &error as &dyn std::error::Error, "export not claimed");
    match error {
        ApplyError::Refused(TransitionError::ClaimedByAnother) => ExitCode::SUCCESS,
        ApplyError::Refused(TransitionError::LeaseExpired) => {
            let message = Export::LEASE_EXPIRED_MESSAGE.to_owned();
            finish(context.exports.as_ref(), execution, &Transition::Fail { claim: None, message }).await
        }
        ApplyError::Refused(TransitionError::Ended | TransitionError::NotClaimed)
        | ApplyError::NoSuchExport
        | ApplyError::Port(_) => ExitCode::FAILURE,
    }
}

/// The blocking work on a thread of its own, and the records of the training job around it.
async fn work(
    context: &Arc<Context>,
    execution: &Arc<Execution>,
    export: &Export,
    reporter: &Arc<Reporter>,
    stop: impl Future<Output = ()>,
) -> Result<Made, JobError> {
    let training_job = find_training_job(context, export).await?;
    let blocking = {
        let (context, execution) = (Arc::clone(context), Arc::clone(execution));
        let (export, reporter) = (export.clone(), Arc::clone(reporter));
        let (runtime, training_job) = (Handle::current(), training_job.clone());
        tokio::task::spawn_blocking(move || {
            let sources = InputSources::new(&context, &execution, &runtime);
            let (context, export, training_job, reporter) = (&*context, &export, &training_job, &reporter);
            Work { context, sources, export, training_job, reporter }.run()
        })
    };
    tokio::pin!(blocking);
    let done = tokio::select! {
        done = &mut blocking => done,
        () = stop => {
            reporter.stop();
            blocking.await
        }
    };
    let made = done.map_err(|panic| {
        tracing::error!(error = &panic as &dyn std::error::Error, "the work panicked");
        JobError::Inputs(
            "the export job failed inside: this is a fault of the service, not of the model".to_owned(),
        )
    })??;
    for artifact in &made.artifacts {
        record_artifact(context, &training_job, artifact).await?;
    }
    Ok(made)
}

async fn find_training_job(context: &Context, export: &Export) -> Result<TrainingJob, JobError> {
    match context.training_jobs.find(&export.job_id).await {
        Ok(Some(job)) => Ok(job),
        Ok(None) => Err(JobError::Inputs(format!("training job {} does not exist any more", export.job_id))),
        Err(error) => Err(store_failed(&error)),
    }
}

async fn record_artifact(context: &Context, job: &TrainingJob, artifact: &Artifact) -> Result<(), JobError> {
    let mut waits = TRIES.iter();
    loop {
        match context.training_jobs.set_artifact(&job.id, artifact).await {
            Ok(()) => return Ok(()),
            Err(error) => match waits.next() {
                Some(wait) => tokio::time::sleep(*wait).await,
                None => return Err(store_failed(&error)),
            },
        }
    }
}

fn store_failed(error: &PortError) -> JobError {
    tracing::error!(error = error as &dyn std::error::Error, "the store of records failed");
    JobError::Inputs(
        "the records of the service could not be read or written: start the export again".to_owned(),
    )
}

/// Records how the export ended, trying again while the store does not work.
async fn finish(exports: &dyn Exports, execution: &Execution, end: &Transition) -> ExitCode {
    let mut waits = TRIES.iter();
    loop {
        let (error, wait) = match exports.apply(execution.export, end).await {
            Ok(export) => {
                tracing::info!(export.id = %export.id, status = ?export.status, "export ended");
                return exit_code(end);
            }
            Err(error @ ApplyError::Port(_)) => (error, waits.next()),
            // the answer to an earlier try was lost
            Err(ApplyError::Refused(TransitionError::Ended))
                if ended_as_told(exports, execution, end).await =>
            {
                return exit_code(end);
            }
            Err(error @ (ApplyError::Refused(_) | ApplyError::NoSuchExport)) => (error, None),
        };
        tracing::error!(export.id = %execution.export, error = &error as &dyn std::error::Error, "the end was not recorded");
        match wait {
            Some(wait) => tokio::time::sleep(*wait).await,
            None => return ExitCode::FAILURE,
        }
    }
}

fn exit_code(end: &Transition) -> ExitCode {
    if matches!(end, Transition::Complete { .. }) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the record says that this process ended it so.
async fn ended_as_told(exports: &dyn Exports, execution: &Execution, end: &Transition) -> bool {
    let Ok(Some(export)) = exports.find(execution.export).await else { return false };
    let completed = matches!(end, Transition::Complete { .. });
    export.claim.as_ref() == Some(&execution.claim) && (export.status == Status::Completed) == completed
}
