//! Cancels an export: ends its record and stops its job.

use jiff::Timestamp;

use super::{export_of_job, owned_job};
use crate::{
    domain::{Error, Export, ExportId, JobId, PageSize, Result, Status, Transition, TransitionError, UserId},
    ports::{ApplyError, Exports, JobLauncher, TrainingJobs},
};

/// The ports that [`cancel`] uses.
#[derive(Clone, Copy)]
pub struct CancelPorts<'a> {
    /// The training jobs.
    pub jobs: &'a dyn TrainingJobs,
    /// Their exports.
    pub exports: &'a dyn Exports,
    /// Stops the export job.
    pub launcher: &'a dyn JobLauncher,
}

/// Cancels that export of the caller's job; without an id, the newest one that is running at `now`. The export fails at
/// once. Its job is asked to stop; it also stops when it writes its progress, so a failure of that is only logged.
///
/// # Errors
/// In this order: the job does not exist, has another owner, the export does not exist or is of another job, has ended or is
/// about to be completed, none is running; or a store fails.
pub async fn cancel(
    ports: CancelPorts<'_>,
    caller: &UserId,
    job: &JobId,
    id: Option<ExportId>,
    now: Timestamp,
) -> Result<Export> {
    let find = async {
        match id {
            Some(id) => Ok(export_of_job(ports.exports, job, id).await?.ok_or(Error::NoSuchExport(id))?.id),
            None => running(ports.exports, job, now).await?.ok_or(Error::NotRunning),
        }
    };
    let (owned, found) = tokio::join!(owned_job(ports.jobs, caller, job), find);
    owned?;
    let id = found?;
    let cancelled = match ports.exports.apply(id, &Transition::Cancel).await {
        Ok(cancelled) => cancelled,
        Err(ApplyError::Refused(TransitionError::Finishing)) => return Err(Error::Finishing(id)),
        Err(ApplyError::Refused(_)) => return Err(Error::Ended(id)),
        Err(ApplyError::NoSuchExport) => return Err(Error::NoSuchExport(id)),
        Err(ApplyError::Port(error)) => return Err(error.into()),
    };
    stop_job(ports.launcher, &cancelled).await;
    Ok(cancelled)
}

/// The newest running export among the latest ones of that job.
async fn running(exports: &dyn Exports, job: &JobId, now: Timestamp) -> Result<Option<ExportId>> {
    let latest = exports.history(job, None, PageSize::LARGEST).await?.exports.into_iter();
    let mut running =
        latest.map(|export| export.as_of(now)).filter(|export| export.status == Status::Running);
    Ok(running.next().map(|export| export.id))
}

