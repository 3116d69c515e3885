//! Creates an export: stores a record with status `running` and starts the job.

use std::num::NonZeroU16;

use super::owned_job;
use crate::{
    clock,
    domain::{
        CallerLimits, CallerQuotas, CreateExport, Error, ExecutionName, Export, ExportId, Failure,
        FailureCode, IdempotencyKey, KEY_LIFETIME, NewExport, Result, Transition, UserId, request_hash,
    },
    ports::{
        ApplyError, CreateOutcome, CreatedExport, Exports, JobLauncher, LaunchError, PortError, TrainingJobs,
    },
};

/// The message of the record if its job could not be started.
const NOT_STARTED: &str = "The export job could not be started. Try again in a few minutes.";

/// An export that a request started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedExport {
    /// Its id.
    pub id: ExportId,
    /// An earlier request with the same key started it.
    pub replayed: bool,
    /// What the caller has used of their limits.
    pub quotas: CallerQuotas,
}

/// The ports and the setting that [`create`] uses.
#[derive(Clone, Copy)]
pub struct CreatePorts<'a> {
    /// The training jobs.
    pub jobs: &'a dyn TrainingJobs,
    /// Their exports.
    pub exports: &'a dyn Exports,
    /// Starts the export job.
    pub launcher: &'a dyn JobLauncher,
    /// How many days after its end a record is kept; `None` if it is never deleted.
    pub retention_days: Option<NonZeroU16>,
    /// The limits of each caller.
    pub limits: CallerLimits,
}

/// Starts an export of a job of `caller`. With a key, a request that is repeated within [`KEY_LIFETIME`] starts nothing:
/// the export of the first is returned. The record is stored before the job starts, because clients request it
/// immediately after the response.
///
/// # Errors
/// In this order: the key was sent with another request; the job does not exist, has another owner, is not completed; the
/// caller has as many exports as they may; or a port fails. If the job was not started, the record is marked as failed. If
/// it is unknown whether it was started, the record stays `running`; if the job is not running, the lease of the record
/// expires.
pub async fn create(
    ports: CreatePorts<'_>,
    caller: &UserId,
    request: &CreateExport,
    key: Option<&IdempotencyKey>,
) -> Result<StartedExport> {
    let retention_days = ports.retention_days;
    let Some(key) = key else {
        check_job(ports.jobs, caller, request).await?;
        let id = ExportId::random();
        let new = NewExport { id, user: caller, request, request_hash: None, retention_days };
        return start(ports, &new).await?.ok_or_else(exists_twice);
    };
    let hash = request_hash(request);
    let now = clock::now();
    for number in 0.. {
        let id = key.export_id(caller, number);
        if let Some(earlier) = ports.exports.find(id).await? {
            if earlier.started_at + KEY_LIFETIME < now {
                continue;
            }
            return replay(ports, caller, &earlier, &hash).await;
        }
        check_job(ports.jobs, caller, request).await?;
        let request_hash = Some(hash.clone());
        let new = NewExport { id, user: caller, request, request_hash, retention_days };
        let started = start(ports, &new).await;
        if matches!(started, Ok(None) | Err(Error::TooManyExports(_)))
            && let Some(earlier) = ports.exports.find(id).await?
        {
            // another request with the key was faster
            return replay(ports, caller, &earlier, &hash).await;
        }
        return started?.ok_or_else(exists_twice);
    }
    Err(exists_twice())
}

fn exists_twice() -> Error {
    PortError::Failed { what: "creating the export", source: "its id exists".into() }.into()
}

async fn check_job(jobs: &dyn TrainingJobs, caller: &UserId, request: &CreateExport) -> Result<()> {
    owned_job(jobs, caller, &request.job_id).await?.check_completed()
}

