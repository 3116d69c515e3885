//! The collection `exports` in SQLite.

use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior, params};
use serde_json::Value;
use shared::{
    adapters::documents::{self, EXPORTS},
    clock,
    domain::{
        CallerLimits, CallerQuotas, Export, ExportId, HistoryCursor, HistoryPage, JobId, PageSize,
        Transition, UserId,
    },
    ports::{ApplyError, CreateOutcome, CreatedExport, ExportReader, Exports, PortError},
};

use super::{DocumentStore, StoreError, insert, read, rows};

pub(super) const EXPORTS_OF_JOB: &str =
    "SELECT id, json FROM documents WHERE collection = 'exports' AND json ->> '$.job_id' = ?1";
pub(super) const EXPORTS_OF_USER: &str =
    "SELECT id, json FROM documents WHERE collection = 'exports' AND json ->> '$.user_id' = ?1";
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
impl ExportReader for DocumentStore {
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
}

#[async_trait]
impl Exports for DocumentStore {
    async fn create(&self, export: &Export, limits: CallerLimits) -> Result<CreateOutcome, PortError> {
        let (id, json) = (export.id.to_string(), documents::create(export).to_string());
        let user = export.user_id.clone();
        let create = move |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let quotas = match &user {
                Some(user) => count(&transaction, user, limits)?,
                None => CallerQuotas::default(),
            };
            if !insert(&transaction, EXPORTS, &id, &json)? {
                return Ok(CreateOutcome::Exists);
            }
            if quotas.is_exhausted() {
                // dropping the transaction takes the insert back
                return Ok(CreateOutcome::TooMany(quotas));
            }
            transaction.commit()?;
            Ok::<_, StoreError>(CreateOutcome::Created(CreatedExport::new(quotas.with_one_more())))
        };
        Ok(self.with_connection(create).await?)
    }

    async fn quotas(&self, user: &UserId, limits: CallerLimits) -> Result<CallerQuotas, PortError> {
        let user = user.clone();
        let count = move |connection: &mut Connection| count(connection, &user, limits);
        Ok(self.with_connection(count).await?)
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

fn count(connection: &Connection, user: &UserId, limits: CallerLimits) -> Result<CallerQuotas, StoreError> {
    let exports = readable(rows(connection, EXPORTS_OF_USER, params![user.as_str()])?);
    Ok(CallerQuotas::count(limits, exports, clock::now()))
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
