//! Documents in SQLite, in place of Firestore. The stack and its export jobs are processes that use one database at the
//! same time. Every change is a transaction that takes the write lock first, so no update is lost, and a killed process
//! leaves only what it had committed.

mod exports;
mod training_jobs;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use serde_json::Value;
use shared::ports::PortError;

/// How long a change waits for the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS documents (
        collection TEXT NOT NULL,
        id TEXT NOT NULL,
        json TEXT NOT NULL,
        PRIMARY KEY (collection, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS training_jobs_of ON documents (json ->> '$.user_id', json ->> '$.status')
        WHERE collection = 'training_jobs';
    CREATE INDEX IF NOT EXISTS exports_of ON documents (json ->> '$.job_id') WHERE collection = 'exports';
    CREATE INDEX IF NOT EXISTS exports_by ON documents (json ->> '$.user_id') WHERE collection = 'exports';
    CREATE INDEX IF NOT EXISTS exports_in ON documents (json ->> '$.status') WHERE collection = 'exports';
";

/// A database of documents. Clones share one connection.
#[derive(Debug, Clone)]
pub(crate) struct DocumentStore(Arc<Mutex<Connection>>);

/// Errors of the database and of its documents.
#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error("a document is not valid JSON")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Document(#[from] shared::adapters::documents::DocumentError),
    #[error("document {0} does not exist")]
    Missing(String),
    #[error("the database's thread ended")]
    Thread(#[from] tokio::task::JoinError),
}

impl From<StoreError> for PortError {
    fn from(error: StoreError) -> Self {
        Self::Failed { what: "the document store", source: Box::new(error) }
    }
}

impl DocumentStore {
    /// The database in that file, which is created if it does not exist.
    ///
    /// # Errors
    /// If it cannot be opened, or is not a database.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Writes the document unless one with that id exists; returns whether it did.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn put_new(
        &self,
        collection: &'static str,
        id: &str,
        json: &Value,
    ) -> Result<bool, PortError> {
        let (id, json) = (id.to_owned(), json.to_string());
        let put = move |connection: &mut Connection| Ok(insert(connection, collection, &id, &json)?);
        Ok(self.with_connection(put).await?)
    }

    /// Replaces the URL prefix `before` by `after` in all documents; returns how many it changed.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn relocate(&self, before: &str, after: &str) -> Result<usize, PortError> {
        let (before, after) = (json_text(before), json_text(after));
        let change = move |connection: &mut Connection| {
            let sql = "UPDATE documents SET json = replace(json, ?1, ?2) WHERE instr(json, ?1) > 0";
            Ok(connection.execute(sql, params![before, after])?)
        };
        Ok(self.with_connection(change).await?)
    }

    async fn with_connection<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let connection = Arc::clone(&self.0);
        let work = move || work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(work).await?
    }

    /// Runs `change` on a document in a transaction, and writes the changed document if it succeeds.
    async fn change<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        &self,
        collection: &'static str,
        id: String,
        change: impl FnOnce(Option<&mut Value>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        self.with_connection(move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut document = read(&transaction, collection, &id)?;
            let outcome = change(document.as_mut());
            if let (Ok(_), Some(document)) = (&outcome, document) {
                let sql = "UPDATE documents SET json = ?3 WHERE collection = ?1 AND id = ?2";
                transaction.execute(sql, params![collection, id, document.to_string()])?;
                transaction.commit()?;
            }
            Ok(outcome)
        })
        .await?
    }
}

fn insert(connection: &Connection, collection: &str, id: &str, json: &str) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO documents (collection, id, json) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    Ok(connection.execute(sql, params![collection, id, json])? == 1)
}

fn read(connection: &Connection, collection: &str, id: &str) -> Result<Option<Value>, StoreError> {
    let sql = "SELECT json FROM documents WHERE collection = ?1 AND id = ?2";
    let json: Option<String> =
        connection.query_row(sql, params![collection, id], |row| row.get(0)).optional()?;
    Ok(json.map(|json| serde_json::from_str(&json)).transpose()?)
}

/// The ids and documents that a query returns.
fn rows(
    connection: &Connection,
    sql: &str,
    args: impl rusqlite::Params,
) -> Result<Vec<(String, Value)>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(args, |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (id, json) = row?;
        Ok((id, serde_json::from_str(&json)?))
    })
    .collect()
}

/// A text as a JSON string without the quotes.
fn json_text(text: &str) -> String {
    Value::from(text).to_string().trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests;
