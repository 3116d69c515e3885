//! Starts the export job as a Cloud Run job, with `EXPORT_ID`, `PROJECT_ID` and perhaps `HF_TOKEN` in its
//! environment. RunJob cannot be repeated safely: what is sent once is never sent again, and an answer that does not
//! come means that nobody knows.
//!
//! <https://cloud.google.com/run/docs/reference/rpc/google.cloud.run.v2#google.cloud.run.v2.RunJobRequest>

use std::{error::Error as StdError, io, time::Duration};

use async_trait::async_trait;
use gcloud_sdk::{
    GCP_DEFAULT_SCOPES, GoogleApi, GoogleAuthMiddleware,
    google::{
        cloud::run::v2::{
            EnvVar, Execution, RunJobRequest,
            env_var::Values,
            jobs_client::JobsClient,
            run_job_request::{Overrides, overrides::ContainerOverride},
        },
        longrunning::Operation,
    },
    google_cloud_auth::credentials::{Builder, Credentials, anonymous},
    prost::Message,
    tonic::{Code, Request, Status, metadata::MetadataValue},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::OnceCell, time::timeout};

use crate::{
    config,
    domain::{ExecutionName, ExportId},
    ports::{JobLauncher, LaunchError},
};

/// The longest that a launch may take.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// How much of it is for the connection and the credentials.
const CONNECT: Duration = Duration::from_secs(8);

const GOOGLE: &str = "https://run.googleapis.com";

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no connection within {CONNECT:?}")]
    ConnectDeadline,
    #[error("no answer within {DEADLINE:?}")]
    Deadline,
    #[error("no connection to Cloud Run")]
    Connect(#[source] gcloud_sdk::error::Error),
    #[error("no credentials for Cloud Run")]
    Credentials(#[source] Box<dyn StdError + Send + Sync>),
    #[error("RunJob was refused: {0}")]
    Refused(#[source] Box<Status>),
    #[error("RunJob broke off: {0}")]
    BrokeOff(#[source] Box<Status>),
}

impl From<Failure> for LaunchError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::ConnectDeadline
            | Failure::Connect(_)
            | Failure::Credentials(_)
            | Failure::Refused(_) => Self::NotStarted(failure.into()),
            Failure::Deadline | Failure::BrokeOff(_) => Self::Unknown(failure.into()),
        }
    }
}

impl From<Status> for Failure {
    /// Definite are the answers by which Cloud Run says that it did nothing, and a port where nobody listens.
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
            | Code::ResourceExhausted => Self::Refused(Box::new(status)),
            Code::Unavailable if nobody_listens(&status) => Self::Refused(Box::new(status)),
            Code::Ok
            | Code::Unavailable
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::DataLoss => Self::BrokeOff(Box::new(status)),
        }
    }
}

fn nobody_listens(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The launcher of one job in one region.
pub struct CloudRunJobs {
    settings: config::Launch,
    /// A stand-in needs none; Cloud Run needs the environment's.
    pub(super) credentials: fn() -> Result<Credentials, Failure>,
    connected: OnceCell<Connected>,
}

struct Connected {
    jobs: GoogleApi<JobsClient<GoogleAuthMiddleware>>,
    credentials: Credentials,
}

impl CloudRunJobs {
    /// The job that the settings name; nothing is asked of it yet.
    #[must_use]
    pub fn new(settings: config::Launch) -> Self {
        let stand_in = settings.endpoint.is_some();
        let credentials = if stand_in { nobodys } else { of_the_environment };
        Self { settings, credentials, connected: OnceCell::new() }
    }

    async fn connect(&self) -> Result<Connected, Failure> {
        let endpoint = self.settings.endpoint.as_ref().map_or(GOOGLE, |url| url.as_str());
        let credentials = (self.credentials)()?;
        let jobs =
            GoogleApi::from_function_with_credentials(JobsClient::new, endpoint, None, credentials.clone());
        Ok(Connected { jobs: jobs.await.map_err(Failure::Connect)?, credentials })
    }

    /// The client, with a token at hand: whatever fails up to here has started nothing.
    async fn ready(&self) -> Result<JobsClient<GoogleAuthMiddleware>, Failure> {
        let ready = async {
            let connected = self.connected.get_or_try_init(|| self.connect()).await?;
            let token = connected.credentials.headers(axum::http::Extensions::new()).await;
            token.map_err(|error| Failure::Credentials(error.into()))?;
            Ok(connected.jobs.get())
        };
        timeout(CONNECT, ready).await.unwrap_or(Err(Failure::ConnectDeadline))
    }

    fn request(
        &self,
        export: ExportId,
        hf_token: Option<&SecretString>,
    ) -> Result<Request<RunJobRequest>, Failure> {
        let config::Launch { project_id, region, job_name, .. } = &self.settings;
        let mut env =
            vec![variable("EXPORT_ID", export.to_string()), variable("PROJECT_ID", project_id.clone())];
        env.extend(hf_token.map(|token| variable("HF_TOKEN", token.expose_secret().to_owned())));
        let overrides = Overrides {
            container_overrides: vec![ContainerOverride { env, ..ContainerOverride::default() }],
            ..Overrides::default()
        };
        let name = format!("projects/{project_id}/locations/{region}/jobs/{job_name}");
        let mut request =
            Request::new(RunJobRequest { name, overrides: Some(overrides), ..RunJobRequest::default() });
        // The API routes by it, and the client does not send it.
        let routing = MetadataValue::try_from(format!("location={region}"))
            .map_err(|_| Failure::Refused(Box::new(Status::invalid_argument("REGION is not one"))))?;
        request.metadata_mut().insert("x-goog-request-params", routing);
        Ok(request)
    }
}

#[async_trait]
impl JobLauncher for CloudRunJobs {
    async fn launch(
        &self,
        export: ExportId,
        hf_token: Option<&SecretString>,
    ) -> Result<ExecutionName, LaunchError> {
        let mut jobs = self.ready().await?;
        let request = self.request(export, hf_token)?;
        let answer =
            timeout(DEADLINE - CONNECT, jobs.run_job(request)).await.map_err(|_| Failure::Deadline)?;
        let operation = answer.map_err(Failure::from)?.into_inner();
        Ok(execution(&operation))
    }
}

fn nobodys() -> Result<Credentials, Failure> {
    Ok(anonymous::Builder::new().build())
}

pub(super) fn of_the_environment() -> Result<Credentials, Failure> {
    // A service account's key signs with the process's provider. Somebody may have installed it already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let credentials = Builder::default().with_scopes(GCP_DEFAULT_SCOPES.iter()).build();
    credentials.map_err(|error| Failure::Credentials(error.into()))
}

fn variable(name: &str, value: String) -> EnvVar {
    EnvVar { name: name.to_owned(), values: Some(Values::Value(value)) }
}

/// The execution's own name, the one that it finds in `CLOUD_RUN_EXECUTION`; else the operation's.
fn execution(operation: &Operation) -> ExecutionName {
    let execution = operation.metadata.as_ref().and_then(|any| Execution::decode(any.value.as_slice()).ok());
    let name = execution.map(|execution| execution.name).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| operation.name.clone());
    ExecutionName::new(name.rsplit('/').next().unwrap_or_default())
}
