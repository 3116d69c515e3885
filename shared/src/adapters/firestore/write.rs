//! Writes with server times and a field mask, which the builders of the client library do not support.
//!
//! Server times: <https://firebase.google.com/docs/reference/firestore/rpc/google.firestore.v1#documenttransform>.

use std::collections::HashMap;

use firestore::FirestoreDb;
use gcloud_sdk::{
    google::firestore::v1::{
        CommitRequest, CommitResponse, Document, DocumentMask, Precondition, Value, Write,
        document_transform::{
            FieldTransform,
            field_transform::{ServerValue, TransformType},
        },
        precondition::ConditionType,
        write::Operation,
    },
    prost_types::Timestamp,
};

use super::StoreError;

/// A write to one document.
#[derive(Clone)]
pub(super) struct DocumentWrite(Write);

impl DocumentWrite {
    /// Creates a document. Fails if it exists.
    pub(super) fn create(document: Document) -> Self {
        Self(Write {
            current_document: Some(exists(false)),
            operation: Some(Operation::Update(document)),
            ..Write::default()
        })
    }

    /// Sets the fields at `field_paths` to their values in `document`. Fails if the document does not exist.
    pub(super) fn update(document: Document, field_paths: Vec<String>) -> Self {
        Self(Write { update_mask: Some(DocumentMask { field_paths }), ..Self::create(document).0 }).existing()
    }

    fn existing(mut self) -> Self {
        self.0.current_document = Some(exists(true));
        self
    }

    /// Sets those fields to the time of the server.
    pub(super) fn with_server_times(mut self, fields: &[&str]) -> Self {
        self.0.update_transforms = fields
            .iter()
            .map(|field| FieldTransform {
                field_path: (*field).to_owned(),
                transform_type: Some(TransformType::SetToServerValue(ServerValue::RequestTime.into())),
            })
            .collect();
        self
    }

    /// Fails if the document has changed since `update_time`; `None` if it did not exist.
    pub(super) fn if_unchanged_since(mut self, update_time: Option<Timestamp>) -> Self {
        let condition = update_time.map_or(ConditionType::Exists(false), ConditionType::UpdateTime);
        self.0.current_document = Some(Precondition { condition_type: Some(condition) });
        self
    }

    /// Commits the write.
    pub(super) async fn commit(self, db: &FirestoreDb) -> Result<CommitResponse, StoreError> {
        commit(db, [self]).await
    }
}

/// Commits all of the writes or none.
pub(super) async fn commit(
    db: &FirestoreDb,
    writes: impl IntoIterator<Item = DocumentWrite>,
) -> Result<CommitResponse, StoreError> {
    let request = CommitRequest {
        database: db.get_database_path().clone(),
        writes: writes.into_iter().map(|write| write.0).collect(),
        ..CommitRequest::default()
    };
    Ok(db.client().get().commit(request).await?.into_inner())
}

/// A document with that id and those fields.
pub(super) fn document(
    db: &FirestoreDb,
    collection: &str,
    id: &str,
    fields: HashMap<String, Value>,
) -> Document {
    let name = format!("{}/{collection}/{id}", db.get_documents_path());
    Document { name, fields, ..Document::default() }
}

fn exists(exists: bool) -> Precondition {
    Precondition { condition_type: Some(ConditionType::Exists(exists)) }
}
