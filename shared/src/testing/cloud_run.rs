//! A fake Cloud Run server (gRPC, RunJob and CancelExecution) with configurable failures.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use gcloud_sdk::{
    google::{
        cloud::run::v2::{CancelExecutionRequest, Execution, RunJobRequest, env_var::Values},
        longrunning::Operation,
    },
    prost::Message,
    prost_types::Any,
    tonic::{Code, Request, Response, Status, server::UnaryService},
};
use tokio::{net::TcpStream, sync::Notify};

use super::grpc::{self, GrpcServer};

/// The response to the next requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RunJobBehavior {
    /// The job is started.
    #[default]
    Ok,
    /// The job is started, and the response is delayed.
    Slow(Duration),
    /// The response is that status code, and no job is started.
    Status(Code),
    /// There is no response.
    Hang,
    /// The job is started, and the connection is closed before the response.
    DropReply,
}

/// A recorded RunJob request.
#[derive(Debug, Clone)]
pub struct RecordedRun {
    /// The full name of the job.
    pub job: String,
    /// The environment variables of the request.
    pub env: BTreeMap<String, String>,
    /// The routing header.
    pub request_params: Option<String>,
    /// The authorization header.
    pub authorization: Option<String>,
    /// The name of the execution, as in `CLOUD_RUN_EXECUTION`.
    pub execution: String,
}

/// The server. It stops when dropped.
pub struct FakeCloudRun {
    shared: Arc<ServerState>,
    server: GrpcServer,
}

struct ServerState {
    behavior: Mutex<RunJobBehavior>,
    runs: Mutex<Vec<RecordedRun>>,
    cancelled: Mutex<Vec<String>>,
    action: Box<dyn Fn(&RecordedRun) + Send + Sync>,
}

impl FakeCloudRun {
    /// Starts the server on a free loopback port.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        Self::with_action(|_| ()).await
    }

    /// Starts the server with an action that is run for every started job.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn with_action(action: impl Fn(&RecordedRun) + Send + Sync + 'static) -> Self {
        let shared = Arc::new(ServerState {
            behavior: Mutex::default(),
            runs: Mutex::default(),
            cancelled: Mutex::default(),
            action: Box::new(action),
        });
        let state = Arc::clone(&shared);
        let server = GrpcServer::start(move |stream| connection(stream, Arc::clone(&state))).await;
        Self { shared, server }
    }

    /// The value for `CLOUD_RUN_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Sets the response to all further requests.
    pub fn set_behavior(&self, behavior: RunJobBehavior) {
        *self.shared.behavior.lock().unwrap_or_else(PoisonError::into_inner) = behavior;
    }

    /// The started jobs, in order.
    #[must_use]
    pub fn runs(&self) -> Vec<RecordedRun> {
        self.shared.runs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The full names of the cancelled executions, in order.
    #[must_use]
    pub fn cancelled(&self) -> Vec<String> {
        self.shared.cancelled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves one connection until it ends or [`RunJobBehavior::DropReply`] closes it.
async fn connection(stream: TcpStream, shared: Arc<ServerState>) {
    let cut = Arc::new(Notify::new());
    let handler = RunJobService { shared, cut: Arc::clone(&cut) };
    let serving = grpc::serve(stream, move |request| {
        let handler = handler.clone();
        async move {
            match request.uri().path() {
                "/google.cloud.run.v2.Jobs/RunJob" => {
                    grpc::method::<RunJobRequest, Operation>().unary(handler, request).await
                }
                "/google.cloud.run.v2.Executions/CancelExecution" => {
                    grpc::method::<CancelExecutionRequest, Operation>().unary(handler, request).await
                }
                _ => Status::unimplemented("RunJob and CancelExecution only").into_http(),
            }
        }
    });
    tokio::select! {
        () = serving => {}
        () = cut.notified() => {}
    }
}

#[derive(Clone)]
struct RunJobService {
    shared: Arc<ServerState>,
    cut: Arc<Notify>,
}

impl UnaryService<RunJobRequest> for RunJobService {
    type Response = Operation;
    type Future = BoxFuture<'static, Result<Response<Operation>, Status>>;

    fn call(&mut self, request: Request<RunJobRequest>) -> Self::Future {
        let Self { shared, cut } = self.clone();
        Box::pin(async move {
            let behavior = *shared.behavior.lock().unwrap_or_else(PoisonError::into_inner);
            match behavior {
                RunJobBehavior::Status(code) => return Err(Status::new(code, "configured failure")),
                RunJobBehavior::Hang => std::future::pending().await,
                RunJobBehavior::Ok | RunJobBehavior::Slow(_) | RunJobBehavior::DropReply => {}
            }
            let run = shared.record(&request);
            match behavior {
                RunJobBehavior::Slow(wait) => tokio::time::sleep(wait).await,
                RunJobBehavior::DropReply => {
                    cut.notify_one();
                    std::future::pending::<()>().await;
                }
                RunJobBehavior::Ok | RunJobBehavior::Status(_) | RunJobBehavior::Hang => {}
            }
            Ok(Response::new(operation(&run)))
        })
    }
}

impl UnaryService<CancelExecutionRequest> for RunJobService {
    type Response = Operation;
    type Future = BoxFuture<'static, Result<Response<Operation>, Status>>;

    fn call(&mut self, request: Request<CancelExecutionRequest>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            if let RunJobBehavior::Status(code) =
                *shared.behavior.lock().unwrap_or_else(PoisonError::into_inner)
            {
                return Err(Status::new(code, "configured failure"));
            }
            let name = request.into_inner().name;
            shared.cancelled.lock().unwrap_or_else(PoisonError::into_inner).push(name);
            Ok(Response::new(Operation::default()))
        })
    }
}

impl ServerState {
    fn record(&self, request: &Request<RunJobRequest>) -> RecordedRun {
        let header = |name| request.metadata().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let message = request.get_ref();
        let containers = message.overrides.iter().flat_map(|overrides| &overrides.container_overrides);
        let env =
            containers.flat_map(|container| &container.env).filter_map(|variable| match &variable.values {
                Some(Values::Value(value)) => Some((variable.name.clone(), value.clone())),
                Some(Values::ValueSource(_)) | None => None,
            });
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let run = RecordedRun {
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

fn operation(run: &RecordedRun) -> Operation {
    let execution =
        Execution { name: format!("{}/executions/{}", run.job, run.execution), ..Execution::default() };
    let metadata = Any {
        type_url: "type.googleapis.com/google.cloud.run.v2.Execution".to_owned(),
        value: execution.encode_to_vec(),
    };
    Operation { name: "operations/1".to_owned(), metadata: Some(metadata), ..Operation::default() }
}