/// Stops the execution that works on the export, or will. If its name is unknown, its job is refused the claim.
async fn stop_job(launcher: &dyn JobLauncher, export: &Export) {
    let claimed = export.claim.as_ref().map(|claim| &claim.by);
    let Some(execution) = claimed.or(export.execution.as_ref()) else { return };
    if let Err(error) = launcher.cancel(execution).await {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, export.id = %export.id, "the execution of a cancelled export was not stopped: it stops at its next write");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapters::documents::{self, EXPORTS, TRAINING_JOBS},
        domain::{FailureCode, Progress, Stage},
        testing::{MemoryStore, RecordingLauncher, fixtures},
    };

    #[derive(Default)]
    struct TestContext {
        store: MemoryStore,
        launcher: RecordingLauncher,
    }

    impl TestContext {
        fn new() -> Self {
            let context = Self::default();
            context.store.put(TRAINING_JOBS, fixtures::JOB, fixtures::training_job(fixtures::ADA));
            context
        }

        fn put(&self, job: &str, started: i64, transitions: &[Transition]) -> ExportId {
            let mut export = fixtures::new_export(ExportId::random(), job, now(started));
            for transition in transitions {
                export = export.apply(transition, now(started)).unwrap();
            }
            self.store.put(EXPORTS, &export.id.to_string(), documents::create(&export));
            export.id
        }

        async fn cancel(&self, uid: &str, id: Option<ExportId>) -> Result<Export> {
            let ports = CancelPorts { jobs: &self.store, exports: &self.store, launcher: &self.launcher };
            cancel(ports, &fixtures::user(uid), &fixtures::job_id(fixtures::JOB), id, now(0)).await
        }
    }

    fn now(seconds: i64) -> Timestamp {
        crate::clock::now() + jiff::SignedDuration::from_secs(seconds)
    }

    fn claimed() -> Vec<Transition> {
        vec![Transition::Claim(fixtures::claim("run-1"))]
    }

    #[tokio::test]
    async fn the_newest_running_export_is_cancelled_and_its_execution_stopped() {
        let context = TestContext::new();
        context.put(fixtures::JOB, -30, &[]);
        let running = context.put(fixtures::JOB, -20, &claimed());
        context.put(fixtures::JOB, -10, &fixtures::lifecycle());
        context.put("job-2", 0, &[]);
        let cancelled = context.cancel(fixtures::ADA, None).await.unwrap();
        assert_eq!((cancelled.id, cancelled.status), (running, Status::Failed));
        assert_eq!(cancelled.failure.unwrap().code, FailureCode::Cancelled);
        assert_eq!(context.launcher.cancelled(), ["run-1"]);
        context.cancel(fixtures::ADA, None).await.unwrap();
        let nothing = context.cancel(fixtures::ADA, None).await;
        assert!(matches!(nothing, Err(Error::NotRunning)), "{nothing:?}");
    }

    #[tokio::test]
    async fn an_export_is_cancelled_by_its_id_even_if_its_execution_cannot_be_stopped() {
        let context = TestContext::new();
        let older = context.put(fixtures::JOB, -20, &claimed());
        let newer = context.put(fixtures::JOB, -10, &[]);
        context.launcher.set_cancel_failing();
        assert_eq!(context.cancel(fixtures::ADA, Some(older)).await.unwrap().status, Status::Failed);
        assert_eq!(context.cancel(fixtures::ADA, None).await.unwrap().id, newer);
    }

    #[tokio::test]
    async fn an_export_that_ended_or_lost_its_lease_or_is_of_another_job_is_not_cancelled() {
        let context = TestContext::new();
        let ended = context.put(fixtures::JOB, -10, &fixtures::lifecycle());
        let lost = context.put(fixtures::JOB, -10_000, &[]);
        let none = context.cancel(fixtures::ADA, None).await;
        assert!(matches!(none, Err(Error::NotRunning)), "{none:?}");
        // whatever else is running
        context.put(fixtures::JOB, -5, &claimed());
        for id in [ended, lost] {
            let result = context.cancel(fixtures::ADA, Some(id)).await;
            assert!(matches!(result, Err(Error::Ended(named)) if named == id), "{id:?}: {result:?}");
        }
        let claim = fixtures::claim("run-1");
        let progress = Progress { stage: Stage::Finish, bytes_done: 1, bytes_total: 1 };
        let finish = Transition::Progress { claim: claim.clone(), progress, message: String::new() };
        let finishing = context.put(fixtures::JOB, -4, &[Transition::Claim(claim), finish]);
        let result = context.cancel(fixtures::ADA, Some(finishing)).await;
        assert!(matches!(result, Err(Error::Finishing(named)) if named == finishing), "{result:?}");
        for id in [context.put("job-2", 0, &[]), ExportId::random()] {
            let result = context.cancel(fixtures::ADA, Some(id)).await;
            assert!(matches!(result, Err(Error::NoSuchExport(_))), "{result:?}");
            let foreign = context.cancel(fixtures::BOB, Some(id)).await;
            assert!(matches!(foreign, Err(Error::NotOwner)), "{foreign:?}");
        }
        assert!(context.launcher.cancelled().is_empty());
    }
}
