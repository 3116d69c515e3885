//! Fake providers with the schemas of the real ones, in front of a fake cloud. The real Terraform validates, plans and
//! applies with them, so a test finds what Terraform itself finds: unknown and missing arguments, wrong types, cycles,
//! dangling references, values that violate a validation.
//!
//! `TF_REATTACH_PROVIDERS`, which exists for debugging providers, makes Terraform use them and download nothing.

pub(crate) mod cloud;
mod messages;
pub(crate) mod schema;
mod values;

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use cloud::Cloud;
use messages::{
    Applied, ConfigureRequest, Diagnostic, DynamicValue, ImportRequest, Imported, ImportedResource, Request,
    Schemas, State, UpgradeRequest, ValidateRequest, Validated,
};
use prost::Message;
use rmpv::Value;
use schema::Provider;
use serde_json::json;
use tokio::net::TcpListener;
use tonic::{
    Code, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService, UnaryService},
    transport::server::TcpIncoming,
};
use tower::Service;

pub(crate) use values::NUMBER;

/// Starts all fake providers of that cloud, which run until the process ends, and returns the value of
/// `TF_REATTACH_PROVIDERS`.
pub(crate) fn start(cloud: &Cloud) -> String {
    serve(cloud, Foresight::Unknown)
}

/// Starts fake providers that say in the plan what the cloud will compute, so that a plan has all that a state would have.
pub(crate) fn start_foreseeing() -> String {
    serve(&Cloud::without_memory(), Foresight::Known)
}

/// What a plan has for values that the cloud computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Foresight {
    Unknown,
    Known,
}

fn serve(cloud: &Cloud, foresight: Foresight) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut addresses = serde_json::Map::new();
    for provider in schema::all() {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        addresses.insert(format!("registry.terraform.io/{}", provider.source), reattach(address));
        let server = tonic::transport::Server::builder().add_service(StandIn(
            Arc::new(provider),
            cloud.clone(),
            foresight,
        ));
        runtime.spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    }
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    serde_json::Value::Object(addresses).to_string()
}

fn reattach(address: SocketAddr) -> serde_json::Value {
    json!({
        "Protocol": "grpc", "ProtocolVersion": 6, "Pid": std::process::id(), "Test": true,
        "Addr": { "Network": "tcp", "String": address.to_string() },
    })
}

/// One provider.
#[derive(Clone)]
struct StandIn(Arc<Provider>, Cloud, Foresight);

impl StandIn {
    fn answer(&self, method: &str, request: &[u8]) -> Result<Vec<u8>, Status> {
        let bad = |error: prost::DecodeError| Status::invalid_argument(error.to_string());
        let decoded = || Request::decode(request).map_err(bad);
        let state = |value: &Value| State { state: Some(values::encode(value)) }.encode_to_vec();
        Ok(match method {
            "GetProviderSchema" => self.schemas().encode_to_vec(),
            // Terraform checks the schema; there are no other checks.
            "ValidateProviderConfig" | "ValidateDataResourceConfig" | "StopProvider" => Vec::new(),
            "ValidateResourceConfig" => {
                let kind = ValidateRequest::decode(request).map_err(bad)?.type_name;
                let warning = self.1.warning(&kind).map(Diagnostic::warning);
                Validated { diagnostics: warning.into_iter().collect() }.encode_to_vec()
            }
            "ConfigureProvider" => {
                let config = ConfigureRequest::decode(request).map_err(bad)?.config;
                self.1.configure(&self.0.source, &values::decode(config.as_ref()));
                Vec::new()
            }
            "UpgradeResourceState" => {
                let raw = UpgradeRequest::decode(request).map_err(bad)?.raw_state.unwrap_or_default();
                let value = DynamicValue { msgpack: Vec::new(), json: raw.json };
                state(&values::decode(Some(&value)))
            }
            "ReadResource" => {
                let request = decoded()?;
                state(&self.1.read(&request.type_name, values::decode(request.first.as_ref())))
            }
            "ImportResourceState" => {
                self.import(&ImportRequest::decode(request).map_err(bad)?).encode_to_vec()
            }
            "PlanResourceChange" => {
                let request = decoded()?;
                let (before, planned) =
                    (values::decode(request.first.as_ref()), values::decode(request.second.as_ref()));
                let block = &self.0.resource[&request.type_name];
                state(&match (before.is_nil(), self.2) {
                    (false, _) => planned,
                    (true, Foresight::Unknown) => values::with_unknowns(block, planned),
                    (true, Foresight::Known) => self.computed(&request.type_name, &before, planned),
                })
            }
            "ApplyResourceChange" => self.apply(&decoded()?).encode_to_vec(),
            "ReadDataSource" => {
                let request = decoded()?;
                let block = &self.0.data[&request.type_name];
                let config = values::decode(request.first.as_ref());
                state(&values::with_made_up(&request.type_name, block, config))
            }
            _ => return Err(Status::new(Code::Unimplemented, method)),
        })
    }

    /// What becomes of a planned resource.
    fn computed(&self, kind: &str, before: &Value, planned: Value) -> Value {
        let after = values::with_made_up(kind, &self.0.resource[kind], planned);
        values::next_revision(kind, before, after)
    }

    fn apply(&self, request: &Request) -> Applied {
        let before = values::decode(request.first.as_ref());
        let after = self.computed(&request.type_name, &before, values::decode(request.second.as_ref()));
        let (state, diagnostics) = match self.1.apply(&self.0.source, &request.type_name, (&before, &after)) {
            Ok(()) => (after, Vec::new()),
            Err(error) => (before, vec![Diagnostic::error(error)]),
        };
        Applied { state: Some(values::encode(&state)), diagnostics, legacy_type_system: true }
    }

    fn import(&self, request: &ImportRequest) -> Imported {
        match self.1.find(&request.type_name, &request.id) {
            Some(state) => Imported {
                resources: vec![ImportedResource {
                    type_name: request.type_name.clone(),
                    state: Some(values::encode(&state)),
                }],
                diagnostics: Vec::new(),
            },
            None => Imported {
                resources: Vec::new(),
                diagnostics: vec![Diagnostic::error(format!("Cannot import non-existent {}", request.id))],
            },
        }
    }

    fn schemas(&self) -> Schemas {
        let all = |blocks: &std::collections::BTreeMap<String, schema::Block>| {
            blocks.iter().map(|(name, block)| (name.clone(), block.message())).collect::<HashMap<_, _>>()
        };
        Schemas {
            provider: Some(self.0.provider.message()),
            resources: all(&self.0.resource),
            data_sources: all(&self.0.data),
        }
    }
}

impl NamedService for StandIn {
    const NAME: &'static str = "tfplugin6.Provider";
}

impl Service<http::Request<Body>> for StandIn {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let call = Method(self.clone(), method);
        Box::pin(async move { Ok(Grpc::new(Bytes).unary(call, request).await) })
    }
}

struct Method(StandIn, String);

impl UnaryService<Vec<u8>> for Method {
    type Response = Vec<u8>;
    type Future = Ready<Result<tonic::Response<Vec<u8>>, Status>>;

    fn call(&mut self, request: tonic::Request<Vec<u8>>) -> Self::Future {
        ready(self.0.answer(&self.1, request.get_ref()).map(tonic::Response::new))
    }
}

/// Passes messages through undecoded, because their type depends on the method.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(to, &item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        use prost::bytes::Buf;
        let mut all = vec![0; from.remaining()];
        from.copy_to_slice(&mut all);
        Ok(Some(all))
    }
}
