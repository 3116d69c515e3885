//! Creates an export: stores a record with status `running` and starts the job.

use crate::{
    clock,
    domain::{
        CreateExport, Error, ExecutionName, Export, ExportId, Failure, FailureCode, NewExport, Result,
        Transition, UserId,
    },
    ports::{ApplyError, Exports, JobLauncher, LaunchError, PortError, TrainingJobs},
};

/// The message of the record if its job could not be started.
const NOT_STARTED: &str = "The export job could not be started. Try again in a few minutes.";

/// Starts an export of a job of `caller`. The record is stored before the job starts, because clients request it
/// immediately after the response.
///
/// # Errors
/// In this order: the job does not exist, has another owner, is not completed; or a port fails. If the job was not
/// started, the record is marked as failed. If it is unknown whether it was started, the record stays `running`; if
/// the job is not running, the lease of the record expires.
pub async fn create(
    jobs: &dyn TrainingJobs,
    exports: &dyn Exports,
    launcher: &dyn JobLauncher,
    caller: &UserId,
    request: &CreateExport,
) -> Result<ExportId> {
    let job = jobs.find(&request.job_id).await?;
    let job = job.ok_or_else(|| Error::NoSuchJob(request.job_id.clone()))?;
    job.check_owner(caller)?;
    job.check_completed()?;

    let id = ExportId::random();
    let export = Export::new(&NewExport { id, user: caller, request }, clock::now());
    exports.create(&export).await?;
    match launcher.launch(id, request.hf_token.as_ref()).await {
        Ok(execution) => {
            record_execution(exports, id, execution).await;
            Ok(id)
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
async fn record_execution(exports: &dyn Exports, id: ExportId, execution: ExecutionName) {
    match exports.apply(id, &Transition::Launched(execution)).await {
        Ok(_) | Err(ApplyError::Refused(_)) => {}
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, export.id = %id, "storing the execution name of an export failed");
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

        async fn create(&self, uid: &str, request: &CreateExport) -> Result<ExportId> {
            create(&self.store, &self.store, &self.launcher, &fixtures::user(uid), request).await
        }

        fn records(&self) -> Vec<serde_json::Value> {
            self.store.documents(EXPORTS).into_iter().map(|(_, document)| document).collect()
        }

        async fn record(&self) -> Export {
            let id = self.launcher.launches()[0].export;
            Exports::find(&self.store, id).await.unwrap().unwrap()
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
        assert_eq!(record.user_id.unwrap().as_str(), fixtures::ADA);
        assert_eq!(record.execution.unwrap().as_str(), format!("execution-of-{id}"));
        assert!(!format!("{:?}", context.records()).contains("canary"));
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
