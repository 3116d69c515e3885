//! Writes that the client's own builders do not make: server times and field masks in one write.
//!
//! Server times: <https://firebase.google.com/docs/reference/firestore/rpc/google.firestore.v1#documenttransform>.

use std::collections::HashMap;

use firestore::{FirestoreDb, errors::FirestoreError};
use gcloud_sdk::google::firestore::v1::{
    CommitRequest, Document, DocumentMask, Precondition, Value, Write,
    document_transform::{
        FieldTransform,
        field_transform::{ServerValue, TransformType},
    },
    precondition::ConditionType,
    write::Operation,
};

use super::Failure;

/// One write to one document.
pub(super) struct DocumentWrite(Write);

impl DocumentWrite {
    /// Creates a document, which must not exist.
    pub(super) fn create(document: Document) -> Self {
        Self(Write {
            current_document: Some(exists(false)),
            operation: Some(Operation::Update(document)),
            ..Write::default()
        })
    }

    /// Sets those fields of a document, which must exist, to what `document` says, and no others.
    pub(super) fn update(document: Document, field_paths: Vec<String>) -> Self {
        Self(Write { update_mask: Some(DocumentMask { field_paths }), ..Self::create(document).0 }).existing()
    }

    fn existing(mut self) -> Self {
        self.0.current_document = Some(exists(true));
        self
    }

    /// Lets the server set those fields to its time.
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

    /// Writes it by itself.
    pub(super) async fn commit(self, db: &FirestoreDb) -> Result<(), Failure> {
        let request = CommitRequest {
            database: db.get_database_path().clone(),
            writes: vec![self.0],
            ..CommitRequest::default()
        };
        db.client().get().commit(request).await?;
        Ok(())
    }
}

/// For [`firestore::FirestoreTransactionOps::add`].
impl TryFrom<DocumentWrite> for Write {
    type Error = FirestoreError;

    fn try_from(write: DocumentWrite) -> Result<Self, FirestoreError> {
        Ok(write.0)
    }
}

/// The document of that id, with those fields.
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
