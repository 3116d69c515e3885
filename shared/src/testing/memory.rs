//! An in-memory store. It stores documents as JSON, so it uses the same document formats as the real stores.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde_json::Value;

use crate::{
    adapters::documents::{self, DocumentError, EXPORTS, TRAINING_JOBS, newest_first},
    clock,
    domain::{
        Artifact, CallerLimits, CallerQuotas, Export, ExportId, HistoryCursor, HistoryPage, JobId, PageSize,
        TrainingJob, Transition, UserId,
    },
    ports::{ApplyError, CreateOutcome, CreatedExport, ExportReader, Exports, PortError, TrainingJobs},
};

const STORE: &str = "the in-memory store";

/// Documents by collection and id, with configurable failures.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<MemoryState>,
}

#[derive(Debug, Default)]
struct MemoryState {
    documents: BTreeMap<(String, String), Value>,
    failures: BTreeMap<&'static str, usize>,
    lost_answer: Option<fn(&Transition) -> bool>,
    unavailable_for: Option<fn(&Transition) -> bool>,
    cancelled_after: Option<fn(&Transition) -> bool>,
}

impl MemoryStore {
    /// Writes a document unchanged.
    pub fn put(&self, collection: &str, id: &str, document: Value) {
        self.state().documents.insert((collection.to_owned(), id.to_owned()), document);
    }

    /// Reads a document unchanged.
    #[must_use]
    pub fn document(&self, collection: &str, id: &str) -> Option<Value> {
        self.state().documents.get(&(collection.to_owned(), id.to_owned())).cloned()
    }

    /// All documents of a collection with their ids.
    #[must_use]
    pub fn documents(&self, collection: &str) -> Vec<(String, Value)> {
        self.state().of(collection).map(|(id, document)| (id.to_owned(), document.clone())).collect()
    }

    /// Makes the next `times` calls of `operation` fail: `find`, `list`, `latest`, `create`, `apply`, `set_artifact`.
    pub fn fail_next(&self, operation: &'static str, times: usize) {
        self.state().failures.insert(operation, times);
    }

    /// Stores the next matching transition, but returns that the store is unavailable.
    pub fn lose_answer(&self, matching: fn(&Transition) -> bool) {
        self.state().lost_answer = Some(matching);
    }

    /// Stores no matching transition from now on, and returns that the store is unavailable.
    pub fn fail_on(&self, matching: fn(&Transition) -> bool) {
        self.state().unavailable_for = Some(matching);
    }

    /// Cancels the export right after the next matching transition.
    pub fn cancel_after(&self, matching: fn(&Transition) -> bool) {
        self.state().cancelled_after = Some(matching);
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, or the configured failure of this operation.
    fn begin(&self, operation: &'static str) -> Result<MutexGuard<'_, MemoryState>, PortError> {
        let mut state = self.state();
        if let Some(left) = state.failures.get_mut(operation).filter(|left| **left > 0) {
            *left -= 1;
            return Err(PortError::Unavailable { what: STORE, source: "configured failure".into() });
        }
        Ok(state)
    }
}

impl MemoryState {
    fn of<'a>(&'a self, collection: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.documents
            .iter()
            .filter(move |((c, _), _)| c == collection)
            .map(|((_, id), document)| (id.as_str(), document))
    }

    fn quotas(&self, user: &UserId, limits: CallerLimits) -> CallerQuotas {
        if limits == CallerLimits::NONE {
            return CallerQuotas::default();
        }
        let of_user = self.of(EXPORTS).filter(|(_, document)| document["user_id"] == user.as_str());
        let exports = of_user.filter_map(|(id, document)| log_invalid(documents::export(id, document)));
        CallerQuotas::count(limits, exports, clock::now())
    }

    fn get(&mut self, collection: &str, id: &str) -> Option<&mut Value> {
        self.documents.get_mut(&(collection.to_owned(), id.to_owned()))
    }
}

fn invalid_document(error: DocumentError) -> PortError {
    PortError::Failed { what: STORE, source: error.into() }
}

/// The parsed document; logs an error.
fn log_invalid<T>(read: Result<T, DocumentError>) -> Option<T> {
    read.inspect_err(documents::log_unreadable).ok()
}

#[async_trait]
impl TrainingJobs for MemoryStore {
    async fn find(&self, id: &JobId) -> Result<Option<TrainingJob>, PortError> {
        let mut state = self.begin("find")?;
        let document = state.get(TRAINING_JOBS, id.as_str());
        document
            .map(|document| documents::training_job(id.as_str(), document))
            .transpose()
            .map_err(invalid_document)
    }

