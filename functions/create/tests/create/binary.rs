//! The binary as HTTP server and on Lambda, without a store: requests that need no store must work.

use std::sync::Arc;

use axum::{Json, Router, extract::Query, http::HeaderMap, routing::get};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use shared::testing::{
    TokenSigner, fixtures, http,
    lambda::{EventSource, LambdaFunction, event},
    process::{BinaryProcess, serve_keys, serve_on_loopback, settings},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const BINARY: &str = env!("CARGO_BIN_EXE_create");
const NO_STORE: (&str, &str) = ("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1");

async fn start(more: &[(&str, &str)]) -> BinaryProcess {
    let keys = serve_keys().await;
    BinaryProcess::listening(BINARY, &[&settings(&keys)[..], &[NO_STORE], more].concat()).await
}

/// Sends raw bytes and returns the first part of the response.
async fn exchange(process: &BinaryProcess, request: &str) -> String {
    let mut stream = TcpStream::connect(process.url().trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = vec![0; 4096];
    let length = stream.read(&mut response).await.unwrap();
    String::from_utf8_lossy(&response[..length]).into_owned()
}

#[tokio::test]
async fn an_unauthenticated_request_is_rejected_before_its_body_is_sent() {
    let process = start(&[]).await;
    let head =
        "POST /exports HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n";
    let response = exchange(&process, &format!("{head}expect: 100-continue\r\n\r\n")).await;
    assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
    let token = TokenSigner::first().token(fixtures::ADA);
    let response =
        exchange(&process, &format!("{head}authorization: Bearer {token}\r\nexpect: 100-continue\r\n\r\n"))
            .await;
    assert!(response.starts_with("HTTP/1.1 100 "), "{response}");
}

#[tokio::test]
async fn an_oversized_body_is_rejected_with_content_length_and_in_chunks() {
    let process = start(&[]).await;
    let token = TokenSigner::first().token(fixtures::ADA);
    let head = format!(
        "POST /exports HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n"
    );
    let with_length = exchange(&process, &format!("{head}content-length: 16385\r\n\r\n")).await;
    assert!(with_length.starts_with("HTTP/1.1 413 "), "{with_length}");
    let chunk = format!("4001\r\n{}\r\n", " ".repeat(0x4001));
    let chunked = exchange(&process, &format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}")).await;
    assert!(chunked.starts_with("HTTP/1.1 413 "), "{chunked}");
}

#[tokio::test]
async fn a_request_in_flight_completes_after_sigterm() {
    let mut process = start(&[]).await;
    let token = TokenSigner::first().token(fixtures::ADA);
    let mut stream = TcpStream::connect(process.url().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /exports HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\ncontent-length: 2\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    process.terminate().await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(
        TcpStream::connect(process.url().trim_start_matches("http://")).await.is_err(),
        "new connections are rejected"
    );
    stream.write_all(b"}").await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 400 ") && response.contains("job_id: is required"), "{response}");
    assert!(process.ended().await.0.success());
}

/// With fake servers for `list` and for the metadata server, which returns identity tokens.
#[tokio::test]
async fn list_receives_the_callers_token_and_the_identity_token_of_the_service() {
    let list = get(async |headers: HeaderMap| {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        Json(json!({"caller": text("authorization"), "service": text("x-serverless-authorization")}))
    });
    let list_url = serve_on_loopback(Router::new().route("/exports", list)).await;
    let claims = Arc::new(identity_token());
    let identity = Arc::clone(&claims);
    let metadata = get(async move |Query(query): Query<Value>, headers: HeaderMap| {
        assert_eq!(headers["metadata-flavor"], "Google");
        assert!(query["audience"].as_str().unwrap().starts_with("http://127.0.0.1:"));
        (*identity).clone()
    });
    let identity_path = "/computeMetadata/v1/instance/service-accounts/default/identity";
    let metadata_url = serve_on_loopback(Router::new().route(identity_path, metadata)).await;
    let process = start(&[
        ("LIST_URL", &list_url),
        ("K_SERVICE", "create"),
        ("GCE_METADATA_HOST", metadata_url.trim_start_matches("http://")),
    ])
    .await;
    let token = TokenSigner::first().token(fixtures::ADA);
    let response = http::client().get(format!("{}/exports", process.url())).bearer_auth(&token).send();
    let response = response.await.unwrap();
    assert_eq!(response.status().as_u16(), 200, "{}", process.log());
    let received: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(received["caller"], format!("Bearer {token}"));
    assert_eq!(received["service"], format!("Bearer {claims}"));
    assert!(!process.log().contains(&token) && !process.log().contains(claims.as_str()), "{}", process.log());
}

/// An identity token. Only its expiry is read.
fn identity_token() -> String {
    TokenSigner::second()
        .with_claims(&json!({"aud": "list", "exp": shared::clock::now().as_second() + 3_600}))
}

#[tokio::test]
async fn it_works_on_lambda() {
    let keys = serve_keys().await;
    let mut function = LambdaFunction::start(BINARY, &[&settings(&keys)[..], &[NO_STORE]].concat()).await;
    let bearer = format!("Bearer {}", TokenSigner::first().token(fixtures::ADA));
    let headers = json!({"authorization": bearer, "content-type": "application/json"});
    for source in [EventSource::ApiGateway, EventSource::FunctionUrl] {
        let unauthenticated =
            function.invoke(event(source, "POST", "/exports", &json!({}), Some("{}"))).await;
        assert_eq!(unauthenticated["statusCode"], 401);
        let mut invalid = event(source, "POST", "/exports", &headers, Some(r#"{"job_id":"a/b"}"#));
        let response = function.invoke(invalid.clone()).await;
        let problem: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&response["statusCode"], &problem["field"]),
            (&json!(400), &json!("job_id")),
            "{response}"
        );
        invalid["body"] = json!(STANDARD.encode(r#"{"job_id":"a/b"}"#));
        invalid["isBase64Encoded"] = json!(true);
        assert_eq!(function.invoke(invalid).await["statusCode"], 400);
        let large = " ".repeat(16 * 1024 + 1);
        let large = function.invoke(event(source, "POST", "/exports", &headers, Some(&large))).await;
        assert_eq!(large["statusCode"], 413);
    }
}
