//! The clients as on Lambda: with the environment variables of Lambda, the credentials file that `scripts/package lambda`
//! packages, and fake servers for Google's token services.

mod google;

use std::{path::PathBuf, process::Command};

use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
    },
    gcp::GoogleCloudStorageBuilder,
};

use super::external_account_credentials;
use crate::{
    adapters::{cloud_run::CloudRunJobs, download_links::SignedLinks, firestore::Firestore, google_api},
    config,
    domain::ExportId,
    ports::{DownloadLinks, JobLauncher, TrainingJobs},
    testing::{cloud_run::FakeCloudRun, fixtures},
};

const ACCESS_KEY: (&str, &str) = ("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
const SESSION: &str = "session-of-the-role";
const ACCOUNT: &str = "export-get@demo.iam.gserviceaccount.com";
const SIGNATURE: &[u8] = b"signed by Google";

/// Redirects requests for `iamcredentials.googleapis.com` to the fake server.
#[derive(Debug, Clone)]
struct RedirectedClient {
    google: String,
    client: Option<HttpClient>,
}

impl HttpConnector for RedirectedClient {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(&options.clone().with_allow_http(true))?;
        Ok(HttpClient::new(Self { client: Some(client), ..self.clone() }))
    }
}

#[async_trait::async_trait]
impl HttpService for RedirectedClient {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = request.uri().to_string().replace("https://iamcredentials.googleapis.com", &self.google);
        *request.uri_mut() = url.parse().unwrap();
        self.client.as_ref().unwrap().execute(request).await
    }
}

fn credentials_file() -> Option<PathBuf> {
    std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").map(Into::into)
}

/// Writes the packaged credentials file, with the fake servers in place of Google.
fn write_credentials_file(google: &str) {
    let template = include_str!("../../../../packaging/google.json");
    let text =
        template.replace("PROJECT_NUMBER", "123").replace("PROJECT_ID", "demo").replace("FUNCTION", "get");
    let text = text.replace("https://iamcredentials.googleapis.com", google);
    std::fs::write(credentials_file().unwrap(), text.replace("https://sts.googleapis.com", google)).unwrap();
}

/// Runs a test again in a process with the environment variables of Lambda, because libraries read the environment.
fn rerun_with_lambda_environment(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("adapters::federation::tests::{test}"), "--nocapture"])
        .env_clear()
        .env("AWS_LAMBDA_FUNCTION_NAME", "export-get")
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY.0)
        .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY.1)
        .env("AWS_SESSION_TOKEN", SESSION)
        .env("GOOGLE_APPLICATION_CREDENTIALS", folder.path().join("google.json"))
        .output()
        .unwrap();
    let output_text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output_text.contains("1 passed"), "{output_text}");
}

#[tokio::test]
async fn on_lambda_all_clients_use_the_service_account() {
    if std::env::var_os("AWS_LAMBDA_FUNCTION_NAME").is_none() {
        return rerun_with_lambda_environment("on_lambda_all_clients_use_the_service_account");
    }
    let (google, requests) = google::google().await;
    write_credentials_file(&google);
    check_firestore().await;
    assert_eq!(*requests.lock().unwrap(), ["exchange", "generateAccessToken"]);
    check_cloud_run().await;
    check_download_links(&google).await;
    assert_eq!(requests.lock().unwrap().last().map(String::as_str), Some("signBlob"));
}

async fn check_firestore() {
    let (url, tokens) = google::firestore().await;
    let settings = config::FirestoreConfig { project_id: "demo".into(), database: "(default)".into() };
    let found = Firestore::at(settings, &url).find(&fixtures::job_id("job-1")).await.unwrap();
    assert!(found.is_none());
    assert_eq!(*tokens.lock().unwrap(), ["Bearer of-export-get"]);
}

async fn check_cloud_run() {
    let run = FakeCloudRun::start().await;
    let endpoint = Some(run.endpoint().parse().unwrap());
    let (project_id, region, job_name) = ("demo".into(), "us-central1".into(), "export-job".into());
    let mut jobs = CloudRunJobs::new(config::CloudRunConfig { project_id, region, job_name, endpoint });
    jobs.credentials = google_api::environment_credentials;
    jobs.launch(ExportId::random(), None).await.unwrap();
    assert_eq!(run.runs()[0].authorization.as_deref(), Some("Bearer of-export-get"));
}

async fn check_download_links(google: &str) {
    let settings =
        config::DownloadsConfig { bucket: "files".into(), emulator: None, credentials: credentials_file() };
    let connector = RedirectedClient { google: google.to_owned(), client: None };
    let builder = GoogleCloudStorageBuilder::from_env().with_http_connector(connector);
    let links = SignedLinks::with(&settings, builder);
    let link = links.link("gs://files/job-1/model.gguf").await.unwrap().unwrap();
    assert!(link.starts_with("https://storage.googleapis.com/files/job-1/model.gguf?"), "{link}");
    assert!(link.contains(&format!("X-Goog-Credential={}%2F", ACCOUNT.replace('@', "%40"))), "{link}");
    assert!(link.ends_with(&format!("X-Goog-Signature={}", hex::encode(SIGNATURE))), "{link}");
}

#[tokio::test]
async fn an_unusable_credentials_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let result = |text: &str| {
        let file = folder.path().join("google.json");
        std::fs::write(&file, text).unwrap();
        external_account_credentials(&file)
            .map(|account| account.is_some())
            .map_err(|error| error.to_string())
    };
    assert_eq!(result(r#"{"type": "service_account"}"#), Ok(false), "supported by the client");
    let no_account = result(r#"{"type": "external_account"}"#).unwrap_err();
    assert!(no_account.contains("no service_account_impersonation_url"), "{no_account}");
    let unusable = result(
        r#"{"type": "external_account", "service_account_impersonation_url": "https://x/serviceAccounts/a@b:generateAccessToken"}"#,
    );
    assert_eq!(unusable.unwrap_err(), "the credentials file is invalid");
    assert!(result("{").unwrap_err().contains("is not a credentials file"));
    let missing = external_account_credentials(&folder.path().join("none")).map(|account| account.is_some());
    assert!(missing.unwrap_err().to_string().contains("cannot be read"));
}
