//! The binary: over a socket, and on Lambda. The store is down here: what needs none must work.

use serde_json::{Value, json};
use shared::testing::{
    Mint, fixtures,
    lambda::{Function, Sender, event},
    process::{Process, serve_keys, settings},
};

const BINARY: &str = env!("CARGO_BIN_EXE_list");
const DOWN: (&str, &str) = ("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1");

#[tokio::test]
async fn a_missing_setting_keeps_it_from_starting() {
    let (status, complaint) = Process::start(BINARY, &[]).ended().await;
    assert!(!status.success());
    assert_eq!(complaint.trim(), "Error: PROJECT_ID environment variable must be set");
}

#[tokio::test]
async fn the_auth_emulator_in_production_keeps_it_from_starting() {
    let emulator = ("FIREBASE_AUTH_EMULATOR_HOST", "127.0.0.1:9099");
    let variables = [("PROJECT_ID", "demo"), emulator, ("K_SERVICE", "list")];
    let (status, complaint) = Process::start(BINARY, &variables).ended().await;
    assert!(!status.success());
    assert!(
        complaint.contains("FIREBASE_AUTH_EMULATOR_HOST must not be set where K_SERVICE is"),
        "{complaint}"
    );
}

#[tokio::test]
async fn over_a_socket_it_knows_its_callers_before_it_needs_its_store() {
    let keys = serve_keys().await;
    let process = Process::listening(BINARY, &[&settings(&keys)[..], &[DOWN]].concat()).await;
    let url = format!("{}/exports", process.url());
    let client = reqwest::Client::new();
    let status =
        async |token: &str| client.get(&url).bearer_auth(token).send().await.unwrap().status().as_u16();
    assert_eq!(client.get(&url).send().await.unwrap().status().as_u16(), 401);
    assert_eq!(status(&"x".repeat(64 * 1024)).await, 401, "far too long, and still an answer");
    assert_eq!(status(&"x".repeat(256 * 1024)).await, 431);
    assert_eq!(
        status(&Mint::second().token(fixtures::ADA)).await,
        401,
        "a key that the issuer does not have"
    );
    assert_eq!(status(&Mint::first().token(fixtures::ADA)).await, 500, "known, but the store is down");
    let log = process.log();
    assert!(log.contains("Firestore is unavailable") || log.contains("Firestore failed"), "{log}");
    assert!(!log.contains(fixtures::ADA), "{log}");
}

#[tokio::test]
async fn it_answers_on_lambda() {
    let keys = serve_keys().await;
    let mut function = Function::start(BINARY, &[&settings(&keys)[..], &[DOWN]].concat()).await;
    for sender in [Sender::ApiGateway, Sender::FunctionUrl] {
        let nobody = function.answer(event(sender, "GET", "/exports", &json!({}), None)).await;
        assert_eq!(nobody["statusCode"], 401);
        assert_eq!(nobody["headers"]["www-authenticate"], r#"Bearer realm="export""#);
        assert_eq!(nobody["headers"]["content-type"], "application/problem+json");
        let twice = json!({"authorization": "Bearer a,Bearer b"});
        assert_eq!(function.answer(event(sender, "GET", "/exports", &twice, None)).await["statusCode"], 401);
        let post = function.answer(event(sender, "POST", "/exports", &json!({}), Some("{}"))).await;
        assert_eq!((&post["statusCode"], &post["headers"]["allow"]), (&json!(405), &json!("GET,HEAD")));
        let elsewhere = function.answer(event(sender, "GET", "/nowhere", &json!({}), None)).await;
        assert_eq!(elsewhere["statusCode"], 404);
    }
    let bearer = json!({"authorization": format!("Bearer {}", Mint::first().token(fixtures::ADA))});
    let known: Value = function.answer(event(Sender::FunctionUrl, "GET", "/exports", &bearer, None)).await;
    assert_eq!(known["statusCode"], 500, "known, but the store is down");
}