/// The answer to a request that was repeated. If its job could not be started, it is the error of that time.
async fn replay(
    ports: CreatePorts<'_>,
    caller: &UserId,
    earlier: &Export,
    hash: &str,
) -> Result<StartedExport> {
    if earlier.request_hash.as_deref() != Some(hash) {
        return Err(Error::KeyReused);
    }
    let not_started = earlier.failure.as_ref().is_some_and(|failure| failure.message == NOT_STARTED);
    if not_started && earlier.claim.is_none() {
        return Err(PortError::Failed { what: "launching the export job", source: NOT_STARTED.into() }.into());
    }
    let quotas = ports.exports.quotas(caller, ports.limits).await?;
    Ok(StartedExport { id: earlier.id, replayed: true, quotas })
}

/// Stores the record and starts the job; `None` if the record exists.
async fn start(ports: CreatePorts<'_>, new: &NewExport<'_>) -> Result<Option<StartedExport>> {
    let CreatePorts { exports, launcher, limits, .. } = ports;
    let (id, request) = (new.id, new.request);
    let export = Export::new(new, clock::now());
    let created = match exports.create(&export, limits).await? {
        CreateOutcome::Created(created) => created,
        CreateOutcome::Exists => return Ok(None),
        CreateOutcome::TooMany(quotas) => return Err(Error::TooManyExports(quotas)),
    };
    match launcher.launch(id, request.hf_token.as_ref()).await {
        Ok(execution) => {
            record_execution(exports, (&export, created), execution).await;
            Ok(Some(StartedExport { id, replayed: false, quotas: created.quotas }))
        }
        Err(error) => {
            if matches!(error, LaunchError::NotStarted(_)) {
                mark_failed(exports, id).await;
            }
            Err(PortError::Failed { what: "launching the export job", source: error.into() }.into())
        }
    }
}

/// Stores the name of the execution in the record. The job is already running, so a failure here only logs a warning.
async fn record_execution(
    exports: &dyn Exports,
    (export, created): (&Export, CreatedExport),
    execution: ExecutionName,
) {
    match exports.apply_to_created(export, created, &Transition::Launched(execution)).await {
        Ok(_) | Err(ApplyError::Refused(_)) => {}
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, export.id = %export.id, "storing the execution name of an export failed");
        }
    }
}

