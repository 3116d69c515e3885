//! Starts and cancels the export job as a Cloud Run job. It is started with the environment variables `EXPORT_ID`, `PROJECT_ID` and, if given,
//! `HF_TOKEN`. RunJob is not idempotent: a request is never retried, and a missing response means that it is unknown
//! whether the job was started.
//!
//! <https://cloud.google.com/run/docs/reference/rpc/google.cloud.run.v2#google.cloud.run.v2.RunJobRequest>

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use gcloud_sdk::{
    GoogleApi, GoogleAuthMiddleware,
    google::{
        cloud::run::v2::{
            CancelExecutionRequest, EnvVar, Execution, RunJobRequest,
            env_var::Values,
            executions_client::ExecutionsClient,
            jobs_client::JobsClient,
            run_job_request::{Overrides, overrides::ContainerOverride},
        },
        longrunning::Operation,
    },
    google_cloud_auth::{build_errors, credentials::Credentials},
    prost::Message,
    tonic::{Code, Request, Status},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::OnceCell, time::timeout};

use super::google_api::{anonymous_credentials, connect_early, environment_credentials, routed};
use crate::{
    config,
    domain::{ExecutionName, ExportId},
    ports::{JobLauncher, LaunchError, PortError},
};

/// The timeout of a launch.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// The part of [`DEADLINE`] for the connection and the credentials.
const CONNECT_DEADLINE: Duration = Duration::from_secs(8);

const GOOGLE: &str = "https://run.googleapis.com";

