//! A fake of Google's gRPC services that records which of their methods are called: a Firestore with the documents that
//! it is given, a Cloud Run whose jobs fail at once, and a Cloud KMS that encrypts nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use firestore::FirestoreDb;
use futures_util::stream;
use gcloud_sdk::{
    google::{
        cloud::{
            kms::v1::{DecryptRequest, EncryptResponse},
            run::v2::{CancelExecutionRequest, RunJobRequest, env_var::Values},
        },
        firestore::v1::{
            CommitRequest, CommitResponse, Document, GetDocumentRequest, RunQueryRequest, RunQueryResponse,
            Value, Write, WriteResult, run_query_request::QueryType, value::ValueType,
            write::Operation as WriteOperation,
        },
        longrunning::Operation,
    },
    prost::Message,
    prost_types::Timestamp,
    proto_ext::kms::{DecryptResponse, EncryptRequest},
    tonic::{Request, Response, Status, body::Body},
};
use hyper::body::Incoming;

use super::grpc::{self, GrpcServer};
use crate::clock;

/// The server. It stops when dropped.
pub struct FakeGoogle {
    state: Arc<State>,
    server: GrpcServer,
}

#[derive(Default)]
struct State {
    calls: Mutex<BTreeSet<String>>,
    documents: Mutex<BTreeMap<String, Document>>,
}

impl FakeGoogle {
    /// Starts the server on a free loopback port.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let server = GrpcServer::start(move |stream| {
            let state = Arc::clone(&shared);
            grpc::serve(stream, move |request| answer(Arc::clone(&state), request))
        });
        Self { state, server: server.await }
    }

    /// The URL of all services.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Stores a document in a database of that project.
    ///
    /// # Panics
    /// If the fields are no JSON object.
    pub fn put(&self, project: &str, collection: &str, id: &str, fields: &serde_json::Value) {
        let name = format!("projects/{project}/databases/(default)/documents/{collection}/{id}");
        let document = FirestoreDb::serialize_to_doc("", fields).expect("fields");
        lock(&self.state.documents)
            .insert(name.clone(), Document { name, update_time: Some(now()), ..document });
    }

    /// The methods that were called, by name.
    #[must_use]
    pub fn calls(&self) -> BTreeSet<String> {
        lock(&self.state.calls).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(state: Arc<State>, request: hyper::Request<Incoming>) -> hyper::Response<Body> {
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    lock(&state.calls).insert(method.clone());
    match method.as_str() {
        "GetDocument" => {
            unary(request, |message: GetDocumentRequest| {
                let found = lock(&state.documents).get(&message.name).cloned();
                found.ok_or_else(|| Status::not_found(message.name))
            })
            .await
        }
        "RunQuery" => run_query(&state, request).await,
        "Commit" => unary(request, |message| Ok(state.commit(message))).await,
        "RunJob" => {
            unary(request, |message| {
                state.fail_export(message);
                Ok(Operation { name: "operations/run-1".to_owned(), ..Operation::default() })
            })
            .await
        }
        "CancelExecution" => unary(request, |_: CancelExecutionRequest| Ok(Operation::default())).await,
        "Encrypt" => {
            unary(request, |message: EncryptRequest| {
                let ciphertext = message.plaintext.as_sensitive_bytes().to_vec();
                Ok(EncryptResponse { ciphertext, ..EncryptResponse::default() })
            })
            .await
        }
        "Decrypt" => {
            unary(request, |message: DecryptRequest| {
                Ok(DecryptResponse { plaintext: message.ciphertext.into(), ..DecryptResponse::default() })
            })
            .await
        }
        _ => Status::unimplemented(method).into_http(),
    }
}

async fn unary<Q, R>(
    request: hyper::Request<Incoming>,
    answer: impl Fn(Q) -> Result<R, Status> + Send,
) -> hyper::Response<Body>
where
    Q: Message + Default + Send + 'static,
    R: Message + Send + 'static,
{
    let service = tower::service_fn(|request: Request<Q>| {
        std::future::ready(answer(request.into_inner()).map(Response::new))
    });
    grpc::method::<Q, R>().unary(service, request).await
}

/// Every document of the collection, whatever the filter.
async fn run_query(state: &State, request: hyper::Request<Incoming>) -> hyper::Response<Body> {
    let service = tower::service_fn(|request: Request<RunQueryRequest>| {
        let RunQueryRequest { parent, query_type, .. } = request.into_inner();
        let Some(QueryType::StructuredQuery(query)) = query_type else {
            return std::future::ready(Err(Status::invalid_argument("no query")));
        };
        let collection = query.from.first().map_or("", |from| from.collection_id.as_str());
        let prefix = format!("{parent}/{collection}/");
        let documents = lock(&state.documents);
        let found = documents.values().filter(|document| document.name.starts_with(&prefix)).cloned();
        let read =
            |document| RunQueryResponse { document, read_time: Some(now()), ..RunQueryResponse::default() };
        let responses: Vec<_> = found.map(Some).chain([None]).map(|found| Ok(read(found))).collect();
        std::future::ready(Ok(Response::new(stream::iter(responses))))
    });
    grpc::method::<RunQueryRequest, RunQueryResponse>().server_streaming(service, request).await
}

impl State {
    fn fail_export(&self, request: RunJobRequest) {
        let containers = request.overrides.into_iter().flat_map(|overrides| overrides.container_overrides);
        let mut env = containers.flat_map(|container| container.env);
        let id = env.find(|variable| variable.name == "EXPORT_ID").and_then(|variable| variable.values);
        let Some(Values::Value(id)) = id else { return };
        for (name, document) in lock(&self.documents).iter_mut() {
            if name.rsplit('/').next() == Some(id.as_str()) {
                let failed = Value { value_type: Some(ValueType::StringValue("failed".to_owned())) };
                document.fields.insert("status".to_owned(), failed);
            }
        }
    }

    /// Writes without checking preconditions.
    fn commit(&self, request: CommitRequest) -> CommitResponse {
        let write_results = request.writes.into_iter().map(|write| self.write(write)).collect();
        CommitResponse { write_results, commit_time: Some(now()) }
    }

    fn write(&self, write: Write) -> WriteResult {
        let server_time = || Value { value_type: Some(ValueType::TimestampValue(now())) };
        let transform_results = write.update_transforms.iter().map(|_| server_time()).collect();
        if let Some(WriteOperation::Update(mut document)) = write.operation {
            document.update_time = Some(now());
            for transform in write.update_transforms {
                document.fields.insert(transform.field_path, server_time());
            }
            let mut documents = lock(&self.documents);
            match documents.get_mut(&document.name).filter(|_| write.update_mask.is_some()) {
                Some(stored) => stored.fields.extend(document.fields),
                None => drop(documents.insert(document.name.clone(), document)),
            }
        }
        WriteResult { update_time: Some(now()), transform_results }
    }
}

fn now() -> Timestamp {
    let now = clock::now();
    Timestamp { seconds: now.as_second(), nanos: now.subsec_nanosecond() }
}
