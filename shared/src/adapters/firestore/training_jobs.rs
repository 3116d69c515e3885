//! The collection `training_jobs`.

use std::collections::HashMap;

use async_trait::async_trait;
use firestore::{FirestoreDb, FirestoreValue};
use gcloud_sdk::google::firestore::v1::Document;

use super::{
    Firestore, StoreError,
    query::DocumentQuery,
    within_deadline,
    write::{DocumentWrite, document},
};
use crate::{
    adapters::documents::{self, TRAINING_JOBS, TrainingJobDocument, newest_first},
    domain::{Artifact, JobId, TrainingJob, UserId},
    ports::{PortError, TrainingJobs},
};

#[async_trait]
impl TrainingJobs for Firestore {
    async fn find(&self, id: &JobId) -> Result<Option<TrainingJob>, PortError> {
        within_deadline(async {
            let found = self.db().await?.fluent().select().by_id_in(TRAINING_JOBS).one(id.as_str()).await?;
            Ok(found.as_ref().map(parse_job).transpose()?)
        })
        .await
        .map_err(|failure: StoreError| failure.into())
    }

    async fn list_completed(&self, owner: &UserId) -> Result<Vec<TrainingJob>, PortError> {
        within_deadline(async {
            let found = DocumentQuery::completed_of(owner).run(self.db().await?).await?;
            let readable = |found: &Document| parse_job(found).inspect_err(documents::log_unreadable).ok();
            let mut jobs: Vec<_> = found.iter().filter_map(readable).collect();
            newest_first(&mut jobs);
            Ok(jobs)
        })
        .await
        .map_err(|failure: StoreError| failure.into())
    }

    async fn set_artifact(&self, id: &JobId, artifact: &Artifact) -> Result<(), PortError> {
        within_deadline(async {
            let db = self.db().await?;
            let (variant, kind) = (artifact.variant.as_str(), artifact.kind.as_str());
            let of_kind = FirestoreValue::from_map([(kind, artifact.path.as_str().into())]);
            let of_variant = FirestoreValue::from_map([(variant, of_kind)]);
            let fields = HashMap::from([("artifacts".to_owned(), of_variant.value)]);
            let document = document(db, TRAINING_JOBS, id.as_str(), fields);
            DocumentWrite::update(document, vec![format!("artifacts.{variant}.{kind}")]).commit(db).await
        })
        .await
        .map(drop)
        .map_err(Into::into)
    }
}

fn parse_job(found: &Document) -> Result<TrainingJob, documents::DocumentError> {
    let id = document_id(found);
    let read: TrainingJobDocument = FirestoreDb::deserialize_doc_to(found)
        .map_err(|e| documents::DocumentError::new(TRAINING_JOBS, id, e))?;
    read.into_job(id)
}

/// The document id: the last segment of its name.
pub(super) fn document_id(found: &Document) -> &str {
    found.name.rsplit('/').next().unwrap_or_default()
}