/// Marks the record as failed, with one retry. If both fail, the record stays `running` until its lease expires.
async fn mark_failed(exports: &dyn Exports, id: ExportId) {
    let failure = Failure::new(FailureCode::Internal, NOT_STARTED);
    let failure = Transition::Fail { claim: None, failure };
    for attempt in 1..=2 {
        match exports.apply(id, &failure).await {
            Ok(_) | Err(ApplyError::Refused(_)) => return,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, export.id = %id, attempt, "marking an export as failed did not succeed: it stays running until its lease expires");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        adapters::documents::{EXPORTS, TRAINING_JOBS},
        domain::Status,
        testing::{LaunchOutcome, MemoryStore, RecordingLauncher, fixtures},
    };

    struct TestContext {
        store: MemoryStore,
        launcher: RecordingLauncher,
        limits: CallerLimits,
    }

    impl TestContext {
        fn new() -> Self {
            let context = Self {
                store: MemoryStore::default(),
                launcher: RecordingLauncher::default(),
                limits: CallerLimits::NONE,
            };
            context.store.put(TRAINING_JOBS, fixtures::JOB, fixtures::training_job(fixtures::ADA));
            context
        }

        async fn create(&self, uid: &str, request: &CreateExport) -> Result<ExportId> {
            Ok(self.create_with(uid, request, None).await?.id)
        }

        async fn create_with(
            &self,
            uid: &str,
            request: &CreateExport,
            key: Option<&str>,
        ) -> Result<StartedExport> {
            let ports = CreatePorts {
                jobs: &self.store,
                exports: &self.store,
                launcher: &self.launcher,
                retention_days: NonZeroU16::new(30),
                limits: self.limits,
            };
            let key = key.map(|key| key.parse().unwrap());
            create(ports, &fixtures::user(uid), request, key.as_ref()).await
        }

        fn records(&self) -> Vec<serde_json::Value> {
            self.store.documents(EXPORTS).into_iter().map(|(_, document)| document).collect()
        }

        async fn record(&self) -> Export {
            let id = self.launcher.launches()[0].export;
            crate::ports::ExportReader::find(&self.store, id).await.unwrap().unwrap()
        }
    }

    #[tokio::test]
    async fn the_record_is_running_and_has_the_name_of_the_execution() {
        let context = TestContext::new();
        let request = CreateExport { hf_token: Some("hf_canary".into()), ..fixtures::request(fixtures::JOB) };
        let id = context.create(fixtures::ADA, &request).await.unwrap();
        let launch = &context.launcher.launches()[0];
        assert_eq!((launch.export, launch.hf_token.as_deref()), (id, Some("hf_canary")));
        let record = context.record().await;
        assert_eq!((record.id, record.status), (id, Status::Running));
        assert_eq!((record.retention_days, record.expire_at), (NonZeroU16::new(30), None));
        assert_eq!(record.user_id.unwrap().as_str(), fixtures::ADA);
        assert_eq!(record.execution.unwrap().as_str(), format!("execution-of-{id}"));
        assert!(!format!("{:?}", context.records()).contains("canary"));
    }

    #[tokio::test]
    async fn a_thousand_requests_with_one_key_start_one_export() {
        let context = TestContext::new();
        let request = fixtures::request(fixtures::JOB);
        let all = (0..1000).map(|_| context.create_with(fixtures::ADA, &request, Some("key")));
        let started: Vec<_> =
            futures_util::future::join_all(all).await.into_iter().map(Result::unwrap).collect();
        assert_eq!((context.records().len(), context.launcher.launches().len()), (1, 1));
        assert!(started.iter().all(|one| one.id == started[0].id));
        assert_eq!(started.iter().filter(|one| !one.replayed).count(), 1);
    }

    #[tokio::test]
    async fn a_caller_starts_no_more_exports_than_allowed_and_a_replay_is_not_counted() {
        let context = TestContext { limits: CallerLimits { running: 1, daily: 2 }, ..TestContext::new() };
        let request = fixtures::request(fixtures::JOB);
        let first = context.create_with(fixtures::ADA, &request, Some("key")).await.unwrap();
        assert_eq!(first.quotas.daily.unwrap().used, 1);
        for key in [None, Some("another")] {
            let refused = context.create_with(fixtures::ADA, &request, key).await;
            assert!(matches!(refused, Err(Error::TooManyExports(_))), "{refused:?}");
        }
        let again = context.create_with(fixtures::ADA, &request, Some("key")).await.unwrap();
        assert_eq!(again, StartedExport { replayed: true, ..first });
        let ended = Transition::Fail { claim: None, failure: fixtures::failure("ended") };
        context.store.apply(first.id, &ended).await.unwrap();
        context.create(fixtures::ADA, &request).await.unwrap();
        assert_eq!((context.records().len(), context.launcher.launches().len()), (2, 2));
    }

    #[tokio::test]
    async fn a_key_stands_for_one_request_of_one_user_for_a_day() {
        let context = TestContext::new();
        let request = fixtures::request(fixtures::JOB);
        let first = context.create_with(fixtures::ADA, &request, Some("key")).await.unwrap();
        let other = CreateExport { hf_private: false, ..fixtures::request(fixtures::JOB) };
        let reused = context.create_with(fixtures::ADA, &other, Some("key")).await;
        assert!(matches!(reused, Err(Error::KeyReused)), "{reused:?}");
        let foreign = context.create_with(fixtures::BOB, &request, Some("key")).await;
        assert!(matches!(foreign, Err(Error::NotOwner)), "{foreign:?}");
        // whatever happened since
        context.store.put(
            TRAINING_JOBS,
            fixtures::JOB,
            json!({"user_id": fixtures::ADA, "status": "deleted"}),
        );
        let again = context.create_with(fixtures::ADA, &request, Some("key")).await.unwrap();
        assert_eq!(again, StartedExport { replayed: true, ..first });

        context.store.put(TRAINING_JOBS, fixtures::JOB, fixtures::training_job(fixtures::ADA));
        let mut old = context.store.document(EXPORTS, &first.id.to_string()).unwrap();
        old["started_at"] =
            json!((clock::now() - KEY_LIFETIME - jiff::SignedDuration::from_secs(1)).to_string());
        context.store.put(EXPORTS, &first.id.to_string(), old);
        let later = context.create_with(fixtures::ADA, &request, Some("key")).await.unwrap();
        assert!(later.id != first.id && !later.replayed);
        assert_eq!(context.records().len(), 2);
    }

    #[tokio::test]
    async fn a_launch_that_failed_is_replayed_as_a_failure() {
        let context = TestContext::new();
        context.launcher.set_outcome(LaunchOutcome::NotStarted);
        let request = fixtures::request(fixtures::JOB);
        for _ in 0..2 {
            let failed = context.create_with(fixtures::ADA, &request, Some("key")).await;
            assert!(matches!(failed, Err(Error::Internal(_))), "{failed:?}");
        }
        assert_eq!(context.records().len(), 1);
    }

    #[tokio::test]
    async fn a_rejected_request_stores_no_record_and_launches_no_job() {
        let context = TestContext::new();
        let running = json!({"user_id": fixtures::ADA, "status": "running"});
        context.store.put(TRAINING_JOBS, "running", running);
        context.store.put(TRAINING_JOBS, "ownerless", json!({"status": "completed"}));
        let results = [
            context.create(fixtures::ADA, &fixtures::request("nowhere")).await,
            context.create(fixtures::BOB, &fixtures::request(fixtures::JOB)).await,
            context.create(fixtures::ADA, &fixtures::request("ownerless")).await,
            context.create(fixtures::BOB, &fixtures::request("running")).await,
            context.create(fixtures::ADA, &fixtures::request("running")).await,
        ];
        assert!(matches!(results[0], Err(Error::NoSuchJob(_))));
        assert!(results[1..4].iter().all(|result| matches!(result, Err(Error::NotOwner))), "{results:?}");
        assert!(matches!(&results[4], Err(Error::NotCompleted { status }) if status == "running"));
        assert_eq!((context.records().len(), context.launcher.launches().len()), (0, 0));
    }

    #[tokio::test]
    async fn if_the_job_was_not_started_the_record_fails_even_if_the_first_write_fails() {
        for failures in [0, 1] {
            let context = TestContext::new();
            context.launcher.set_outcome(LaunchOutcome::NotStarted);
            context.store.fail_next("apply", failures);
            let result = context.create(fixtures::ADA, &fixtures::request(fixtures::JOB)).await;
            assert!(matches!(result, Err(Error::Internal(_))), "{result:?}");
            let record = context.record().await;
            assert_eq!((record.status, record.message.as_deref()), (Status::Failed, Some(NOT_STARTED)));
            assert_eq!(record.failure.unwrap().code, FailureCode::Internal);
            assert!(record.finished_at.is_some());
        }
    }

    #[tokio::test]
    async fn if_the_launch_is_unknown_the_record_stays_running_with_its_lease() {
        let context = TestContext::new();
        context.launcher.set_outcome(LaunchOutcome::Unknown);
        let result = context.create(fixtures::ADA, &fixtures::request(fixtures::JOB)).await;
        assert!(matches!(result, Err(Error::Internal(_))), "{result:?}");
        let record = context.record().await;
        assert!(record.status == Status::Running && record.lease_until.is_some());
        assert_eq!(context.launcher.launches().len(), 1, "the launch is not retried");
    }

    #[tokio::test]
    async fn if_the_record_cannot_be_stored_no_job_is_launched() {
        let context = TestContext::new();
        context.store.fail_next("create", 1);
        assert!(context.create(fixtures::ADA, &fixtures::request(fixtures::JOB)).await.is_err());
        assert!(context.launcher.launches().is_empty());
    }

    #[tokio::test]
    async fn the_export_succeeds_even_if_the_execution_name_cannot_be_stored() {
        let context = TestContext::new();
        context.store.fail_next("apply", 1);
        assert!(context.create(fixtures::ADA, &fixtures::request(fixtures::JOB)).await.is_ok());
        assert_eq!(context.record().await.execution, None);
    }
}
