//! The binary as HTTP server and on Lambda, without a store: requests that need no store must work.

use serde_json::json;
use shared::testing::{
    TokenSigner, fixtures,
    lambda::{EventSource, LambdaFunction, event},
    process::{BinaryProcess, serve_keys, settings},
};

const BINARY: &str = env!("CARGO_BIN_EXE_cancel");
const NO_STORE: (&str, &str) = ("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1");

#[tokio::test]
async fn callers_are_authenticated_before_the_store_is_used() {
    let keys = serve_keys().await;
    let process = BinaryProcess::listening(BINARY, &[&settings(&keys)[..], &[NO_STORE]].concat()).await;
    let client = reqwest::Client::new();
    let status = async |path: &str, token: Option<&str>| {
        let request = client.post(format!("{}{path}", process.url()));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap().status().as_u16()
    };
    let token = TokenSigner::first().token(fixtures::ADA);
    assert_eq!(status("/exports/job-1/cancel", None).await, 401);
    assert_eq!(status("/exports/a%2Fb/cancel", Some(&token)).await, 400);
    assert_eq!(
        status("/exports/job-1/cancel", Some(&token)).await,
        500,
        "authenticated, but the store is unavailable"
    );
}

#[tokio::test]
async fn it_works_on_lambda() {
    let keys = serve_keys().await;
    let mut function = LambdaFunction::start(BINARY, &[&settings(&keys)[..], &[NO_STORE]].concat()).await;
    let bearer = json!({"authorization": format!("Bearer {}", TokenSigner::first().token(fixtures::ADA))});
    for source in [EventSource::ApiGateway, EventSource::FunctionUrl] {
        let unauthenticated =
            function.invoke(event(source, "POST", "/exports/job-1/cancel", &json!({}), None)).await;
        assert_eq!(unauthenticated["statusCode"], 401);
        let invalid_id = function.invoke(event(source, "POST", "/exports/__x__/cancel", &bearer, None)).await;
        assert_eq!(invalid_id["statusCode"], 400, "{invalid_id}");
    }
}