#[derive(Debug, thiserror::Error)]
pub(super) enum RunJobError {
    #[error("no connection within {CONNECT_DEADLINE:?}")]
    ConnectDeadline,
    #[error("no response within {DEADLINE:?}")]
    Deadline,
    #[error("no connection to Cloud Run")]
    Connect(#[source] gcloud_sdk::error::Error),
    #[error("no credentials for Cloud Run")]
    Credentials(#[source] Box<dyn StdError + Send + Sync>),
    #[error("RunJob was rejected: {0}")]
    Rejected(#[source] Box<Status>),
    #[error("RunJob failed and may have started the job: {0}")]
    Ambiguous(#[source] Box<Status>),
}

#[derive(Debug, thiserror::Error)]
enum CancelError {
    #[error(transparent)]
    NoClient(#[from] RunJobError),
    #[error("no response within {DEADLINE:?}")]
    Deadline,
    #[error("CancelExecution failed: {0}")]
    Failed(#[source] Box<Status>),
}

impl From<CancelError> for PortError {
    fn from(failure: CancelError) -> Self {
        Self::Failed { what: "Cloud Run", source: failure.into() }
    }
}

impl From<RunJobError> for LaunchError {
    fn from(failure: RunJobError) -> Self {
        match failure {
            RunJobError::ConnectDeadline
            | RunJobError::Connect(_)
            | RunJobError::Credentials(_)
            | RunJobError::Rejected(_) => Self::NotStarted(failure.into()),
            RunJobError::Deadline | RunJobError::Ambiguous(_) => Self::Unknown(failure.into()),
        }
    }
}

impl From<Status> for RunJobError {
    /// Rejected: status codes with which Cloud Run reports that it started nothing, and a refused connection.
    fn from(status: Status) -> Self {
        match status.code() {
            Code::NotFound
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::AlreadyExists
            | Code::ResourceExhausted => Self::Rejected(Box::new(status)),
            Code::Unavailable if connection_refused(&status) => Self::Rejected(Box::new(status)),
            Code::Ok
            | Code::Unavailable
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::DataLoss => Self::Ambiguous(Box::new(status)),
        }
    }
}

fn connection_refused(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Launches one job in one region.
pub struct CloudRunJobs {
    settings: config::CloudRunConfig,
    /// Anonymous for a fake server, else the credentials of the environment.
    pub(super) credentials: fn() -> Result<Credentials, build_errors::Error>,
    jobs: CloudRunClient<JobsClient<GoogleAuthMiddleware>>,
    executions: CloudRunClient<ExecutionsClient<GoogleAuthMiddleware>>,
}

/// A client that connects on first use: a function launches or cancels, and connects only for that.
struct CloudRunClient<C: Clone + Send> {
    new: fn(GoogleAuthMiddleware) -> C,
    connected: OnceCell<(GoogleApi<C>, Credentials)>,
}

impl CloudRunJobs {
    /// A launcher for the configured job. It connects on first use.
    #[must_use]
    pub fn new(settings: config::CloudRunConfig) -> Self {
        let is_fake = settings.endpoint.is_some();
        let credentials = if is_fake { anonymous_credentials } else { environment_credentials };
        Self {
            settings,
            credentials,
            jobs: CloudRunClient::new(JobsClient::new),
            executions: CloudRunClient::new(ExecutionsClient::new),
        }
    }

    /// Shared, and connects to launch jobs from now on, so that the first request waits less. If that fails, the request connects
    /// itself. Needs a runtime.
    #[must_use]
    pub fn connected_to_launch(self) -> Arc<Self> {
        let jobs = Arc::new(self);
        let connecting = Arc::clone(&jobs);
        connect_early(async move { connecting.jobs.ready(&connecting).await.map(drop) });
        jobs
    }

    /// The same to cancel executions.
    #[must_use]
    pub fn connected_to_cancel(self) -> Arc<Self> {
        let jobs = Arc::new(self);
        let connecting = Arc::clone(&jobs);
        connect_early(async move { connecting.executions.ready(&connecting).await.map(drop) });
        jobs
    }

    fn request(
        &self,
        export: ExportId,
        hf_token: Option<&SecretString>,
    ) -> Result<Request<RunJobRequest>, RunJobError> {
        let project_id = self.settings.project_id.clone();
        let mut env = vec![env_var("EXPORT_ID", export.to_string()), env_var("PROJECT_ID", project_id)];
        env.extend(hf_token.map(|token| env_var("HF_TOKEN", token.expose_secret().to_owned())));
        let overrides = Overrides {
            container_overrides: vec![ContainerOverride { env, ..ContainerOverride::default() }],
            ..Overrides::default()
        };
        let name = self.job_name();
        let request = RunJobRequest { name, overrides: Some(overrides), ..RunJobRequest::default() };
        self.routed(request).map_err(|status| RunJobError::Rejected(Box::new(status)))
    }

    async fn cancel_execution(&self, execution: &ExecutionName) -> Result<(), CancelError> {
        let mut executions = self.executions.ready(self).await?;
        let name = format!("{}/executions/{execution}", self.job_name());
        let failed = |status| CancelError::Failed(Box::new(status));
        let request = CancelExecutionRequest { name, ..CancelExecutionRequest::default() };
        let request = self.routed(request).map_err(failed)?;
        let answer = timeout(DEADLINE - CONNECT_DEADLINE, executions.cancel_execution(request)).await;
        answer.map_err(|_| CancelError::Deadline)?.map_err(failed)?;
        Ok(())
    }

    fn job_name(&self) -> String {
        let config::CloudRunConfig { project_id, region, job_name, .. } = &self.settings;
        format!("projects/{project_id}/locations/{region}/jobs/{job_name}")
    }

    fn routed<T>(&self, message: T) -> Result<Request<T>, Status> {
        routed(message, format!("location={}", self.settings.region), "REGION")
    }
}

impl<C: Clone + Send> CloudRunClient<C> {
    fn new(new: fn(GoogleAuthMiddleware) -> C) -> Self {
        Self { new, connected: OnceCell::new() }
    }

    async fn connect(&self, jobs: &CloudRunJobs) -> Result<(GoogleApi<C>, Credentials), RunJobError> {
        let endpoint = jobs.settings.endpoint.as_ref().map_or(GOOGLE, |url| url.as_str());
        let credentials = (jobs.credentials)().map_err(|error| RunJobError::Credentials(error.into()))?;
        let client =
            GoogleApi::from_function_with_credentials(self.new, endpoint, None, credentials.clone()).await;
        Ok((client.map_err(RunJobError::Connect)?, credentials))
    }

    /// The client, with a valid access token. A failure here means that nothing was started.
    async fn ready(&self, jobs: &CloudRunJobs) -> Result<C, RunJobError> {
        let ready = async {
            let (client, credentials) = self.connected.get_or_try_init(|| self.connect(jobs)).await?;
            let token = credentials.headers(axum::http::Extensions::new()).await;
            token.map_err(|error| RunJobError::Credentials(error.into()))?;
            Ok(client.get())
        };
        timeout(CONNECT_DEADLINE, ready).await.unwrap_or(Err(RunJobError::ConnectDeadline))
    }
}

#[async_trait]
impl JobLauncher for CloudRunJobs {
    async fn launch(
        &self,
        export: ExportId,
        hf_token: Option<&SecretString>,
    ) -> Result<ExecutionName, LaunchError> {
        let mut jobs = self.jobs.ready(self).await?;
        let request = self.request(export, hf_token)?;
        let answer = timeout(DEADLINE - CONNECT_DEADLINE, jobs.run_job(request))
            .await
            .map_err(|_| RunJobError::Deadline)?;
        let operation = answer.map_err(RunJobError::from)?.into_inner();
        Ok(execution_name(&operation))
    }

    async fn cancel(&self, execution: &ExecutionName) -> Result<(), PortError> {
        Ok(self.cancel_execution(execution).await?)
    }
}

fn env_var(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.to_owned(), values: Some(Values::Value(value)) }
}

/// The name of the execution, which is its `CLOUD_RUN_EXECUTION`; else the name of the operation.
fn execution_name(operation: &Operation) -> ExecutionName {
    let execution = operation.metadata.as_ref().and_then(|any| Execution::decode(any.value.as_slice()).ok());
    let name = execution.map(|execution| execution.name).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| operation.name.clone());
    ExecutionName::new(name.rsplit('/').next().unwrap_or_default())
}
