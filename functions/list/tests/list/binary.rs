//! The binary as HTTP server and on Lambda, without a store: requests that need no store must work.

use serde_json::{Value, json};
use shared::testing::{
    TokenSigner, fixtures, http,
    lambda::{EventSource, LambdaFunction, event},
    process::{BinaryProcess, serve_keys, settings},
};

const BINARY: &str = env!("CARGO_BIN_EXE_list");
const NO_STORE: (&str, &str) = ("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1");

#[tokio::test]
async fn it_does_not_start_without_a_project() {
    let (status, stderr) = BinaryProcess::start(BINARY, &[]).ended().await;
    assert!(!status.success());
    assert_eq!(stderr.trim(), "Error: PROJECT_ID environment variable must be set");
}

#[tokio::test]
async fn it_does_not_start_with_the_auth_emulator_in_production() {
    let emulator = ("FIREBASE_AUTH_EMULATOR_HOST", "127.0.0.1:9099");
    let variables = [("PROJECT_ID", "demo"), emulator, ("K_SERVICE", "list")];
    let (status, stderr) = BinaryProcess::start(BINARY, &variables).ended().await;
    assert!(!status.success());
    assert!(
        stderr.contains("FIREBASE_AUTH_EMULATOR_HOST must not be set together with K_SERVICE"),
        "{stderr}"
    );
}

#[tokio::test]
async fn callers_are_authenticated_before_the_store_is_used() {
    let keys = serve_keys().await;
    let process = BinaryProcess::listening(BINARY, &[&settings(&keys)[..], &[NO_STORE]].concat()).await;
    let url = format!("{}/exports", process.url());
    let client = http::client();
    let status =
        async |token: &str| client.get(&url).bearer_auth(token).send().await.unwrap().status().as_u16();
    assert_eq!(client.get(&url).send().await.unwrap().status().as_u16(), 401);
    assert_eq!(status(&"x".repeat(64 * 1024)).await, 401, "oversized, but rejected with a 401");
    for size in [160, 512] {
        assert_eq!(status(&"x".repeat(size * 1024)).await, 431, "{size} KiB");
    }
    assert_eq!(
        status(&TokenSigner::second().token(fixtures::ADA)).await,
        401,
        "a key that is not the issuer's"
    );
    assert_eq!(
        status(&TokenSigner::first().token(fixtures::ADA)).await,
        500,
        "authenticated, but the store is unavailable"
    );
    let log = process.log();
    assert!(log.contains("Firestore is unavailable") || log.contains("Firestore failed"), "{log}");
    assert!(!log.contains(fixtures::ADA), "{log}");
}

#[tokio::test]
async fn it_works_on_lambda() {
    let keys = serve_keys().await;
    let mut function = LambdaFunction::start(BINARY, &[&settings(&keys)[..], &[NO_STORE]].concat()).await;
    for source in [EventSource::ApiGateway, EventSource::FunctionUrl] {
        let unauthenticated = function.invoke(event(source, "GET", "/exports", &json!({}), None)).await;
        assert_eq!(unauthenticated["statusCode"], 401);
        assert_eq!(unauthenticated["headers"]["www-authenticate"], r#"Bearer realm="export""#);
        assert_eq!(unauthenticated["headers"]["content-type"], "application/problem+json");
        let twice = json!({"authorization": "Bearer a,Bearer b"});
        assert_eq!(function.invoke(event(source, "GET", "/exports", &twice, None)).await["statusCode"], 401);
        let post = function.invoke(event(source, "POST", "/exports", &json!({}), Some("{}"))).await;
        assert_eq!((&post["statusCode"], &post["headers"]["allow"]), (&json!(405), &json!("GET,HEAD")));
        let unknown_path = function.invoke(event(source, "GET", "/nowhere", &json!({}), None)).await;
        assert_eq!(unknown_path["statusCode"], 404);
    }
    let bearer = json!({"authorization": format!("Bearer {}", TokenSigner::first().token(fixtures::ADA))});
    let authenticated: Value =
        function.invoke(event(EventSource::FunctionUrl, "GET", "/exports", &bearer, None)).await;
    assert_eq!(authenticated["statusCode"], 500, "authenticated, but the store is unavailable");
}
