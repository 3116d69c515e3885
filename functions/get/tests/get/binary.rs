//! The binary as HTTP server and on Lambda, without a store: requests that need no store must work.

use reqwest::Method;
use shared::testing::{functions::JobFunction, process::BinaryProcess};

const FUNCTION: JobFunction =
    JobFunction { binary: env!("CARGO_BIN_EXE_get"), method: Method::GET, suffix: "" };

#[tokio::test]
async fn it_does_not_start_without_a_bucket() {
    let (status, stderr) = BinaryProcess::start(FUNCTION.binary, &[("PROJECT_ID", "demo")]).ended().await;
    assert!(!status.success());
    assert_eq!(stderr.trim(), "Error: GCS_EXPORT_FILES_BUCKET_NAME environment variable must be set");
}

#[tokio::test]
async fn callers_are_authenticated_before_the_store_is_used() {
    FUNCTION.authenticates_callers_before_the_store_is_used().await;
}

#[tokio::test]
async fn it_works_on_lambda() {
    FUNCTION.works_on_lambda().await;
}
