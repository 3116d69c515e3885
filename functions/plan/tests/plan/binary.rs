//! The binary as HTTP server and on Lambda, without a store: requests that need no store must work.

use serde_json::json;
use shared::testing::{
    TokenSigner, fixtures,
    lambda::{EventSource, LambdaFunction, event},
    process::{BinaryProcess, serve_keys, settings},
};

const BINARY: &str = env!("CARGO_BIN_EXE_plan");
const SETTINGS: [(&str, &str); 3] = [
    ("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1"),
    ("GCS_EXPORT_BUCKET_NAME", "raw"),
    ("GCS_EXPORT_FILES_BUCKET_NAME", "files"),
];

#[tokio::test]
async fn callers_are_authenticated_before_the_store_is_used() {
    let keys = serve_keys().await;
    let process = BinaryProcess::listening(BINARY, &[&settings(&keys)[..], &SETTINGS].concat()).await;
    let token = TokenSigner::first().token(fixtures::ADA);
    let status = async |token: Option<&str>, body: &str| {
        let request = reqwest::Client::new().post(format!("{}/plans", process.url()));
        let request = request.header("content-type", "application/json").body(body.to_owned());
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap().status().as_u16()
    };
    let valid = json!({"job_id": "job-1", "export_type": "gguf"}).to_string();
    assert_eq!(status(None, &valid).await, 401);
    assert_eq!(status(Some(&token), "{}").await, 400);
    assert_eq!(status(Some(&token), &valid).await, 500, "authenticated, but the store is unavailable");
}

#[tokio::test]
async fn it_works_on_lambda() {
    let keys = serve_keys().await;
    let mut function = LambdaFunction::start(BINARY, &[&settings(&keys)[..], &SETTINGS].concat()).await;
    for source in [EventSource::ApiGateway, EventSource::FunctionUrl] {
        let unauthenticated = function.invoke(event(source, "POST", "/plans", &json!({}), None)).await;
        assert_eq!(unauthenticated["statusCode"], 401);
    }
}
