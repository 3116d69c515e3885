//! The functions as on Lambda: with the environment that Lambda gives, the file that `scripts/package lambda` puts
//! beside the binary, and stand-ins for Google's token services.

mod google;

use std::{path::PathBuf, process::Command};

use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
    },
    gcp::GoogleCloudStorageBuilder,
};

use self::google::hex;
use super::account;
use crate::{
    adapters::{cloud_run, cloud_run::CloudRunJobs, download_links::SignedLinks, firestore::Firestore},
    config,
    domain::ExportId,
    ports::{DownloadLinks, JobLauncher, TrainingJobs},
    testing::{cloud_run::FakeCloudRun, fixtures},
};

const ACCESS_KEY: (&str, &str) = ("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
const SESSION: &str = "session-of-the-role";
const ACCOUNT: &str = "export-get@demo.iam.gserviceaccount.com";
const SIGNATURE: &[u8] = b"signed by Google";

/// Sends what goes to the real `iamcredentials` to the stand-in.
#[derive(Debug, Clone)]
struct Elsewhere {
    google: String,
    client: Option<HttpClient>,
}

impl HttpConnector for Elsewhere {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(&options.clone().with_allow_http(true))?;
        Ok(HttpClient::new(Self { client: Some(client), ..self.clone() }))
    }
}

#[async_trait::async_trait]
impl HttpService for Elsewhere {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = request.uri().to_string().replace("https://iamcredentials.googleapis.com", &self.google);
        *request.uri_mut() = url.parse().unwrap();
        self.client.as_ref().unwrap().execute(request).await
    }
}

fn file() -> Option<PathBuf> {
    std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").map(Into::into)
}

/// The file of the zip, with the stand-ins for Google.
fn package(google: &str) {
    let template = include_str!("../../../../packaging/google.json");
    let text =
        template.replace("PROJECT_NUMBER", "123").replace("PROJECT_ID", "demo").replace("FUNCTION", "get");
    let text = text.replace("https://iamcredentials.googleapis.com", google);
    std::fs::write(file().unwrap(), text.replace("https://sts.googleapis.com", google)).unwrap();
}

/// Runs the test of that name again, in an environment as on Lambda: libraries read the process's.
fn again_on_lambda(test: &str) {
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
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn on_lambda_every_client_acts_as_the_functions_google_account() {
    if std::env::var_os("AWS_LAMBDA_FUNCTION_NAME").is_none() {
        return again_on_lambda("on_lambda_every_client_acts_as_the_functions_google_account");
    }
    let (google, asked) = google::google().await;
    package(&google);
    documents_are_read().await;
    assert_eq!(*asked.lock().unwrap(), ["exchange", "generateAccessToken"]);
    the_job_is_run().await;
    links_are_signed(&google).await;
    assert_eq!(asked.lock().unwrap().last().map(String::as_str), Some("signBlob"));
}

async fn documents_are_read() {
    let (url, tokens) = google::firestore().await;
    let settings = config::Documents { project_id: "demo".into(), database: "(default)".into() };
    let found = Firestore::at(settings, &url).find(&fixtures::job_id("job-1")).await.unwrap();
    assert!(found.is_none());
    assert_eq!(*tokens.lock().unwrap(), ["Bearer of-export-get"]);
}

async fn the_job_is_run() {
    let run = FakeCloudRun::start().await;
    let endpoint = Some(run.endpoint().parse().unwrap());
    let (project_id, region, job_name) = ("demo".into(), "us-central1".into(), "export-job".into());
    let mut jobs = CloudRunJobs::new(config::Launch { project_id, region, job_name, endpoint });
    jobs.credentials = cloud_run::of_the_environment;
    jobs.launch(ExportId::random(), None).await.unwrap();
    assert_eq!(run.runs()[0].authorization.as_deref(), Some("Bearer of-export-get"));
}

async fn links_are_signed(google: &str) {
    let settings = config::Downloads { bucket: "files".into(), emulator: None, credentials: file() };
    let connector = Elsewhere { google: google.to_owned(), client: None };
    let builder = GoogleCloudStorageBuilder::from_env().with_http_connector(connector);
    let links = SignedLinks::with(&settings, builder);
    let link = links.link("gs://files/job-1/model.gguf").await.unwrap().unwrap();
    assert!(link.starts_with("https://storage.googleapis.com/files/job-1/model.gguf?"), "{link}");
    assert!(link.contains(&format!("X-Goog-Credential={}%2F", ACCOUNT.replace('@', "%40"))), "{link}");
    assert!(link.ends_with(&format!("X-Goog-Signature={}", hex(SIGNATURE))), "{link}");
}

#[tokio::test]
async fn a_file_that_leads_to_no_account_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let complaint = |text: &str| {
        let file = folder.path().join("google.json");
        std::fs::write(&file, text).unwrap();
        account(&file).map(|account| account.is_some()).map_err(|error| error.to_string())
    };
    assert_eq!(complaint(r#"{"type": "service_account"}"#), Ok(false), "read by the client itself");
    let nobody = complaint(r#"{"type": "external_account"}"#).unwrap_err();
    assert!(nobody.contains("name no service account"), "{nobody}");
    let unusable = complaint(
        r#"{"type": "external_account", "service_account_impersonation_url": "https://x/serviceAccounts/a@b:generateAccessToken"}"#,
    );
    assert_eq!(unusable.unwrap_err(), "the credentials cannot be used");
    assert!(complaint("{").unwrap_err().contains("is not credentials"));
    let missing = account(&folder.path().join("none")).map(|account| account.is_some());
    assert!(missing.unwrap_err().to_string().contains("cannot be read"));
}
