//! A Hub that repeats the caller's token in every answer: the token must not get into logs, records and messages.

use std::{fs, path::Path};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
};
use reqwest::{Method, StatusCode as AnswerStatus};
use serde_json::json;

use crate::process::{StackProcess, folder};

/// With and without the form of a Hub token.
const TOKENS: [&str; 2] = ["hf_canaryCanaryCanaryCanary1", "canary-7d1e5b-of-another-form"];
const JOB: &str = "ada-recipes";

/// A server that answers each request with that status, and with its authorization as header and body.
async fn echo(status: StatusCode) -> String {
    let answer = async move |headers: HeaderMap| {
        let sent = headers.get(header::AUTHORIZATION).cloned();
        let body = sent.as_ref().map(|sent| sent.to_str().unwrap().to_owned()).unwrap_or_default();
        let body = json!({"error": format!("refused: {body}")}).to_string();
        let message = sent.unwrap_or_else(|| header::HeaderValue::from_static("none"));
        (status, [("x-error-message", message)], body)
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = axum::serve(listener, Router::new().fallback(answer));
    tokio::spawn(server.into_future());
    url
}

/// Every file below a folder, as text.
fn texts(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            texts(&entry.path(), found);
        } else {
            let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
            found.push((entry.path().display().to_string(), text));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_hub_repeats_is_in_no_log_record_or_message() {
    let mut repeated = false;
    for status in [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let hub = echo(status).await;
        let temp = folder();
        let log = temp.path().join("stack.log");
        let variables = [("HF_ENDPOINT", hub.as_str()), ("RUST_LOG", "debug")];
        let stack = StackProcess::serve_with(temp.path(), &variables, fs::File::create(&log).unwrap().into());
        let ada = stack.token("ada").await;
        let mut answers = Vec::new();
        for token in TOKENS {
            let request = json!({
                "job_id": JOB, "export_type": "adapter", "destination": ["hf_hub"],
                "hf_repo_id": "ada/recipes", "hf_token": token,
            });
            let (started, answer) = stack.ask(Method::POST, "/exports", &ada, Some(&request)).await;
            assert_eq!(started, AnswerStatus::OK, "{answer}");
            let ended = stack.ended(JOB).await;
            assert_eq!(ended["status"], "failed", "{ended}");
            answers.push(format!("{answer} {ended}"));
        }
        assert!(stack.terminate().success());
        let mut found = Vec::new();
        texts(temp.path(), &mut found);
        let logs: String =
            found.iter().filter(|(path, _)| path.contains("/logs/")).map(|(_, text)| text.as_str()).collect();
        assert!(logs.contains("export failed"), "{status}: {logs}");
        repeated |= logs.contains("[redacted]");
        for (place, text) in found.iter().chain(&[("answers".to_owned(), answers.join("\n"))]) {
            for token in TOKENS {
                assert!(!text.contains(token), "{status}: {place} contains the token");
            }
        }
    }
    assert!(repeated, "no log line repeated what the Hub sent, so nothing was tested");
}
