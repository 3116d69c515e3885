//! The collection `training_jobs` in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use shared::{
    adapters::documents::{self, TRAINING_JOBS, newest_first},
    domain::{Artifact, JobId, TrainingJob, UserId},
    ports::{PortError, TrainingJobs},
};

use super::{DocumentStore, StoreError, read, rows};

pub(super) const COMPLETED_JOBS_OF: &str = "SELECT id, json FROM documents WHERE collection = 'training_jobs' \
                            AND json ->> '$.user_id' = ?1 AND json ->> '$.status' = ?2";

#[async_trait]
impl TrainingJobs for DocumentStore {
    async fn find(&self, id: &JobId) -> Result<Option<TrainingJob>, PortError> {
        let id = id.to_string();
        let find = move |connection: &mut Connection| {
            let document = read(connection, TRAINING_JOBS, &id)?;
            Ok(document.map(|document| documents::training_job(&id, &document)).transpose()?)
        };
        Ok(self.with_connection(find).await?)
    }

    async fn list_completed(&self, owner: &UserId) -> Result<Vec<TrainingJob>, PortError> {
        let owner = owner.to_string();
        let find = move |connection: &mut Connection| {
            rows(connection, COMPLETED_JOBS_OF, params![owner, TrainingJob::COMPLETED])
        };
        let mut jobs = Vec::new();
        for (id, document) in self.with_connection(find).await? {
            match documents::training_job(&id, &document) {
                Ok(job) => jobs.push(job),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    job.id = id,
                    "cannot parse the document of a training job"
                ),
            }
        }
        newest_first(&mut jobs);
        Ok(jobs)
    }

    async fn set_artifact(&self, id: &JobId, artifact: &Artifact) -> Result<(), PortError> {
        let (job, artifact) = (id.to_string(), artifact.clone());
        let set = move |document: Option<&mut serde_json::Value>| {
            let document = document.ok_or_else(|| StoreError::Missing(job.clone()))?;
            documents::set_artifact(document, &artifact);
            Ok::<_, StoreError>(())
        };
        Ok(self.change(TRAINING_JOBS, id.to_string(), set).await?)
    }
}
