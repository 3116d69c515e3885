//! Starting an export: a record that is `running`, and a job that works on it.

use crate::{
    clock,
    domain::{CreateExport, Error, ExecutionName, Export, ExportId, NewExport, Result, Transition, UserId},
    ports::{ApplyError, Exports, JobLauncher, LaunchError, PortError, TrainingJobs},
};

/// What the record says when its job could not be started.
const NOT_STARTED: &str = "The export job could not be started. Try again in a few minutes.";

/// Starts an export of the caller's job. The record exists and is `running` before the job starts, because clients
/// look for it as soon as this answers.
///
/// # Errors
/// No such job, not the caller's, not completed, or something inside; in that order. When the job was certainly not
/// started, the record ends as failed. When nobody knows, it stays as it is: the job may be running, and if it is
/// not, the record's lease runs out.
pub async fn create(
    jobs: &dyn TrainingJobs,
    exports: &dyn Exports,
    launcher: &dyn JobLauncher,
    caller: &UserId,
    request: &CreateExport,
) -> Result<ExportId> {
    let job = jobs.find(&request.job_id).await?;
    let job = job.ok_or_else(|| Error::NoSuchJob(request.job_id.clone()))?;
    job.owned_by(caller)?;
    job.completed()?;

    let id = ExportId::random();
    let export = Export::new(&NewExport { id, user: caller, request }, clock::now());
    exports.create(&export).await?;
    match launcher.launch(id, request.hf_token.as_ref()).await {
        Ok(execution) => {
            remember(exports, id, execution).await;
            Ok(id)
        }
        Err(error) => {
            if matches!(error, LaunchError::NotStarted(_)) {
                put_down_as_failed(exports, id).await;
            }
            Err(Error::Internal(PortError::Failed { what: "launching the export job", source: error.into() }))
        }
    }
}

/// Keeps the execution's name on the record. The job runs already, and may have ended, so this must not fail the
/// request.
async fn remember(exports: &dyn Exports, id: ExportId, execution: ExecutionName) {
    match exports.apply(id, &Transition::Launched(execution)).await {
        Ok(_) | Err(ApplyError::Refused(_)) => {}
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, export.id = %id, "the record does not name its execution");
        }
    }
}

/// Ends the record, with a second try: what fails here is shown as running until its lease runs out.
async fn put_down_as_failed(exports: &dyn Exports, id: ExportId) {
    let failure = Transition::Fail { claim: None, message: NOT_STARTED.to_owned() };
    for attempt in 1..=2 {
        match exports.apply(id, &failure).await {
            Ok(_) | Err(ApplyError::Refused(_)) => return,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, export.id = %id, attempt, "the record of an export that was not started is still running");
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
        testing::{MemoryStore, Outcome, RecordingLauncher, fixtures},
    };

    #[derive(Default)]
    struct World {
        store: MemoryStore,
        launcher: RecordingLauncher,
    }

    impl World {
        fn new() -> Self {
            let world = Self::default();
            world.store.put(TRAINING_JOBS, fixtures::JOB, fixtures::training_job(fixtures::ADA));
            world
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
    async fn the_record_runs_before_the_job_does_and_names_its_execution() {
        let world = World::new();
        let request = CreateExport { hf_token: Some("hf_canary".into()), ..fixtures::request(fixtures::JOB) };
        let id = world.create(fixtures::ADA, &request).await.unwrap();
        let launch = &world.launcher.launches()[0];
        assert_eq!((launch.export, launch.hf_token.as_deref()), (id, Some("hf_canary")));
        let record = world.record().await;
        assert_eq!((record.id, record.status), (id, Status::Running));
        assert_eq!(record.user_id.unwrap().as_str(), fixtures::ADA);
        assert_eq!(record.execution.unwrap().as_str(), format!("execution-of-{id}"));
        assert!(!format!("{:?}", world.records()).contains("canary"));
    }

    #[tokio::test]
    async fn what_may_not_be_exported_leaves_no_record_and_launches_nothing() {
        let world = World::new();
        let running = json!({"user_id": fixtures::ADA, "status": "running"});
        world.store.put(TRAINING_JOBS, "running", running);
        world.store.put(TRAINING_JOBS, "ownerless", json!({"status": "completed"}));
        let results = [
            world.create(fixtures::ADA, &fixtures::request("nowhere")).await,
            world.create(fixtures::BOB, &fixtures::request(fixtures::JOB)).await,
            world.create(fixtures::ADA, &fixtures::request("ownerless")).await,
            world.create(fixtures::BOB, &fixtures::request("running")).await,
            world.create(fixtures::ADA, &fixtures::request("running")).await,
        ];
        assert!(matches!(results[0], Err(Error::NoSuchJob(_))));
        assert!(results[1..4].iter().all(|result| matches!(result, Err(Error::NotOwner))), "{results:?}");
        assert!(matches!(&results[4], Err(Error::NotCompleted { status }) if status == "running"));
        assert_eq!((world.records().len(), world.launcher.launches().len()), (0, 0));
    }

    #[tokio::test]
    async fn a_job_that_was_not_started_ends_its_record_even_if_the_first_write_fails() {
        for failures in [0, 1] {
            let world = World::new();
            world.launcher.set_outcome(Outcome::NotStarted);
            world.store.fail_next("apply", failures);
            let result = world.create(fixtures::ADA, &fixtures::request(fixtures::JOB)).await;
            assert!(matches!(result, Err(Error::Internal(_))), "{result:?}");
            let record = world.record().await;
            assert_eq!((record.status, record.message.as_deref()), (Status::Failed, Some(NOT_STARTED)));
            assert!(record.finished_at.is_some());
        }
    }

    #[tokio::test]
    async fn a_job_that_may_be_running_keeps_its_record_running_under_its_lease() {
        let world = World::new();
        world.launcher.set_outcome(Outcome::Unknown);
        let result = world.create(fixtures::ADA, &fixtures::request(fixtures::JOB)).await;
        assert!(matches!(result, Err(Error::Internal(_))), "{result:?}");
        let record = world.record().await;
        assert!(record.status == Status::Running && record.lease_until.is_some());
        assert_eq!(world.launcher.launches().len(), 1, "never a second launch");
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_written_launches_nothing() {
        let world = World::new();
        world.store.fail_next("create", 1);
        assert!(world.create(fixtures::ADA, &fixtures::request(fixtures::JOB)).await.is_err());
        assert!(world.launcher.launches().is_empty());
    }

    #[tokio::test]
    async fn an_execution_whose_name_cannot_be_kept_is_still_started() {
        let world = World::new();
        world.store.fail_next("apply", 1);
        assert!(world.create(fixtures::ADA, &fixtures::request(fixtures::JOB)).await.is_ok());
        assert_eq!(world.record().await.execution, None);
    }
}
