//! The binary as HTTP server and on Lambda, without a store: requests that need no store must work.

use reqwest::Method;
use shared::testing::functions::JobFunction;

const FUNCTION: JobFunction =
    JobFunction { binary: env!("CARGO_BIN_EXE_cancel"), method: Method::POST, suffix: "/cancel" };

#[tokio::test]
async fn callers_are_authenticated_before_the_store_is_used() {
    FUNCTION.authenticates_callers_before_the_store_is_used().await;
}

#[tokio::test]
async fn it_works_on_lambda() {
    FUNCTION.works_on_lambda().await;
}
