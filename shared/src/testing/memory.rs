//! A store in memory. It keeps documents as JSON, so it reads and writes the same shapes as the real ones.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde_json::Value;

use crate::{
    adapters::documents::{self, DocumentError, EXPORTS, TRAINING_JOBS, newest_first},
    clock,
    domain::{Artifact, Export, ExportId, JobId, TrainingJob, Transition, UserId},
    ports::{ApplyError, Exports, PortError, TrainingJobs},
};

const WHAT: &str = "the store in memory";

/// Every document, by collection and id. Can be told to fail.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    documents: BTreeMap<(String, String), Value>,
    failures: BTreeMap<&'static str, usize>,
    lost_answer: Option<fn(&Transition) -> bool>,
}

impl MemoryStore {
    /// Writes a document as it is.
    pub fn put(&self, collection: &str, id: &str, document: Value) {
        self.state().documents.insert((collection.to_owned(), id.to_owned()), document);
    }

    /// A document as it is.
    #[must_use]
    pub fn document(&self, collection: &str, id: &str) -> Option<Value> {
        self.state().documents.get(&(collection.to_owned(), id.to_owned())).cloned()
    }

    /// Every document of a collection, by id.
    #[must_use]
    pub fn documents(&self, collection: &str) -> Vec<(String, Value)> {
        self.state().of(collection).map(|(id, document)| (id.to_owned(), document.clone())).collect()
    }

    /// Makes the next `times` calls of `operation` fail: `find`, `list`, `latest`, `create`, `apply`, `set_artifact`.
    pub fn fail_next(&self, operation: &'static str, times: usize) {
        self.state().failures.insert(operation, times);
    }

    /// Makes the next such transition happen, and answers nevertheless that the store is unavailable.
    pub fn lose_answer(&self, to: fn(&Transition) -> bool) {
        self.state().lost_answer = Some(to);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, unless this operation was told to fail.
    fn working(&self, operation: &'static str) -> Result<MutexGuard<'_, State>, PortError> {
        let mut state = self.state();
        if let Some(left) = state.failures.get_mut(operation).filter(|left| **left > 0) {
            *left -= 1;
            return Err(PortError::Unavailable { what: WHAT, source: "told to fail".into() });
        }
        Ok(state)
    }
}

impl State {
    fn of<'a>(&'a self, collection: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.documents
            .iter()
            .filter(move |((c, _), _)| c == collection)
            .map(|((_, id), document)| (id.as_str(), document))
    }

    fn get(&mut self, collection: &str, id: &str) -> Option<&mut Value> {
        self.documents.get_mut(&(collection.to_owned(), id.to_owned()))
    }
}

fn unreadable(error: DocumentError) -> PortError {
    PortError::Failed { what: WHAT, source: error.into() }
}

/// What can be read; the rest is logged.
fn readable<T>(read: Result<T, DocumentError>) -> Option<T> {
    read.inspect_err(documents::log_unreadable).ok()
}

#[async_trait]
impl TrainingJobs for MemoryStore {
    async fn find(&self, id: &JobId) -> Result<Option<TrainingJob>, PortError> {
        let mut state = self.working("find")?;
        let document = state.get(TRAINING_JOBS, id.as_str());
        document
            .map(|document| documents::training_job(id.as_str(), document))
            .transpose()
            .map_err(unreadable)
    }

    async fn completed_of(&self, owner: &UserId) -> Result<Vec<TrainingJob>, PortError> {
        let state = self.working("list")?;
        let matches = |document: &Value| {
            document["user_id"] == owner.as_str() && document["status"] == TrainingJob::COMPLETED
        };
        let mut jobs: Vec<_> = state
            .of(TRAINING_JOBS)
            .filter(|(_, document)| matches(document))
            .filter_map(|(id, document)| readable(documents::training_job(id, document)))
            .collect();
        newest_first(&mut jobs);
        Ok(jobs)
    }

    async fn set_artifact(&self, id: &JobId, artifact: &Artifact) -> Result<(), PortError> {
        let mut state = self.working("set_artifact")?;
        let document = state
            .get(TRAINING_JOBS, id.as_str())
            .ok_or(PortError::Failed { what: WHAT, source: "no such training job".into() })?;
        documents::set_artifact(document, artifact);
        Ok(())
    }
}

#[async_trait]
impl Exports for MemoryStore {
    async fn create(&self, export: &Export) -> Result<(), PortError> {
        let mut state = self.working("create")?;
        let id = export.id.to_string();
        if state.get(EXPORTS, &id).is_some() {
            return Err(PortError::Failed { what: WHAT, source: "the export exists already".into() });
        }
        state.documents.insert((EXPORTS.to_owned(), id), documents::create(export));
        Ok(())
    }

    async fn find(&self, id: ExportId) -> Result<Option<Export>, PortError> {
        let id = id.to_string();
        let mut state = self.working("find")?;
        state
            .get(EXPORTS, &id)
            .map(|document| documents::export(&id, document))
            .transpose()
            .map_err(unreadable)
    }

    async fn latest(&self, job: &JobId) -> Result<Option<Export>, PortError> {
        let state = self.working("latest")?;
        let of_job = state.of(EXPORTS).filter(|(_, document)| document["job_id"] == job.as_str());
        Ok(of_job
            .filter_map(|(id, document)| readable(documents::export(id, document)))
            .max_by_key(|export| export.started_at))
    }

    async fn apply(&self, id: ExportId, transition: &Transition) -> Result<Export, ApplyError> {
        let id = id.to_string();
        let mut state = self.working("apply")?;
        let document = state.get(EXPORTS, &id).ok_or(ApplyError::NoSuchExport)?;
        let stored = documents::export(&id, document).map_err(unreadable)?;
        let after = documents::apply(document, stored, transition, clock::now())?;
        if state.lost_answer.take_if(|to| to(transition)).is_some() {
            return Err(PortError::Unavailable { what: WHAT, source: "the answer was lost".into() }.into());
        }
        Ok(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conformance::{self, Harness};

    #[async_trait]
    impl Harness for MemoryStore {
        fn training_jobs(&self) -> &dyn TrainingJobs {
            self
        }

        fn exports(&self) -> &dyn Exports {
            self
        }

        async fn put(&self, collection: &str, id: &str, document: Value) {
            self.put(collection, id, document);
        }

        async fn document(&self, collection: &str, id: &str) -> Option<Value> {
            self.document(collection, id)
        }
    }

    #[tokio::test]
    async fn the_store_in_memory_keeps_the_contract() {
        conformance::run(&MemoryStore::default()).await;
    }
}
