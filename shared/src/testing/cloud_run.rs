//! A stand-in for Cloud Run's RunJob, over gRPC, that can fail in every way.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use gcloud_sdk::{
    google::{
        cloud::run::v2::{Execution, RunJobRequest, env_var::Values},
        longrunning::Operation,
    },
    prost::Message,
    prost_types::Any,
    tonic::{self, Code, Request, Response, Status, server::UnaryService},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// How the next requests end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// The job runs.
    #[default]
    Ok,
    /// The job runs, and the answer takes this long.
    Slow(Duration),
    /// The request is answered with that code, and nothing runs.
    Status(Code),
    /// No answer ever comes.
    Hang,
    /// The job runs, and the connection breaks before the answer.
    DropReply,
}

/// One run that was asked for.
#[derive(Debug, Clone)]
pub struct Run {
    /// The job's full name.
    pub job: String,
    /// The environment that the request adds.
    pub env: BTreeMap<String, String>,
    /// The routing header.
    pub request_params: Option<String>,
    /// The authorization header.
    pub authorization: Option<String>,
    /// The execution's name, as the job finds it in `CLOUD_RUN_EXECUTION`.
    pub execution: String,
}

/// The server. It stops when it is dropped.
pub struct FakeCloudRun {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    runs: Mutex<Vec<Run>>,
    action: Box<dyn Fn(&Run) + Send + Sync>,
}

impl FakeCloudRun {
    /// Starts it on a free port of loopback.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start() -> Self {
        Self::with_action(|_| ()).await
    }

    /// Starts it with something to do for every job that runs.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn with_action(action: impl Fn(&Run) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            behaviour: Mutex::default(),
            runs: Mutex::default(),
            action: Box::new(action),
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, server }
    }

    /// What `CLOUD_RUN_ENDPOINT` is to be.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How requests from now on end.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// The jobs that run, in order.
    #[must_use]
    pub fn runs(&self) -> Vec<Run> {
        self.shared.runs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for FakeCloudRun {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&shared)));
    }
}

/// Serves one connection until it ends, or is to break.
async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let cut = Arc::new(Notify::new());
    let handler = RunJob { shared, cut: Arc::clone(&cut) };
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let handler = handler.clone();
        async move {
            let codec = tonic_prost::ProstCodec::<Operation, RunJobRequest>::default();
            let response = match request.uri().path() {
                "/google.cloud.run.v2.Jobs/RunJob" => {
                    tonic::server::Grpc::new(codec).unary(handler, request).await
                }
                _ => Status::unimplemented("RunJob only").into_http(),
            };
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serving => {}
        () = cut.notified() => {}
    }
}

#[derive(Clone)]
struct RunJob {
    shared: Arc<Shared>,
    cut: Arc<Notify>,
}

impl UnaryService<RunJobRequest> for RunJob {
    type Response = Operation;
    type Future = BoxFuture<'static, Result<Response<Operation>, Status>>;

    fn call(&mut self, request: Request<RunJobRequest>) -> Self::Future {
        let Self { shared, cut } = self.clone();
        Box::pin(async move {
            let behaviour = *shared.behaviour.lock().unwrap_or_else(PoisonError::into_inner);
            match behaviour {
                Behaviour::Status(code) => return Err(Status::new(code, "as told")),
                Behaviour::Hang => std::future::pending().await,
                Behaviour::Ok | Behaviour::Slow(_) | Behaviour::DropReply => {}
            }
            let run = shared.run(&request);
            match behaviour {
                Behaviour::Slow(wait) => tokio::time::sleep(wait).await,
                Behaviour::DropReply => {
                    cut.notify_one();
                    std::future::pending::<()>().await;
                }
                Behaviour::Ok | Behaviour::Status(_) | Behaviour::Hang => {}
            }
            Ok(Response::new(operation(&run)))
        })
    }
}

impl Shared {
    fn run(&self, request: &Request<RunJobRequest>) -> Run {
        let header = |name| request.metadata().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let message = request.get_ref();
        let containers = message.overrides.iter().flat_map(|overrides| &overrides.container_overrides);
        let env =
            containers.flat_map(|container| &container.env).filter_map(|variable| match &variable.values {
                Some(Values::Value(value)) => Some((variable.name.clone(), value.clone())),
                Some(Values::ValueSource(_)) | None => None,
            });
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let run = Run {
            job: message.name.clone(),
            env: env.collect(),
            request_params: header("x-goog-request-params"),
            authorization: header("authorization"),
            execution: format!("export-job-{}", runs.len() + 1),
        };
        runs.push(run.clone());
        drop(runs);
        (self.action)(&run);
        run
    }
}

fn operation(run: &Run) -> Operation {
    let execution =
        Execution { name: format!("{}/executions/{}", run.job, run.execution), ..Execution::default() };
    let metadata = Any {
        type_url: "type.googleapis.com/google.cloud.run.v2.Execution".to_owned(),
        value: execution.encode_to_vec(),
    };
    Operation { name: "operations/1".to_owned(), metadata: Some(metadata), ..Operation::default() }
}
