//! The collection `exports` in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use serde_json::Value;
use shared::{
    adapters::documents::{self, EXPORTS},
    clock,
    domain::{Export, ExportId, HistoryCursor, HistoryPage, JobId, PageSize, Transition},
    ports::{ApplyError, CreateOutcome, Exports, PortError},
};

use super::{DocumentStore, StoreError, insert, read, rows};

pub(super) const EXPORTS_OF_JOB: &str =
    "SELECT id, json FROM documents WHERE collection = 'exports' AND json ->> '$.job_id' = ?1";
pub(super) const RUNNING_EXPORTS: &str =
    "SELECT id, json FROM documents WHERE collection = 'exports' AND json ->> '$.status' = 'running'";

impl From<StoreError> for ApplyError {
    fn from(error: StoreError) -> Self {
        Self::Port(error.into())
    }
}

impl DocumentStore {
    /// The exports whose status is `running`.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn running(&self) -> Result<Vec<Export>, PortError> {
        let find = |connection: &mut Connection| rows(connection, RUNNING_EXPORTS, []);
        Ok(readable(self.with_connection(find).await?).collect())
    }
}

#[async_trait]
impl Exports for DocumentStore {
    async fn create(&self, export: &Export) -> Result<CreateOutcome, PortError> {
        let (id, json) = (export.id.to_string(), documents::create(export).to_string());
        let create = move |connection: &mut Connection| {
            let is_new = insert(connection, EXPORTS, &id, &json)?;
            Ok::<_, StoreError>(if is_new { CreateOutcome::Created } else { CreateOutcome::Exists })
        };
        Ok(self.with_connection(create).await?)
    }

    async fn find(&self, id: ExportId) -> Result<Option<Export>, PortError> {
        let id = id.to_string();
        let find = move |connection: &mut Connection| {
            let document = read(connection, EXPORTS, &id)?;
            Ok(document.map(|document| documents::export(&id, &document)).transpose()?)
        };
        Ok(self.with_connection(find).await?)
    }

    async fn latest(&self, job: &JobId) -> Result<Option<Export>, PortError> {
        let job = job.to_string();
        let find = move |connection: &mut Connection| rows(connection, EXPORTS_OF_JOB, params![job]);
        Ok(readable(self.with_connection(find).await?).max_by_key(|export| export.started_at))
    }

    async fn history(
        &self,
        job: &JobId,
        after: Option<HistoryCursor>,
        size: PageSize,
    ) -> Result<HistoryPage, PortError> {
        let job = job.to_string();
        let find = move |connection: &mut Connection| rows(connection, EXPORTS_OF_JOB, params![job]);
        Ok(HistoryPage::of(readable(self.with_connection(find).await?), after, size))
    }

    async fn apply(&self, id: ExportId, transition: &Transition) -> Result<Export, ApplyError> {
        let (id, transition) = (id.to_string(), transition.clone());
        let change = {
            let id = id.clone();
            move |document: Option<&mut Value>| {
                let document = document.ok_or(ApplyError::NoSuchExport)?;
                let stored = documents::export(&id, document).map_err(StoreError::from)?;
                Ok::<_, ApplyError>(documents::apply(document, stored, &transition, clock::now())?)
            }
        };
        self.change(EXPORTS, id, change).await
    }
}

/// Parses the documents; one that is invalid is logged and left out.
fn readable(documents: Vec<(String, Value)>) -> impl Iterator<Item = Export> {
    documents.into_iter().filter_map(|(id, document)| match documents::export(&id, &document) {
        Ok(export) => Some(export),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                export.id = id,
                "cannot parse the document of an export"
            );
            None
        }
    })
}