    async fn list_completed(&self, owner: &UserId) -> Result<Vec<TrainingJob>, PortError> {
        let state = self.begin("list")?;
        let matches = |document: &Value| {
            document["user_id"] == owner.as_str() && document["status"] == TrainingJob::COMPLETED
        };
        let mut jobs: Vec<_> = state
            .of(TRAINING_JOBS)
            .filter(|(_, document)| matches(document))
            .filter_map(|(id, document)| log_invalid(documents::training_job(id, document)))
            .collect();
        newest_first(&mut jobs);
        Ok(jobs)
    }

    async fn set_artifact(&self, id: &JobId, artifact: &Artifact) -> Result<(), PortError> {
        let mut state = self.begin("set_artifact")?;
        let document = state
            .get(TRAINING_JOBS, id.as_str())
            .ok_or(PortError::Failed { what: STORE, source: "no such training job".into() })?;
        documents::set_artifact(document, artifact);
        Ok(())
    }
}

#[async_trait]
impl ExportReader for MemoryStore {
    async fn find(&self, id: ExportId) -> Result<Option<Export>, PortError> {
        let id = id.to_string();
        let mut state = self.begin("find")?;
        state
            .get(EXPORTS, &id)
            .map(|document| documents::export(&id, document))
            .transpose()
            .map_err(invalid_document)
    }

    async fn latest(&self, job: &JobId) -> Result<Option<Export>, PortError> {
        let state = self.begin("latest")?;
        let of_job = state.of(EXPORTS).filter(|(_, document)| document["job_id"] == job.as_str());
        Ok(of_job
            .filter_map(|(id, document)| log_invalid(documents::export(id, document)))
            .max_by_key(|export| export.started_at))
    }

    async fn history(
        &self,
        job: &JobId,
        after: Option<HistoryCursor>,
        size: PageSize,
    ) -> Result<HistoryPage, PortError> {
        let state = self.begin("history")?;
        let of_job = state.of(EXPORTS).filter(|(_, document)| document["job_id"] == job.as_str());
        let exports = of_job.filter_map(|(id, document)| log_invalid(documents::export(id, document)));
        Ok(HistoryPage::of(exports, after, size))
    }
}

#[async_trait]
impl Exports for MemoryStore {
    async fn create(&self, export: &Export, limits: CallerLimits) -> Result<CreateOutcome, PortError> {
        let mut state = self.begin("create")?;
        let id = export.id.to_string();
        if state.get(EXPORTS, &id).is_some() {
            return Ok(CreateOutcome::Exists);
        }
        let quotas = export.user_id.as_ref().map(|user| state.quotas(user, limits)).unwrap_or_default();
        if quotas.is_exhausted() {
            return Ok(CreateOutcome::TooMany(quotas));
        }
        state.documents.insert((EXPORTS.to_owned(), id), documents::create(export));
        Ok(CreateOutcome::Created(CreatedExport::new(quotas.with_one_more())))
    }

    async fn quotas(&self, user: &UserId, limits: CallerLimits) -> Result<CallerQuotas, PortError> {
        Ok(self.begin("quotas")?.quotas(user, limits))
    }

    async fn apply(&self, id: ExportId, transition: &Transition) -> Result<Export, ApplyError> {
        let id = id.to_string();
        let mut state = self.begin("apply")?;
        if state.unavailable_for.is_some_and(|matches| matches(transition)) {
            return Err(PortError::Unavailable { what: STORE, source: "configured failure".into() }.into());
        }
        let is_cancelled = state.cancelled_after.take_if(|matches| matches(transition)).is_some();
        let document = state.get(EXPORTS, &id).ok_or(ApplyError::NoSuchExport)?;
        let stored = documents::export(&id, document).map_err(invalid_document)?;
        let after = documents::apply(document, stored, transition, clock::now())?;
        if is_cancelled {
            documents::apply(document, after.clone(), &Transition::Cancel, clock::now())?;
        }
        if state.lost_answer.take_if(|matches| matches(transition)).is_some() {
            return Err(PortError::Unavailable { what: STORE, source: "the response was lost".into() }.into());
        }
        Ok(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conformance::{self, StoreHarness};

    #[async_trait]
    impl StoreHarness for MemoryStore {
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
    async fn the_in_memory_store_conforms() {
        conformance::run(&MemoryStore::default()).await;
    }
}
