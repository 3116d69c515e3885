//! The binary: over a socket, and on Lambda. The store is down here: what needs none must work.

use serde_json::json;
use shared::testing::{
    Mint, fixtures,
    lambda::{Function, Sender, event},
    process::{Process, serve_keys, settings},
};

const BINARY: &str = env!("CARGO_BIN_EXE_get");
const DOWN: (&str, &str) = ("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1");

#[tokio::test]
async fn a_missing_bucket_keeps_it_from_starting() {
    let (status, complaint) = Process::start(BINARY, &[("PROJECT_ID", "demo")]).ended().await;
    assert!(!status.success());
    assert_eq!(complaint.trim(), "Error: GCS_EXPORT_FILES_BUCKET_NAME environment variable must be set");
}

#[tokio::test]
async fn over_a_socket_it_knows_its_callers_before_it_needs_its_store() {
    let keys = serve_keys().await;
    let process = Process::listening(BINARY, &[&settings(&keys)[..], &[DOWN]].concat()).await;
    let client = reqwest::Client::new();
    let status = async |path: &str, token: Option<&str>| {
        let request = client.get(format!("{}{path}", process.url()));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap().status().as_u16()
    };
    let token = Mint::first().token(fixtures::ADA);
    assert_eq!(status("/exports/job-1", None).await, 401);
    assert_eq!(status("/exports/a%2Fb", Some(&token)).await, 400);
    assert_eq!(status("/exports/job-1", Some(&token)).await, 500, "known, but the store is down");
}

#[tokio::test]
async fn it_answers_on_lambda() {
    let keys = serve_keys().await;
    let mut function = Function::start(BINARY, &[&settings(&keys)[..], &[DOWN]].concat()).await;
    let bearer = json!({"authorization": format!("Bearer {}", Mint::first().token(fixtures::ADA))});
    for sender in [Sender::ApiGateway, Sender::FunctionUrl] {
        let nobody = function.answer(event(sender, "GET", "/exports/job-1", &json!({}), None)).await;
        assert_eq!(nobody["statusCode"], 401);
        let no_id = function.answer(event(sender, "GET", "/exports/__x__", &bearer, None)).await;
        assert_eq!(no_id["statusCode"], 400, "{no_id}");
    }
}
